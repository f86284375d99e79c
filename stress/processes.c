/* SPDX-License-Identifier: MIT */
/*
 * The pool of processes under what it is there for.
 *
 *     stress_processes storm [TASKS [EVERY_MS [SEED]]]
 *         100,000 tasks of 1 ms, while a random worker is killed every 50 ms
 *     stress_processes large [MIB]
 *         a result of 1 GiB, and arguments of as much
 *     stress_processes queued [TASKS]
 *         100,000 tasks of 100 bytes, queued at once
 *
 * Storm: no task may have begun twice; exactly those that ran when their worker was
 * killed may be lost, each with that worker's number and signal; and what the program holds of the
 * system afterwards is what it held before. Large and queued: the results are right, and the memory
 * of this process comes back to what it was. Status 1, and what is wrong on standard error.
 */
#include "../test/storm.h"

#include "os/resident.h"

WF_TASK(wf_bytes, fill, (uint64_t, bytes), (int, value))
WF_TASK(uint64_t, add_up, (wf_bytes, bytes))
WF_TASK(uint64_t, length, (const char *, text))

int fill(struct wf_task *self, uint64_t bytes, int value, wf_bytes *ret)
{
    void *made = wf_result_alloc(self, bytes);
    if (!made)
        return -ENOMEM;
    memset(made, value, bytes);
    *ret = (wf_bytes){made, bytes};
    return 0;
}
WF_TASK_DEFINE_WITH(fill, .drop_result = wf_drop_bytes)

int add_up(struct wf_task *self, wf_bytes bytes, uint64_t *ret)
{
    (void)self;
    *ret = 0;
    for (size_t i = 0; i < bytes.len; i++)
        *ret += ((const unsigned char *)bytes.ptr)[i];
    return 0;
}
WF_TASK_DEFINE(add_up)

int length(struct wf_task *self, const char *text, uint64_t *ret)
{
    (void)self;
    *ret = strlen(text);
    return 0;
}
WF_TASK_DEFINE(length)

static int wrong(const char *what)
{
    fprintf(stderr, "stress_processes: %s\n", what);
    return 1;
}

static int storm(int tasks, int every_ms, uint64_t seed)
{
    storm_run(10, 2, 0, WF_SECONDS(1), seed); /* what is made once is made */
    struct storm_count before = storm_count();
    int64_t began = wf_now();
    struct storm_result result =
        storm_run(tasks, 2, WF_MILLISECONDS(1), WF_MILLISECONDS(every_ms), seed);
    struct storm_count after = storm_count_again(before);
    printf("storm %d tasks %.1f s: %d done, %d lost, %d kills, seed %llu\n", tasks,
           (double)(wf_now() - began) / 1e9, result.done, result.lost, result.kills,
           (unsigned long long)seed);
    printf("held before and after: %d %d descriptors, %d %d mappings, %d %d processes\n",
           before.descriptors, after.descriptors, before.mappings, after.mappings, before.processes,
           after.processes);
    if (result.wrong[0])
        return wrong(result.wrong);
    if (result.done + result.lost != tasks || result.lost > result.kills)
        return wrong("more were lost than were killed");
    if (memcmp(&before, &after, sizeof before) != 0)
        return wrong("something was left behind");
    return 0;
}

static int large(size_t mib)
{
    struct wf_executor *on;
    struct wf_error error;
    if (wf_processes_create(&(struct wf_processes_options){.workers = 1}, &on, &error))
        return wrong(error.text);
    size_t bytes = mib << 20;
    size_t before = wfi_resident_bytes(0);
    for (int round = 0; round < 2; round++) {
        int64_t began = wf_now();
        fill_future f = fill_submit(on, bytes, 3);
        wf_bytes got;
        if (fill_result(&f, &got, WF_FOREVER, &error))
            return wrong(error.text);
        double there = (double)(wf_now() - began) / 1e9;
        began = wf_now();
        add_up_future g = add_up_submit(on, got);
        uint64_t sum = 0;
        if (add_up_result(&g, &sum, WF_FOREVER, &error))
            return wrong(error.text);
        printf("large %zu MiB: result %.2f s, as argument %.2f s\n", mib, there,
               (double)(wf_now() - began) / 1e9);
        if (got.len != bytes || sum != bytes * 3)
            return wrong("the bytes are not those that were sent");
        wf_drop_bytes(&got);
    }
    size_t after = wfi_resident_bytes(0);
    wf_executor_destroy(on);
    printf("resident before and after: %zu %zu MiB\n", before >> 20, after >> 20);
    return after > before + ((size_t)16 << 20) ? wrong("memory was kept") : 0;
}

static int queued(int tasks)
{
    struct wf_executor *on;
    struct wf_error error;
    char text[101];
    memset(text, 'x', 100);
    text[100] = '\0';
    size_t most = 0, before = wfi_resident_bytes(0);
    length_future *f = calloc((size_t)tasks, sizeof *f);
    for (int round = 0; round < 8; round++) {
        if (!f || wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on, &error))
            return wrong(error.text);
        int64_t began = wf_now();
        for (int i = 0; i < tasks; i++)
            f[i] = length_submit(on, text);
        size_t full = wfi_resident_bytes(0);
        for (int i = 0; i < tasks; i++) {
            uint64_t len = 0;
            if (length_result(&f[i], &len, WF_FOREVER, &error) || len != 100)
                return wrong(error.text);
        }
        size_t last = wfi_resident_bytes(0);
        printf("queued %d tasks: %.2f s, %zu MiB with all queued, %zu after\n", tasks,
               (double)(wf_now() - began) / 1e9, full >> 20, last >> 20);
        wf_executor_destroy(on);
        most = full > most ? full : most;
        most = last > most ? last : most;
    }
    free(f);
    /* Block, item and copy of a queued task, its handle, and what the heap puts around them. */
    return most > before + (size_t)tasks * 640 ? wrong("memory grows") : 0;
}

int main(int argc, char **argv)
{
    struct wf_error error;
    const char *what = argc > 1 ? argv[1] : "storm";
    int number = argc > 2 ? atoi(argv[2]) : 0;
    storm_prepare(number > 100000 ? (size_t)number : 100000);
    if (wf_processes_init(&error))
        return wrong(error.text);
    if (strcmp(what, "storm") == 0)
        return storm(number ? number : 100000, argc > 3 ? atoi(argv[3]) : 50,
                     argc > 4 ? strtoull(argv[4], NULL, 0) : (uint64_t)wf_now());
    if (strcmp(what, "large") == 0)
        return large(number ? (size_t)number : 1024);
    if (strcmp(what, "queued") == 0)
        return queued(number ? number : 100000);
    return wrong("storm, large or queued");
}
