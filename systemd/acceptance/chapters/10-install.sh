chapter "Install"

need in_box dpkg --install /root/aesyncd.deb
check "the service runs as soon as it is installed" in_box systemctl is-active aesyncd.service
check "it is enabled" in_box systemctl is-enabled aesyncd.service
check "the socket unit is there and is left to the administrator" exits 1 disabled in_box systemctl is-enabled aesyncd.socket
check "without any configuration it says that nobody is signed in, and what to do" status_text aesyncd.service "offline (signed_out): aectl login"
check "the user has no shell and no password" sh_in_box 'getent passwd aesync | grep -q ":/usr/sbin/nologin$" && getent shadow aesync | grep -q "^aesync:!"'
check "the state is the daemon's alone" same "$(in_box stat -c '%a %U %G' /var/lib/aesyncd)" "700 aesync aesync"
check "all can see the socket, and only the group can open it" \
    same "$(in_box stat -c '%a %U %G' /run/aesyncd /run/aesyncd/aesyncd.sock)" "755 aesync aesync
660 aesync aesync"
check "the configuration is there for all to read, since no secret is in it" same "$(in_box stat -c '%a %U %G' /etc/aesyncd/aesyncd.toml)" "644 root root"
check "the daemon approves of it" says "ok: configuration /etc/aesyncd/aesyncd.toml" in_box runuser -u aesync -- aesyncd --check
check "systemd has nothing to say about the units" silent in_box systemd-analyze verify --man=no aesyncd.service aesyncd.socket aesyncd@x.service aesyncd@x.socket
for unit in aesyncd.service aesyncd@x.service; do
    check "the exposure of $unit is at most 1.2, inside" in_box systemd-analyze security --threshold=12 --no-pager "$unit"
done
check "every command has a man page" sh_in_box 'for command in status push pull login outbox-list; do test -s /usr/share/man/man1/aectl-$command.1.gz; done
    test -s /usr/share/man/man8/aesyncd.8.gz && test -s /usr/share/man/man5/aesyncd.toml.5.gz && test -s /usr/share/man/man7/aesync-ipc.7.gz'
check "bash takes the completions" sh_in_box 'bash -c "source /usr/share/bash-completion/completions/aectl && complete -p aectl"'

# What a start takes until READY=1, in milliseconds: by the clock, and of a processor, which does not depend on what else the machine does.
# The least of five.
measure_start() {
    local started ready took
    clock=999999 processor=999999
    for _ in 1 2 3 4 5; do
        need in_box systemctl restart aesyncd.service
        took=$(($(property aesyncd.service CPUUsageNSec) / 1000000))
        started=$(property aesyncd.service ExecMainStartTimestampMonotonic)
        ready=$(property aesyncd.service ActiveEnterTimestampMonotonic)
        ((took >= processor)) || processor=$took
        ((ready - started >= clock * 1000)) || clock=$(((ready - started) / 1000))
    done
}
measure_start
check "with an empty store a start takes less than 100 ms of a processor: $processor ms, and $clock ms by the clock" test "$processor" -lt 100

# From here on at the finest level, so that the last chapter searches everything that could ever be logged.
need sh_in_box 'mkdir -p /run/systemd/system/aesyncd.service.d
    printf "[Service]\nEnvironment=AESYNC_LOG__FILTER=trace\n" >/run/systemd/system/aesyncd.service.d/trace.conf
    systemctl daemon-reload && systemctl restart aesyncd.service'
