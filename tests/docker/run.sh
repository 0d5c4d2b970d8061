#!/usr/bin/env bash
# Starts a Docker engine of its own, registers the binary SANDBOX_VMM as a runtime, imports a busybox
# image and runs checks.sh (its arguments are passed on). Needs root, and the Debian packages
# docker.io, containerd, iptables, iproute2 and busybox-static. The host's own engine, network and
# images are not touched; everything is stopped and removed at the end, however that comes. The status
# is 77 if no engine can run here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
directory=$(mktemp -d /tmp/docker-test-XXXXXX)
namespace=$(basename "$directory")
export DOCKER_HOST=unix://$directory/socket DOCKER=/usr/bin/docker

stop() {
    set +e
    "$DOCKER" ps -aq | xargs -r "$DOCKER" rm -f >/dev/null 2>&1
    [[ -e $directory/pid ]] && kill "$(cat "$directory/pid")"
    for _ in $(seq 100); do [[ -e $directory/pid ]] || break; sleep 0.1; done
    ip netns del "$namespace"
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 1' INT TERM

# The status of a test that is left out: this host lets nobody run an engine.
ip netns add "$namespace" || exit 77
ip -n "$namespace" link set lo up
platform=${SANDBOX_TEST_PLATFORM:-ptrace}
"$SANDBOX_VMM" install --docker-config "$directory/daemon.json" --containerd-config "$directory/none" \
    -- "--platform=$platform" >/dev/null
# Inherited descriptors would keep the caller's pipes open as long as the engine runs.
for descriptor in /proc/self/fd/*; do
    descriptor=${descriptor##*/}
    ((descriptor > 2 && descriptor != 255)) && eval "exec $descriptor>&-"
done
# Not `ip netns exec`: that remounts /sys and hides the control groups.
nsenter --net="/run/netns/$namespace" setsid /usr/sbin/dockerd --config-file "$directory/daemon.json" \
    --data-root "$directory/data" --exec-root "$directory/exec" --pidfile "$directory/pid" \
    -H "$DOCKER_HOST" </dev/null >"$directory/log" 2>&1 &
for _ in $(seq 150); do "$DOCKER" info >/dev/null 2>&1 && break; sleep 0.2; done
"$DOCKER" info >/dev/null || { tail -20 "$directory/log"; exit 77; }

mkdir -p "$directory/root"/{bin,etc,tmp,proc,sys,dev}
cp /usr/bin/busybox "$directory/root/bin/"
/usr/bin/busybox --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$directory/root/bin/$applet"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$directory/root/etc/passwd"
chmod 644 "$directory/root/etc/passwd"
tar -C "$directory/root" -c . | "$DOCKER" import -c 'CMD ["sh"]' - bb:1 >/dev/null

bash "$here/checks.sh" "$@"
