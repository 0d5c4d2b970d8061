#!/usr/bin/env bash
# What a user of Podman does, with containers run by RUNTIME_BINARY; with names as arguments, only
# those checks. Needs the image IMAGE. Podman keeps everything under PODMAN_DIRECTORY.
set -uo pipefail
engine=podman
source "$(dirname "$0")/harness.sh"

mkdir -p "$PODMAN_DIRECTORY"
# Locks in files: those in shared memory are the host's.
cat >"$PODMAN_DIRECTORY/containers.conf" <<EOF
[engine]
lock_type = "file"
events_logger = "file"
cgroup_manager = "cgroupfs"
tmp_dir = "$PODMAN_DIRECTORY/tmp"
EOF
export CONTAINERS_CONF=$PODMAN_DIRECTORY/containers.conf
command=(podman --root "$PODMAN_DIRECTORY/root" --runroot "$PODMAN_DIRECTORY/run" --storage-driver vfs
    --runtime "$RUNTIME_BINARY")
podman() { timeout 60 "${command[@]}" "$@"; }
image=localhost/bb:1
run() { podman run --rm --network=none "$@"; }
start() { podman run -d --network=none "$@"; }
cleanup() { podman rm -f -t 0 "$@" >/dev/null; }
inspect() { podman inspect -f "{{$1}}" "$2"; }
with_container() {
    local id result
    id=$(start "$image" sh -c "$forever") || return
    "$1" "$id"; result=$?
    cleanup "$id" || result=1
    return $result
}

exit_codes() {
    { run "$image" sh -c 'exit 42'; is $? 42; } && { run "$image" missing 2>/dev/null; is $? 127; } &&
        { run "$image" /etc/passwd 2>/dev/null; is $? 126; }
}
standard_input() { is "$(printf 'a\nb\n' | run -i "$image" wc -l)" 2; }
separate_error_output() { is "$(run "$image" sh -c 'echo out; echo err >&2' 2>/dev/null)" out; }
environment() { is "$(run -e GREETING=hello "$image" sh -c 'echo $GREETING')" hello; }
user_and_directory() { is "$(run -u 1000:1001 -w /tmp "$image" sh -c 'id -u; id -g; pwd' | tr '\n' ' ')" '1000 1001 /tmp '; }
volume_is_shared() { run -v "$work:/v" "$image" sh -c 'echo new >/v/new' && is "$(cat "$work/new")" new; }
read_only_root() { contains "$(run --read-only --read-only-tmpfs=false "$image" sh -c 'echo x >/x' 2>&1)" 'Read-only'; }
memory_limit() {
    local kilobytes; kilobytes=$(run --memory 128m "$image" sh -c 'grep MemTotal /proc/meminfo' | tr -dc 0-9)
    ((kilobytes > 0 && kilobytes <= 131072)) || { echo "MemTotal $kilobytes kB"; return 1; }
}
terminal() { contains "$(script -qec "${command[*]} run --rm -t --network=none $image tty" /dev/null </dev/null)" /dev/pts/0; }
large_output() { is "$(run "$image" sh -c 'yes | head -c 3000000' | wc -c)" 3000000; }
logs() {
    local id; id=$(start "$image" sh -c 'echo one; echo two >&2') && podman wait "$id" >/dev/null &&
        is "$(podman logs "$id" 2>&1 | sort | tr '\n' ' ')" 'one two '
    local result=$?; cleanup "$id"; return $result
}
exec_status_and_streams() { with_container exec_checks; }
exec_checks() {
    is "$(podman exec "$1" echo hello)" hello && { podman exec "$1" sh -c 'exit 7'; is $? 7; } &&
        is "$(echo abc | podman exec -i "$1" cat)" abc
}
kill_and_wait() { with_container kill_checks; }
kill_checks() {
    eventually kill_ends "$1" && is "$(inspect .State.ExitCode "$1")" 9
}
# Its first process ignores the signal until it has set its trap.
kill_ends() { podman kill -s TERM "$1"; has_exited "$1"; }
# podman wait sometimes prints nothing for a container that ends as it is called.
has_exited() { [[ $(inspect .State.Status "$1") == exited ]]; }
stop_and_restart() { with_container restart_checks; }
restart_checks() {
    podman stop -t 5 "$1" >/dev/null && is "$(inspect .State.Status "$1")" exited && podman start "$1" >/dev/null &&
        is "$(podman exec "$1" echo again)" again
}
pause_and_unpause() { with_container pause_checks; }
pause_checks() {
    podman pause "$1" >/dev/null && is "$(inspect .State.Status "$1")" paused && podman unpause "$1" >/dev/null &&
        is "$(podman exec "$1" echo on)" on
}
killed_processes_are_cleaned_up() { with_container killed; }
killed() {
    kill -9 "$(inspect .State.Pid "$1")" && eventually has_exited "$1" && is "$(inspect .State.ExitCode "$1")" 137
}

podman load <"$IMAGE" >/dev/null || exit
all=(exit_codes standard_input separate_error_output environment user_and_directory volume_is_shared read_only_root
    memory_limit terminal large_output logs exec_status_and_streams kill_and_wait stop_and_restart pause_and_unpause
    killed_processes_are_cleaned_up)
run_checks "${@:-${all[@]}}"
