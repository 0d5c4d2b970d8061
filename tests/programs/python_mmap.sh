# Shared and private mappings, of files and anonymous, across fork.
python3 -c '
import mmap, os
with open("file", "wb+") as f:
    f.write(b"\0" * 100000); f.flush()
    shared = mmap.mmap(f.fileno(), 0); shared[0:5] = b"hello"; shared[99990:99995] = b"world"; shared.flush()
    f.seek(0); data = f.read(); print(data[:5], data[99990:99995], len(data))
    private = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); private[0:5] = b"WRITE"; f.seek(0); print(f.read(5), private[:5])
    os.pwrite(f.fileno(), b"direct", 50000); print(shared[50000:50006])
    shared.resize(200000); shared[199999] = 65; print(os.path.getsize("file"))
anonymous = mmap.mmap(-1, 1 << 20)
pid = os.fork()
if pid == 0: anonymous[12345] = 99; os._exit(0)
os.waitpid(pid, 0); print(anonymous[12345])
big = bytearray(64 << 20); big[::4096] = b"y" * (len(big) // 4096); pid = os.fork()
if pid == 0: big[0] = 1; os._exit(big[4096])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), big[0])
'
