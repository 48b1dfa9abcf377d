#!/bin/sh
# The daemon from a shell: sync.sh status | push TYPE JSON | changes SINCE
set -eu

socket=${AESYNC_SOCKET:-/run/aesyncd/aesyncd.sock}
# A directory that may not be entered holds a socket that this user may not open: say that, rather than look elsewhere.
[ -n "${AESYNC_SOCKET:-}" ] || [ -e "$socket" ] || { [ -d /run/aesyncd ] && [ ! -x /run/aesyncd ]; } ||
    socket=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/aesyncd/aesyncd.sock

# call REQUEST FILTER: the daemon finishes its answer after -N has closed our half; -w bounds how long that takes.
call() {
    answer=$(printf '%s\n' "$1" | nc -N -w 10 -U "$socket") || { echo "sync.sh: no answer from $socket; is aesyncd running?" >&2; exit 1; }
    printf '%s' "$answer" | jq -er "if .error then \"sync.sh: \(.error.message)\" | halt_error(1) else .result | $2 end"
}

case ${1:-} in
status)
    call '{"jsonrpc":"2.0","id":1,"method":"status","params":{}}' \
        '"\(.status), \(.outbox.pending + .outbox.sent + .outbox.inDoubt) waiting, \([.types[].records] | add // 0) records"'
    ;;
push)
    [ $# -eq 3 ] || { echo "usage: sync.sh push TYPE JSON" >&2; exit 2; }
    request=$(jq -cn --arg type "$2" --argjson row "$3" '{jsonrpc:"2.0",id:1,method:"push",params:{changes:{($type):[$row]}}}')
    call "$request" '.entries[] | "\(.state) \(.id)"'
    ;;
changes)
    request=$(jq -cn --argjson since "${2:-0}" '{jsonrpc:"2.0",id:1,method:"subscribe",params:{channels:["change"],since:$since}}')
    # Standard input is held open: the subscription lasts as long as our half of the connection.
    { printf '%s\n' "$request"; exec tail -f /dev/null; } | nc -U "$socket" |
        jq --unbuffered -r 'if .error then "sync.sh: \(.error.message)" | halt_error(1) else .params.change // empty | "\(.seq) \(.op) \(.entityType) \(.id)" end'
    ;;
*)
    echo "usage: sync.sh status | push TYPE JSON | changes SINCE" >&2
    exit 2
    ;;
esac
