chapter "First run"

# What is typed goes through a terminal, as a person's would.
typed_login() {
    printf '%s\n' "$@" >"$BOX/root/root/typed"
    in_box script --quiet --return --command 'aectl login' /dev/null <"$BOX/root/root/typed"
}

before=$(main_pid)
check "a login that names no server is told to name one" exits 1 "aectl login --server URL" \
    sh_in_box "aectl login --email '$EMAIL' <$PASSWORD_FILE"
check "aectl login asks for the server, the e-mail address and the password" says "Signed in to tenant $TENANT" \
    typed_login http://127.0.0.1:3000 "$EMAIL" "$PASSWORD"
check "and that was all: it is synced" within 30 in_box aectl wait synced --timeout 30s
check "without a restart" same "$(main_pid)" "$before"
check "systemctl status shows it" within 10 status_text aesyncd.service "synced"
check "the rows of the server are here" says '"user3@example.com"' in_box aectl list end_user --json
check "the token and the server are kept, for the daemon's eyes only" \
    same "$(in_box stat -c '%a %U %n' /var/lib/aesyncd/token /var/lib/aesyncd/server)" "600 aesync /var/lib/aesyncd/token
600 aesync /var/lib/aesyncd/server"
check "after a restart nobody has to sign in again" sh_in_box 'systemctl restart aesyncd && aectl wait synced --timeout 30s'
