# tee, packet pipes, /dev/zero in memory, peers of terminals, clone with a file, set-user-id, robust locks.
python3 -u - <<'END'
import ctypes, errno, fcntl, mmap, os, select, signal, struct, sys, termios

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]

TEE, CLONE, CLONE3, WAITID = 276, 56, 435, 247

(r1, w1), (r2, w2) = os.pipe(), os.pipe()
os.write(w1, b"twice")
print("tee", call(TEE, r1, w2, 3, 0), call(TEE, r1, w2, 99, 0), os.read(r1, 99), os.read(r2, 99))
print("tee", call(TEE, r1, w2, 9, 2), call(TEE, r1, w1, 9, 0), call(TEE, w1, w2, 9, 0), call(TEE, r1, w2, 0, 0))
os.close(w1)
print("tee", call(TEE, r1, w2, 9, 0))

r, w = os.pipe2(os.O_DIRECT)
for packet in (b"one", b"second", b"x" * 5000):
    os.write(w, packet)
print("packets", os.read(r, 99), os.read(r, 3), len(os.read(r, 9999)), len(os.read(r, 9999)))
fcntl.fcntl(w, fcntl.F_SETFL, 0)
os.write(w, b"a"); os.write(w, b"b")
print("bytes", os.read(r, 99), fcntl.fcntl(r, fcntl.F_GETFL) & os.O_DIRECT != 0)

zero = os.open("/dev/zero", os.O_RDWR)
for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
    memory = mmap.mmap(zero, 8192, flags=flags)
    memory[5000] = 7
    pid = os.fork()
    if pid == 0:
        memory[5001] = memory[5000] + 1
        os._exit(memory[5001])
    print("zero", os.waitpid(pid, 0)[1] >> 8, memory[5000], memory[5001])

master, slave = os.openpty()
peer = fcntl.ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
print("peer", os.ttyname(peer) == os.ttyname(slave), os.isatty(peer), fcntl.fcntl(peer, fcntl.F_GETFD))

def wait_pidfd(fd, options):
    info = (ctypes.c_int * 32)()
    result = call(WAITID, 3, fd, ctypes.byref(info), options, 0)
    return result, info[6] if result == 0 else None

CLONE_PIDFD, CLONE_PARENT_SETTID = 0x1000, 0x100000
fd, tid = ctypes.c_int(-1), ctypes.c_int(-1)
arguments = struct.pack("11Q", CLONE_PIDFD | CLONE_PARENT_SETTID, ctypes.addressof(fd), 0, ctypes.addressof(tid),
                        signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
pid = call(CLONE3, ctypes.c_char_p(arguments), len(arguments))
if pid == 0:
    os._exit(5)
print("clone3", tid.value == pid, fcntl.fcntl(fd.value, fcntl.F_GETFD), select.select([fd.value], [], [])[0] == [fd.value])
print("waitid", wait_pidfd(fd.value, 4), wait_pidfd(fd.value, 4), wait_pidfd(0, 4), wait_pidfd(-1, 4))
pid = call(CLONE, CLONE_PIDFD | signal.SIGCHLD, 0, ctypes.byref(fd), 0, 0)
if pid == 0:
    signal.pause()
os.set_blocking(fd.value, False)
print("busy", wait_pidfd(fd.value, 4), wait_pidfd(fd.value, 5)[0])
signal.pidfd_send_signal(fd.value, signal.SIGKILL)
select.select([fd.value], [], [])
print("killed", wait_pidfd(fd.value, 4))
print("both", call(CLONE, CLONE_PIDFD | CLONE_PARENT_SETTID | signal.SIGCHLD, 0, ctypes.byref(fd), 0, 0))
print("fault", call(CLONE, CLONE_PIDFD | signal.SIGCHLD, 0, 8, 0, 0))

shared = mmap.mmap(-1, 4096)
mutex = ctypes.byref(ctypes.c_char.from_buffer(shared))
attributes = (ctypes.c_char * 64)()
libc.pthread_mutexattr_init(attributes)
libc.pthread_mutexattr_setpshared(attributes, 1)
libc.pthread_mutexattr_setrobust(attributes, 1)
libc.pthread_mutex_init(mutex, attributes)
ready, tell = os.pipe()
pid = os.fork()
if pid == 0:
    libc.pthread_mutex_lock(mutex)
    os.write(tell, b".")
    signal.pause()
os.read(ready, 1)
print("held", errno.errorcode[libc.pthread_mutex_trylock(mutex)])
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
print("owner died", errno.errorcode[libc.pthread_mutex_lock(mutex)], libc.pthread_mutex_consistent(mutex), libc.pthread_mutex_unlock(mutex), libc.pthread_mutex_lock(mutex))
END
if [ "$(id -u)" = 0 ]; then
    cp /usr/bin/id own; chown 1234:4321 own; chmod 6755 own; chmod 755 .
    setpriv --reuid 1000 --regid 1000 --clear-groups ./own | tr ' ' '\n' | sed 's/([^)]*)//'
    setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs ./own | tr ' ' '\n' | sed 's/([^)]*)//'
fi
