chapter "Remove and purge"

need sh_in_box 'systemctl stop aesyncd@shop.service; systemctl enable --now aesyncd@shop.socket; systemctl start aesyncd@shop.service'
need in_box dpkg --remove aesyncd
check "removed, nothing of it runs" sh_in_box 'pgrep -x systemd && ! pgrep -x aesyncd'
check "nor listens" gone /run/aesyncd/aesyncd.sock
check "nor does an instance" gone /run/aesyncd/shop.sock
check "the state is kept" in_box test -s /var/lib/aesyncd/token
check "the configuration is kept" says 'interval = "66s"' in_box cat /etc/aesyncd/aesyncd.toml
need in_box dpkg --install /root/aesyncd.deb
check "installed again it goes on where it was" in_box aectl wait synced --timeout 30s
check "so does the instance that is enabled" in_box aectl --instance shop wait synced --timeout 30s
check "at the socket that systemd holds for it" in_box systemctl is-active aesyncd@shop.socket
need in_box dpkg --purge aesyncd
check "purged, the state is gone, with the token in it" gone /var/lib/aesyncd
check "so is the configuration" gone /etc/aesyncd/aesyncd.toml
check "and the sockets" gone /run/aesyncd
check "what the administrator wrote himself is left to him" in_box test -s /etc/aesyncd/shop.toml
check "no unit is left" says "0 unit files listed" in_box systemctl list-unit-files "aesyncd*"
check "and none failed" silent in_box systemctl --failed --no-legend
check "nor a link to one" silent in_box find /etc/systemd -type l -name '*aesyncd*'
