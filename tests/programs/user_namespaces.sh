# User namespaces (user_namespaces(7)), as unshare(1) and nsenter(1) make and join them.
own=$(id -u)
group=$(id -g)

echo unmapped
unshare --user sh -c 'id -u; id -g; grep -c . /proc/self/uid_map || true; grep CapEff /proc/self/status'
unshare --user sh -c 'unshare --user true; echo nested: $?' 2>/dev/null

echo root
unshare --user --map-root-user sh -eu -c '
    id -u; id -g
    tr -s " " < /proc/self/uid_map | sed "s/ '"$own"' / OWN /"
    tr -s " " < /proc/self/gid_map | sed "s/ '"$group"' / GROUP /"
    cat /proc/self/setgroups
    grep -E "Cap(Prm|Eff|Bnd)" /proc/self/status
    sed -n "s/^Uid:/uids/p" /proc/self/status
    [ "$(readlink /proc/self/ns/user)" != "'"$(readlink /proc/self/ns/user)"'" ] && echo another
    [ "$(readlink /proc/self/ns/uts)" = "'"$(readlink /proc/self/ns/uts)"'" ] && echo the same
'

echo files
touch "$WORK/own"
unshare -Ur sh -c 'cd "$WORK" && touch made && stat -c %u:%g own made && chown 0:0 made && chmod 600 made && echo changed'
unshare -Ur sh -c 'cd "$WORK" && chown 5:5 made; echo $?' 2>/dev/null
[ "$(stat -c %u:%g "$WORK/made")" = "$own:$group" ] && echo own

echo the container stays protected
unshare -Ur hostname other 2>/dev/null || echo refused
unshare -Ur mknod "$WORK/node" c 1 3 2>/dev/null || echo refused

echo once
unshare -Ur sh -c 'echo 0 0 1 > /proc/self/uid_map' 2>/dev/null || echo refused
sh -c 'echo 0 0 1 > /proc/self/uid_map' 2>/dev/null || echo refused

echo nested
unshare -Ur unshare -Ur id -u
unshare -Ur unshare -U id -u

echo signals and objects
cat >"$WORK/ids.py" <<'EOF'
import ctypes, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
os.kill(os.getpid(), signal.SIGUSR1)
print("sender", signal.sigwaitinfo({signal.SIGUSR1}).si_uid)
child = os.fork()
if child == 0:
    os._exit(0)
print("child", signal.sigwaitinfo({signal.SIGCHLD}).si_uid)
os.waitpid(child, 0)
libc = ctypes.CDLL(None, use_errno=True)
queue = libc.msgget(0, 0o600)
status = (ctypes.c_uint32 * 64)()
libc.msgctl(queue, 2, status)
print("owner", status[1], status[2], "creator", status[3], status[4])
status[1] = 77
print("changed", libc.msgctl(queue, 1, status), ctypes.get_errno())
for line in open("/proc/sysvipc/msg"):
    if line.split()[1] == str(queue):
        print("listed", line.split()[7:11])
libc.msgctl(queue, 0, None)
EOF
unshare -Ur python3 "$WORK/ids.py"

echo joined
unshare -Ur sh -c 'echo $$ > "$WORK/pid"; exec sleep 100' &
until [ -s "$WORK/pid" ] && [ "$(cat "/proc/$(cat "$WORK/pid")/comm")" = sleep ]; do sleep 0.02; done
nsenter --user --preserve-credentials --target "$(cat "$WORK/pid")" id -u
kill "$(cat "$WORK/pid")"
