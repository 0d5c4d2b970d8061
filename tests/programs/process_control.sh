# prctl, scheduling, random numbers, copies within the kernel, and how each refuses nonsense.
python3 -u - <<'END'
import ctypes, errno, os, signal, stat, sys, time

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]

def prctl(*arguments):
    return call(157, *arguments, *[0] * (5 - len(arguments)))

def child(action):
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

# prctl(2)
name = ctypes.create_string_buffer(16)
print("name", prctl(15, ctypes.create_string_buffer(b"a name longer than fifteen")), prctl(16, name), name.value, prctl(15, 8))
number = ctypes.c_int(7)
print("death", prctl(1, 99), prctl(1, 10), prctl(2, ctypes.byref(number)), number.value, prctl(1, 0))
print("dumpable", prctl(3), prctl(4, 0), prctl(3), prctl(4, 3), prctl(4, 1))
print("keepcaps", prctl(7), prctl(8, 2), prctl(8, 1), prctl(7), prctl(8, 0))
print("subreaper", prctl(36, 1), prctl(37, ctypes.byref(number)), number.value)
print("bounding", prctl(23, 0) in (0, 1), prctl(23, 63), prctl(24, 63))
print("securebits", prctl(27))
print("ambient", prctl(47, 4), prctl(47, 1, 5), prctl(47, 9, 5), prctl(47, 1, 63))
print("seccomp", prctl(21), "huge pages", prctl(42), "unknown", prctl(9999), prctl(38, 0), prctl(38, 1, 1))
def restricted():
    print("restricted", prctl(38, 1), prctl(39), prctl(38, 0), flush=True)
    child(lambda: print("inherited", prctl(39), flush=True))
child(restricted)

# An orphan gets the subreaper as its parent.
reader, writer = os.pipe()
def middle():
    if os.fork() == 0:
        while os.getppid() != main:
            time.sleep(0.001)
        os.write(writer, b"adopted")
        os._exit(0)
main = os.getpid()
child(middle)
print(os.read(reader, 100), os.waitpid(-1, 0)[1], prctl(36, 0))

# Scheduling
print("policy", call(145, 0), call(145, -1), call(145, 4000000), call(146, 1), call(147, 1), call(146, 99), call(144, 0, 99, ctypes.byref(number)))
print("nice", call(140, 0, 0), call(140, 9, 0), call(140, 0, 4000000))
print("affinity", len(os.sched_getaffinity(0)) > 0, call(203, 0, 8, ctypes.byref(ctypes.c_uint64(0))), call(204, 0, 1, name))
print("ioprio", call(252, 1, 0) in (0, 4), call(251, 1, 0, 2 << 13 | 3), call(252, 1, 0), call(251, 1, 0, 9 << 13), call(252, 9, 0))
print("interval", call(148, 0, ctypes.create_string_buffer(16)))

# getrandom(2)
buffer = ctypes.create_string_buffer(300)
print("random", call(318, buffer, 256, 0), call(318, buffer, 16, 1), call(318, buffer, 16, 8), call(318, 8, 16, 0), buffer.raw[:256] != bytes(256))

# close_range(2)
low = os.dup(0)
high = os.dup(0)
print("range", call(436, low, low, 4), os.get_inheritable(low), call(436, low, high, 0), call(436, 9, 8, 0), call(436, 8, 9, 1))

# Copies
with open("source", "wb") as file:
    file.write(bytes(range(256)) * 40)
source = os.open("source", os.O_RDWR)
target = os.open("target", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
offset = ctypes.c_int64(100)
print("copy", call(326, source, ctypes.byref(offset), target, None, 1000, 0), offset.value, os.lseek(target, 0, 1), call(326, source, None, target, None, 1, 1))
print("copy", call(326, source, None, 0 if os.isatty(0) else reader, None, 10, 0), call(326, target, None, source, None, 0, 0))
print("self", call(326, source, ctypes.byref(ctypes.c_int64(0)), source, ctypes.byref(ctypes.c_int64(10)), 100, 0),
      call(326, source, ctypes.byref(ctypes.c_int64(0)), source, ctypes.byref(ctypes.c_int64(5000)), 100, 0))
offset = ctypes.c_int64(5)
print("sendfile", call(40, target, source, ctypes.byref(offset), 50), offset.value, call(40, target, reader, None, 5), call(40, reader, source, None, 5))
print("splice", call(275, source, ctypes.byref(offset), writer, None, 300, 0), offset.value, call(275, reader, None, target, None, 100, 0),
      call(275, source, None, target, None, 5, 0), call(275, reader, ctypes.byref(offset), target, None, 5, 0), len(os.read(reader, 1000)),
      call(275, reader, None, target, None, 5, 2))
print("size", os.fstat(target).st_size)

# Places in files
hole = os.open("hole", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
print("allocate", call(285, hole, 0, 0, 10000), os.fstat(hole).st_size, call(285, hole, 1, 10000, 5000), os.fstat(hole).st_size,
      call(285, hole, 0, 0, 0), call(285, hole, 0, -1, 5), call(285, reader, 0, 0, 5), call(285, hole, 2, 0, 5))
os.pwrite(hole, b"x" * 10000, 0)
print("punch", call(285, hole, 3, 4096, 4096), os.pread(hole, 4, 4094), os.fstat(hole).st_size)
print("flags", call(437, -100, b"hole", ctypes.create_string_buffer(24), 8), call(437, -100, b"hole", (ctypes.c_uint64 * 3)(1 << 40, 0, 0), 24),
      call(437, -100, b"hole", (ctypes.c_uint64 * 3)(0, 0o600, 0), 24), call(437, -100, b"../x", (ctypes.c_uint64 * 3)(0, 0, 8), 24),
      call(437, -100, b"/etc", (ctypes.c_uint64 * 3)(0, 0, 8), 24), call(437, -100, b"hole", (ctypes.c_uint64 * 4)(0, 0, 0, 1), 32))
os.symlink("hole", "to-hole")
print("links", call(437, -100, b"to-hole", (ctypes.c_uint64 * 3)(0, 0, 4), 24), call(437, -100, b"/proc/self/exe", (ctypes.c_uint64 * 3)(0, 0, 2), 24))
END
