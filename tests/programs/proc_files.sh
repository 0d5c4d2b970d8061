# What /proc tells of a process follows what the process does.
python3 -u - <<'END'
import ctypes, errno, os, re, resource, signal, struct, subprocess

libc = ctypes.CDLL(None, use_errno=True)

def read(path):
    with open(path) as file:
        return file.read()

def fields(path):
    return dict(line.split(":", 1) for line in read(path).splitlines() if ":" in line)

def attempt(label, action):
    try:
        print(label, action())
    except OSError as error:
        print(label, errno.errorcode[error.errno])

def write(path, text):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)

def in_child(action):
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    os.waitpid(child, 0)


adjustment = "/proc/self/oom_score_adj"
attempt("adjust", lambda: write(adjustment, "500"))
in_child(lambda: print("inherited", read(adjustment).strip(), flush=True))
attempt("too much", lambda: write(adjustment, "1001"))
attempt("no number", lambda: write(adjustment, "x"))

def unprivileged():
    descriptor = os.open(adjustment, os.O_WRONLY)
    os.setuid(65534)
    own = os.open("/proc/thread-self/oom_score_adj", os.O_RDONLY)
    print("still", os.read(own, 20).decode().strip(), flush=True)

in_child(unprivileged)
print("score", 0 <= int(read("/proc/self/oom_score")) <= 2000)

before = fields("/proc/self/io")
reader, writer = os.pipe()
os.write(writer, b"x" * 1000)
os.read(reader, 1000)
after = fields("/proc/self/io")
print("written", int(after["wchar"]) - int(before["wchar"]), int(after["syscw"]) - int(before["syscw"]))
print("read", int(after["rchar"]) - int(before["rchar"]) >= 1000)

auxiliary = open("/proc/self/auxv", "rb").read()
pairs = dict(struct.iter_unpack("QQ", auxiliary))
print("auxv", pairs[6], pairs[17], pairs[11], pairs[0], all(key in pairs for key in (3, 4, 5, 7, 9, 25, 31, 33)))

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
print([line.split() for line in read("/proc/self/limits").splitlines() if line.startswith("Max open")])

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
os.kill(os.getpid(), signal.SIGUSR1)
status = fields("/proc/self/status")
print("pending", status["ShdPnd"].strip(), status["SigBlk"].strip(), int(status["SigQ"].split("/")[0]) >= 1)
signal.sigtimedwait({signal.SIGUSR1}, 0)
names = """Name Umask State Tgid Pid PPid TracerPid Uid Gid FDSize Groups VmSize VmRSS VmHWM RssAnon VmData VmStk VmPTE
    Threads SigQ SigPnd ShdPnd SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Cpus_allowed
    Cpus_allowed_list voluntary_ctxt_switches nonvoluntary_ctxt_switches""".split()
print("missing", [name for name in names if name not in status])
print("resident", int(status["VmRSS"].split()[0]) > 1000, status["Threads"].strip(), status["NoNewPrivs"].strip())

def restrict():
    libc.prctl(38, 1, 0, 0, 0)
    print("restricted", fields("/proc/self/status")["NoNewPrivs"].strip(), flush=True)

in_child(restrict)
os.sched_setaffinity(0, {0})
status = fields("/proc/self/status")
print("affinity", status["Cpus_allowed"].strip().lstrip("0,"), status["Cpus_allowed_list"].strip())

libc.prctl(29, 12345, 0, 0, 0)
print("slack", read("/proc/self/timerslack_ns").strip(), libc.prctl(30, 0, 0, 0, 0))
before_nice = os.nice(0)
stat = read("/proc/self/stat").rsplit(")", 1)[1].split()
print("nice", int(stat[16]) == before_nice, int(stat[15]) - int(stat[16]), "exit signal", stat[35])

rollup = fields("/proc/self/smaps_rollup")
kib = {name: int(rollup[name].split()[0]) for name in ("Rss", "Pss", "Anonymous", "Private_Dirty")}
print("rollup", 0 < kib["Pss"] <= kib["Rss"], 0 < kib["Anonymous"] <= kib["Rss"])

for kind in "cgroup ipc mnt net pid user uts".split():
    link = os.readlink("/proc/self/ns/" + kind)
    inode = int(re.fullmatch(kind + r":\[(\d+)\]", link)[1])
    print(kind, os.stat("/proc/self/ns/" + kind).st_ino == inode, link == os.readlink(f"/proc/{os.getppid()}/ns/{kind}"))

child = subprocess.Popen(["cat"], env={"MARK": "seen"}, stdin=subprocess.PIPE)
child.stdin.flush()
while b"cat" not in open(f"/proc/{child.pid}/cmdline", "rb").read():
    pass
print("environ", open(f"/proc/{child.pid}/environ", "rb").read())
child.stdin.close()
child.wait()

for name in """kernel/pid_max kernel/threads-max kernel/ngroups_max kernel/cap_last_cap fs/file-max fs/nr_open vm/overcommit_memory
    vm/max_map_count kernel/random/entropy_avail net/core/somaxconn""".split():
    print(name, int(read("/proc/sys/" + name)) >= 0)
first, second = read("/proc/sys/kernel/random/uuid"), read("/proc/sys/kernel/random/uuid")
print("uuid", len(first), first != second)
print("boot", read("/proc/sys/kernel/random/boot_id") == read("/proc/sys/kernel/random/boot_id"))

mounts = {}
for line in read("/proc/self/mountinfo").splitlines():
    left, right = line.split(" - ")
    mounts[left.split()[4]] = (left.split(), right.split())
print("proc", mounts["/proc"][1][0], mounts["/proc"][0][3], len(mounts["/"][1]))
major, minor = map(int, mounts["/proc"][0][2].split(":"))
print("device", os.stat("/proc/self").st_dev == os.makedev(major, minor))

memory = fields("/proc/meminfo")
kib = {name: int(value.split()[0]) for name, value in memory.items()}
print("memory", 0 < kib["MemFree"] <= kib["MemTotal"], 0 < kib["MemAvailable"] <= kib["MemTotal"], kib["AnonPages"] > 0, kib["PageTables"] > 0)
flags = fields("/proc/cpuinfo")["flags\t\t"].split()
print("processor", "sse2" in flags, "fpu" in flags)
END
