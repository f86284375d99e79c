/* SPDX-License-Identifier: MIT */
/*
 * Objects in the family arena: what a queue, a mutex and the rest have in common. Who holds one,
 * how it travels to another process as a parameter of a task, and what happens when a process ends.
 *
 * A process holds an object that it made or that was sent to it. An object that nobody holds any
 * more, because all who did have ended, and that is not on its way to somebody, is freed by the
 * sweep. (An object that was sent to a task which never ran is on its way for ever: it goes with
 * the family.) Everybody may destroy it earlier.
 *
 * The sweep is made by the process that started the one that ended, once the system has said so:
 * the listener of main. Under the arena's lock it lets each kind of object repair what the dead
 * left behind, and wakes all who wait, because the dead may have taken a wake-up with it.
 */
#ifndef WFI_PROC_SHARED_H
#define WFI_PROC_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weft/task.h>
#include "proc/arena.h"

/* The first member of every object. All under the arena's lock, each changed by one store. */
struct wfi_shared {
    WFI_ATOMIC(uint64_t) holders[(WFI_MEMBERS_MAX + 1) / 64]; /* a bit for each member */
    WFI_ATOMIC(uint32_t) travelling;
};

/* What an object's type does about a death; all with the arena's lock held, and again if the one
 * who did it died over it. NULL where there is nothing to do. */
struct wfi_shared_kind {
    const char *name;
    void (*died)(void *object, uint32_t member); /* repairs, wakes all */
    void (*fini)(void *object);                  /* nobody holds it: frees what it refers to */
    bool kept;                                   /* freed by its own type, not by the sweep */
};
extern const struct wfi_shared_kind wfi_shared_mutex_kind, wfi_shared_semaphore_kind,
    wfi_shared_event_kind, wfi_shared_condition_kind, wfi_shared_barrier_kind,
    wfi_shared_array_kind, wfi_shared_queue_kind, wfi_shared_pipe_kind;

/*
 * Allocates an object of `bytes`, zeroed, which nobody sees before it is published.
 * Returns as wfi_arena_alloc.
 */
int wfi_shared_create(size_t bytes, void **ret, struct wf_error *reterr);

/* From here on it is an object of that kind, held by the calling process. */
void wfi_shared_publish(void *object, enum wfi_block_kind kind);

/* Ends an object, whoever holds it; NULL is fine. */
void wfi_shared_destroy(void *object, enum wfi_block_kind kind);

/* The same for an object of that kind, by one who has the arena's lock. */
void wfi_shared_end(void *object, enum wfi_block_kind kind);

/* A process holds it; one that was on its way to a process is there. With the lock held. */
void wfi_shared_hold(struct wfi_shared *shared, uint32_t member);
void wfi_shared_arrive(struct wfi_shared *shared, uint32_t member);

/* Whether a process holds it; and taking the hold back, with the lock held: true if nobody holds it
 * then and it is not on its way. */
bool wfi_shared_held(const struct wfi_shared *shared, uint32_t member);
bool wfi_shared_let_go(struct wfi_shared *shared, uint32_t member);

/* The codec of a pointer to an object. */
ssize_t wfi_shared_encode(const void *object, enum wfi_block_kind kind, void *buf, size_t capacity);
int wfi_shared_decode(enum wfi_block_kind kind, void **ret, const void *buf, size_t len);

#define WFI_SHARED_WIRE(NAME, KIND)                                                    \
    static ssize_t encode_pointer(const void *value, void *buf, size_t capacity)       \
    {                                                                                  \
        return wfi_shared_encode(*(struct NAME *const *)value, (KIND), buf, capacity); \
    }                                                                                  \
    static int decode_pointer(void *value, const void *buf, size_t len)                \
    {                                                                                  \
        void *object;                                                                  \
        int err = wfi_shared_decode((KIND), &object, buf, len);                        \
        if (!err)                                                                      \
            *(struct NAME **)value = object;                                           \
        return err;                                                                    \
    }                                                                                  \
    WF_WIRE(struct NAME *, encode_pointer, decode_pointer)

/* Process `pid` has ended and been waited for: sweeps what it leaves. Any thread. */
void wfi_shared_process_ended(int pid);

#endif
