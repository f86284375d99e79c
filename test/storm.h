/* SPDX-License-Identifier: MIT */
/*
 * A pool whose workers are killed at random while they work: what every task must be able to say
 * afterwards, and what must be left of it all. For the test of the pool, and the stress program.
 */
#ifndef TEST_STORM_H
#define TEST_STORM_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weft/future.h>
#include <weft/processes.h>

#include "base/atomic.h"
#include "base/random.h"
#include "os/thread.h"
#include "proc/helper.h"

/* What a task has done, as it says itself: in memory that all processes of the program share. */
struct storm_mark {
    WFI_ATOMIC(uint32_t) begun, ended;
};

struct storm {
    struct wf_executor *on;
    struct wfi_random random;
    int64_t every_ns;
    WFI_ATOMIC(bool) stop;
    WFI_ATOMIC(int) * killed; /* numbers of processes */
    WFI_ATOMIC(int) kills;
    int room;
    struct storm_mark *marks;
};

/* Made before the helper is forked, so that it is where it is in every worker. */
static struct storm_mark *storm_marks;

static inline void storm_prepare(size_t tasks)
{
    storm_marks =
        (struct storm_mark *)mmap(NULL, tasks * sizeof *storm_marks, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (storm_marks == MAP_FAILED)
        abort();
}

WF_TASK(int, storm_task, (int, number), (int64_t, ns))

int storm_task(struct wf_task *self, int number, int64_t ns, int *ret)
{
    (void)self;
    wfi_fetch_add(&storm_marks[number].begun, 1);
    int err = wf_sleep(wf_after(ns));
    *ret = number;
    wfi_fetch_add(&storm_marks[number].ended, 1);
    return err;
}
WF_TASK_DEFINE(storm_task)

static inline void storm_see(const struct wf_worker_info *worker, void *arg)
{
    int *pids = (int *)arg;
    if (worker->state == WF_WORKER_RUNNING && pids[0] < 63)
        pids[++pids[0]] = worker->pid;
}

static inline void *storm_kill(void *arg)
{
    struct storm *storm = (struct storm *)arg;
    while (!wfi_load(&storm->stop)) {
        wf_sleep(wf_after(storm->every_ns));
        int pids[64] = {0};
        wf_processes_each(storm->on, storm_see, pids);
        int kills = wfi_load(&storm->kills);
        if (!pids[0] || kills == storm->room)
            continue;
        int pid = pids[1 + wfi_random_below(&storm->random, (uint64_t)pids[0])];
        /* Noted first: its end may be told before this thread runs again. A process that has ended
         * by itself meanwhile cannot be: nothing here stops a worker but this. */
        wfi_store(&storm->killed[kills], pid);
        wfi_store(&storm->kills, kills + 1);
        kill(pid, SIGKILL);
    }
    return NULL;
}

struct storm_count {
    int descriptors, mappings, processes;
};

static inline int storm_children(int parent)
{
    int found = 0;
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[300], text[512];
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        if (!file)
            continue;
        size_t len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[len] = '\0';
        const char *behind = strrchr(text, ')');
        char status;
        int ppid;
        if (behind && sscanf(behind + 1, " %c %d", &status, &ppid) == 2 && ppid == parent)
            found++;
    }
    if (dir)
        closedir(dir);
    return found;
}

/* What this process holds of the system, and how many processes the helper has. */
static inline struct storm_count storm_count(void)
{
    struct storm_count count = {0};
    char line[512];
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count.descriptors++;
    if (dir)
        closedir(dir);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps))
        count.mappings += strstr(line, "memfd:weft") != NULL;
    if (maps)
        fclose(maps);
    count.processes = storm_children(wfi_helper_pid());
    return count;
}

/* The same, when what is being given up just now has been: the listener closes the descriptors of a
 * process after it has told of its end. */
static inline struct storm_count storm_count_again(struct storm_count before)
{
    wf_deadline limit = wf_after(WF_SECONDS(10));
    struct storm_count count = storm_count();
    while (memcmp(&count, &before, sizeof count) != 0 && wf_remaining(limit) > 0) {
        wf_yield();
        count = storm_count();
    }
    return count;
}

struct storm_result {
    int done, lost, kills;
    char wrong[256]; /* empty: nothing is */
};

/* Runs it; the pool is made and destroyed here. */
static inline struct storm_result storm_run(int tasks, int workers, int64_t task_ns,
                                            int64_t every_ns, uint64_t seed)
{
    struct storm_result result = {0};
    struct wf_error error;
    struct storm storm = {.every_ns = every_ns, .room = tasks};
    struct wf_processes_options options = {.workers = workers, .restarts_max = -1};
    storm_task_future *f = (storm_task_future *)malloc((size_t)tasks * sizeof *f);
    storm.killed = calloc((size_t)tasks, sizeof *storm.killed);
    wfi_random_seed(&storm.random, seed);
    memset((void *)storm_marks, 0, (size_t)tasks * sizeof *storm_marks);
    if (!f || !storm.killed || wf_processes_create(&options, &storm.on, &error)) {
        snprintf(result.wrong, sizeof result.wrong, "no pool: %.200s", error.text);
        return result;
    }
    struct wfi_thread killer;
    wfi_thread_start(&killer, "killer", 0, storm_kill, &storm);
    for (int i = 0; i < tasks; i++)
        f[i] = storm_task_submit(storm.on, i, task_ns);
    char *counted = (char *)calloc((size_t)tasks, 1); /* per kill: a task was lost with it */
    for (int i = 0; i < tasks; i++) {
        int value = -1;
        int err = storm_task_result(&f[i], &value, wf_after(WF_SECONDS(600)), &error);
        if (err == 0 && value == i) {
            result.done++;
            if (storm_marks[i].begun != 1 || storm_marks[i].ended != 1)
                snprintf(result.wrong, sizeof result.wrong, "task %d ran %u times", i,
                         (unsigned)storm_marks[i].begun);
            continue;
        }
        result.lost++;
        /* Its worker may have been hit before the first line of the task. */
        if (err != WF_EWORKERDIED || error.signal != SIGKILL || storm_marks[i].begun > 1) {
            snprintf(result.wrong, sizeof result.wrong, "task %d, begun %u times: %d %.150s", i,
                     (unsigned)storm_marks[i].begun, err, error.text);
            continue;
        }
        int known = -1;
        for (int k = 0; k < wfi_load(&storm.kills) && known < 0; k++)
            if (wfi_load(&storm.killed[k]) == error.pid && !counted[k])
                known = k;
        if (known < 0)
            snprintf(result.wrong, sizeof result.wrong,
                     "task %d: nobody killed process %d, or "
                     "another task was lost with it",
                     i, error.pid);
        else
            counted[known] = 1;
    }
    wfi_store(&storm.stop, true);
    wfi_thread_join(&killer);
    result.kills = wfi_load(&storm.kills);
    wf_executor_destroy(storm.on);
    free(counted);
    free(storm.killed);
    free(f);
    return result;
}

#endif
