chapter "Failures"

need in_box aectl pause
need queue killed@example.com
before=$(main_pid)
need in_box systemctl kill --signal=KILL aesyncd.service
restarted() {
    [[ $(main_pid) != "$before" && $(main_pid) != 0 ]] && in_box systemctl is-active aesyncd.service
}
check "killed with SIGKILL it is started again" within 30 restarted
check "and says that the last stop was not a clean one" within 10 journal "the last stop was not a clean one"
check "what was queued is still there" says "killed@example.com" in_box aectl outbox show 2
check "it is still paused, as somebody had wished" within 10 status_text aesyncd.service "offline (paused)"
need in_box aectl resume
check "and then it reaches the server" within 30 server_has killed@example.com

# Three seconds of patience instead of thirty; all else is the unit's own.
mkdir -p "$BOX/root/run/systemd/system/aesyncd.service.d"
in_box sh -c 'mkdir -p /run/systemd/system/aesyncd.service.d; printf "[Service]\nWatchdogSec=3\nRestartSec=1\n" >/run/systemd/system/aesyncd.service.d/hasty.conf'
need sh_in_box 'systemctl daemon-reload && systemctl restart aesyncd && aectl wait synced --timeout 30s'
sleep_of_watchdog() {
    # Longer than the watchdog's patience: the daemon lives by what it says, not by luck.
    local since=$SECONDS
    until ((SECONDS - since > 5)); do sleep 0.5; done
    same "$(main_pid)" "$1"
}
before=$(main_pid)
check "as long as its loop turns the watchdog leaves it alone" sleep_of_watchdog "$before"
need in_box systemctl kill --signal=STOP aesyncd.service
check "a daemon that hangs is shot by the watchdog" within 30 journal "Watchdog timeout"
check "and another one takes its place" within 30 restarted
check "which is synced again" in_box aectl wait synced --timeout 30s

# The loop reads the configuration itself, and nobody ever writes into this one: the loop stands still, and no other thread does.
before=$(main_pid)
need sh_in_box 'mv /etc/aesyncd/aesyncd.toml /etc/aesyncd/kept; mkfifo /etc/aesyncd/aesyncd.toml; chmod 644 /etc/aesyncd/aesyncd.toml'
in_box timeout 2 systemctl reload aesyncd.service >/dev/null 2>&1 || true
replaced() {
    [[ $(main_pid) != "$before" ]]
}
check "one whose loop alone hangs is shot as well" within 30 replaced
need sh_in_box 'rm /etc/aesyncd/aesyncd.toml; mv /etc/aesyncd/kept /etc/aesyncd/aesyncd.toml; systemctl restart aesyncd'
check "and is synced again with a configuration that can be read" in_box aectl wait synced --timeout 30s
in_box rm /run/systemd/system/aesyncd.service.d/hasty.conf
need in_box systemctl daemon-reload

need sh_in_box 'printf "[sync]\ninterval = \"5 parsecs\"\n" >/etc/aesyncd/aesyncd.toml; systemctl restart aesyncd 2>/dev/null || true'
check "a configuration that can't be used ends it with 78" same "$(property aesyncd.service ExecMainStatus)" 78
check "it is not tried again and again" same "$(property aesyncd.service Result) $(property aesyncd.service ActiveState)" "exit-code failed"
check "the journal names the file, the line and what is allowed" journal "/etc/aesyncd/aesyncd.toml:2: sync.interval" --priority=err
need sh_in_box 'printf "[log]\nfilter = \"info\"\n" >/etc/aesyncd/aesyncd.toml; systemctl restart aesyncd'
check "corrected it runs, with what it had" sh_in_box 'aectl wait synced --timeout 30s'
