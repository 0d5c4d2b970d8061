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
# The same for a further process in a container.
exec_logged() {
    local id=$1; shift
    client task exec --log-uri "file://$work/$id" --exec-id "$id" "$@" && cat "$work/$id"
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
limits_are_seen() {
    flags=(--memory-limit 134217728 --cpu-quota 150000 --cpu-period 100000
        --mount type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro)
    is "$(run_logged sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max' | tr '\n' ' ')" '134217728 150000 100000 '
}
cpus_limit() { flags=(--cpus 1); is "$(run_logged grep -c ^processor /proc/cpuinfo)" 1; }
read_only_volume() {
    flags=(--mount "type=bind,src=$work,dst=/v,options=rbind:ro")
    run sh -c 'echo x >/v/refused' 2>/dev/null && return 1
    [[ ! -e $work/refused ]]
}
capabilities_dropped() {
    flags=(--cap-drop CAP_CHOWN --cap-drop CAP_KILL)
    # Those of containerd's default, a80425fb, without the two.
    contains "$(run_logged grep CapEff /proc/self/status)" 00000000a80425da
}
capability_added() { flags=(--cap-add CAP_SYS_ADMIN); contains "$(run_logged grep CapEff /proc/self/status)" 00000000a82425fb; }
no_new_privileges() { contains "$(run_logged grep NoNewPrivs /proc/self/status)" 1; }
seccomp_profile() {
    cat >"$work/profile.json" <<'EOF'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
  [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
EOF
    flags=(--seccomp --seccomp-profile "$work/profile.json")
    local said; said=$(run_logged sh -c 'exec 2>&1; mkdir /d; echo still here')
    contains "$said" 'Operation not permitted' && contains "$said" 'still here'
}
twenty_at_once() {
    local ids=() i
    for i in $(seq 20); do
        (client run --rm "${options[@]}" "$image" "twenty-$i" sh -c "exit $i"; is $? "$i") & ids+=($!)
    done
    for i in "${ids[@]}"; do wait "$i" || return 1; done
}
# Kills a part of a container; nothing of it remains.
killed() {
    local id=${FUNCNAME[1]} stand_in processes
    client run -d "${options[@]}" "$image" "$id" sh -c "$forever" || return
    stand_in=$(client task list | awk -v id="$id" '$1 == id { print $2 }')
    processes=$(descendants "$stand_in")
    kill -9 "$(part "$1" "$stand_in")"
    eventually has_status "$id" STOPPED || return
    # Its status is the container's.
    client task delete "$id"
    client container delete "$id" && eventually are_gone $processes
}
killed_stand_in() { killed stand_in; }
killed_sandbox() { killed sandbox; }
killed_gofer() { killed gofer; }
large_output() { is "$(run_logged sh -c 'yes | head -c 3000000' | wc -c)" 3000000; }
terminal() {
    flags=(--mount "type=bind,src=$work,dst=/v,options=rbind:rw")
    script -qec "ctr --address $ENGINE_STATE/containerd.sock --namespace smoke run --rm -t ${options[*]} ${flags[*]} \
        $image terminal sh -c 'tty >/v/tty'" /dev/null </dev/null
    is "$(cat "$work/tty")" /dev/pts/0
}
exec_status_and_output() { with_container exec_checks; }
exec_checks() {
    is "$(exec_logged one "$1" echo hello)" hello &&
        is "$(exec_logged three --user 5 --cwd /tmp "$1" sh -c 'id -u; pwd' | tr '\n' ' ')" '5 /tmp ' &&
        { client task exec --exec-id two "$1" sh -c 'exit 7'; is $? 7; }
}
kill_ends_it() { with_container kill_checks; }
kill_checks() { eventually kill_stops "$1"; }
# Its first process ignores the signal until it has set its trap.
kill_stops() { client task kill -s TERM "$1"; has_status "$1" STOPPED; }
pause_and_resume() { with_container pause_checks; }
pause_checks() {
    client task pause "$1" && has_status "$1" PAUSED && client task resume "$1" && has_status "$1" RUNNING &&
        is "$(exec_logged one "$1" echo on)" on
}
processes_are_listed() { with_container process_checks; }
process_checks() { contains "$(client task ps "$1")" "$(client task list | awk -v id="$1" '$1 == id { print $2 }')"; }
metrics() { with_container metrics_checks; }
metrics_checks() { contains "$(client task metrics "$1")" memory; }

client image import --snapshotter overlayfs "$IMAGE" >/dev/null || exit
all=(twenty_at_once killed_stand_in killed_sandbox killed_gofer exit_codes missing_program output environment working_directory volume_is_shared read_only_root
    read_only_volume memory_limit limits_are_seen cpus_limit capabilities_dropped capability_added no_new_privileges
    seccomp_profile large_output terminal exec_status_and_output kill_ends_it pause_and_resume processes_are_listed
    metrics)
run_checks "${@:-${all[@]}}"
