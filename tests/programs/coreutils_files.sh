# Files, links, times, modes, directories.
mkdir tree && cd tree
echo data > file; ln file hard; ln -s file soft; ln -s nowhere dangling
touch -d '2001-02-03 04:05:06 UTC' file
chmod 4751 file; mkdir -m 1777 sticky; mkfifo pipe
stat -c '%n %F %a %h %s' soft dangling pipe; stat -c '%n %F %a' sticky; stat -c '%n %F %a %h %s %Y' file hard
cp -a . ../copy; cd ../copy
stat -c '%n %F %a %h %s' soft dangling pipe; stat -c '%n %F %a' sticky; stat -c '%n %F %a %h %s %Y' file hard
readlink soft dangling
[ file -ef hard ] && echo "still one inode"
mv file renamed && cat hard && [ ! -e soft ] && echo "soft dangles"
mkdir -p a/b && touch a/b/c && rmdir a 2>/dev/null || echo "not empty"
rm -r a && ls
truncate -s 1M sparse && du --apparent-size -k sparse && stat -c %s sparse
head -c 100000 /dev/zero | tr '\0' x > big; dd if=big bs=1 skip=99990 2>/dev/null; echo
split -b 30000 big part. && cat part.* | cmp - big && ls part.*
cp /bin/ls ./ls-copy && ./ls-copy -1 part.*
chmod -x ls-copy; ./ls-copy 2>/dev/null || echo "not executable: $?"
du -s --apparent-size . > /dev/null && echo du
df . > /dev/null && echo df
