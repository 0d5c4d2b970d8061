# Archive, compress, extract, compare: a tree of thousands of files (or of some hundred).
case ${SANDBOX_TEST_SIZE-} in small) tree=perl ;; *) tree=doc ;; esac
tar -C /usr/share -cf - $tree 2>/dev/null | gzip -1 > tree.tar.gz
mkdir out && gzip -dc tree.tar.gz | tar -C out -xf -
diff -r --no-dereference /usr/share/$tree out/$tree && echo same
find out | wc -l
