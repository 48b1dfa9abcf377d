chapter "Reload"

before=$(main_pid)
need sh_in_box 'printf "[log]\nfilter = \"info\"\n[sync]\ninterval = \"77s\"\n" >/etc/aesyncd/aesyncd.toml'
need in_box systemctl reload aesyncd
check "systemctl reload takes up what changed, and says so" within 10 journal 'the configuration was reloaded changed=["sync.interval"]'
check "without a restart" same "$(main_pid)" "$before"
need sh_in_box 'echo "[sync" >/etc/aesyncd/aesyncd.toml'
need in_box systemctl reload aesyncd
check "a broken file is refused with a message of priority err" within 10 journal "the configuration was not reloaded" --priority=err
check "and the daemon goes on with the old one" sh_in_box 'aectl wait synced --timeout 30s && systemctl is-active aesyncd'
need sh_in_box 'printf "[log]\nfilter = \"info\"\n" >/etc/aesyncd/aesyncd.toml; systemctl reload aesyncd'
need journal_to /root/reload
check "each line in the journal has its priority" journal "signed in" --priority=info..info
check "and none of them the prefix" lacks /root/reload --basic-regexp '^<[0-9]>'
