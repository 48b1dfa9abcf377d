chapter "Upgrade"

# Back to the previous version, with nothing left of what was; and an administrator who has edited the configuration.
need sh_in_box 'systemctl disable --now aesyncd@shop; dpkg --purge aesyncd; dpkg --install /root/previous.deb'
# With an instance that is enabled, and one that the administrator started for now.
need sh_in_box 'cp /etc/aesyncd/shop.toml /etc/aesyncd/passing.toml; systemctl enable --now aesyncd@shop; systemctl start aesyncd@passing'
need sh_in_box "aectl --instance shop login --email '$EMAIL' <$PASSWORD_FILE && aectl --instance shop wait synced --timeout 30s"
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
check "it is the other version" same "$(in_box dpkg-query --show --showformat='${Version}' aesyncd)" "$(dpkg-deb --field "$PACKAGE" Version)"
check "which was not there before" test "$version" = 0.0.9-1
check "the daemon that runs is the new program" same "$(in_box readlink "/proc/$(main_pid)/exe")" /usr/bin/aesyncd
check "the edited configuration is untouched" says 'interval = "66s"' in_box cat /etc/aesyncd/aesyncd.toml
check "the new one lies beside it" lacks /etc/aesyncd/aesyncd.toml.dpkg-dist --fixed-strings "older version"
check "the rows are the same" same "$(rows)" "$rows"
check "the queue is the same" says "upgraded@example.com" in_box aectl outbox show 1
check "what was switched on and off stays so" same "$(in_box systemctl is-enabled aesyncd.service aesyncd.socket aesyncd@shop.service aesyncd@passing.service 2>&1 || true)" "enabled
enabled
enabled
disabled"
for instance in shop passing; do
    check "the instance $instance runs the new program" same "$(in_box readlink "/proc/$(main_pid "aesyncd@$instance.service")/exe")" /usr/bin/aesyncd
done
check "and is synced without a sign-in" in_box aectl --instance shop wait synced --timeout 30s
need in_box aectl resume
check "nobody has to sign in again, and the queue drains" within 30 server_has upgraded@example.com
need in_box aectl wait synced --timeout 30s
