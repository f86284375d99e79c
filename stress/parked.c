/* SPDX-License-Identifier: MIT */
/*
 * A million fibers, all waiting at once, then all woken and joined, with the limits as the system
 * sets them: what a server with a fiber per idle connection is made of.
 *
 *     stress_parked [FIBERS [WORKERS]]
 *
 * Prints a line `name value unit` for each figure: resident memory per fiber, page tables included;
 * the time to make and park them; the time to wake them, let them end, and join. Beside it runs, in
 * a process of its own, what the stacks alone cost: a program that reserves, guards and touches as
 * many, one system call after the other.
 *
 * Ends with status 1 if a fiber could not be made, did not park, or did not come back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/time.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "os/memory.h"
#include "os/stack.h"
#include "sched/runtime.h"

#define STACK_BYTES WFI_STACK_BYTES_DEFAULT
#define SLAB_BYTES ((size_t)64 << 20)
#define GUARD_BYTES ((size_t)64 << 10)
#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL, Linux 6.13 */

static void figure(const char *name, double value, const char *unit)
{
    printf("%s %.6g %s\n", name, value, unit);
    fflush(stdout);
}

static double seconds_since(int64_t start_ns)
{
    return (double)(wf_now() - start_ns) / 1e9;
}

static double resident_bytes(void)
{
    size_t kib, sum = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        exit(1);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %zu", &kib) == 1 || sscanf(line, "VmPTE: %zu", &kib) == 1)
            sum += kib;
    fclose(file);
    return (double)sum * 1024;
}

/* The floor: the same stacks with nothing on them. */
static int bare_stacks(size_t count)
{
    double before = resident_bytes();
    int64_t start = wf_now();
    size_t guards = 0;
    char *slab = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t at = i * STACK_BYTES % SLAB_BYTES;
        if (at == 0) {
            slab = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (slab == MAP_FAILED)
                return 1;
            madvise(slab, SLAB_BYTES, MADV_NOHUGEPAGE);
        }
        guards += madvise(slab + at, GUARD_BYTES, GUARD_INSTALL) == 0;
        slab[at + STACK_BYTES - 64] = 1;
    }
    figure("bare.create", seconds_since(start), "s");
    figure("bare.bytes", (resident_bytes() - before) / (double)count, "bytes");
    printf("# %zu guards\n", guards);
    return 0;
}

static struct wf_event go;
static WFI_ATOMIC(size_t) arrived, returned;

static void wait_for_go(void *arg)
{
    (void)arg;
    wfi_fetch_add(&arrived, 1);
    if (wf_event_wait(&go, WF_FOREVER) == 0)
        wfi_fetch_add(&returned, 1);
}

static int parked_fibers(size_t count, int workers)
{
    struct wf_error error = {0};
    struct wfi_runtime *runtime;
    struct wfi_routine *routines = wfi_zalloc(count * sizeof *routines);
    if (!routines)
        return 1;
    for (size_t i = 0; i < count; i++) /* touched, so that they are not in the figure */
        routines[i].name[0] = 1;
    wf_event_init(&go);
    if (wfi_runtime_create(&(struct wfi_runtime_options){.workers = workers}, &runtime, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }

    double before = resident_bytes();
    int64_t start = wf_now();
    for (size_t i = 0; i < count; i++)
        wfi_routine_start(&routines[i], runtime, "idle", wait_for_go, NULL);
    while (wfi_load(&arrived) < count)
        usleep(1000);
    figure("parked.create", seconds_since(start), "s");
    figure("parked.bytes", (resident_bytes() - before) / (double)count, "bytes");

    start = wf_now();
    wf_event_set(&go);
    for (size_t i = count; i-- > 0;) /* the last first: most have ended then, and need no sleep */
        if (wfi_routine_join(&routines[i], WF_FOREVER))
            return 1;
    figure("parked.wake", seconds_since(start), "s");

    start = wf_now();
    wfi_runtime_destroy(runtime);
    figure("parked.destroy", seconds_since(start), "s");
    wf_event_fini(&go);
    wfi_free(routines);
    return wfi_load(&returned) == count ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    int workers = argc > 2 ? atoi(argv[2]) : 0;
    if (!count || workers < 0) {
        fprintf(stderr, "usage: %s [FIBERS [WORKERS]]\n", argv[0]);
        return 2;
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(bare_stacks(count));
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return 1;
    return parked_fibers(count, workers);
}
