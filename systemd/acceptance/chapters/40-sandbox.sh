chapter "Sandbox"

# A shell in place of the daemon, in the very same unit otherwise.
sed -e 's|^ExecStart=.*|ExecStart=/bin/sh /opt/probe|' -e 's/^Type=.*/Type=oneshot/' -e '/^WatchdogSec=/d' -e '/^Restart/d' \
    "$BOX/root/usr/lib/systemd/system/aesyncd.service" >"$BOX/root/etc/systemd/system/probe.service"
need in_box systemctl daemon-reload
echo untouched >"$BOX/root/home/own/secret"
chmod 644 "$BOX/root/home/own/secret"
chmod 755 "$BOX/root/home/own"

# probe SCRIPT: runs it there; what it prints and its exit code are the probe's.
probe() {
    local code=0
    printf '%s\n' "$1" >"$BOX/root/opt/probe"
    in_box systemctl start probe.service >/dev/null 2>&1 || true
    in_box journalctl --no-pager --output=cat --unit=probe.service _SYSTEMD_INVOCATION_ID="$(property probe.service InvocationID)" || code=$?
    [[ $(property probe.service Result) == success && $code == 0 ]]
}

check "the probe itself works: it may write to the state" probe 'echo x >/var/lib/aesyncd/probe && rm /var/lib/aesyncd/probe'
check "and to the directory of the sockets" probe 'echo x >/run/aesyncd/probe && rm /run/aesyncd/probe'
for path in /etc/aesyncd/x /usr/bin/x /var/log/x /root/x /opt/x /dev/x; do
    check "it can't write to $path" exits 1 "" probe "echo x >$path"
done
check "it does not see the homes" exits 1 "" probe 'cat /home/own/secret'
check "nor the states of the instances" exits 1 "ermission denied" probe 'ls /var/lib/aesyncd/instances'
check "its /tmp is its own" probe '[ -z "$(ls /tmp)" ]'
check "it sees no other user's processes" probe '[ ! -e /proc/1/comm ]'
check "it gets no credential of others" exits 1 "" probe 'cat /etc/shadow'
check "it can't change an owner" exits 1 "not permitted" probe 'touch /var/lib/aesyncd/p; chown root /var/lib/aesyncd/p || { rm /var/lib/aesyncd/p; exit 1; }'
check "it can't mount" exits 1 "" probe 'mount -t tmpfs none /tmp'
check "it can't have a namespace" exits 1 "" probe 'unshare --user true'
check "it can't raise its limits" exits 1 "not permitted" probe 'ulimit -n 9000'
check "it can't become root by a set-user-id program" probe '[ "$(awk "/NoNewPrivs/ { print \$2 }" /proc/self/status)" = 1 ]'
check "it has no capability left, not even in the bounding set" probe '! grep -E "^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]" /proc/self/status'
check "it has no memory that can be written and run (mmap)" exits 1 "not permitted" probe \
    'perl -e "use POSIX; \$r = syscall(9, 0, 4096, 7, 34, -1, 0); if (\$r == -1) { print STDERR \"\$!\n\"; exit 1 }"'
check "it can't open a packet socket" exits 1 "" probe 'perl -e "use Socket; socket(my \$s, 17, SOCK_RAW, 0) or die \"\$!\n\""'
check "nor a netlink socket" exits 1 "" probe 'perl -e "use Socket; socket(my \$s, 16, SOCK_RAW, 0) or die \"\$!\n\""'
check "the Internet's sockets are what it has" probe 'perl -e "use Socket; socket(my \$s, PF_INET, SOCK_STREAM, 0) or die \"\$!\n\""'
check "it can't set the clock" exits 1 "" probe 'date --set=@0'
check "it can't be traced into a core dump" probe '[ "$(ulimit -c)" = 0 ]'

pid=$(main_pid)
check "the daemon itself runs under the filter, without privileges" sh_in_box \
    "grep -q '^Seccomp:.2' /proc/$pid/status && grep -q '^NoNewPrivs:.1' /proc/$pid/status && grep -q '^CapBnd:.0*\$' /proc/$pid/status"
check "as its own user" same "$(in_box ps -o user= -p "$pid")" aesync
in_box rm /etc/systemd/system/probe.service /opt/probe
need in_box systemctl daemon-reload
