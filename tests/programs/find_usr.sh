# A walk over a large tree, twice.
find /usr -xdev 2>/dev/null | sort | md5sum
find /usr -xdev -type f -size +100k -printf '%s %p\n' 2>/dev/null | sort | md5sum
du -s --apparent-size /usr/share 2>/dev/null
