/* SPDX-License-Identifier: MIT */
/*
 * Waiting for many descriptors. epoll stands behind this interface and nothing of epoll shows, so
 * that io_uring can take its place without a caller changing.
 *
 *     wfi_poller_create(&p, err);
 *     wfi_poller_add(p, fd, tag);                    once per descriptor
 *     n = wfi_poller_wait(p, events, max, deadline); by one thread
 *     wfi_poller_wake(p);                            by any other
 *
 * A descriptor is in a poller in one of two ways:
 *   add     edge-triggered, both directions at once: an event says "became ready"; the party that
 *           was told reads or writes until -EAGAIN before it waits again.
 *   watch   level-triggered, for libraries that keep their own idea of what they wait for.
 *
 * A descriptor is removed before it is closed. An event already fetched may still carry the tag of
 * a descriptor removed since, so what a tag points to outlives the poller, or is only freed by the
 * thread that waits.
 */
#ifndef WFI_OS_POLLER_H
#define WFI_OS_POLLER_H

#include <stdint.h>

#include <weft/error.h>
#include <weft/time.h>

struct wfi_poller;

enum {
    WFI_POLL_READ = 1,  /* a read would give bytes or the end of the stream */
    WFI_POLL_WRITE = 2, /* a write would take bytes or fail at once */
    WFI_POLL_ERROR = 4, /* hung up or in error; READ and WRITE are set too, so that parties look */
    /* Not just bytes have come, but the end, an error, or (after add) urgent data. */
    WFI_POLL_EVENTFUL = 8,
};

struct wfi_poll_event {
    void *tag;
    uint32_t ready;
};

/* Returns 0, or -ENOMEM, -EMFILE, -ENFILE. */
int wfi_poller_create(struct wfi_poller **ret_poller, struct wf_error *reterr);
/* NULL is fine. Nobody waits in it or wakes it any more. */
void wfi_poller_destroy(struct wfi_poller *p);

/*
 * Reports every change of `fd` to ready, in both directions, from now until wfi_poller_remove.
 *
 * Returns 0, or -EEXIST (is in it already), -EPERM (a file that is always ready), -ENOMEM,
 * -ENOSPC (the system's limit), -EBADF. Any thread, at any time.
 */
int wfi_poller_add(struct wfi_poller *p, int fd, void *tag);

/* Returns 0 or -ENOENT, -EBADF. Any thread, at any time, before fd is closed. */
int wfi_poller_remove(struct wfi_poller *p, int fd);

/*
 * From now on reports, at each wait, whether `fd` is ready for what `interest` (READ, WRITE, both)
 * names, with `tag`; interest 0 forgets fd. Calling it again changes interest and tag.
 *
 * Returns 0, or as wfi_poller_add. Any thread, at any time.
 */
int wfi_poller_watch(struct wfi_poller *p, int fd, uint32_t interest, void *tag);

/*
 * Waits for events, at most `max` (at least 1), until `deadline`.
 *
 * Returns their number; 0 when the deadline passed, a wake came, or a signal did. One thread at a
 * time.
 */
int wfi_poller_wait(struct wfi_poller *p, struct wfi_poll_event *events, int max,
                    wf_deadline deadline);

/*
 * Makes the running wait, or else the next one, return soon. Wakes that come before it returns are
 * one. Any thread; signal safe.
 */
void wfi_poller_wake(struct wfi_poller *p);

#endif
