chapter "A user's own daemon"

need in_box dpkg --install /root/aesyncd.deb
need sh_in_box 'systemctl disable --now aesyncd.service; loginctl enable-linger own'
own() {
    as own env XDG_RUNTIME_DIR="/run/user/$(in_box id -u own)" HOME=/home/own "$@"
}
need within 30 own systemctl --user is-active default.target
check "systemd has nothing to say about the user unit" silent own systemd-analyze --user verify --man=no /usr/lib/systemd/user/aesyncd.service
check "the user unit starts" own systemctl --user enable --now aesyncd
check "aectl finds it by itself" says "/aesyncd/aesyncd.sock" own aectl socket-path
check "its user is its admin: he signs in" says "Signed in to tenant $TENANT" \
    own sh -c "aectl login --server http://127.0.0.1:3000 --email '$EMAIL' <$PASSWORD_FILE"
check "it is synced" own aectl wait synced --timeout 30s
check "its state is in his home" own test -s /home/own/.local/state/aesyncd/token
check "systemctl --user status shows the state" says 'Status: "synced' own systemctl --user --no-pager status aesyncd
