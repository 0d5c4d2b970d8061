# Who the program is and what its kernel says of itself.
id -u; id -g; id -G
uname -s; uname -m
umask
ls -d /proc/self/fd/0 /dev/null /dev/zero /dev/urandom
ls / | grep -E '^(bin|usr|etc|tmp|proc|dev)$'
head -c 16 /dev/urandom | wc -c
cat /proc/self/comm
tr '\0' ' ' < /proc/self/cmdline; echo
readlink /proc/self/exe | xargs basename
nproc > /dev/null && echo cpus
grep -c '^MemTotal' /proc/meminfo
date -d @0 -u
