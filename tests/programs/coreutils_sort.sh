# 100 MB through pipes, temporary files and several threads.
seq 1 12500000 | awk '{ print ($1 * 7919) % 12500003 }' > numbers
wc -c < numbers
sort -n -S 64M --parallel=2 numbers > sorted
head -n 3 sorted; tail -n 3 sorted; md5sum < sorted
