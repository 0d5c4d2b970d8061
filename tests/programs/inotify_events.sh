# What inotify tells of files and directories.
python3 -u - <<'END'
import ctypes, errno, os, select, struct, threading, time

libc = ctypes.CDLL(None, use_errno=True)
NAMES = {1: "ACCESS", 2: "MODIFY", 4: "ATTRIB", 8: "CLOSE_WRITE", 16: "CLOSE_NOWRITE", 32: "OPEN", 64: "MOVED_FROM", 128: "MOVED_TO",
         256: "CREATE", 512: "DELETE", 1024: "DELETE_SELF", 2048: "MOVE_SELF", 0x4000: "Q_OVERFLOW", 0x8000: "IGNORED", 1 << 30: "ISDIR"}
ALL, ONLYDIR, DONT_FOLLOW, EXCL, CREATE, ADD, ONESHOT = 0xfff, 1 << 24, 1 << 25, 1 << 26, 1 << 28, 1 << 29, 1 << 31

def check(result):
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]

def watch(instance, path, mask):
    return check(libc.inotify_add_watch(instance, path.encode(), ctypes.c_uint32(mask)))

instance = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
cookies = {}

def events(label):
    print("--", label)
    while True:
        try:
            data = os.read(instance, 65536)
        except BlockingIOError:
            return
        while data:
            watch, mask, cookie, length = struct.unpack_from("iIII", data)
            name = data[16:16 + length]
            data = data[16 + length:]
            known = "+".join(NAMES[bit] for bit in NAMES if mask & bit)
            move = cookies.setdefault(cookie, len(cookies)) if cookie else "-"
            print(watch, known, move, name.rstrip(b"\0").decode(), len(name))

print(os.path.basename(os.readlink(f"/proc/self/fd/{instance}")))
os.mkdir("watched")
os.mkdir("other")
print(watch(instance, "watched", ALL), watch(instance, "missing", ALL), watch(instance, "watched", 0), watch(0, "watched", ALL))
print(select.select([instance], [], [], 0)[0])
with open("watched/file", "w") as file:
    file.write("text")
print(len(select.select([instance], [], [], 0)[0]))
events("write")
with open("watched/file") as file:
    file.read()
events("read")
os.chmod("watched/file", 0o600)
os.utime("watched/file", (1, 1))
events("attributes")
os.truncate("watched/file", 1)
events("truncate")
os.link("watched/file", "watched/a-name-of-more-than-sixteen-bytes")
os.symlink("file", "watched/symbolic")
events("link")
os.mkdir("watched/folder")
os.listdir("watched/folder")
os.rmdir("watched/folder")
events("directories")
os.rename("watched/file", "watched/moved")
events("rename inside")
os.rename("watched/moved", "other/moved")
events("rename out")
os.rename("other/moved", "watched/back")
events("rename in")
print(watch(instance, "watched/back", ALL))
os.rename("watched/back", "watched/again")
events("rename watched")
os.unlink("watched/a-name-of-more-than-sixteen-bytes")
events("one link of two")
os.unlink("watched/again")
events("last link")
open("watched/one", "w").close()
open("watched/two", "w").close()
events("two files")
print(watch(instance, "watched/two", ALL))
os.rename("watched/one", "watched/two")
events("replace")
print(watch(instance, "watched/symbolic", ONLYDIR | ALL | DONT_FOLLOW), watch(instance, "watched/two", ONLYDIR | ALL))
print(watch(instance, "watched", CREATE | ALL), watch(instance, "watched", CREATE | ADD | ALL))
print(watch(instance, "watched", 256), watch(instance, "watched", ADD | 512))
os.mkdir("watched/x")
os.chmod("watched/x", 0o700)
os.rmdir("watched/x")
events("fewer")
print(watch(instance, "other", ONESHOT | ALL))
os.mkdir("other/once")
os.mkdir("other/twice")
events("once")
print(check(libc.inotify_rm_watch(instance, 1)), check(libc.inotify_rm_watch(instance, 1)))
events("removed")
print(watch(instance, "other", ALL))
descriptor = os.open("other/three", os.O_CREAT | os.O_RDWR)
os.write(descriptor, b"1")
os.pwrite(descriptor, b"2", 1)
os.ftruncate(descriptor, 1)
os.fchmod(descriptor, 0o600)
os.pread(descriptor, 1, 0)
os.close(descriptor)
events("descriptor")
print("inode watches", watch(instance, "/", 0x400) > 0)
for entry in ("once", "twice"):
    os.rmdir("other/" + entry)
os.unlink("other/three")
events("empty")
os.rmdir("other")
events("self")

os.mkdir("busy")
os.set_blocking(instance, True)
watch(instance, "busy", 256)
def later():
    time.sleep(0.05)
    os.mkdir("busy/late")
threading.Thread(target=later).start()
print(len(os.read(instance, 4096)))
os.mkdir("busy/next")
try:
    os.read(instance, 16)
except OSError as error:
    print(errno.errorcode[error.errno])
count = ctypes.c_int()
libc.ioctl(instance, 0x541b, ctypes.byref(count))
print(count.value)
END
