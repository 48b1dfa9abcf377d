chapter "Secrets"

# Everything that was logged since the box was made, by every unit, and every secret that was used.
journal_without() {
    ! in_box journalctl --no-pager --all --output=export | grep --quiet --fixed-strings -- "$1"
}
check "the password is nowhere in the journal" journal_without "$PASSWORD"
check "nor any token" not sh_in_box 'journalctl --no-pager --all -o export | grep -E "eyJ[A-Za-z0-9_-]{10,}\.eyJ"'
check "nor on a command line that others could see" not sh_in_box 'journalctl --no-pager -o export | grep -F "password="'
