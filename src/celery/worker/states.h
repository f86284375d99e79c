/* SPDX-License-Identifier: MIT */
/*
 * States that tasks in other processes store while they run (wf_celery_update_state). A queue that
 * processes share takes them to the worker, where a fiber stores them, one after the other:
 *
 *     the task's process            the fiber                       the call's own fiber
 *     push {number, state, meta}    take; under the lock: find      take the answer, which says
 *                                   the call by its number,         how many states were pushed;
 *                                   store, count                    wait until so many are counted
 *
 * So a state is never stored after the result. A call that has ended is not found: what a process
 * pushed before it was killed is dropped.
 */
#ifndef WFI_CELERY_STATES_H
#define WFI_CELERY_STATES_H

#include <weft/event.h>
#include <weft/executor.h>
#include <weft/shared_queue.h>

#include "base/list.h"
#include "celery/message/envelope.h"

struct wfi_states;

/* A call that may store states; its own fields. */
struct wfi_states_user {
    struct wfi_link link; /* under the lock */
    uint64_t number;
    uint64_t count; /* states that are stored; under the lock */
    struct wf_event counted;
    int (*update)(void *arg, const char *state, const struct wfi_json_piece *meta);
    void *arg;
};

/* Makes it; the fiber runs on `on`. Returns 0 or an error of wf_shared_queue_create. */
int wfi_states_create(struct wf_executor *on, struct wfi_states **ret_states,
                      struct wf_error *reterr);
/* No call is left. NULL is fine. */
void wfi_states_destroy(struct wfi_states *states);

/* Where a process pushes to, with the number of its user. */
struct wf_shared_queue *wfi_states_queue(struct wfi_states *states);

/* Makes a user known, update and arg filled in; and forgets it, once `count` states are stored. */
void wfi_states_enter(struct wfi_states *states, struct wfi_states_user *user);
void wfi_states_leave(struct wfi_states *states, struct wfi_states_user *user, uint64_t count);

/* In the task's process. Returns 0 or an error of wf_shared_queue_push. */
int wfi_states_push(struct wf_shared_queue *queue, uint64_t number, const char *state,
                    const struct wfi_json_piece *meta);

#endif
