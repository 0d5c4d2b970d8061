# Handlers, default actions, ignored signals, statuses.
trap 'echo got USR1' USR1; kill -USR1 $$
trap '' TERM; kill -TERM $$; echo "survived TERM"
sh -c 'trap "echo cleanup" EXIT; kill -INT $$; echo not reached' || echo "status $?"
for signal in HUP INT QUIT KILL SEGV PIPE ALRM TERM; do
    sh -c "trap - $signal; ulimit -c 0; kill -$signal \$\$" 2>/dev/null || echo "$signal $?"
done
bash -c 'ulimit -c 0; kill -QUIT $$' 2>/dev/null || echo "bash $?"
trap - TERM
sleep 100 & child=$!; kill -STOP $child; kill -CONT $child; kill $child; wait $child || echo "child $?"
yes | head -n 1
timeout 0.2 sleep 10 || echo "timeout $?"
