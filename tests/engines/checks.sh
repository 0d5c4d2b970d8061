# Sourced by the lists of Docker and of Podman: what their users do alike. Needs `client`, which runs the
# engine's client for at most a minute; `client_line` and `run_line`, the words of the client and of its `run`;
# `run_options`; `cleanup`, which removes containers; `status_of_ended`, which waits for one and prints its
# status; and `image`.

run() { client run --rm "${run_options[@]}" "$@"; }
start() { client run -d "${run_options[@]}" "$@"; }
inspect() { client inspect -f "{{$1}}" "$2"; }

exit_codes() {
    run "$image" true && { run "$image" sh -c 'exit 42'; is $? 42; } && { run "$image" sh -c 'kill -9 $$'; true; } &&
        { run "$image" /missing 2>/dev/null; is $? 127; } && { run "$image" missing 2>/dev/null; is $? 127; } &&
        { run "$image" /etc/passwd 2>/dev/null; is $? 126; }
}
standard_input() { is "$(printf 'a\nb\n' | run -i "$image" wc -l)" 2; }
separate_error_output() { is "$(run "$image" sh -c 'echo out; echo err >&2' 2>/dev/null)" out; }
environment() { is "$(run -e GREETING=hello "$image" sh -c 'echo $GREETING $HOME')" 'hello /root'; }
user() { is "$(run -u 1000:1001 "$image" sh -c 'id -u; id -g' | tr '\n' ' ')" '1000 1001 '; }
working_directory() { is "$(run -w /tmp "$image" pwd)" /tmp; }
hostname() { is "$(run -h box "$image" hostname)" box; }
hosts_file() { contains "$(run -h box "$image" cat /etc/hostname)" box; }
volume_is_shared() {
    echo data >"$work/file" && is "$(run -v "$work:/v" "$image" sh -c 'cat /v/file; echo new >/v/new')" data &&
        is "$(cat "$work/new")" new
}
read_only_volume() {
    run -v "$work:/v:ro" "$image" sh -c 'echo x >/v/refused' 2>/dev/null && return 1
    [[ ! -e $work/refused ]]
}
tmpfs() { contains "$(run --tmpfs /t:size=1m "$image" sh -c 'echo x >/t/x; mount | grep /t\ ')" tmpfs; }
read_only_root() { contains "$(run --read-only "$image" sh -c 'echo x >/x' 2>&1)" 'Read-only'; }
memory_limit() {
    local kilobytes
    kilobytes=$(run --memory 128m "$image" sh -c 'grep MemTotal /proc/meminfo' | tr -dc 0-9)
    ((kilobytes > 0 && kilobytes <= 131072)) || { echo "MemTotal $kilobytes kB"; return 1; }
}
limits_are_seen() {
    local seen
    seen=$(run --memory 128m --cpus 1.5 --pids-limit 40 "$image" sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max')
    is "$(tr '\n' ' ' <<<"$seen")" '134217728 150000 100000 40 '
}
cpus_limit() { is "$(run --cpus 1 "$image" grep -c ^processor /proc/cpuinfo)" 1; }
pids_limit() { contains "$(run --pids-limit 5 "$image" sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait' 2>&1)" fork; }
capabilities_dropped() { is "$(run --cap-drop ALL "$image" sh -c 'grep CapEff /proc/self/status' | tr -dc 0-9a-f | tail -c 16)" 0000000000000000; }
capability_added() { is "$(run --cap-drop ALL --cap-add SYS_ADMIN "$image" sh -c 'grep CapEff /proc/self/status' | tail -c 17 | head -c 16)" 0000000000200000; }
no_new_privileges() { contains "$(run --security-opt no-new-privileges "$image" grep NoNewPrivs /proc/self/status)" 1; }
seccomp_profile() {
    cat >"$work/profile.json" <<'EOF'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
  [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
EOF
    local said; said=$(run --security-opt "seccomp=$work/profile.json" "$image" sh -c 'mkdir /d; echo still here' 2>&1)
    contains "$said" 'Operation not permitted' && contains "$said" 'still here'
}
terminal() {
    local said
    said=$(script -qec "$run_line --rm -it $image sh -c 'test -c \$(tty) && tty; exit 3'" /dev/null </dev/null)
    is $? 3 && contains "$said" /dev/pts/0
}
# The engine's client has a terminal, whose size changes; the program sees that and ends.
terminal_is_resized() {
    python3 - $run_line --rm -it "$image" sh -c 'trap "stty size | grep 40.100 && exit 5" WINCH; echo ready; while :; do sleep 0.05; done' <<'EOF'
import fcntl, os, pty, signal, struct, sys, termios

client, terminal = pty.fork()
if client == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
signal.alarm(60)
seen = b""
def expect(text):
    global seen
    while text not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            sys.exit(f"it ended and had printed {seen}")
expect(b"ready")
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
expect(b"40 100")
status = os.waitstatus_to_exitcode(os.waitpid(client, 0)[1])
sys.exit(0 if status == 5 else f"status {status}")
EOF
}
shows() { contains "$(client logs "$1" 2>&1)" "$2"; }
large_output() { is "$(run "$image" sh -c 'yes | head -c 3000000' | wc -c)" 3000000; }
logs() {
    local id; id=$(start "$image" sh -c 'echo one; echo two >&2') && status_of_ended "$id" >/dev/null &&
        is "$(client logs "$id" 2>&1 | sort | tr '\n' ' ')" 'one two '
    local result=$?; cleanup "$id"; return $result
}
# Starts a container that runs until it is told to end, calls a function with its id, removes it.
with_container() {
    local id result
    id=$(start "$image" sh -c "$forever") || return
    "$1" "$id"; result=$?
    cleanup "$id" || result=1
    return $result
}
exec_status_and_streams() { with_container exec_checks; }
exec_checks() {
    is "$(client exec "$1" echo hello)" hello && { client exec "$1" sh -c 'exit 7'; is $? 7; } &&
        is "$(echo abc | client exec -i "$1" cat)" abc &&
        is "$(client exec -u 5 -w /tmp -e A=b "$1" sh -c 'id -u; pwd; echo $A' | tr '\n' ' ')" '5 /tmp b ' &&
        { client exec "$1" missing >/dev/null 2>&1; [[ $? == 12[67] ]]; }
}
exec_sees_the_container() { with_container exec_sees; }
exec_sees() { contains "$(client exec "$1" ps)" 'sleep 0.1'; }
exec_terminal() { with_container exec_terminal_checks; }
exec_terminal_checks() {
    local said
    said=$(script -qec "$client_line exec -it $1 sh -c 'test -c \$(tty) && tty; exit 4'" /dev/null </dev/null)
    is $? 4 && contains "$said" /dev/pts/
}
exec_detached() { with_container exec_detached_checks; }
exec_detached_checks() {
    client exec -d "$1" sh -c 'echo done >/tmp/done' && eventually client exec "$1" grep done /tmp/done
}
# More at a time than one is likely to see, and each with streams of its own.
many_execs_at_once() { with_container many_execs; }
many_execs() {
    local pids=() i
    for i in $(seq 20); do (is "$(client exec "$1" sh -c "sleep 1; echo $i")" "$i") & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || return 1; done
}
kill_signals() {
    local id signal
    for signal in TERM:9 KILL:137; do
        id=$(start "$image" sh -c "$forever") && eventually kill_ends "${signal%:*}" "$id" &&
            is "$(status_of_ended "$id")" "${signal#*:}" || { cleanup "$id"; return 1; }
        cleanup "$id"
    done
}
# Its first process ignores a signal until it has set its trap.
kill_ends() { client kill -s "$1" "$2"; is "$(inspect .State.Status "$2")" exited; }
stop_kills_after_the_timeout() {
    local id; id=$(start "$image" sh -c 'trap "" TERM; while :; do sleep 0.1; done') && client stop -t 1 "$id" >/dev/null && is "$(inspect .State.ExitCode "$id")" 137
    local result=$?; cleanup "$id"; return $result
}
restart() {
    local id; id=$(start "$image" sh -c 'echo run; exec sleep 1000') && client restart -t 0 "$id" >/dev/null &&
        is "$(client logs "$id" | grep -c run)" 2
    local result=$?; cleanup "$id"; return $result
}
pause_and_unpause() { with_container pause_checks; }
pause_checks() {
    client pause "$1" >/dev/null && is "$(inspect .State.Status "$1")" paused &&
        client unpause "$1" >/dev/null && is "$(client exec "$1" echo on)" on
}
stats() { with_container stats_checks; }
stats_checks() {
    local memory; memory=$(client stats --no-stream --format '{{.MemUsage}}' "$1")
    [[ -n $memory && $memory != 0B* ]] || { echo "stats say $memory"; return 1; }
}
update() { with_container update_checks; }
update_checks() { client update --memory 64m --memory-swap 128m --cpu-shares 512 "$1" >/dev/null; }
copy() { with_container copy_checks; }
copy_checks() {
    # What was looked at before is not all that is ever seen.
    client exec "$1" ls /tmp >/dev/null && echo copied >"$work/in" && client cp "$work/in" "$1:/tmp/in" &&
        eventually client exec "$1" test -f /tmp/in && is "$(client exec "$1" cat /tmp/in)" copied &&
        client exec "$1" sh -c 'echo back >/tmp/out' && client cp "$1:/tmp/out" "$work/out" &&
        is "$(cat "$work/out")" back
}
commit() {
    local id; id=$(start "$image" sh -c "echo committed >/c; $forever") && eventually client exec "$id" cat /c &&
        client commit "$id" committed:1 >/dev/null 2>&1 && is "$(run committed:1 cat /c)" committed
    local result=$?; cleanup "$id"; client rmi committed:1 >/dev/null; return $result
}
twenty_at_once() {
    local ids=() i
    for i in $(seq 20); do (is "$(run "$image" echo "n$i")" "n$i") & ids+=($!); done
    for i in "${ids[@]}"; do wait "$i" || return 1; done
}
attach() {
    local id; id=$(start -i "$image" sh -c 'read line; echo got $line') &&
        is "$({ echo hello; sleep 2; } | client attach "$id")" 'got hello'
    local result=$?; cleanup "$id"; return $result
}
wait_tells_the_status() {
    local id; id=$(start "$image" sh -c 'sleep 0.5; exit 6') && is "$(status_of_ended "$id")" 6
    local result=$?; cleanup "$id"; return $result
}
detached_container_is_removed() {
    local id; id=$(start --rm "$image" true) && eventually is_gone "$id"
}
is_gone() { ! client inspect "$1"; }
killed_stand_in() { killed stand_in; }
killed_sandbox() { killed sandbox; }
killed_gofer() { killed gofer; }
# On a platform that has such processes; the container may go on.
killed_stub() { killed_any stub; }
killed() { killed_any "$1" status_of_ended; }
# Kills a part of a container, runs the rest of the arguments with the container's id, and
# removes the container; nothing of it remains.
killed_any() {
    local id stand_in victim processes
    id=$(start "$image" sh -c "$forever") && stand_in=$(inspect .State.Pid "$id") || return
    victim=$(part "$1" "$stand_in"); shift
    processes=$(descendants "$stand_in")
    # What ran a program that has just ended is gone already.
    [[ -z $victim ]] || kill -9 "$victim" || true
    (($# == 0)) || "$@" "$id" >/dev/null || { cleanup "$id"; return 1; }
    cleanup "$id" && eventually are_gone $processes
}

common=(twenty_at_once killed_stand_in killed_sandbox killed_gofer killed_stub many_execs_at_once exit_codes standard_input
    separate_error_output environment user working_directory hostname hosts_file volume_is_shared read_only_volume tmpfs
    read_only_root memory_limit limits_are_seen cpus_limit pids_limit capabilities_dropped capability_added
    no_new_privileges seccomp_profile terminal terminal_is_resized large_output logs exec_status_and_streams
    exec_sees_the_container exec_terminal exec_detached kill_signals stop_kills_after_the_timeout restart
    pause_and_unpause stats update copy commit attach wait_tells_the_status detached_container_is_removed)
