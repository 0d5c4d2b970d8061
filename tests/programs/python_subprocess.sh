# Children, pipes, groups, time-outs, multiprocessing.
python3 -c '
import subprocess, os, signal, multiprocessing, sys, tempfile
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"shout\n", capture_output=True).stdout)
print(subprocess.run("exit 5", shell=True).returncode)
p = subprocess.Popen(["sleep", "100"]); p.send_signal(signal.SIGTERM); print(p.wait())
try: subprocess.run(["sleep", "100"], timeout=0.1)
except subprocess.TimeoutExpired: print("timed out")
try: subprocess.run(["/no/such/program"])
except FileNotFoundError as e: print(e.errno)
big = subprocess.run(["head", "-c", "3000000", "/dev/zero"], capture_output=True).stdout; print(len(big))
r, w = os.pipe(); pid = os.fork()
if pid == 0: os.write(w, b"child"); os._exit(9)
os.close(w); print(os.read(r, 100)); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
p = subprocess.Popen("cat; echo end", shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
print(p.communicate(b"abc\n")[0], os.getpgid(0) == os.getpgrp())
def square(n): return n * n
with multiprocessing.get_context("fork").Pool(3) as pool: print(pool.map(square, range(10)))
'
