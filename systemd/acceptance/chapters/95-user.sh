chapter "A user's own daemon"

need in_box loginctl enable-linger own
own() {
    as own env XDG_RUNTIME_DIR="/run/user/$(in_box id -u own)" HOME=/home/own "$@"
}
need within 30 own systemctl --user is-active default.target
need in_box dpkg --install /root/aesyncd.deb
need in_box systemctl disable --now aesyncd.service
check "where his manager ran before, the unit starts as soon as the package is there" own systemctl --user start aesyncd
check "systemd has nothing to say about the user unit" silent own systemd-analyze --user verify --man=no /usr/lib/systemd/user/aesyncd.service
# What this systemd can't start of it (User=) is taken out by the generator of the package.
if [[ $(in_box systemctl --version) == "systemd 252 "* ]]; then generated=yes exposure=1.4; else generated=no exposure=1.2; fi
check "its exposure is at most $exposure, inside" own systemd-analyze --user security --threshold="${exposure/./}" --no-pager aesyncd.service
check "and as it is at most 1.2, offline" own systemd-analyze --user security --offline=true --threshold=12 --no-pager /usr/lib/systemd/user/aesyncd.service
check "where the generator can't write it is silent, and no session fails" silent own /usr/lib/systemd/user-generators/aesyncd /proc /proc /proc
check "and it is enabled" own systemctl --user enable --now aesyncd
check "aectl finds it by itself" says "/aesyncd/aesyncd.sock" own aectl socket-path
check "its user is its admin: he signs in" says "Signed in to tenant $TENANT" \
    own sh -c "aectl login --server http://127.0.0.1:3000 --email '$EMAIL' <$PASSWORD_FILE"
check "it is synced" own aectl wait synced --timeout 30s
check "its state is in his home" own test -s /home/own/.local/state/aesyncd/token
check "systemctl --user status shows the state" says 'Status: "synced' own systemctl --user --no-pager status aesyncd

# What was not there at the start: the configuration, and the password in a file that it names.
need sh_in_box "install -m 600 -o own -g own $PASSWORD_FILE /home/own/.config/aesyncd/password"
need own sh -c "printf '[server]\nurl = \"http://127.0.0.1:3000\"\n[auth]\nemail = \"$EMAIL\"\npassword_file = \"password\"\n' >~/.config/aesyncd/aesyncd.toml"
need own aectl logout
user_main_pid() {
    own systemctl --user show --property=MainPID --value aesyncd
}
before=$(user_main_pid)
need own systemctl --user reload aesyncd
check "a reload takes up a configuration that is new, with its password file" own aectl wait synced --timeout 30s
check "without a restart" same "$(user_main_pid)" "$before"
need own sh -c 'mkdir ~/elsewhere; mv ~/.config/aesyncd/aesyncd.toml ~/elsewhere/; ln -s ../../elsewhere/aesyncd.toml ~/.config/aesyncd/'
need own systemctl --user restart aesyncd
check "one that is a link is followed" says 'configuration=Some("/home/own/.config/aesyncd/aesyncd.toml")' \
    in_box journalctl --no-pager --output=cat "_PID=$(user_main_pid)"
need own sh -c 'mv ~/elsewhere/aesyncd.toml ~/.config/aesyncd/'
before=$(user_main_pid)
need own systemctl --user kill --signal=KILL aesyncd
killed_and_back() {
    [[ $(user_main_pid) != "$before" && $(user_main_pid) != 0 ]] && own systemctl --user is-active aesyncd
}
check "killed with SIGKILL it is started again" within 30 killed_and_back
check "and reached at its socket, with what it had" own aectl wait synced --timeout 30s

# A shell in place of the daemon, beside it in the very same sandbox.
need sh_in_box 'mkdir -p /etc/systemd/user; sed -e "s|^ExecStart=.*|ExecStart=/bin/sh /opt/probe\nStandardOutput=truncate:/home/own/probe.out\nStandardError=inherit|" \
    -e "s/^Type=.*/Type=oneshot/" -e "/^WatchdogSec=/d" -e "/^Restart/d" -e "/^RuntimeDirectory/d" /usr/lib/systemd/user/aesyncd.service >/etc/systemd/user/probe.service
    generated=/run/user/$(id -u own)/systemd/generator/aesyncd.service.d; if test -d "$generated"; then cp -r "$generated" /etc/systemd/user/probe.service.d; fi'
