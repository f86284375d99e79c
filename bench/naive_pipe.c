/* SPDX-License-Identifier: MIT */
/*
 * What the system itself has for processes: a pipe, a write and a read for each item. F1 is a
 * byte there and one back; F3 goes one way.
 */
#include <sys/wait.h>

#include "figure.h"

#define ROUNDS 20000
#define ITEMS UINT64_C(1000000)

/* Forks a child that runs `child` between two pipes; gives the parent's ends. */
static pid_t connect_child(void (*child)(int in, int out), int ret_fds[2])
{
    int down[2], up[2];
    if (pipe(down) || pipe(up))
        exit(1);
    pid_t pid = fork();
    if (pid < 0)
        exit(1);
    if (pid == 0) {
        close(down[1]);
        close(up[0]);
        child(down[0], up[1]);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    ret_fds[0] = up[0];
    ret_fds[1] = down[1];
    return pid;
}

static void end_child(pid_t pid, const int fds[2])
{
    int status;
    close(fds[0]);
    close(fds[1]);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        exit(1);
}

static void echo(int in, int out)
{
    char byte;
    while (read(in, &byte, 1) == 1)
        if (write(out, &byte, 1) != 1)
            _exit(1);
}

static void run_f1(int argc, char **argv)
{
    (void)argc, (void)argv;
    static int64_t times[ROUNDS];
    int fds[2];
    pid_t pid = connect_child(echo, fds);
    for (int i = 0; i < ROUNDS; i++) {
        char byte = 1;
        int64_t start = clock_ns();
        if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
            exit(1);
        times[i] = clock_ns() - start;
    }
    end_child(pid, fds);
    figure_median_us("F1.p50", times, ROUNDS);
    figure("F1.p99", (double)times[ROUNDS / 100 * 99] / 1000, "us");
}

static void produce(int in, int out)
{
    (void)in;
    for (uint64_t item = 0; item < ITEMS; item++)
        if (write(out, &item, sizeof item) != sizeof item)
            _exit(1);
}

static void run_f3(int argc, char **argv)
{
    (void)argc, (void)argv;
    int fds[2];
    int64_t start = clock_ns();
    pid_t pid = connect_child(produce, fds);
    uint64_t item, sum = 0;
    for (uint64_t i = 0; i < ITEMS; i++, sum += item)
        if (read(fds[0], &item, sizeof item) != sizeof item)
            exit(1);
    figure_rate("F3", (double)ITEMS, start, "items/s");
    end_child(pid, fds);
    if (sum != ITEMS * (ITEMS - 1) / 2)
        exit(1);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"F1", run_f1}, {"F3", run_f3}, {0}};
    return run_workloads(workloads, argc, argv);
}
