chapter "Sandbox"

# A shell in place of the daemon, in the very same unit otherwise.
sed -e 's|^ExecStart=.*|ExecStart=/bin/sh /opt/probe\nStandardOutput=truncate:/root/probe.out\nStandardError=inherit|' -e 's/^Type=.*/Type=oneshot/' -e '/^WatchdogSec=/d' -e '/^Restart/d' \
    "$BOX/root/usr/lib/systemd/system/aesyncd.service" >"$BOX/root/etc/systemd/system/probe.service"
need in_box systemctl daemon-reload
need in_box touch /tmp/of-all
echo untouched >"$BOX/root/home/own/secret"
chmod 644 "$BOX/root/home/own/secret"
chmod 755 "$BOX/root/home/own"

# probe SCRIPT: runs it there; what it prints and its exit code are the probe's.
probe() {
    printf '%s\n' "$1" >"$BOX/root/opt/probe"
    rm -f "$BOX/root/root/probe.out"
    in_box systemctl start probe.service >/dev/null 2>&1 || true
    in_box cat /root/probe.out || return 2
    [[ $(property probe.service Result) == success ]]
}

# refused TEXT SCRIPT: the probe ran, was refused, and TEXT is what the system said.
refused() {
    exits 1 "$1" probe "$2"
}

# Each of these is allowed to the same user without the sandbox, but for the places that belong to root anyway.
check "the probe itself works: it may write to the state" probe 'echo x >/var/lib/aesyncd/probe && rm /var/lib/aesyncd/probe'
check "and to the directory of the sockets" probe 'echo x >/run/aesyncd/probe && rm /run/aesyncd/probe'
for path in /etc/aesyncd/x /usr/bin/x /opt/x /var/log/x; do
    check "it can't write to $path" refused "Read-only file system" "echo x >$path"
done
check "it does not see the homes" refused "denied" 'cat /home/own/secret'
check "nor the states of the instances" refused "denied" 'ls /var/lib/aesyncd/instances'
check "its /tmp is its own" probe 'test -e /tmp && test ! -e /tmp/of-all'
check "it sees no other user's processes" probe 'test -d /proc/self && test ! -e /proc/1'
check "nor what the kernel tells of itself" refused "No such file" 'cat /proc/cmdline'
check "it can't change an owner, not even to itself" refused "not permitted" 'touch /var/lib/aesyncd/p; chown aesync /var/lib/aesyncd/p; code=$?; rm /var/lib/aesyncd/p; exit $code'
check "it can't make a set-user-id program" refused "not permitted" 'touch /var/lib/aesyncd/p; chmod u+s /var/lib/aesyncd/p; code=$?; rm /var/lib/aesyncd/p; exit $code'
check "it can't have a namespace" refused "not permitted" 'unshare --user true'
check "it can't choose its processors" refused "not permitted" 'taskset 1 true'
check "it can't change how programs are loaded" refused "not permitted" 'setarch --addr-no-randomize true'
check "it can't have memory that is written and run" refused "not permitted" \
    'perl -e "\$r = syscall(9, 0, 4096, 7, 34, -1, 0); if (\$r == -1) { print STDERR \"\$!\n\"; exit 1 }"'
check "it can't open a netlink socket" refused "not supported" 'perl -e "use Socket; socket(my \$s, 16, SOCK_RAW, 0) or do { print STDERR \"\$!\n\"; exit 1 }"'
check "nor one for Bluetooth" refused "not supported" 'perl -e "use Socket; socket(my \$s, 31, SOCK_RAW, 0) or do { print STDERR \"\$!\n\"; exit 1 }"'
# A datagram is refused at once; a connection would be tried for two minutes.
send='use Socket; socket(my $s, PF_INET, SOCK_DGRAM, 0); send($s, "x", 0, sockaddr_in(53, inet_aton($ARGV[0]))) or do { print STDERR "$!\n"; exit 1 }'
printf '%s\n' "$send" >"$BOX/root/opt/send.pl"
check "it may send to the Internet's addresses" probe 'perl /opt/send.pl 127.0.0.1'
check "and to no link-local one, where clouds keep their secrets" refused "not permitted" 'perl /opt/send.pl 169.254.169.254'
check "which the box has, and refuses to nobody else" in_box perl /opt/send.pl 169.254.169.254
check "it leaves no core dump" probe '[ "$(ulimit -c)" = 0 ]'
check "it has no capability left, not even in the bounding set" probe '! grep -E "^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]" /proc/self/status'

pid=$(main_pid)
check "the daemon itself runs under the filter, without privileges" sh_in_box \
    "grep -q '^Seccomp:.2' /proc/$pid/status && grep -q '^NoNewPrivs:.1' /proc/$pid/status && grep -q '^CapBnd:.0*\$' /proc/$pid/status"
check "as its own user" same "$(in_box ps -o user= -p "$pid")" aesync
in_box rm /etc/systemd/system/probe.service /opt/probe /opt/send.pl
need in_box systemctl daemon-reload
