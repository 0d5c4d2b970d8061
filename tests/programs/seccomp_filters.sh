# Filters of system calls (seccomp(2)): what is refused, actions, several filters, threads, children.
python3 -u - <<'END'
import ctypes, errno, os, signal, struct, threading

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
GETPPID, GETGID, UMASK, PRCTL, SECCOMP = 110, 104, 95, 157, 317
ALLOW, LOG, TRACE, ERRNO, TRAP, KILL, KILL_PROCESS = (
    0x7fff0000, 0x7ffc0000, 0x7ff00000, 0x50000, 0x30000, 0, 0x80000000)

def call(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else errno.errorcode.get(ctypes.get_errno(), ctypes.get_errno())

def instruction(code, operand, then=0, otherwise=0):
    return struct.pack("<HBBI", code, then, otherwise, operand)

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

def program(*code):
    return ctypes.byref(Program(len(code), b"".join(code)))

def answer(number, verdict):
    """Answers the call `number` with `verdict` and allows all others."""
    return program(instruction(0x20, 0), instruction(0x15, number, 0, 1),
                   instruction(0x06, verdict), instruction(0x06, ALLOW))

def install(code, flags=0):
    return call(SECCOMP, 1, flags, code)

def status():
    with open("/proc/thread-self/status") as lines:
        return [int(line.split()[1]) for line in lines if line.startswith("Seccomp")]

def child(action):
    pid = os.fork()
    if pid == 0:
        call(PRCTL, 38, 1, 0, 0, 0)
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

# What is not a filter.
def refused():
    end = instruction(0x06, ALLOW)
    print("empty", install(program()), "no code", call(SECCOMP, 1, 0, ctypes.byref(Program(1, None))))
    print("nowhere", call(SECCOMP, 1, 0, 8))
    for code in [(instruction(0, 0),), (instruction(0x20, 64), end), (instruction(0x20, 3), end),
                 (instruction(0x28, 0), end), (instruction(0x34, 0), end), (instruction(0x94, 2), end),
                 (instruction(0x60, 0), end), (instruction(5, 1), end), (instruction(0x64, 32), end)]:
        print(install(program(*code)), end=" ")
    print(install(program(end), 1 << 20), call(SECCOMP, 9, 0, 0), call(SECCOMP, 0, 1, 0))
    print("mode", call(PRCTL, 21, 0, 0, 0, 0), status(), call(PRCTL, 22, 7, 0, 0, 0))
    for action in [ALLOW, LOG, TRACE, ERRNO, TRAP, KILL, KILL_PROCESS, 0x12340000]:
        print(call(SECCOMP, 2, 0, ctypes.byref(ctypes.c_uint(action))), end=" ")
    print()
child(refused)

# Errors, and which of several filters counts.
def errors():
    print("errno", install(answer(GETGID, ERRNO | 5)), call(GETGID), call(GETPPID) > 0, status())
    print("zero", install(answer(UMASK, ERRNO)), call(UMASK, 0o22))
    print("later of equals", install(answer(GETGID, ERRNO | 6)), call(GETGID), status())
    print("weaker", install(answer(GETGID, LOG)), call(GETGID))
    print("trace", install(answer(GETPPID, TRACE | 3)), call(GETPPID), call(PRCTL, 21, 0, 0, 0, 0))
    print("strict now", call(SECCOMP, 0, 0, 0))
    print("child", child(lambda: print("inherited", call(GETGID), status())))
    print("program", os.system("grep Seccomp /proc/self/status"))
    print("prctl", call(PRCTL, 22, 2, answer(UMASK, ERRNO | 7), 0, 0), call(UMASK, 0))
child(errors)

# Arguments and the large numbers.
def arguments():
    by_argument = program(instruction(0x20, 0), instruction(0x15, UMASK, 0, 3), instruction(0x20, 16),
                          instruction(0x15, 0o77, 0, 1), instruction(0x06, ERRNO | 9), instruction(0x06, ALLOW))
    print("argument", install(by_argument), call(UMASK, 0o77), call(UMASK, 0o22) != "EBADF", call(100000))
child(arguments)

# A signal instead of the call.
def trapped():
    class Information(ctypes.Structure):
        _fields_ = [("signal", ctypes.c_int), ("errno", ctypes.c_int), ("code", ctypes.c_int),
                    ("pad", ctypes.c_int), ("address", ctypes.c_void_p), ("number", ctypes.c_int), ("arch", ctypes.c_uint)]
    def handler(number, information, context):
        i = information.contents
        print("SIGSYS", i.signal, i.errno, i.code, bool(i.address), i.number, hex(i.arch))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(Information), ctypes.c_void_p)
    kept = kind(handler)
    class Action(ctypes.Structure):
        _fields_ = [("handler", kind), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]
    libc.sigaction(31, ctypes.byref(Action(kept, (ctypes.c_ulong * 16)(), 4, None)), None)
    install(answer(GETGID, TRAP | 77))
    print("after", libc.syscall(ctypes.c_long(GETGID)))
child(trapped)
print("unhandled", child(lambda: (install(answer(GETGID, TRAP)), call(GETGID))))

# Ends.
print("kill process", child(lambda: (install(answer(GETGID, KILL_PROCESS)), call(GETGID))))
print("kill thread", child(lambda: (install(answer(GETGID, KILL)), call(GETGID))))
print("unknown action", child(lambda: (install(answer(GETGID, 0x12340000)), call(GETGID))))
print("strict", child(lambda: (os.write(1, b"strict mode\n"), call(SECCOMP, 0, 0, 0), os.write(1, b"still writes\n"), call(GETGID))))

# Threads: one filter for all, or none if one has its own.
def threads():
    ready, go, seen = threading.Barrier(2), threading.Barrier(2), []
    def work():
        ready.wait()
        go.wait()
        seen.append((call(GETGID), status()))
    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    print("all threads", install(answer(GETGID, ERRNO | 5), 1))
    go.wait()
    thread.join()
    print("seen", seen)
    def diverge():
        install(answer(UMASK, ERRNO | 5))
        ready.wait()
        go.wait()
    thread = threading.Thread(target=diverge)
    thread.start()
    ready.wait()
    print("diverged", install(answer(GETPPID, ERRNO), 1) == thread.native_id, install(answer(GETPPID, ERRNO), 17))
    go.wait()
    thread.join()
child(threads)

# Without no_new_privs it takes CAP_SYS_ADMIN.
def unprivileged():
    pid = os.fork()
    if pid == 0:
        os.setresuid(1, 1, 1)
        print("unprivileged", install(answer(GETGID, ERRNO)))
        os._exit(0)
    os.waitpid(pid, 0)
unprivileged()
END
