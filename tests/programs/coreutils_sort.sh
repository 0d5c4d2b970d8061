# 100 MB (1 MB) through pipes, temporary files and several threads.
case ${SANDBOX_TEST_SIZE-} in small) count=125000 ;; *) count=12500000 ;; esac
seq 1 $count | awk -v modulus=$((count + 3)) '{ print ($1 * 7919) % modulus }' > numbers
wc -c < numbers
sort -n -S 64M --parallel=2 numbers > sorted
head -n 3 sorted; tail -n 3 sorted; md5sum < sorted
