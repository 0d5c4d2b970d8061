# System V shared memory, semaphores and message queues.
cat > ipc.c <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); \
    printf("%s: %s\n", #call, r < 0 ? strerrorname_np(errno) : r == 0 ? "0" : "positive"); } while (0)
union semun { int val; struct semid_ds *buf; unsigned short *array; };
struct text { long kind; char text[100]; };

static void shared_memory(key_t key) {
    SHOW(shmget(key, 10, 0600));
    int id = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600);
    SHOW(shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmget(key, 20000, 0600));
    SHOW(shmget(key, 0, 0600) == id);
    SHOW(shmget(key + 1, 0, IPC_CREAT | 0600));
    char *one = shmat(id, 0, 0), *two = shmat(id, 0, SHM_RDONLY);
    strcpy(one, "shared");
    printf("%s %d\n", two, one != two);
    struct shmid_ds status;
    shmctl(id, IPC_STAT, &status);
    printf("size %zu attached %lu mode %o creator %d user %d times %d %d %d\n", status.shm_segsz, status.shm_nattch,
        status.shm_perm.mode, status.shm_cpid == getpid(), status.shm_lpid == getpid(), status.shm_atime > 0,
        status.shm_dtime > 0, status.shm_ctime > 0);
    pid_t child = fork();
    if (child == 0) {
        strcat(one, " with the child");
        shmctl(id, IPC_STAT, &status);
        printf("in child %lu\n", status.shm_nattch);
        fflush(stdout);
        SHOW(shmdt(one));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
    printf("%s\n", two);
    child = fork();
    if (child == 0) {
        *(volatile char *)two = 'x';
        _exit(0);
    }
    int end;
    waitpid(child, &end, 0);
    printf("read only: %d\n", WTERMSIG(end));
    SHOW(shmdt(one + 4096));
    SHOW(shmdt(two));
    SHOW(shmdt(two));
    status.shm_perm.mode = 0640;
    SHOW(shmctl(id, IPC_SET, &status));
    SHOW(shmctl(id, IPC_RMID, 0));
    // The memory of the children goes soon after them.
    do shmctl(id, IPC_STAT, &status); while (status.shm_nattch != 1);
    printf("still %lu %o\n", status.shm_nattch, status.shm_perm.mode);
    SHOW(shmget(key, 10, 0600));
    printf("%s\n", one);
    SHOW(shmdt(one));
    SHOW(shmctl(id, IPC_STAT, &status));
    SHOW(shmat(id, 0, 0) == (void *)-1 ? -1 : 0);
    SHOW(shmget(IPC_PRIVATE, 0, 0600));
    int private = shmget(IPC_PRIVATE, 5, 0600);
    one = shmat(private, (void *)0x20000123, SHM_RND);
    printf("%p %d\n", one, one[4096 - 1]);
    SHOW(shmat(private, (void *)0x20000123, 0) == (void *)-1 ? -1 : 0);
    SHOW(shmat(private, one, 0) == (void *)-1 ? -1 : 0);
    two = shmat(private, one, SHM_REMAP);
    printf("%d\n", one == two);
    SHOW(shmctl(private, IPC_RMID, 0));
    SHOW(shmctl(private, 99, 0));
}

static void catch(int signal) { (void)signal; }

static void semaphores(key_t key) {
    SHOW(semget(key, 2, 0600));
    int id = semget(key, 3, IPC_CREAT | 0600);
    SHOW(semget(key, 4, 0600));
    SHOW(semget(key, 0, 0600) == id);
    unsigned short values[3] = {1, 2, 3};
    SHOW(semctl(id, 0, SETALL, (union semun){.array = values}));
    struct sembuf both[2] = {{0, -1, 0}, {1, -3, IPC_NOWAIT}};
    SHOW(semop(id, both, 2));
    both[1].sem_op = -2;
    SHOW(semop(id, both, 2));
    SHOW(semctl(id, 0, GETALL, (union semun){.array = values}));
    printf("%d %d %d pid %d\n", values[0], values[1], values[2], semctl(id, 1, GETPID) == getpid());
    SHOW(semctl(id, 3, GETVAL));
    SHOW(semctl(id, 0, SETVAL, (union semun){.val = 40000}));
    struct sembuf out = {5, 1, 0}, high = {2, 32767, 0}, zero = {2, 0, 0};
    SHOW(semop(id, &out, 1));
    SHOW(semop(id, &high, 1));
    SHOW(semop(id, &zero, 0));
    struct timespec soon = {0, 20000000};
    SHOW(semtimedop(id, &zero, 1, &soon));
    pid_t child = fork();
    if (child == 0) {
        struct sembuf wait = {0, -1, SEM_UNDO}, more = {1, 5, SEM_UNDO};
        semop(id, &wait, 1);
        semop(id, &more, 1);
        printf("child went on, %d\n", semctl(id, 1, GETVAL));
        fflush(stdout);
        _exit(0);
    }
    while (semctl(id, 0, GETNCNT) != 1) usleep(1000);
    // The child goes on at once: it alone writes until it has ended.
    int set = semctl(id, 0, SETVAL, (union semun){.val = 1});
    waitpid(child, 0, 0);
    printf("set %d\n", set);
    printf("undone %d %d\n", semctl(id, 0, GETVAL), semctl(id, 1, GETVAL));
    int ends[2];
    pipe(ends);
    child = fork();
    if (child == 0) {
        signal(SIGALRM, catch);
        SHOW(semop(id, &zero, 1));
        fflush(stdout);
        write(ends[1], "", 1);
        _exit(semop(id, &zero, 1) < 0 ? errno : 0);
    }
    while (semctl(id, 2, GETZCNT) != 1) usleep(1000);
    kill(child, SIGALRM);
    read(ends[0], &(char){0}, 1);
    while (semctl(id, 2, GETZCNT) != 1) usleep(1000);
    SHOW(semctl(id, 0, IPC_RMID));
    int end;
    waitpid(child, &end, 0);
    printf("waiter: %s\n", strerrorname_np(WEXITSTATUS(end)));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semop(id, &zero, 1));
}

