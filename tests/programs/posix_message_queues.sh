# POSIX message queues: priorities, bounds, time-outs, notification, the mqueue file system.
cat > queues.c <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long r = (long)(call); \
    printf("%s: %s\n", #call, r < 0 ? strerrorname_np(errno) : r == 0 ? "0" : "positive"); } while (0)

static struct timespec in(long milliseconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_nsec += milliseconds * 1000000;
    now.tv_sec += now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    return now;
}

static int told;
static void tell(int number, siginfo_t *info, void *context) {
    (void)context;
    told = number == SIGUSR1 && info->si_code == SI_MESGQ && info->si_value.sival_int == 77;
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    char name[40], text[100];
    snprintf(name, sizeof name, "/test-%d", getpid());
    struct mq_attr bounds = {.mq_maxmsg = 3, .mq_msgsize = 20}, got;
    SHOW(mq_open(name, O_RDWR));
    SHOW(mq_open("/a/b", O_RDWR | O_CREAT, 0600, &bounds));
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &bounds);
    SHOW(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &bounds));
    bounds.mq_maxmsg = 0;
    SHOW(mq_open("/other", O_RDWR | O_CREAT, 0600, &bounds));
    mq_getattr(queue, &got);
    printf("%ld %ld %ld %ld cloexec %d\n", got.mq_flags, got.mq_maxmsg, got.mq_msgsize, got.mq_curmsgs, fcntl(queue, F_GETFD));
    struct pollfd poll_of = {queue, POLLIN | POLLOUT, 0};
    printf("%d %d\n", poll(&poll_of, 1, 0), poll_of.revents);
    SHOW(mq_send(queue, "low", 3, 1));
    SHOW(mq_send(queue, "high", 4, 9));
    SHOW(mq_send(queue, "high too", 8, 9));
    printf("%d %d\n", poll(&poll_of, 1, 0), poll_of.revents);
    struct timespec soon = in(20), bad = {0, -1};
    SHOW(mq_timedsend(queue, "full", 4, 1, &soon));
    SHOW(mq_timedsend(queue, "full", 4, 1, &bad));
    SHOW(mq_send(queue, "123456789012345678901", 21, 1));
    SHOW(mq_send(queue, "x", 1, 32768));
    SHOW(mq_receive(queue, text, 19, 0));
    for (int i = 0; i < 3; i++) {
        unsigned priority;
        ssize_t size = mq_receive(queue, text, sizeof text, &priority);
        printf("%.*s %u\n", (int)size, text, priority);
    }
    soon = in(20);
    SHOW(mq_timedreceive(queue, text, sizeof text, 0, &soon));
    struct mq_attr nonblocking = {.mq_flags = O_NONBLOCK};
    SHOW(mq_setattr(queue, &nonblocking, &got));
    SHOW(mq_receive(queue, text, sizeof text, 0));
    mq_getattr(queue, &got);
    printf("flags %lo\n", got.mq_flags);
    nonblocking.mq_flags = 0;
    mq_setattr(queue, &nonblocking, 0);

    pid_t child = fork();
    if (child == 0) {
        usleep(30000);
        mq_send(queue, "from the child", 14, 0);
        _exit(0);
    }
    printf("%zd\n", mq_receive(queue, text, sizeof text, 0));
    waitpid(child, 0, 0);

    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    SHOW(mq_notify(queue, &event));
    SHOW(mq_notify(queue, &event));
    SHOW(mq_send(queue, "wake", 4, 0));
    printf("told %d\n", told);
    told = 0;
    SHOW(mq_send(queue, "again", 5, 0));
    printf("told %d\n", told);
    SHOW(mq_notify(queue, &event));
    SHOW(mq_notify(queue, 0));
    mqd_t reader = mq_open(name, O_RDONLY);
    SHOW(mq_send(reader, "x", 1, 0));
    SHOW(mq_receive(reader, text, sizeof text, 0));
    SHOW(mq_close(reader));
    SHOW(mq_send(reader, "x", 1, 0));
    SHOW(mq_send(1, "x", 1, 0));
    fflush(stdout);
    if (fork() == 0) {
        if (setgid(65534) || setuid(65534)) _exit(1);
        SHOW(mq_open(name, O_RDONLY));
        SHOW(mq_unlink(name));
        bounds.mq_maxmsg = 11;
        SHOW(mq_open("/many", O_RDWR | O_CREAT, 0600, &bounds));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    SHOW(mq_unlink(name));
    SHOW(mq_unlink(name));
    SHOW(mq_open(name, O_RDWR));
    SHOW(mq_send(queue, "still", 5, 0));
    return 0;
}
END
gcc -O1 -Wall -o queues queues.c -lrt
./queues
cat /proc/sys/fs/mqueue/msg_max /proc/sys/fs/mqueue/msgsize_max
