chapter "Instances"

need sh_in_box 'printf "[server]\nurl = \"http://127.0.0.1:3001\"\n" >/etc/aesyncd/shop.toml; systemctl enable --now aesyncd@shop'
check "an instance listens at a socket of its own" same "$(in_box aectl --instance shop socket-path)" /run/aesyncd/shop.sock
check "it reads its own configuration" says '"url":"http://127.0.0.1:3001"' in_box aectl --instance shop status --json
need sh_in_box "aectl --instance shop login --email '$EMAIL' <$PASSWORD_FILE"
check "both are synced" sh_in_box 'aectl --instance shop wait synced --timeout 30s && aectl wait synced --timeout 30s'
check "each with its own tenant" sh_in_box "aectl --instance shop status --json | grep -q '$SHOP' && aectl status --json | grep -q '$TENANT'"
check "it knows its name" says '"instance":"shop"' in_box aectl --instance shop status --json
check "its state is its own" same "$(in_box stat -c '%a %U' /var/lib/aesyncd/instances/shop /var/lib/aesyncd/instances/shop/token)" "700 aesync
600 aesync"
shop=$(main_pid aesyncd@shop.service)
check "of the other state it sees nothing" exits 2 "No such file" in_box nsenter --target "$shop" --mount ls /var/lib/aesyncd/token
check "but its own" in_box nsenter --target "$shop" --mount ls /var/lib/aesyncd/instances/shop/token
token >"$BOX/root/root/token"
to_shop=$(nsenter --net="$NETWORK" curl --silent --fail --header 'content-type: application/json' --data "{\"tenant\":\"$SHOP\"}" http://127.0.0.1:3001/__dev/tokens |
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
need sh_in_box "aectl --instance shop logout && mkdir -p /etc/credstore && umask 077 && printf %s '$to_shop' >/etc/credstore/aesyncd-shop.token"
need in_box systemctl restart aesyncd@shop
check "it has a credential of its own, aesyncd-NAME.token" in_box aectl --instance shop wait synced --timeout 30s
need in_box systemctl stop aesyncd.service
check "when one stops, the other's socket stays" in_box aectl --instance shop ping
need in_box systemctl start aesyncd.service
check "and the one comes back beside it" in_box aectl wait synced --timeout 30s

for name in Shop default; do
    unit=aesyncd@$name.service
    in_box systemctl start "$unit" >/dev/null 2>&1 || true
    check "the name $name is refused with 2" same "$(property "$unit" ExecMainStatus)" 2
    check "and not tried again and again" same "$(property "$unit" ActiveState) $(property "$unit" NRestarts)" "failed 0"
done
says_error() {
    says "$2" in_box journalctl --no-pager --output=cat --unit="$1" --priority=err
}
check "the journal says why: it would lead to the files of another" says_error aesyncd@Shop.service "can't be the name of an instance"
check "and which unit is meant" says_error aesyncd@default.service "aesyncd.service"
check "the daemon without a name still listens" in_box aectl ping
in_box systemctl reset-failed aesyncd@Shop.service aesyncd@default.service
