# Sourced by the lists of checks. A check is a function whose name says what holds; it fails with what
# was said instead. The list calls `run_checks` with all their names.

runtime=${RUNTIME:-sandbox-vmm}
# Containers run while others start: more checks at a time than this machine has processors.
parallel=${PARALLEL:-6}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A program that runs until it is told to end.
forever='trap "exit 9" TERM; while :; do sleep 0.1; done'

# Fails with both values unless they are equal.
is() { [[ $1 == "$2" ]] || { printf 'got <%s>, expected <%s>\n' "$1" "$2"; return 1; }; }
contains() { [[ $1 == *"$2"* ]] || { printf 'got <%s>, without <%s>\n' "$1" "$2"; return 1; }; }
# Succeeds if a command ends with a status.
ends_with() { local status=$1; shift; "$@"; is "status $?" "status $status"; }
# Runs a command until it succeeds, for at most ten seconds.
eventually() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; "$@"; }

# The process that is a part of the container with this stand-in; a stub is one that runs user code.
part() {
    local stand_in=$2
    case $1 in
        stand_in) echo "$stand_in" ;;
        sandbox) pgrep -P "$stand_in" ;;
        gofer) pgrep -f '^sandbox-vmm gofer' -P "$(part sandbox "$stand_in")" ;;
        stub) pgrep -P "$(part sandbox "$stand_in")" | grep -vx "$(part gofer "$stand_in")" | head -1 ;;
    esac
}
descendants() { local child; echo "$1"; for child in $(pgrep -P "$1"); do descendants "$child"; done; }
are_gone() { local pid; for pid; do [[ ! -e /proc/$pid ]] || return; done; }

# Runs one check in a directory of its own, named by `work`.
run_check() {
    local check=$1 said
    work=$scratch/$check
    mkdir "$work"
    if said=$("$check" 2>&1); then
        echo "ok $engine $check"
    else
        echo "not ok $engine $check: $said"
        touch "$scratch/failed"
    fi
}

# Runs the named checks, several at a time, and fails if one did.
run_checks() {
    local check
    for check in "$@"; do
        while (($(jobs -pr | wc -l) >= parallel)); do wait -n; done
        run_check "$check" &
    done
    wait
    [[ ! -e $scratch/failed ]]
}
