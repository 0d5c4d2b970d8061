#!/usr/bin/env bash
# What a user of Docker does, with containers run by RUNTIME. Each check is a function whose name
# says what holds; it prints "ok NAME" or "not ok NAME" with what was said instead. With names as
# arguments, only those. Needs DOCKER (the client), DOCKER_HOST and the image bb:1 (busybox).
set -uo pipefail

runtime=${RUNTIME:-sandbox-vmm}
docker=${DOCKER:-/usr/bin/docker}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() { timeout 60 "$docker" run --rm --runtime="$runtime" --net=none "$@"; }
start() { timeout 60 "$docker" run -d --runtime="$runtime" --net=none "$@"; }
cleanup() { timeout 60 "$docker" rm -f "$@" >/dev/null; }
# Fails with both values unless they are equal.
is() { [[ $1 == "$2" ]] || { printf 'got <%s>, expected <%s>\n' "$1" "$2"; return 1; }; }
contains() { [[ $1 == *"$2"* ]] || { printf 'got <%s>, without <%s>\n' "$1" "$2"; return 1; }; }
status_of() { "$docker" inspect -f '{{.State.ExitCode}}' "$1"; }
# Runs a command until it succeeds, for at most ten seconds.
eventually() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; "$@"; }
forever='trap "exit 9" TERM; while :; do sleep 0.1; done'

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
init_process() { contains "$(run --init bb:1 sh -c 'cat /proc/1/comm')" docker-init; }
terminal() {
    local said
    said=$(script -qec "$docker run --rm -it --runtime=$runtime --net=none bb:1 sh -c 'tty; stty size; exit 3'" /dev/null </dev/null)
    is $? 3 && contains "$said" /dev/
}
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
    said=$(script -qec "$docker exec -it $1 sh -c 'test -t 0 && echo yes; exit 4'" /dev/null </dev/null)
    is $? 4 && contains "$said" yes
}
kill_signals() {
    local id signal
    for signal in TERM:9 KILL:137; do
        id=$(start bb:1 sh -c "$forever") && sleep 0.3 && "$docker" kill -s "${signal%:*}" "$id" >/dev/null &&
            is "$(timeout 20 "$docker" wait "$id")" "${signal#*:}" || { cleanup "$id"; return 1; }
        cleanup "$id"
    done
}
stop_kills_after_the_timeout() {
    local id; id=$(start bb:1 sh -c 'trap "" TERM; while :; do sleep 0.1; done') && "$docker" stop -t 1 "$id" >/dev/null && is "$(status_of "$id")" 137
    local result=$?; cleanup "$id"; return $result
}
restart() {
    local id; id=$(start bb:1 sh -c 'echo run; exec sleep 1000') && "$docker" restart -t 0 "$id" >/dev/null &&
        is "$("$docker" logs "$id" | grep -c run)" 2
    local result=$?; cleanup "$id"; return $result
}
pause_and_unpause() { with_container pause_checks; }
pause_checks() {
    "$docker" pause "$1" >/dev/null && is "$("$docker" inspect -f '{{.State.Status}}' "$1")" paused &&
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
killed_processes_are_cleaned_up() {
    local id pid victim
    for victim in stand-in sandbox gofer; do
        id=$(start bb:1 sh -c "$forever") && pid=$("$docker" inspect -f '{{.State.Pid}}' "$id") || return 1
        case $victim in
        stand-in) ;;
        sandbox) pid=$(pgrep -P "$pid") ;;
        gofer) pid=$(pgrep -f '^sandbox-vmm gofer' -P "$(pgrep -P "$pid")") ;;
        esac
        kill -9 "$pid" && timeout 30 "$docker" wait "$id" >/dev/null && cleanup "$id" || { echo "after kill of $victim"; return 1; }
    done
}
bridge_network_starts() { is "$(timeout 60 "$docker" run --rm --runtime="$runtime" bb:1 echo bridged)" bridged; }

all=(exit_codes standard_input separate_error_output environment user working_directory hostname hosts_file
    volume_is_shared read_only_volume tmpfs read_only_root memory_limit cpus_limit pids_limit capabilities_dropped
    capability_added no_new_privileges init_process terminal large_output logs exec_status_and_streams
    exec_sees_the_container exec_terminal kill_signals stop_kills_after_the_timeout restart pause_and_unpause top stats
    update copy commit healthcheck twenty_at_once killed_processes_are_cleaned_up bridge_network_starts)
failed=0
for check in "${@:-${all[@]}}"; do
    if said=$("$check" 2>&1); then
        echo "ok $check"
    else
        echo "not ok $check: $said"
        failed=1
    fi
done
exit $failed
