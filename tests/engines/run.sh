#!/usr/bin/env bash
# Runs containers under real engines: starts a Docker engine of its own, with its containerd, and
# passes the lists docker.sh, ctr.sh and podman.sh with the binary SANDBOX_VMM; arguments name some
# of them (docker, ctr, podman). Needs root, and the Debian packages of .ci/debian-packages. The
# host's own engines, network and images are not touched: all that is made is under one directory and
# in one network namespace, and removed at the end, however that comes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
directory=$(mktemp -d /tmp/engines-XXXXXX)
namespace=$(basename "$directory")
export DOCKER_HOST=unix://$directory/socket DOCKER=/usr/bin/docker
export ENGINE_STATE=$directory/exec/containerd RUNTIME_BINARY=$directory/runtime
export PODMAN_DIRECTORY=$directory/podman IMAGE=$directory/image.tar

start_engine() {
    # Not `ip netns exec`: that remounts /sys and hides the control groups. The engine would keep
    # inherited descriptors open as long as it runs.
    (
        for descriptor in /proc/self/fd/*; do
            descriptor=${descriptor##*/}
            ((descriptor > 2 && descriptor != 255)) && eval "exec $descriptor>&-"
        done
        exec nsenter --net="/run/netns/$namespace" setsid /usr/sbin/dockerd \
            --config-file "$directory/daemon.json" --data-root "$directory/data" --exec-root "$directory/exec" \
            --pidfile "$directory/pid" --live-restore -H "$DOCKER_HOST" </dev/null >>"$directory/log" 2>&1
    ) &
    for _ in $(seq 150); do "$DOCKER" info >/dev/null 2>&1 && return; sleep 0.2; done
    tail -20 "$directory/log"
    return 1
}

stop_engine() {
    [[ -e $directory/pid ]] || return 0
    local engine; engine=$(cat "$directory/pid")
    kill "$engine"
    for _ in $(seq 100); do [[ -d /proc/$engine ]] || return 0; sleep 0.1; done
}

clean_up() {
    set +e
    "$DOCKER" ps -aq | xargs -r "$DOCKER" rm -f >/dev/null 2>&1
    stop_engine
    ip netns del "$namespace"
    # With live restore, the engine leaves its own mounts.
    awk -v directory="$directory/" 'index($2, directory) == 1 { print $2 }' /proc/mounts | tac | xargs -r umount -l
    # Engines leave the parents of their control groups; those with others in them stay.
    rmdir /sys/fs/cgroup/*/{docker,smoke,libpod_parent} 2>/dev/null
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

make_image() {
    local root=$directory/root
    mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev}
    cp /usr/bin/busybox "$root/bin/"
    /usr/bin/busybox --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$root/bin/$applet"; done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    chmod 644 "$root/etc/passwd"
    tar -C "$root" -c . | "$DOCKER" import -c 'CMD ["sh"]' - bb:1 >/dev/null
    "$DOCKER" save bb:1 >"$IMAGE"
}

# The engine goes and comes back (live restore); the container runs on and is its own again.
container_survives_the_engine() {
    local id
    id=$("$DOCKER" run -d --runtime=sandbox-vmm --net=none bb:1 \
        sh -c 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 0.1; done') &&
        stop_engine && start_engine &&
        [[ $("$DOCKER" exec "$id" echo again) == again ]] && "$DOCKER" stop -t 10 "$id" >/dev/null &&
        [[ $("$DOCKER" inspect -f '{{.State.ExitCode}}' "$id") == 9 ]] &&
        [[ $("$DOCKER" logs "$id" | tr '\n' ' ') == 'up bye ' ]] && "$DOCKER" rm "$id" >/dev/null
}

ip netns add "$namespace"
ip -n "$namespace" link set lo up
platform=${SANDBOX_TEST_PLATFORM:-ptrace}
"$SANDBOX_VMM" install --docker-config "$directory/daemon.json" --containerd-config "$directory/none" \
    -- "--platform=$platform" >/dev/null
printf '#!/bin/sh\nexec "%s" --platform=%s --root "%s" "$@"\n' "$SANDBOX_VMM" "$platform" "$directory/state" >"$RUNTIME_BINARY"
chmod 755 "$RUNTIME_BINARY"
start_engine
make_image

failed=0
lists=("$@")
(($#)) || lists=(docker ctr podman)
for list in "${lists[@]}"; do bash "$here/$list.sh" || failed=1; done
if (($# == 0)); then
    if container_survives_the_engine; then
        echo 'ok docker container_survives_the_engine'
    else
        echo 'not ok docker container_survives_the_engine'
        failed=1
    fi
fi
exit $failed
