/* SPDX-License-Identifier: MIT */
/* Child programs with nothing around them: vfork and exec, and posix_spawn. The limit of F4. */
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "figure.h"

#define CHILDREN 1000
#define GIB ((size_t)1 << 30)

extern char **environ;

static char *const arguments[] = {"/bin/true", NULL};

static pid_t start_vfork(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(arguments[0], arguments, environ);
        _exit(127);
    }
    return pid;
}

static pid_t start_posix_spawn(void)
{
    pid_t pid;
    return posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) ? -1 : pid;
}

static void await(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        exit(1);
}

/* The oldest is waited for when `in_flight` run. */
static void spawn(const char *name, pid_t (*start)(void), int in_flight)
{
    pid_t running[2];
    int64_t start_ns = clock_ns();
    for (int i = 0; i < CHILDREN; i++) {
        if (i >= in_flight)
            await(running[i % in_flight]);
        running[i % in_flight] = start();
    }
    for (int i = 0; i < in_flight; i++)
        await(running[i]);
    figure_rate(name, CHILDREN, start_ns, "children/s");
}

static void run_f4(int argc, char **argv)
{
    (void)argc, (void)argv;
    spawn("F4.one@vfork", start_vfork, 1);
    spawn("F4.one@posix_spawn", start_posix_spawn, 1);
    spawn("F4.two@vfork", start_vfork, 2);
    spawn("F4.two@posix_spawn", start_posix_spawn, 2);
    volatile char *memory =
        mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    for (size_t at = 0; at < GIB; at += 4096)
        memory[at] = 1;
    spawn("F4.one.1gib@vfork", start_vfork, 1);
    spawn("F4.one.1gib@posix_spawn", start_posix_spawn, 1);
    spawn("F4.two.1gib@vfork", start_vfork, 2);
    spawn("F4.two.1gib@posix_spawn", start_posix_spawn, 2);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"F4", run_f4}, {0}};
    return run_workloads(workloads, argc, argv);
}
