# epoll, event loops, unix sockets, child watchers, signals.
python3 -c '
import asyncio, os, signal, sys
async def echo(reader, writer):
    while data := await reader.read(100): writer.write(data.upper()); await writer.drain()
    writer.close()
async def main():
    path = os.path.join(os.environ["WORK"], "socket")
    server = await asyncio.start_unix_server(echo, path)
    async def client(n):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(f"client {n}".encode()); data = await reader.readexactly(8)
        writer.close(); return data
    print(sorted(await asyncio.gather(*(client(n) for n in range(9)))))
    server.close()
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"through cat"), p.returncode)
    done = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set)
    os.kill(os.getpid(), signal.SIGUSR1); await asyncio.wait_for(done.wait(), 5); print("signalled")
    try: await asyncio.wait_for(asyncio.sleep(60), 0.05)
    except asyncio.TimeoutError: print("timed out")
    q = asyncio.Queue()
    async def produce():
        for i in range(5): await q.put(i); await asyncio.sleep(0.001)
    asyncio.ensure_future(produce()); print([await q.get() for _ in range(5)])
asyncio.run(main())
'
