# Signals and processes as files, memory of other processes, barriers, futex_waitv.
python3 -u - <<'END'
import ctypes, errno, os, select, signal, struct, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]

SIGNALFD4, MEMBARRIER, FUTEX_WAITV, UNSHARE, SETNS, READV, WRITEV, GETFD = 289, 324, 449, 272, 308, 310, 311, 438

def mask(*signals):
    return ctypes.byref(ctypes.c_uint64(sum(1 << (number - 1) for number in signals)))

def child(action):
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    return pid

# signalfd: blocked signals are read, poll and epoll tell, fork reads the child's own.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGRTMIN})
signals = call(SIGNALFD4, -1, mask(signal.SIGUSR1, signal.SIGCHLD, signal.SIGRTMIN), 8, os.O_NONBLOCK | os.O_CLOEXEC)
def read_signals():
    try:
        data = os.read(signals, 1024)
    except BlockingIOError:
        return "nothing"
    records = [data[at:at + 128] for at in range(0, len(data), 128)]
    names = []
    for record in records:
        number, _, code, pid, uid = struct.unpack_from("IiiII", record)
        status, value = struct.unpack_from("ii", record, 40)
        known = {os.getpid(): "self", os.getppid(): "parent"}.get(pid, "other")
        names.append((number, code, known, status, value))
    return names
print(read_signals())
epoll = select.epoll()
epoll.register(signals, select.EPOLLIN)
print("quiet", epoll.poll(0))
os.kill(os.getpid(), signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1)
print("ready", [events for _, events in epoll.poll(5)])
print(read_signals(), read_signals())
pid = child(lambda: os._exit(7))
print("child", [events for _, events in epoll.poll(5)], read_signals())
os.waitpid(pid, 0)
def in_child():
    os.kill(os.getpid(), signal.SIGUSR1)
    print("in child", read_signals())
os.waitpid(child(in_child), 0)
print("after child", [number for number, *_ in read_signals()])
print("short", call(SIGNALFD4, -1, mask(), 4, 0), call(SIGNALFD4, 0, mask(), 8, 0), call(SIGNALFD4, -1, mask(), 8, 1))
call(SIGNALFD4, signals, mask(signal.SIGUSR1), 8, 0)
print("fdinfo", [line for line in open(f"/proc/self/fdinfo/{signals}") if line.startswith("sigmask")])
def later():
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGUSR1)
os.set_blocking(signals, True)
threading.Thread(target=later).start()
print("waited", read_signals())

# pidfd
reader, writer = os.pipe()
pid = child(lambda: os.read(reader, 1))
process = os.pidfd_open(pid)
print("alive", select.select([process], [], [], 0)[0])
print("probe", signal.pidfd_send_signal(process, 0))
duplicate = call(GETFD, process, reader, 0)
print("same pipe", os.fstat(duplicate).st_ino == os.fstat(writer).st_ino, os.get_inheritable(duplicate))
signal.pidfd_send_signal(process, signal.SIGTERM)
print("ended", len(select.select([process], [], [], 5)[0]))
print("status", os.WTERMSIG(os.waitpid(pid, 0)[1]))
for action in (lambda: signal.pidfd_send_signal(process, 0), lambda: os.pidfd_open(pid), lambda: os.pidfd_open(0),
               lambda: signal.pidfd_send_signal(reader, 0)):
    try:
        print(action())
    except OSError as error:
        print(errno.errorcode[error.errno])
print(call(GETFD, process, 0, 0), call(434, os.getpid(), 1))

# Memory of another process
buffer = ctypes.create_string_buffer(b"parent's", 64)
address = ctypes.addressof(buffer)
ready, go = os.pipe(), os.pipe()
def change():
    buffer.value = b"child's"
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    print("child sees", buffer.value)
pid = child(change)
os.read(ready[0], 1)
into = ctypes.create_string_buffer(64)
def vector(address, length):
    return (ctypes.c_uint64 * 2)(address, length)
print("read", call(READV, pid, vector(ctypes.addressof(into), 7), 1, vector(address, 64), 1, 0), into.value)
fresh = ctypes.create_string_buffer(b"written", 64)
print("write", call(WRITEV, pid, vector(ctypes.addressof(fresh), 8), 1, vector(address, 8), 1, 0))
print("bad", call(READV, pid, vector(ctypes.addressof(into), 7), 1, vector(16, 7), 1, 0),
      call(READV, pid, vector(ctypes.addressof(into), 7), 1, vector(address, 7), 1, 1),
      call(READV, 4000000, vector(ctypes.addressof(into), 7), 1, vector(address, 7), 1, 0))
os.write(go[1], b"x")
os.waitpid(pid, 0)
def forbidden():
    os.setgid(65534)
    os.setuid(65534)
    print("stranger", call(READV, os.getppid(), vector(ctypes.addressof(into), 7), 1, vector(address, 7), 1, 0))
os.waitpid(child(forbidden), 0)

# membarrier
print("barriers", call(MEMBARRIER, 0, 0, 0) & 0x1f, call(MEMBARRIER, 8, 0, 0), call(MEMBARRIER, 16, 0, 0), call(MEMBARRIER, 8, 0, 0),
      call(MEMBARRIER, 1, 0, 0), call(MEMBARRIER, 0, 1, 0), call(MEMBARRIER, 1 << 20, 0, 0))

# futex_waitv
words = (ctypes.c_uint32 * 2)(1, 2)
def waitv(expected, timeout=None):
    entries = b"".join(struct.pack("QQII", value, ctypes.addressof(words) + 4 * index, 2 | 128, 0) for index, value in enumerate(expected))
    return call(FUTEX_WAITV, ctypes.create_string_buffer(entries), len(expected), 0, timeout, 1)
def wake():
    time.sleep(0.05)
    call(202, ctypes.byref(words, 4), 129, 1, None, None, 0)
threading.Thread(target=wake).start()
print("woken", waitv([1, 2]))
now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 10_000_000
timeout = (ctypes.c_int64 * 2)(now // 10**9, now % 10**9)
print("values", waitv([1, 3]), waitv([1, 2], timeout), waitv([]))

# unshare and setns
def alone():
    print("unshare", call(UNSHARE, 0x400 | 0x200), call(UNSHARE, 1 << 40), call(UNSHARE, 0x10000))
    os.chdir("/usr")
os.waitpid(child(alone), 0)
namespace = os.open("/proc/self/ns/uts", os.O_RDONLY)
print("setns", call(SETNS, namespace, 0x8000000), call(SETNS, reader, 0))
def unprivileged():
    os.setuid(65534)
    print("setns", call(SETNS, namespace, 0x4000000), call(SETNS, namespace, 0), "unshare", call(UNSHARE, 0x4000000))
os.waitpid(child(unprivileged), 0)
END
