# 10 MB through pipes, temporary files and several threads.
seq 1 1250000 | awk '{ print ($1 * 7919) % 1250003 }' > numbers
wc -c < numbers
sort -n -S 4M --parallel=2 numbers > sorted
head -n 3 sorted; tail -n 3 sorted; md5sum < sorted
