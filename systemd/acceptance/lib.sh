# shellcheck shell=bash disable=SC2154
# What the chapters are written in. A check is a sentence and a command that must succeed.

checks=0 failures=0

# chapter TITLE
chapter() {
    printf '\n# %s\n' "$1"
}

# check SENTENCE COMMAND...: what the command printed is shown when it fails.
check() {
    local sentence=$1 output
    shift
    checks=$((checks + 1))
    if output=$("$@" 2>&1); then
        printf 'ok %d - %s\n' "$checks" "$sentence"
    else
        failures=$((failures + 1))
        printf 'not ok %d - %s\n' "$checks" "$sentence"
        printf '%s\n' "command: $*" "$output" | sed 's/^/    # /'
    fi
}

# Something that the checks after it need: its failure ends the run.
need() {
    local output
    if ! output=$("$@" 2>&1); then
        printf 'not ok - preparation failed: %s\n%s\n' "$*" "$output"
        exit 1
    fi
}

# within SECONDS COMMAND...: tries until it succeeds. The deadline is for a machine that is busy; nothing waits for it to pass.
within() {
    local until=$((SECONDS + $1)) output
    shift
    until output=$("$@" 2>&1); do
        if ((SECONDS >= until)); then
            printf 'in vain for a while; the last time it said:\n%s\n' "$output"
            return 1
        fi
        sleep 0.1
    done
}

# says TEXT COMMAND...: it prints TEXT, and whether it succeeds does not matter.
says() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || true
    [[ $output == *"$text"* ]] || { printf 'it said:\n%s\n' "$output"; return 1; }
}

# silent COMMAND...: it succeeds and prints nothing.
silent() {
    local output
    output=$("$@" 2>&1) || { printf 'it failed:\n%s\n' "$output"; return 1; }
    [[ -z $output ]] || { printf 'it said:\n%s\n' "$output"; return 1; }
}

# exits CODE TEXT COMMAND...: it ends with CODE and says TEXT. (The text tells this refusal from any other.)
exits() {
    local expected=$1 text=$2 output code=0
    shift 2
    output=$("$@" 2>&1) || code=$?
    [[ $code == "$expected" && $output == *"$text"* ]] || { printf 'it ended with %s and said:\n%s\n' "$code" "$output"; return 1; }
}

same() {
    [[ $1 == "$2" ]] || { printf 'one is:\n%s\nthe other is:\n%s\n' "$1" "$2"; return 1; }
}

# in_box COMMAND...: as root, in the box of this run. sh_in_box SCRIPT: the same, for a shell.
in_box() {
    "$HERE/box" run "$BOX" "$@"
}

sh_in_box() {
    in_box sh -ec "$1"
}

# as USER COMMAND...: in the box.
as() {
    local user=$1
    shift
    in_box runuser -u "$user" -- "$@"
}

# property UNIT NAME: of a unit of the box.
property() {
    in_box systemctl show --property="$2" --value "$1"
}

same_property() {
    same "$(property "$1" "$2")" "$3"
}

main_pid() {
    property "${1:-aesyncd.service}" MainPID
}

# status_text UNIT TEXT: what `systemctl status` shows of it.
status_text() {
    says "Status: \"$2" in_box systemctl status --no-pager "$1"
}

# lacks FILE OPTION PATTERN: grep reads a file of the box, from out here, and finds nothing. What can't be read fails, and so does an empty file.
lacks() {
    local file=$BOX/root$1 code=0
    [[ -s $file ]] || { echo "$1 is empty or not there"; return 1; }
    grep --text "$2" --regexp="$3" "$file" || code=$?
    ((code == 1))
}

# gone FILE: it is not there, in a box that answers.
gone() {
    sh_in_box "test -d / && ! test -e '$1'"
}

# number TEXT: it is one, and more than 0. ("[not set]" would count as 0.)
number() {
    [[ $1 =~ ^[1-9][0-9]*$ ]] || { echo "no number: $1" >&2; return 1; }
    printf '%s' "$1"
}

# journal TEXT [OPTION...]: the journal of the service has it.
journal() {
    local text=$1
    shift
    says "$text" in_box journalctl --no-pager --output=cat --unit=aesyncd.service "$@"
}

# journal_to FILE [OPTION...]: writes it into a file of the box.
journal_to() {
    local file=$1
    shift
    in_box journalctl --no-pager --output=cat --unit=aesyncd.service "$@" >"$BOX/root$file"
}

# to_server PATH [CURL OPTION...]: asks the development server, past the daemon.
to_server() {
    local path=$1
    shift
    nsenter --net="$NETWORK" curl --silent --show-error --fail --header 'content-type: application/json' "$@" "http://127.0.0.1:3000$path"
}

# token: one that the server accepts for the tenant of this run.
token() {
    to_server /__dev/tokens --data "{\"tenant\":\"$TENANT\"}" | sed -n 's/.*"token":"\([^"]*\)".*/\1/p'
}

# signature FILE: of the token in it, without which the rest is no secret.
signature() {
    local token
    token=$(cat "$1")
    [[ $token == *.*.????????* ]] || { echo "no token in $1" >&2; return 1; }
    printf '%s' "${token##*.}"
}

# server_has EMAIL: the row is on the server.
server_has() {
    says "\"$1\"" to_server "/__dev/rows/$TENANT/end_user"
}

# queue EMAIL: takes a change, and does not wait for the server.
queue() {
    sh_in_box "printf '{\"email\":\"%s\"}' '$1' | aectl push - --type end_user"
}