need own systemctl --user daemon-reload
need own sh -c 'mkdir -p ~/.ssh; echo secret >~/.ssh/id_ed25519; test -S "$XDG_RUNTIME_DIR/bus"'
# own_probe SCRIPT, own_refused TEXT SCRIPT: as in the chapter on the sandbox of the system's daemon.
own_probe() {
    printf '%s\n' "$1" >"$BOX/root/opt/probe"
    rm -f "$BOX/root/home/own/probe.out"
    own systemctl --user start probe.service >/dev/null 2>&1 || true
    in_box cat /home/own/probe.out || return 2
    same "$(own systemctl --user show --property=Result --value probe.service)" success
}
own_refused() {
    exits 1 "$1" own_probe "$2"
}
check "the probe itself works: it may write to the state" own_probe 'echo x >/home/own/.local/state/aesyncd/x && rm /home/own/.local/state/aesyncd/x'
check "and to the directory of the socket" own_probe 'echo x >$XDG_RUNTIME_DIR/aesyncd/x && rm $XDG_RUNTIME_DIR/aesyncd/x'
check "it reads its configuration" own_probe 'grep -q password_file /home/own/.config/aesyncd/aesyncd.toml'
check "and can't write to it" own_refused "Read-only file system" 'echo x >/home/own/.config/aesyncd/x'
check "it does not see the keys of its user" own_refused "No such file" 'cat /home/own/.ssh/id_ed25519'
check "nor anything else of his home" own_probe 'test "$(ls -A /home/own | xargs)" = ".config .local" && test "$(ls -A /home/own/.config /home/own/.local | xargs)" = "/home/own/.config: aesyncd /home/own/.local: state"'
check "nor the homes of others" own_probe 'test "$(ls /home)" = own && test -z "$(ls -A /root)"'
check "what it writes there is in no home" own_probe 'echo x >/home/own/x || true'
check "which has nothing of it" gone /home/own/x
check "it can't write anywhere else" own_refused "Read-only file system" 'echo x >/opt/x'
check "it does not reach its user's bus" own_probe 'test -S $XDG_RUNTIME_DIR/systemd/notify && test "$(ls $XDG_RUNTIME_DIR | xargs)" = "aesyncd systemd" && test "$(ls $XDG_RUNTIME_DIR/systemd)" = notify'
check "the kernel's log is covered" own_probe 'test "$(stat -c "%a %U" /proc/kmsg)" = "0 own" && test ! -e /dev/kmsg'
check "where it is not for others" in_box test "$(in_box stat -c '%a %U' /proc/kmsg)" = "400 root"
check "it can't ask for it" own_refused "not permitted" 'dmesg'
check "it can't have a namespace of its own" own_refused "not permitted" 'unshare --user true'
check "it has no capability left, not even in the bounding set" own_probe '! grep -E "^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]" /proc/self/status'
need sh_in_box 'rm -rf /etc/systemd/user/probe.service.d; rm -r /etc/systemd/user/probe.service /opt/probe /home/own/probe.out /home/own/.ssh'
check "its user is who he is to it: he pauses and resumes it" own sh -c 'aectl pause && aectl resume'

# with LINE...: what a drop-in of the user has in [Service], and a start with it.
with() {
    own sh -c 'mkdir -p ~/.config/systemd/user/aesyncd.service.d; printf "%s\n" "[Service]" "$@" >~/.config/systemd/user/aesyncd.service.d/local.conf
        systemctl --user daemon-reload; systemctl --user reset-failed aesyncd; systemctl --user restart aesyncd' sh "$@"
}
failed_with() {
    same "$(own systemctl --user show --property=ExecMainStatus --value aesyncd)" "$1"
}

# As systemd-nspawn leaves it.
need sh_in_box 'touch /run/over; mount --bind /run/over /proc/kmsg; rm /run/over'
with "" >/dev/null 2>&1 || true
check "with a deleted file over the kernel's log the unit fails with 226" within 30 failed_with 226
need with ProtectKernelLogs=no
check "and runs with a drop-in" own aectl wait synced --timeout 30s
need in_box umount /proc/kmsg

# The unit as it is, without what the generator makes of it.
user_is() {
    same "$(own systemctl --user show --property=User --value aesyncd)" "$1"
}
if [[ $generated == yes ]]; then
    need sh_in_box 'mv /usr/lib/systemd/user-generators/aesyncd /opt/generator'
    with "" >/dev/null 2>&1 || true
    check "without its generator this systemd can't start the unit: it fails with 216" within 30 says "status=216/GROUP" in_box journalctl --no-pager --output=cat USER_UNIT=aesyncd.service
    need sh_in_box 'mv /opt/generator /usr/lib/systemd/user-generators/aesyncd'
    need with ""
    check "with it the unit names no user" user_is ""
    check "and runs" own aectl wait synced --timeout 30s
else
    check "the generator leaves the user that the unit names" user_is own
fi
need own sh -c 'echo x >/dev/shm/of-another; systemctl --user restart aesyncd'
check "a stop leaves what its user's other programs share" in_box test -s /dev/shm/of-another

# A system that gives its users no namespaces.
need sh_in_box 'mkdir -p /run/systemd/system/user@.service.d; printf "[Service]\nRestrictNamespaces=~user\n" >/run/systemd/system/user@.service.d/no-namespaces.conf
    systemctl daemon-reload; systemctl restart "user@$(id -u own)"'
failed_at_user() {
    same "$(own systemctl --user show --property=ExecMainStatus --value aesyncd)" 217
}
check "without user namespaces the unit fails with 217" within 30 failed_at_user
need own sh -c 'mkdir -p ~/.config/systemd/user/aesyncd.service.d
    cp /usr/share/doc/aesyncd/examples/without-namespaces.conf ~/.config/systemd/user/aesyncd.service.d/
    systemctl --user daemon-reload; systemctl --user restart aesyncd'
check "and runs with the drop-in of the package" own aectl wait synced --timeout 30s
