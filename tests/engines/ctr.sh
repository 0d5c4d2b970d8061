#!/usr/bin/env bash
# What a user of containerd does, with containers run by RUNTIME_BINARY; with names as arguments, only
# those checks. Needs the containerd of a Docker engine (ENGINE_STATE) and the image IMAGE.
set -uo pipefail
engine=ctr
source "$(dirname "$0")/harness.sh"

client() { timeout 60 ctr --address "$ENGINE_STATE/containerd.sock" --namespace smoke "$@"; }
options=(--runtime io.containerd.runc.v2 --runc-binary "$RUNTIME_BINARY")
image=docker.io/library/bb:1
run() { client run --rm "${options[@]}" "${flags[@]}" "$image" "${FUNCNAME[1]}" "$@"; }
# The same, and prints what it wrote by way of a log: at the end of an attached task, containerd 1.6 drops
# what it has not read yet, whatever the runtime (containerd pull request 8643).
run_logged() {
    local id=${FUNCNAME[1]}
    client run -d --log-uri "file://$work/log" "${options[@]}" "${flags[@]}" "$image" "$id" "$@" &&
        eventually has_status "$id" STOPPED
    client task delete "$id"
    client container delete "$id" && cat "$work/log"
}
flags=()
# Starts a container that runs until it is told to end, calls a function with its id, removes it.
with_container() {
    local id=${FUNCNAME[1]} result
    client run -d "${options[@]}" "$image" "$id" sh -c "$forever" || return
    "$1" "$id"; result=$?
    client task kill -s KILL "$id" 2>/dev/null
    eventually client task delete "$id"
    client container delete "$id" || result=1
    return $result
}
status_of() { client task list | awk -v id="$1" '$1 == id { print $3 }'; }
has_status() { is "$(status_of "$1")" "$2"; }

exit_codes() { run sh -c 'exit 42'; is $? 42; }
missing_program() { contains "$(run missing 2>&1)" 'executable file not found'; }
output() { is "$(run_logged echo hello)" hello; }
environment() { flags=(--env GREETING=hello); is "$(run_logged sh -c 'echo $GREETING')" hello; }

working_directory() { flags=(--cwd /tmp); is "$(run_logged pwd)" /tmp; }
volume_is_shared() {
    flags=(--mount "type=bind,src=$work,dst=/v,options=rbind:rw")
    run sh -c 'echo new >/v/new' && is "$(cat "$work/new")" new
}
read_only_root() { flags=(--read-only); contains "$(run_logged sh -c 'exec 2>&1; echo x >/x')" 'Read-only'; }
memory_limit() {
    flags=(--memory-limit 134217728)
    local kilobytes; kilobytes=$(run_logged sh -c 'grep MemTotal /proc/meminfo' | tr -dc 0-9)
    ((kilobytes > 0 && kilobytes <= 131072)) || { echo "MemTotal $kilobytes kB"; return 1; }
}
large_output() { is "$(run_logged sh -c 'yes | head -c 3000000' | wc -c)" 3000000; }
terminal() {
    flags=(--mount "type=bind,src=$work,dst=/v,options=rbind:rw")
    script -qec "ctr --address $ENGINE_STATE/containerd.sock --namespace smoke run --rm -t ${options[*]} ${flags[*]} \
        $image terminal sh -c 'tty >/v/tty'" /dev/null </dev/null
    is "$(cat "$work/tty")" /dev/pts/0
}
exec_status_and_output() { with_container exec_checks; }
exec_checks() {
    is "$(client task exec --exec-id one "$1" echo hello)" hello &&
        { client task exec --exec-id two "$1" sh -c 'exit 7'; is $? 7; }
}
kill_ends_it() { with_container kill_checks; }
kill_checks() { eventually kill_stops "$1"; }
# Its first process ignores the signal until it has set its trap.
kill_stops() { client task kill -s TERM "$1"; has_status "$1" STOPPED; }
pause_and_resume() { with_container pause_checks; }
pause_checks() {
    client task pause "$1" && has_status "$1" PAUSED && client task resume "$1" && has_status "$1" RUNNING &&
        is "$(client task exec --exec-id one "$1" echo on)" on
}
processes_are_listed() { with_container process_checks; }
process_checks() { contains "$(client task ps "$1")" "$(client task list | awk -v id="$1" '$1 == id { print $2 }')"; }
metrics() { with_container metrics_checks; }
metrics_checks() { contains "$(client task metrics "$1")" memory; }

client image import --snapshotter overlayfs "$IMAGE" >/dev/null || exit
all=(exit_codes missing_program output environment working_directory volume_is_shared read_only_root
    memory_limit large_output terminal exec_status_and_output kill_ends_it pause_and_resume processes_are_listed
    metrics)
run_checks "${@:-${all[@]}}"
