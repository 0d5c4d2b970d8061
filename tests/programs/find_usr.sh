# A walk over a large tree (or one that is not), twice.
case ${SANDBOX_TEST_SIZE-} in small) tree=/usr/share/perl sum=/usr/share/perl ;; *) tree=/usr sum=/usr/share ;; esac
find $tree -xdev 2>/dev/null | sort | md5sum
find $tree -xdev -type f -size +100k -printf '%s %p\n' 2>/dev/null | sort | md5sum
du -s --apparent-size $sum 2>/dev/null
