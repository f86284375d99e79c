/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark programs in C share: the clock, a figure's line, and a main that knows
 * --list. The format is described in README.md.
 */
#ifndef WEFT_BENCH_FIGURE_H
#define WEFT_BENCH_FIGURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct workload {
    const char *name;
    void (*run)(int argc, char **argv); /* argv[0] is the workload's name */
};

static inline int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void figure(const char *name, double value, const char *unit)
{
    printf("%s %g %s\n", name, value, unit);
    fflush(stdout);
}

/* count per second, since `start_ns` */
static inline void figure_rate(const char *name, double count, int64_t start_ns, const char *unit)
{
    figure(name, count * 1e9 / (double)(clock_ns() - start_ns), unit);
}

static inline void figure_each(const char *name, double count, int64_t start_ns, const char *unit)
{
    figure(name, (double)(clock_ns() - start_ns) / count, unit);
}

static inline int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static inline void figure_median_us(const char *name, int64_t *times_ns, size_t count)
{
    qsort(times_ns, count, sizeof(*times_ns), compare_times);
    figure(name, (double)times_ns[count / 2] / 1000, "us");
}

static inline double resident_bytes(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        exit(1);
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static inline int run_workloads(const struct workload *workloads, int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s --list | WORKLOAD\n", argv[0]);
        return 2;
    }
    for (; workloads->name; workloads++) {
        if (strcmp(argv[1], "--list") == 0)
            puts(workloads->name);
        else if (strcmp(argv[1], workloads->name) == 0)
            workloads->run(argc - 1, argv + 1);
    }
    return 0;
}

#endif