static void messages(key_t key) {
    int id = msgget(key, IPC_CREAT | 0600);
    struct text message = {0, "text"}, got;
    SHOW(msgsnd(id, &message, 4, 0));
    message.kind = 3;
    SHOW(msgsnd(id, &message, 4, 0));
    message.kind = 2;
    strcpy(message.text, "second");
    SHOW(msgsnd(id, &message, 6, 0));
    SHOW(msgsnd(id, &message, 9000, 0));
    struct msqid_ds status;
    msgctl(id, IPC_STAT, &status);
    printf("%lu messages, %lu bytes of %lu, sender %d\n", status.msg_qnum, status.__msg_cbytes, status.msg_qbytes,
        status.msg_lspid == getpid());
    SHOW(msgrcv(id, &got, 100, 7, IPC_NOWAIT));
    SHOW(msgrcv(id, &got, 2, 0, 0));
    printf("%zd\n", msgrcv(id, &got, 100, -5, 0));
    printf("%ld %.6s\n", got.kind, got.text);
    printf("%zd\n", msgrcv(id, &got, 2, 2, MSG_EXCEPT | MSG_NOERROR));
    printf("%ld %.2s\n", got.kind, got.text);
    pid_t child = fork();
    if (child == 0) {
        usleep(20000);
        msgsnd(id, &message, 6, 0);
        _exit(0);
    }
    printf("%zd\n", msgrcv(id, &got, 100, 0, 0));
    waitpid(child, 0, 0);
    static struct { long kind; char text[8192]; } large = {1, ""};
    SHOW(msgsnd(id, &large, 8192, IPC_NOWAIT));
    SHOW(msgsnd(id, &large, 8192, IPC_NOWAIT));
    SHOW(msgsnd(id, &large, 1, IPC_NOWAIT));
    child = fork();
    if (child == 0) {
        _exit(msgsnd(id, &large, 1, 0) < 0 ? errno : 0);
    }
    usleep(50000);
    int end;
    SHOW(msgctl(id, IPC_RMID, 0));
    waitpid(child, &end, 0);
    printf("sender: %s\n", strerrorname_np(WEXITSTATUS(end)));
    SHOW(msgrcv(id, &got, 100, 0, 0));
}

static void rights(key_t key) {
    int id = shmget(key, 10, IPC_CREAT | 0600), open = semget(key, 1, IPC_CREAT | 0604), queue = msgget(key, IPC_CREAT | 0600);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (setgid(65534) || setuid(65534)) _exit(1);
        SHOW(shmget(key, 10, 0400));
        SHOW(shmget(key, 10, 0));
        SHOW(shmat(id, 0, SHM_RDONLY) == (void *)-1 ? -1 : 0);
        SHOW(shmctl(id, IPC_RMID, 0));
        SHOW(semctl(open, 0, GETVAL));
        SHOW(semctl(open, 0, SETVAL, (union semun){.val = 1}));
        SHOW(msgrcv(queue, 0, 0, 0, IPC_NOWAIT));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
    SHOW(shmctl(id, IPC_RMID, 0));
    SHOW(semctl(open, 0, IPC_RMID));
    SHOW(msgctl(queue, IPC_RMID, 0));
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    key_t key = 0x5a000000 ^ getpid();
    shared_memory(key);
    semaphores(key);
    messages(key);
    rights(key);
    return 0;
}
END
gcc -O1 -Wall -o ipc ipc.c
./ipc
head -n 1 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg
cat /proc/sys/kernel/msgmax /proc/sys/kernel/msgmnb
