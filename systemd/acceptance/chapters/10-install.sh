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
# Each page that the program itself can write, and those of the daemon.
pages_are_there() {
    sh_in_box 'rm -rf /tmp/pages; mkdir /tmp/pages; aectl manual /tmp/pages
        pages=$(ls /tmp/pages)
        test "$(echo "$pages" | wc -l)" -ge 25
        for page in $pages; do test -s "/usr/share/man/man1/$page.gz" || { echo "$page is missing"; exit 1; }; done
        for page in man8/aesyncd.8 man5/aesyncd.toml.5 man7/aesync-ipc.7; do test -s "/usr/share/man/$page.gz"; done'
}
check "every command has a man page" pages_are_there
check "bash takes the completions" sh_in_box 'bash -c "source /usr/share/bash-completion/completions/aectl && complete -p aectl"'

# What a start takes until READY=1 by the clock, in milliseconds, each with an empty state: systemd's making of the sandbox is in it. The
# least of ten, since the machine may have other things to do.
measure_starts() {
    local started ready took
    least=999999
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        need sh_in_box 'systemctl stop aesyncd.service; find /var/lib/aesyncd -mindepth 1 -maxdepth 1 ! -name instances -exec rm -rf {} +; systemctl start aesyncd.service; test -e /var/lib/aesyncd/lock'
        started=$(number "$(property aesyncd.service ExecMainStartTimestampMonotonic)")
        ready=$(number "$(property aesyncd.service ActiveEnterTimestampMonotonic)")
        took=$(((ready - started) / 1000))
        ((took >= least)) || least=$took
    done
}
measure_starts
check "with an empty store it takes less than 100 ms from the start to READY: $least ms" test "$least" -gt 0 -a "$least" -lt 100

# From here on at the finest level, so that the last chapter searches everything that could ever be logged: the daemon, its instances, and a
# user's own, in files that a reboot and a purge leave alone.
need sh_in_box 'for kind in system/aesyncd.service.d system/aesyncd@.service.d user/aesyncd.service.d; do
        mkdir -p /etc/systemd/$kind
        printf "[Service]\nEnvironment=AESYNC_LOG__FILTER=trace\nLogRateLimitIntervalSec=0\n" >/etc/systemd/$kind/trace.conf
    done
    mkdir -p /etc/systemd/journald.conf.d
    printf "[Journal]\nRateLimitIntervalSec=0\nSystemMaxUse=2G\n" >/etc/systemd/journald.conf.d/all.conf
    systemctl restart systemd-journald
    systemctl daemon-reload && systemctl restart aesyncd.service'
