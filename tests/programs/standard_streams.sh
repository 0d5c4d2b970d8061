# Standard streams and pipes by their names, and writers without readers.
seq 5 | cat
echo one > /dev/stdout; echo two >> /proc/self/fd/1; echo three > /dev/stderr
stat -L -c %F /dev/stdout; test -p /dev/stderr && echo "standard error is a pipe"
test "$(stat -L -c %i /proc/$$/fd/1)" != "$(stat -L -c %i /proc/$$/fd/2)" && echo "each its own"
echo through a name | cat /dev/stdin
(readlink /proc/self/fd/0; readlink /proc/self/fd/1) < /dev/null | sed 's/[0-9][0-9]*/N/'
bash -c 'cat <(echo a) <(echo b); yes | head -n 1; echo "${PIPESTATUS[0]}"' 2>&1
until_exists() { while [ ! -e "$1" ]; do sleep 0.01; done; }
(trap '' PIPE; until_exists closed; echo lost || echo failed > outcome) 2> /dev/null | { exec <&-; : > closed; }; cat outcome
mkfifo fifo; (read -r line < fifo; echo "$line"; : > gone) &
(trap '' PIPE; exec > fifo; echo first; until_exists gone; echo second || echo failed >&3) 3>&1 2> /dev/null
wait
python3 - <<'END'
import os, signal, socket
signal.signal(signal.SIGPIPE, lambda *_: print("SIGPIPE"))
def send(label, call):
    try:
        call()
        print(label, "sent")
    except OSError as error:
        print(label, error.strerror)
reader, writer = os.pipe()
os.close(reader)
send("pipe", lambda: os.write(writer, b"x"))
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    other.close()
    send("write", lambda: os.write(one.fileno(), b"x"))
    send("send", lambda: one.send(b"x"))
    send("quiet", lambda: one.send(b"x", socket.MSG_NOSIGNAL))
again = os.open(f"/proc/self/fd/{os.pipe()[1]}", os.O_WRONLY)
print(os.readlink(f"/proc/self/fd/{again}")[:6], oct(os.fstat(again).st_mode), os.fstat(again).st_uid == os.getuid())
print(os.readlink(f"/proc/self/fd/{os.memfd_create('memory')}"))
END
