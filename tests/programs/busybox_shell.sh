# A statically linked shell with its own applets.
busybox sh -c '
seq 1 1000 | busybox awk "{ sum += \$1 } END { print sum }"
busybox cat <<END | busybox tr a-z A-Z
a here-document
END
for i in 1 2 3; do busybox echo $i; done | busybox sort -rn | busybox head -n 2
busybox dd if=/dev/zero bs=1024 count=64 2>/dev/null | busybox md5sum
busybox mkdir -p a/b/c && busybox find a | busybox sort
busybox true && busybox false || busybox echo "false is $?"
'
