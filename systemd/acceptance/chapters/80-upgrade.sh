chapter "Upgrade"

# Back to the previous version, with nothing left of what was; and an administrator who has edited the configuration.
need sh_in_box 'systemctl disable --now aesyncd@shop; dpkg --purge aesyncd; dpkg --install /root/previous.deb'
need sh_in_box 'sed -i "s/^#interval = .*/interval = \"66s\"/" /etc/aesyncd/aesyncd.toml; systemctl restart aesyncd'
need sh_in_box "aectl login --server http://127.0.0.1:3000 --email '$EMAIL' <$PASSWORD_FILE && aectl wait synced --timeout 30s"
need sh_in_box 'systemctl stop aesyncd && systemctl enable --now aesyncd.socket && systemctl start aesyncd && aectl wait synced --timeout 30s'
need in_box aectl pause
need queue upgraded@example.com
# Without those that the loop below pushes.
rows() {
    sh_in_box 'aectl list end_user | grep -v "loop.*@"'
}
rows=$(rows)
version=$(in_box dpkg-query --show --showformat='${Version}' aesyncd)
upgrade() {
    in_box dpkg --force-confdef --force-confold --install /root/aesyncd.deb
}
check "a client that calls in a loop during the upgrade sees no error" under_load upgrade
check "it is another version" not same "$(in_box dpkg-query --show --showformat='${Version}' aesyncd)" "$version"
check "the daemon that runs is the new program" sh_in_box "! ls -l /proc/$(main_pid)/exe | grep -q deleted"
check "the edited configuration is untouched" says 'interval = "66s"' in_box cat /etc/aesyncd/aesyncd.toml
check "the new one lies beside it" not says "older version" in_box cat /etc/aesyncd/aesyncd.toml.dpkg-dist
check "the rows are the same" same "$(rows)" "$rows"
check "the queue is the same" says "upgraded@example.com" in_box aectl outbox show 1
check "what was switched on and off stays so" sh_in_box 'systemctl is-enabled aesyncd.service aesyncd.socket'
need in_box aectl resume
check "nobody has to sign in again, and the queue drains" within 30 server_has upgraded@example.com
need in_box aectl wait synced --timeout 30s
