# A job server, many short-lived children.
for i in $(seq 1 20); do echo "int f$i(void) { return $i; }" > "f$i.c"; done
{ for i in $(seq 1 20); do echo "int f$i(void);"; done; echo '#include <stdio.h>'; printf '%s\n' 'int main(void) { printf("%d\n", 0'
  for i in $(seq 1 20); do echo "+ f$i()"; done; echo '); return 0; }'; } > main.c
cat > Makefile <<'END'
objects = $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects) ; gcc -o $@ $^
%.o: %.c ; @gcc -c -o $@ $<
END
make -s -j4 && ./program && make -q && echo "up to date"
