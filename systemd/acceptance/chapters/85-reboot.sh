chapter "Reboot"

need in_box aectl pause
need queue rebooted@example.com
need "$HERE/box" stop "$BOX"
need "$HERE/box" start "$BOX" "$NETWORK"
check "after a reboot the service runs" in_box systemctl is-active aesyncd.service
check "nothing failed on the way" silent in_box systemctl --failed --no-legend
check "the queue is there" says "rebooted@example.com" in_box aectl outbox list --json
need in_box aectl resume
check "and reaches the server, without a sign-in" within 30 server_has rebooted@example.com
check "it is synced" in_box aectl wait synced --timeout 30s
need journal_to /root/boot --boot
check "the stop was a clean one" lacks /root/boot --fixed-strings "the last stop was not a clean one"
