# The compiler, assembler and linker; then the program they made.
cat > main.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *run(void *argument) { return (void *)((long)argument * 2); }
int main(int argc, char **argv) {
    pthread_t threads[4]; long sum = 0;
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run, (void *)i);
    for (int i = 0; i < 4; i++) { void *result; pthread_join(threads[i], &result); sum += (long)result; }
    printf("%s %ld %.3f\n", argc > 1 ? argv[1] : "-", sum, strtod("2.5", NULL) * 3);
    return 42;
}
END
gcc -O2 -Wall -o dynamic main.c -pthread; gcc -static -o static main.c -pthread
./dynamic argument || echo "status $?"
./static other || echo "status $?"
