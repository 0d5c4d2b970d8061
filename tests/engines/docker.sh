#!/usr/bin/env bash
# What a user of Docker does, with containers run by RUNTIME; with names as arguments, only those
# checks. Needs DOCKER (the client), DOCKER_HOST and the image bb:1 (busybox).
set -uo pipefail
engine=docker
docker=${DOCKER:-/usr/bin/docker}
source "$(dirname "$0")/harness.sh"
client() { timeout 60 "$docker" "$@"; }
client_line=$docker
run_options=(--runtime="$runtime" --net=none)
run_line="$client_line run ${run_options[*]}"
image=bb:1
cleanup() { client rm -f "$@" >/dev/null; }
status_of_ended() { client wait "$1"; }
source "$(dirname "$0")/checks.sh"

init_process() { contains "$(run --init "$image" sh -c 'cat /proc/1/comm')" docker-init; }
working_directory_is_made() { is "$(run -w /some/where "$image" pwd)" /some/where; }
top() { with_container top_checks; }
top_checks() { contains "$(client top "$1")" sandbox-vmm; }
healthcheck() {
    local id; id=$(start --health-cmd true --health-interval 1s "$image" sh -c "$forever") &&
        eventually bash -c "$docker inspect -f '{{.State.Health.Status}}' $id | grep -qx healthy"
    local result=$?; cleanup "$id"; return $result
}
inspect_tells_the_state() { with_container inspected; }
inspected() {
    is "$(inspect .HostConfig.Runtime "$1") $(inspect .State.Status "$1")" "$runtime running" &&
        [[ -d /proc/$(inspect .State.Pid "$1") ]] && client stop -t 5 "$1" >/dev/null &&
        is "$(inspect .State.Status "$1") $(inspect .State.ExitCode "$1") $(inspect .State.Pid "$1")" 'exited 9 0' &&
        is "$(inspect .State.OOMKilled "$1")$(inspect .State.Error "$1")" false
}
# What another sandbox has inside cannot be shared.
namespaces_of_another_container() {
    local id kind result; id=$(start --ipc=shareable "$image" sh -c "$forever") || return
    for kind in pid ipc net; do
        contains "$(client run --rm --runtime="$runtime" "--$kind=container:$id" "$image" true 2>&1)" \
            'cannot share the' || break
    done
    result=$?; cleanup "$id"; return $result
}
# Its own loopback is all the container gets; the engine's interface is left alone.
bridge_network() {
    local id pid; id=$(client run -d --runtime="$runtime" "$image" sh -c "echo bridged; $forever") || return
    pid=$(inspect .State.Pid "$id")
    eventually shows "$id" bridged && contains "$(nsenter --net="/proc/$pid/ns/net" ip -o addr)" eth0 &&
        contains "$(cat "$ENGINE_STATE"/*/*"/moby/$id/log.json")" 'eth0 stays as it is'
    local result=$?; cleanup "$id"; return $result
}

all=("${common[@]}" init_process working_directory_is_made top healthcheck inspect_tells_the_state namespaces_of_another_container bridge_network)
run_checks "${@:-${all[@]}}"
