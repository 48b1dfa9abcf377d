chapter "Credential"

need in_box aectl logout
check "signed out it says so" within 10 status_text aesyncd.service "offline (signed_out)"
token >"$BOX/root/root/token"
need in_box install -D -m 600 -o root -g root /root/token /etc/credstore/aesyncd.token
need in_box systemctl restart aesyncd
check "a token in the credential store signs in" in_box aectl wait synced --timeout 30s
check "though only root can read it there" exits 1 "Permission denied" as aesync cat /etc/credstore/aesyncd.token
need journal_to /root/credential
check "the journal has the sign-in" grep --quiet --text "signed in" "$BOX/root/root/credential"
check "and not the token" lacks /root/credential --fixed-strings "$(signature "$BOX/root/root/token")"
in_box rm /etc/credstore/aesyncd.token
need sh_in_box "aectl login --email '$EMAIL' <$PASSWORD_FILE && aectl wait synced --timeout 30s"
