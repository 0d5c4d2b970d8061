# Background jobs, process groups, nested shells.
set -m
for i in 1 2 3; do (sleep 0.0$i; echo "job $i" > "job$i") & done; wait; cat job1 job2 job3
sh -c 'exit 4' & wait $! || echo "status $?"
mkfifo pipe; (echo through the fifo > pipe) & cat pipe; wait
i=0; while [ $i -lt 200 ]; do i=$((i + 1)); /bin/true; done; echo "$i children"
seq 1 20000 | tee copy | tail -n 1; wc -l < copy
(sleep 100 & echo $! > pid; wait) & while [ ! -s pid ]; do :; done; kill "$(cat pid)"; wait; echo reaped
