chapter "Remove and purge"

need in_box dpkg --remove aesyncd
check "removed, nothing of it runs" not in_box pgrep -x aesyncd
check "nor listens" exits 2 "" in_box ls /run/aesyncd/aesyncd.sock
check "the state is kept" in_box test -s /var/lib/aesyncd/token
check "the configuration is kept" says 'interval = "66s"' in_box cat /etc/aesyncd/aesyncd.toml
need in_box dpkg --install /root/aesyncd.deb
check "installed again it goes on where it was" in_box aectl wait synced --timeout 30s
need in_box dpkg --purge aesyncd
check "purged, the state is gone, with the token in it" not in_box test -e /var/lib/aesyncd
check "so are the configuration and the sockets" not in_box sh -c 'ls -d /etc/aesyncd/aesyncd.toml /run/aesyncd 2>/dev/null'
check "what the administrator wrote himself is left to him" in_box test -s /etc/aesyncd/shop.toml
check "no unit is left, and none failed" sh_in_box '! systemctl list-unit-files --no-legend "aesyncd*" | grep . && ! systemctl --failed --no-legend | grep .'
check "nor a link to one" silent in_box find /etc/systemd -name '*aesyncd*'
