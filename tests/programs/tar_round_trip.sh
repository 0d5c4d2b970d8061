# Archive, compress, extract, compare.
tar -C /usr/share -cf - doc 2>/dev/null | gzip -1 > doc.tar.gz
mkdir out && gzip -dc doc.tar.gz | tar -C out -xf -
diff -r --no-dereference /usr/share/doc out/doc && echo same
find out | wc -l
