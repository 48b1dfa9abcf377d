chapter "A user's own daemon"

need in_box dpkg --install /root/aesyncd.deb
need sh_in_box 'systemctl disable --now aesyncd.service; loginctl enable-linger own'
own() {
    as own env XDG_RUNTIME_DIR="/run/user/$(in_box id -u own)" HOME=/home/own "$@"
}
need within 30 own systemctl --user is-active default.target
check "systemd has nothing to say about the user unit" silent own systemd-analyze --user verify --man=no /usr/lib/systemd/user/aesyncd.service
check "its exposure is at most 1.7, inside" own systemd-analyze --user security --threshold=17 --no-pager aesyncd.service
check "and offline" in_box systemd-analyze security --offline=true --threshold=17 --no-pager /usr/lib/systemd/user/aesyncd.service
check "the user unit starts" own systemctl --user enable --now aesyncd
check "aectl finds it by itself" says "/aesyncd/aesyncd.sock" own aectl socket-path
check "its user is its admin: he signs in" says "Signed in to tenant $TENANT" \
    own sh -c "aectl login --server http://127.0.0.1:3000 --email '$EMAIL' <$PASSWORD_FILE"
check "it is synced" own aectl wait synced --timeout 30s
check "its state is in his home" own test -s /home/own/.local/state/aesyncd/token
check "systemctl --user status shows the state" says 'Status: "synced' own systemctl --user --no-pager status aesyncd

pid=$(own systemctl --user show --property=MainPID --value aesyncd)
# in_sandbox COMMAND...: as the user, where the daemon is.
in_sandbox() {
    in_box nsenter --target "$(number "$pid")" --user --mount --preserve-credentials --setuid "$(in_box id -u own)" -- "$@"
}
check "it may write to its state" in_sandbox sh -c 'echo x >/home/own/.local/state/aesyncd/x && rm /home/own/.local/state/aesyncd/x'
check "and nowhere else in the home" exits 2 "Read-only file system" in_sandbox sh -c 'echo x >/home/own/x'
check "nor anywhere else" exits 2 "Read-only file system" in_sandbox sh -c 'echo x >/var/tmp/../../opt/x'
check "its user is who he is to it: he pauses and resumes it" own sh -c 'aectl pause && aectl resume'

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
