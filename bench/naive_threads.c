/* SPDX-License-Identifier: MIT */
/*
 * A thread for each task, and what the machine itself asks for the same work: a plain call where
 * others spawn, the pages touched where others make fibers.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "figure.h"

static void *nothing(void *unused)
{
    return unused;
}

static void spawn_and_join(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL))
        exit(1);
    pthread_join(thread, NULL);
}

/* As many threads at once as are sensible: a rate, not a million. */
static void run_a1(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    enum { WAVES = 40, WIDTH = 500 };
    static pthread_t threads[WIDTH];
    int64_t start = clock_ns();
    for (int wave = 0; wave < WAVES; wave++) {
        for (int i = 0; i < WIDTH; i++)
            if (pthread_create(&threads[i], NULL, nothing, NULL))
                exit(1);
        for (int i = 0; i < WIDTH; i++)
            pthread_join(threads[i], NULL);
    }
    figure_rate("A1", WAVES * WIDTH, start, "tasks/s");
}

static void run_c(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    enum { COUNT = 5000 };
    static int64_t times[COUNT];
    for (int i = 0; i < COUNT; i++) {
        int64_t start = clock_ns();
        spawn_and_join();
        times[i] = clock_ns() - start;
    }
    figure_median_us("C.hot", times, COUNT);
}

static void run_d2(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    enum { COUNT = 20000 };
    int64_t start = clock_ns();
    for (int i = 0; i < COUNT; i++)
        spawn_and_join();
    figure_each("D2", COUNT, start, "ns/spawn");
}

static __attribute__((noinline)) int fib(int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* No spawn at all: the serial call, for the limit. */
static void run_b(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    int64_t start = clock_ns();
    volatile int n = 32;
    if (fib(n) != 2178309)
        exit(1);
    figure_each("B.serial", 3524577, start, "ns/spawn");
}

/*
 * The stacks of a million fibers without the fibers: 256 KiB reserved for each out of 64 MiB
 * mappings, a guard where the kernel has guards that need no mapping, and the top page touched.
 */
static void run_d6(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    enum { STACKS = 1000000, STACK = 256 * 1024, SLAB = 64 * 1024 * 1024, GUARD = 64 * 1024 };
    enum { INSTALL_GUARD = 102 }; /* MADV_GUARD_INSTALL, Linux 6.13 */
    double before = resident_bytes();
    int64_t start = clock_ns();
    int guards = 0;
    for (int made = 0; made < STACKS; made += SLAB / STACK) {
        char *slab = mmap(NULL, SLAB, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (slab == MAP_FAILED) {
            printf("# D6: no more address space after %d stacks\n", made);
            return;
        }
        madvise(slab, SLAB, MADV_NOHUGEPAGE);
        for (int i = 0; i < SLAB / STACK && made + i < STACKS; i++) {
            char *stack = slab + (size_t)i * STACK;
            guards += madvise(stack, GUARD, INSTALL_GUARD) == 0;
            stack[STACK - 64] = 1;
        }
    }
    figure("D6.create", (double)(clock_ns() - start) / 1e9, "s");
    figure("D6.bytes", (resident_bytes() - before) / STACKS, "bytes");
    printf("# D6: %d guards\n", guards);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {
        {"A1", run_a1}, {"B", run_b}, {"C", run_c}, {"D2", run_d2}, {"D6", run_d6}, {0},
    };
    return run_workloads(workloads, argc, argv);
}
