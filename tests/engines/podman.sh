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
client() { timeout 60 "${command[@]}" "$@"; }
client_line=${command[*]}
run_options=(--network=none)
run_line="$client_line run ${run_options[*]}"
image=localhost/bb:1
cleanup() { client rm -f -t 0 "$@" >/dev/null; }
# podman wait sometimes prints nothing for a container that ends as it is called.
status_of_ended() { eventually has_exited "$1" && inspect .State.ExitCode "$1"; }
has_exited() { [[ $(inspect .State.Status "$1") == exited ]]; }
source "$(dirname "$0")/checks.sh"

stop_and_start() { with_container start_checks; }
start_checks() {
    client stop -t 5 "$1" >/dev/null && is "$(inspect .State.Status "$1")" exited && client start "$1" >/dev/null &&
        is "$(client exec "$1" echo again)" again
}
healthcheck() {
    local id; id=$(start --health-cmd true "$image" sh -c "$forever") && client healthcheck run "$id"
    local result=$?; cleanup "$id"; return $result
}

pod() {
    local pod; pod=$(client pod create "$@")
    is "$(client run --rm --pod "$pod" "${pod_options[@]}" "$image" echo inside)" inside
    local result=$?; client pod rm -f -t 0 "$pod" >/dev/null; return $result
}
pod_in_a_sandbox() {
    local pod_options=()
    pod --infra-image "$image" --infra-command '/bin/sleep 1000' --share ipc,uts --network none
}
pod_of_sandboxes() { local pod_options=("${run_options[@]}"); pod --infra=false; }

client load <"$IMAGE" >/dev/null || exit
all=("${common[@]}" stop_and_start healthcheck pod_in_a_sandbox pod_of_sandboxes)
run_checks "${@:-${all[@]}}"
