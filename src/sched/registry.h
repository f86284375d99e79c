/* SPDX-License-Identifier: MIT */
/*
 * What runs can be seen: every runtime, its workers and their fibers, and every thread that has
 * called weft, with name, state, age, reason and the object waited for. The reader takes no lock
 * that a stuck program could hold: thread records and stack blocks are never unmapped while they
 * can be found here, and what is printed of them are single words.
 *
 * What runs below exec knows no tasks; exec adds its part through a hook.
 */
#ifndef WFI_SCHED_REGISTRY_H
#define WFI_SCHED_REGISTRY_H

#include <weft/error.h>

#include "sched/park.h"
#include "sched/runtime.h"

/* For runtime.c. A runtime is listed from its start until its end. */
void wfi_registry_add(struct wfi_runtime *runtime);
void wfi_registry_remove(struct wfi_runtime *runtime);

/* One party as the registry saw it; the texts are copies, or static. */
struct wfi_party_view {
    const char *kind; /* "fiber" or "thread" */
    char runtime[16]; /* a fiber's, or empty */
    int worker;       /* the worker's number, or -1 */
    uint64_t id;      /* a fiber's number on its worker, a thread's kernel number */
    char name[32];
    const char *task;   /* the name of the task that runs there, or NULL */
    const void *block;  /* exec's block of it */
    const char *state;  /* "running", "ready", "waiting" */
    const char *reason; /* why it waits, or NULL */
    const void *object; /* what it waits for, or NULL */
    int64_t age_ns;     /* since when it waits; 0 when unknown */
};

/* A worker as the registry saw it. */
struct wfi_worker_view {
    char runtime[16];
    int index;
    struct wfi_worker_stats stats;
};

/*
 * Walks over all live parties, and all workers, a piece at a time: each call writes up to `room` of
 * them and returns how many; 0 is the end. Between two calls nothing is held, and runtimes may come
 * and go. A walk begins with a zeroed cursor.
 */
struct wfi_registry_cursor {
    uintptr_t stage;
    uintptr_t runtime; /* its number */
    void *at;          /* a slab of stacks, then a thread's record */
    uintptr_t index;   /* in the slab; of a worker */
};
size_t wfi_registry_parties(struct wfi_registry_cursor *cursor, struct wfi_party_view *ret_views,
                            size_t room);
size_t wfi_registry_workers(struct wfi_registry_cursor *cursor, struct wfi_worker_view *ret_views,
                            size_t room);

/* Calls fn for every live party; without a lock. */
void wfi_registry_each(void (*fn)(const struct wfi_party_view *party, void *arg), void *arg);

/* Takes a lock of which a reader must not wait for ever; false: it was not to be had. */
bool wfi_lock_soon(struct wfi_lock *lock);

/* A line from the dump; no newline in it. */
typedef void wfi_dump_line(void *arg, const char *line);

/* Adds a section to every dump. At most four; called once each, at program start. */
void wfi_dump_hook(void (*section)(wfi_dump_line *line, void *arg));

/* The whole dump: runtimes with counters, parties, then the sections of the hooks. */
void wfi_dump(wfi_dump_line *line, void *arg);

/*
 * From now on a fiber that overflows its stack is reported by name before the process ends.
 * Installs handlers for SIGSEGV and SIGBUS, which chain; for wf_main. Returns 0 or a negative code.
 */
int wfi_report_overflows(struct wf_error *reterr);

#endif
