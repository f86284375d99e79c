/* SPDX-License-Identifier: MIT */
/*
 * Thread records: one per thread that has ever called weft, on an append-only list, never freed and
 * reused after the thread has ended. So a late wake-up, or a reader of the registry, always finds
 * live memory.
 */
#ifndef WFI_SCHED_RECORD_H
#define WFI_SCHED_RECORD_H

#include "sched/park.h"

struct wfi_runtime;
struct wfi_worker;

struct wfi_record {
    struct wfi_waiter waiter;
    struct wfi_worker *worker; /* when the thread is a worker of a runtime */
    int wake_fd;               /* made by the first wait in poll(2), else -1 */
    WFI_ATOMIC(bool) polling;  /* the wait is in poll(2): wake through wake_fd */
    WFI_ATOMIC(uint32_t) used; /* 1 while a thread owns the record */
    WFI_ATOMIC(int) tid;       /* the kernel's number */
    void *blocks;              /* cache of task blocks, see exec/block.c */
    /* A runtime other than its own whose worker the thread is about to wake: that runtime is not
     * freed meanwhile. Written by the thread. */
    WFI_ATOMIC(struct wfi_runtime *) waking;
    WFI_ATOMIC(struct wfi_record *) older; /* the list; constant once published */
};

/* The record of the calling thread, made on the first call; also when a fiber asks. */
struct wfi_record *wfi_record_self(void);

/*
 * Makes sure that the calling thread's record exists. Returns 0 or -ENOMEM; a thread that got 0
 * never fails later. Threads that weft starts call it first of all, so that the failure has
 * somewhere to go.
 */
int wfi_record_attach(const char *name);

/*
 * For a thread about to be started, so that it starts with a record: take returns NULL when out of
 * memory; the thread adopts it first of all, or whoever failed to start it gives it back.
 */
struct wfi_record *wfi_record_take(void);
void wfi_record_adopt(struct wfi_record *record, const char *name);
void wfi_record_give(struct wfi_record *record);

/*
 * In a process that was forked while the other had one thread, and is to be a process of its own:
 * the caller's record starts anew, under this name; no other is in use, and descriptors that
 * records kept are the other process's.
 */
void wfi_record_forked(const char *name);

/* The record after this one, NULL: the first; NULL when there is none. Visits what was made before
 * the walk began, in use or not. Takes no lock. */
struct wfi_record *wfi_record_next(const struct wfi_record *record);

/* Visits every record ever made, in use or not. Takes no lock. */
void wfi_record_each(void (*fn)(struct wfi_record *, void *), void *arg);

#endif
