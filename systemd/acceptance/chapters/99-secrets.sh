chapter "Secrets"

# Everything that was logged since the box was made, by every unit, and every secret that was used.
need sh_in_box 'journalctl --no-pager --all --output=export >/root/journal'

check "the journal was kept from the first start on" grep --quiet --text "Sync with AdminEngine" "$BOX/root/root/journal"
traces_of() {
    local lines
    lines=$(in_box journalctl --no-pager --all --output=cat --priority=debug..debug --boot="$1" "_SYSTEMD_UNIT=$2" ${3:+"_SYSTEMD_USER_UNIT=$3"} | wc -l)
    ((lines >= 40)) || { echo "$lines lines"; return 1; }
}
check "the daemon traced before the reboot" traces_of -1 aesyncd.service
check "and after it" traces_of 0 aesyncd.service
check "an instance did before" traces_of -1 aesyncd@shop.service
check "and after it" traces_of 0 aesyncd@shop.service
check "and a user's own daemon" traces_of 0 "user@$(in_box id -u own).service" aesyncd.service
check "nothing was left out for being too much" lacks /root/journal --fixed-strings "Suppressed "
check "the password is nowhere in it" lacks /root/journal --fixed-strings "$PASSWORD"
check "nor any token" lacks /root/journal --extended-regexp 'eyJ[A-Za-z0-9_-]{10,}\.eyJ'
check "nor is there one on a command line that others could see" lacks /root/journal --fixed-strings 'password='
