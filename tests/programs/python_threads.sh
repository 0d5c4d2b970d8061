# Threads, locks, queues, condition variables.
case ${SANDBOX_TEST_SIZE-} in small) items=500 ;; *) items=10000 ;; esac
python3 -c '
import sys
import threading, queue, concurrent.futures, time
work = queue.Queue(); total = 0; lock = threading.Lock()
def worker():
    global total
    while (item := work.get()) is not None:
        with lock: total += item
threads = [threading.Thread(target=worker) for _ in range(8)]
for t in threads: t.start()
for i in range(int(sys.argv[1])): work.put(i)
for _ in threads: work.put(None)
for t in threads: t.join()
print(total)
with concurrent.futures.ThreadPoolExecutor(4) as pool: print(sum(pool.map(lambda n: n * n, range(1000))))
event = threading.Event(); threading.Timer(0.05, event.set).start(); print(event.wait(10))
barrier = threading.Barrier(3); out = []
ts = [threading.Thread(target=lambda: out.append(barrier.wait())) for _ in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out))
start = time.monotonic(); time.sleep(0.05); print(time.monotonic() - start >= 0.05)
' "$items"
