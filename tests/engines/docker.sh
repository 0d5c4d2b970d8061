#!/usr/bin/env bash
# What a user of Docker does, with containers run by RUNTIME; with names as arguments, only those
# checks. Needs DOCKER (the client), DOCKER_HOST and the image bb:1 (busybox).
set -uo pipefail
engine=docker
docker=${DOCKER:-/usr/bin/docker}
source "$(dirname "$0")/harness.sh"

run() { timeout 60 "$docker" run --rm --runtime="$runtime" --net=none "$@"; }
start() { timeout 60 "$docker" run -d --runtime="$runtime" --net=none "$@"; }
cleanup() { timeout 60 "$docker" rm -f "$@" >/dev/null; }
inspect() { "$docker" inspect -f "{{$1}}" "$2"; }
# Asks the engine's own interface: method and path.
api() {
    python3 - "$DOCKER_HOST" "$@" <<'EOF'
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1].removeprefix("unix://"))
connection.request(sys.argv[2], sys.argv[3])
answer = connection.getresponse()
sys.exit(f"{answer.status} {answer.read()}" if answer.status >= 300 else 0)
EOF
}

exit_codes() {
    run bb:1 true && { run bb:1 sh -c 'exit 42'; is $? 42; } && { run bb:1 sh -c 'kill -9 $$'; true; } &&
        { run bb:1 /missing 2>/dev/null; is $? 127; } && { run bb:1 missing 2>/dev/null; is $? 127; } &&
        { run bb:1 /etc/passwd 2>/dev/null; is $? 126; }
}
standard_input() { is "$(printf 'a\nb\n' | run -i bb:1 wc -l)" 2; }
separate_error_output() { is "$(run bb:1 sh -c 'echo out; echo err >&2' 2>/dev/null)" out; }
environment() { is "$(run -e GREETING=hello bb:1 sh -c 'echo $GREETING $HOME')" 'hello /root'; }
user() { is "$(run -u 1000:1001 bb:1 sh -c 'id -u; id -g' | tr '\n' ' ')" '1000 1001 '; }
working_directory() { is "$(run -w /some/where bb:1 pwd)" /some/where; }
hostname() { is "$(run -h box bb:1 hostname)" box; }
hosts_file() { contains "$(run -h box bb:1 cat /etc/hostname)" box; }
volume_is_shared() {
    echo data >"$work/file" && is "$(run -v "$work:/v" bb:1 sh -c 'cat /v/file; echo new >/v/new')" data &&
        is "$(cat "$work/new")" new
}
read_only_volume() {
    run -v "$work:/v:ro" bb:1 sh -c 'echo x >/v/refused' 2>/dev/null && return 1
    [[ ! -e $work/refused ]]
}
tmpfs() { contains "$(run --tmpfs /t:size=1m bb:1 sh -c 'echo x >/t/x; mount | grep /t\ ')" tmpfs; }
read_only_root() { contains "$(run --read-only bb:1 sh -c 'echo x >/x' 2>&1)" 'Read-only'; }
memory_limit() {
    local kilobytes
    kilobytes=$(run --memory 128m bb:1 sh -c 'grep MemTotal /proc/meminfo' | tr -dc 0-9)
    ((kilobytes > 0 && kilobytes <= 131072)) || { echo "MemTotal $kilobytes kB"; return 1; }
}
cpus_limit() { is "$(run --cpus 1 bb:1 grep -c ^processor /proc/cpuinfo)" 1; }
pids_limit() { contains "$(run --pids-limit 5 bb:1 sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait' 2>&1)" fork; }
capabilities_dropped() { is "$(run --cap-drop ALL bb:1 sh -c 'grep CapEff /proc/self/status' | tr -dc 0-9a-f | tail -c 16)" 0000000000000000; }
capability_added() { is "$(run --cap-drop ALL --cap-add SYS_ADMIN bb:1 sh -c 'grep CapEff /proc/self/status' | tail -c 17 | head -c 16)" 0000000000200000; }
no_new_privileges() { contains "$(run --security-opt no-new-privileges bb:1 grep NoNewPrivs /proc/self/status)" 1; }
seccomp_profile() {
    cat >"$work/profile.json" <<'EOF'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
  [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
EOF
    local said; said=$(run --security-opt "seccomp=$work/profile.json" bb:1 sh -c 'mkdir /d; echo still here' 2>&1)
    contains "$said" 'Operation not permitted' && contains "$said" 'still here'
}
init_process() { contains "$(run --init bb:1 sh -c 'cat /proc/1/comm')" docker-init; }
terminal() {
    local said
    said=$(script -qec "$docker run --rm -it --runtime=$runtime --net=none bb:1 sh -c 'test -c \$(tty) && tty; exit 3'" /dev/null </dev/null)
    is $? 3 && contains "$said" /dev/pts/0
}
terminal_is_resized() {
    local id result
    id=$(start -it bb:1 sh -c 'trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done') || return
    eventually shows "$id" ready && api POST "/containers/$id/resize?h=40&w=100" && eventually shows "$id" '40 100'
    result=$?; cleanup "$id"; return $result
}
shows() { contains "$("$docker" logs "$1" 2>&1)" "$2"; }
large_output() { is "$(run bb:1 sh -c 'yes | head -c 3000000' | wc -c)" 3000000; }
logs() {
    local id; id=$(start bb:1 sh -c 'echo one; echo two >&2') && "$docker" wait "$id" >/dev/null &&
        is "$("$docker" logs "$id" 2>&1 | sort | tr '\n' ' ')" 'one two '
    local result=$?; cleanup "$id"; return $result
}
# Starts a container that runs until it is told to end, calls a function with its id, removes it.
with_container() {
    local id result
    id=$(start bb:1 sh -c "$forever") || return
    "$1" "$id"; result=$?
    cleanup "$id" || result=1
    return $result
}
exec_status_and_streams() { with_container exec_checks; }
exec_checks() {
    is "$("$docker" exec "$1" echo hello)" hello && { "$docker" exec "$1" sh -c 'exit 7'; is $? 7; } &&
        is "$(echo abc | "$docker" exec -i "$1" cat)" abc &&
        is "$("$docker" exec -u 5 -w /tmp -e A=b "$1" sh -c 'id -u; pwd; echo $A' | tr '\n' ' ')" '5 /tmp b ' &&
        { "$docker" exec "$1" missing >/dev/null 2>&1; [[ $? == 12[67] ]]; }
}
exec_sees_the_container() { with_container exec_sees; }
exec_sees() { contains "$("$docker" exec "$1" ps)" 'sleep 0.1'; }
exec_terminal() { with_container exec_terminal_checks; }
exec_terminal_checks() {
    local said
    said=$(script -qec "$docker exec -it $1 sh -c 'test -c \$(tty) && tty; exit 4'" /dev/null </dev/null)
    is $? 4 && contains "$said" /dev/pts/
}
exec_detached() { with_container exec_detached_checks; }
exec_detached_checks() {
    "$docker" exec -d "$1" sh -c 'echo done >/tmp/done' && eventually "$docker" exec "$1" grep done /tmp/done
}
# More at a time than one is likely to see, and each with streams of its own.
many_execs_at_once() { with_container many_execs; }
many_execs() {
    local pids=() i
    for i in $(seq 20); do (is "$("$docker" exec "$1" sh -c "sleep 1; echo $i")" "$i") & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || return 1; done
}
kill_signals() {
    local id signal
    for signal in TERM:9 KILL:137; do
        id=$(start bb:1 sh -c "$forever") && eventually kill_ends "${signal%:*}" "$id" &&
            is "$(timeout 20 "$docker" wait "$id")" "${signal#*:}" || { cleanup "$id"; return 1; }
        cleanup "$id"
    done
}
# Its first process ignores a signal until it has set its trap.
kill_ends() { "$docker" kill -s "$1" "$2"; is "$(inspect .State.Status "$2")" exited; }
stop_kills_after_the_timeout() {
    local id; id=$(start bb:1 sh -c 'trap "" TERM; while :; do sleep 0.1; done') && "$docker" stop -t 1 "$id" >/dev/null && is "$(inspect .State.ExitCode "$id")" 137
    local result=$?; cleanup "$id"; return $result
}
restart() {
    local id; id=$(start bb:1 sh -c 'echo run; exec sleep 1000') && "$docker" restart -t 0 "$id" >/dev/null &&
        is "$("$docker" logs "$id" | grep -c run)" 2
    local result=$?; cleanup "$id"; return $result
}
pause_and_unpause() { with_container pause_checks; }
pause_checks() {
    "$docker" pause "$1" >/dev/null && is "$(inspect .State.Status "$1")" paused &&
        "$docker" unpause "$1" >/dev/null && is "$("$docker" exec "$1" echo on)" on
}
top() { with_container top_checks; }
top_checks() { contains "$("$docker" top "$1")" sandbox-vmm; }
stats() { with_container stats_checks; }
stats_checks() {
    local memory; memory=$(timeout 20 "$docker" stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' "$1")
    [[ -n $memory && $memory != 0B* ]] || { echo "stats say $memory"; return 1; }
}
update() { with_container update_checks; }
update_checks() { "$docker" update --memory 64m --memory-swap 128m --cpu-shares 512 "$1" >/dev/null; }
copy() { with_container copy_checks; }
copy_checks() {
    echo copied >"$work/in" && "$docker" cp "$work/in" "$1:/tmp/in" && "$docker" exec "$1" sh -c 'echo back >/tmp/out' &&
        "$docker" cp "$1:/tmp/out" "$work/out" && is "$(cat "$work/out")" back && is "$("$docker" exec "$1" cat /tmp/in)" copied
}
commit() {
    local id; id=$(start bb:1 sh -c "echo committed >/c; $forever") && eventually "$docker" exec "$id" cat /c &&
        "$docker" commit "$id" committed:1 >/dev/null && is "$(run committed:1 cat /c)" committed
    local result=$?; cleanup "$id"; "$docker" rmi committed:1 >/dev/null; return $result
}
healthcheck() {
    local id; id=$(start --health-cmd true --health-interval 1s bb:1 sh -c "$forever") &&
        eventually bash -c "$docker inspect -f '{{.State.Health.Status}}' $id | grep -qx healthy"
    local result=$?; cleanup "$id"; return $result
}
twenty_at_once() {
    local ids=() i
    for i in $(seq 20); do (is "$(run bb:1 echo "n$i")" "n$i") & ids+=($!); done
    for i in "${ids[@]}"; do wait "$i" || return 1; done
}
attach() {
    local id; id=$(start -i bb:1 sh -c 'read line; echo got $line') &&
        is "$({ echo hello; sleep 2; } | timeout -k 1 20 "$docker" attach "$id")" 'got hello'
    local result=$?; cleanup "$id"; return $result
}
wait_tells_the_status() {
    local id; id=$(start bb:1 sh -c 'sleep 0.5; exit 6') && is "$(timeout 20 "$docker" wait "$id")" 6
    local result=$?; cleanup "$id"; return $result
}
inspect_tells_the_state() { with_container inspected; }
inspected() {
    is "$(inspect .HostConfig.Runtime "$1") $(inspect .State.Status "$1")" "$runtime running" &&
        [[ -d /proc/$(inspect .State.Pid "$1") ]] && "$docker" stop -t 5 "$1" >/dev/null &&
        is "$(inspect .State.Status "$1") $(inspect .State.ExitCode "$1") $(inspect .State.Pid "$1")" 'exited 9 0' &&
        is "$(inspect .State.OOMKilled "$1")$(inspect .State.Error "$1")" false
}
detached_container_is_removed() {
    local id; id=$(start --rm bb:1 true) && eventually is_gone "$id"
}
is_gone() { ! "$docker" inspect "$1"; }
killed_stand_in() { killed 'echo $stand_in'; }
killed_sandbox() { killed 'pgrep -P $stand_in'; }
killed_gofer() { killed 'pgrep -f "^sandbox-vmm gofer" -P $(pgrep -P $stand_in)'; }
# A process that runs user code, on a platform that has such processes; the container may go on.
killed_stub() { killed_any 'pgrep -P $(pgrep -P $stand_in) | grep -vx "$(pgrep -f "^sandbox-vmm gofer" -P $(pgrep -P $stand_in))" | head -1'; }
killed() { killed_any "$1" timeout 30 "$docker" wait; }
# Kills the process that a command names, runs the rest of the arguments with the container's id, and
# removes the container; nothing of it remains.
killed_any() {
    local id stand_in victim processes
    id=$(start bb:1 sh -c "$forever") && stand_in=$(inspect .State.Pid "$id") || return
    victim=$(eval "$1"); shift
    processes=$(descendants "$stand_in")
    # What ran a program that has just ended is gone already.
    [[ -z $victim ]] || kill -9 "$victim" || true
    (($# == 0)) || "$@" "$id" >/dev/null || { cleanup "$id"; return 1; }
    cleanup "$id" && eventually are_gone $processes
}
descendants() { local child; echo "$1"; for child in $(pgrep -P "$1"); do descendants "$child"; done; }
are_gone() { local pid; for pid; do [[ ! -e /proc/$pid ]] || return; done; }
# What another sandbox has inside cannot be shared.
namespaces_of_another_container() {
    local id kind result; id=$(start --ipc=shareable bb:1 sh -c "$forever") || return
    for kind in pid ipc net; do
        contains "$(timeout 60 "$docker" run --rm --runtime="$runtime" "--$kind=container:$id" bb:1 true 2>&1)" \
            'cannot share the' || break
    done
    result=$?; cleanup "$id"; return $result
}
# Its own loopback is all the container gets; the engine's interface is left alone.
bridge_network() {
    local id pid; id=$(timeout 60 "$docker" run -d --runtime="$runtime" bb:1 sh -c "echo bridged; $forever") || return
    pid=$(inspect .State.Pid "$id")
    eventually shows "$id" bridged && contains "$(nsenter --net="/proc/$pid/ns/net" ip -o addr)" eth0 &&
        contains "$(cat "$ENGINE_STATE"/*/*"/moby/$id/log.json")" 'eth0 stays as it is'
    local result=$?; cleanup "$id"; return $result
}

all=(twenty_at_once killed_stand_in killed_sandbox killed_gofer killed_stub many_execs_at_once exit_codes standard_input
    separate_error_output environment user working_directory hostname hosts_file volume_is_shared read_only_volume tmpfs
    read_only_root memory_limit cpus_limit pids_limit capabilities_dropped capability_added no_new_privileges seccomp_profile init_process
    terminal terminal_is_resized large_output logs exec_status_and_streams exec_sees_the_container exec_terminal
    exec_detached kill_signals stop_kills_after_the_timeout restart pause_and_unpause top stats update copy commit
    healthcheck attach wait_tells_the_status inspect_tells_the_state detached_container_is_removed
    namespaces_of_another_container bridge_network)
run_checks "${@:-${all[@]}}"
