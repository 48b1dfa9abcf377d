chapter "Secrets"

# Everything that was logged since the box was made, by every unit, and every secret that was used.
need sh_in_box 'journalctl --no-pager --all --output=export >/root/journal'

# journal_without OPTION PATTERN: looks in a file, since a grep that ends early at the end of a pipe would pass for one that found nothing.
journal_without() {
    local code=0
    grep --text "$1" --regexp="$2" "$BOX/root/root/journal" || code=$?
    ((code == 1))
}
check "the journal was kept from the first start on" grep --quiet --text "Sync with AdminEngine" "$BOX/root/root/journal"
check "the password is nowhere in it" journal_without --fixed-strings "$PASSWORD"
check "nor any token" journal_without --extended-regexp 'eyJ[A-Za-z0-9_-]{10,}\.eyJ'
check "nor is there one on a command line that others could see" journal_without --fixed-strings 'password='
