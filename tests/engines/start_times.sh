#!/usr/bin/env bash
# Prints, for runc and for ours, the name and the median time of `docker run` of /bin/true in
# milliseconds, measured in turn. Needs DOCKER, DOCKER_HOST and the image bb:1.
set -euo pipefail

declare -A times
for _ in $(seq 11); do
    for runtime in runc sandbox-vmm; do
        begin=$(date +%s%N)
        "$DOCKER" run --rm --net=none --runtime="$runtime" bb:1 /bin/true
        times[$runtime]+="$((($(date +%s%N) - begin) / 1000000))"$'\n'
    done
done
for runtime in runc sandbox-vmm; do
    echo "$runtime $(sort -n <<<"${times[$runtime]}" | grep . | sed -n 6p)"
done
