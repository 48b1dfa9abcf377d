chapter "Socket activation"

need sh_in_box 'systemctl stop aesyncd && systemctl enable --now aesyncd.socket'
check "the socket is there before the daemon, for the group only" same "$(in_box stat -c '%a %U %G' /run/aesyncd/aesyncd.sock)" "660 aesync aesync"
check "the daemon is not" exits 3 inactive in_box systemctl is-active aesyncd.service
check "the first client starts it" in_box aectl ping
check "and is who he is to it" exits 6 "needs the role admin" as member aectl shutdown

# A loop of clients, and restarts in the middle of it. Each failure leaves a line.
cat >"$BOX/root/root/loop" <<'LOOP'
calls=0
while [ ! -e /root/enough ]; do
    case $((calls % 4)) in
    0) echo "{\"email\":\"loop$$-$calls@example.com\"}" | aectl push - --type end_user ;;
    1) aectl status ;;
    2) aectl list end_user ;;
    *) aectl ping ;;
    esac >/dev/null 2>>/root/errors || echo "call $calls failed" >>/root/errors
    calls=$((calls + 1))
done
echo "$calls" >/root/calls
LOOP
under_load() {
    local loop
    in_box rm -f /root/enough /root/errors /root/calls
    in_box sh /root/loop &
    loop=$!
    "$@"
    in_box touch /root/enough
    wait "$loop"
    [[ $(in_box cat /root/calls) -gt 20 ]] || { echo "only $(in_box cat /root/calls) calls"; return 1; }
    silent in_box cat /root/errors
}
restarts() {
    for _ in 1 2 3 4 5 6 7 8; do in_box systemctl restart aesyncd.service; done
}
check "a client that calls in a loop during eight restarts sees no error" under_load restarts
check "the socket's file survives a stop" sh_in_box 'systemctl stop aesyncd.service 2>/dev/null; test -S /run/aesyncd/aesyncd.sock'
need in_box aectl wait synced --timeout 30s

# Who waits at the socket starts the service; a start that must fail must not go round and round until systemd gives the socket up.
need sh_in_box 'cp /etc/aesyncd/aesyncd.toml /etc/aesyncd/kept; systemctl stop aesyncd.service
    printf "[sync]\ninterval = \"5 parsecs\"\n" >/etc/aesyncd/aesyncd.toml'
check "with a configuration that can't be used a client is told so" exits 1 "sync.interval" in_box aectl status
many_clients() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do in_box aectl ping >/dev/null 2>&1 & done
    wait
    same "$(property aesyncd.socket ActiveState)" active
}
check "and the socket outlives many of them" many_clients
check "the service has ended with 78" within 10 same_property aesyncd.service ExecMainStatus 78
need sh_in_box 'mv /etc/aesyncd/kept /etc/aesyncd/aesyncd.toml'
check "with the configuration corrected the next client starts it" in_box aectl wait synced --timeout 30s
