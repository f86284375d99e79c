/* SPDX-License-Identifier: MIT */
/*
 * How the parts of a chord are counted in Redis, with the keys of Celery 5.2 to 5.6:
 *
 *   celery-taskset-meta-ID.s   how many parts the chord was made of
 *   celery-taskset-meta-ID.t   how many its parts have added since
 *   celery-taskset-meta-ID.j   the parts that are done, by their place: [1, id, state, result]
 *   celery-taskset-meta-ID     the group, where its results are not one for each part
 *
 * and one that is weft's alone, which no other reads:
 *
 *   celery-taskset-meta-ID.a   what has been added to .t, and which part has ended the chord
 *
 * All of it can be done twice without harm, which is what a chord lives by: a part that runs again,
 * because its worker was killed before the acknowledgement, is counted once.
 */
#ifndef WFI_CELERY_CHORD_STORE_H
#define WFI_CELERY_CHORD_STORE_H

#include "celery/backend/store.h"

#define WFI_GROUP_KEY "celery-taskset-meta-"

/* Each returns as wfi_store_put. Context: the same. */

/* Sets the number of parts; to be done before the last of them is sent. */
int wfi_chord_set_size(struct wfi_store *store, const char *group_id, size_t count,
                       wf_deadline deadline, struct wf_error *reterr);

/* The chord has one part more. `mark` stands for that part: the same is added once. */
int wfi_chord_grow(struct wfi_store *store, const char *group_id, const char *mark,
                   wf_deadline deadline, struct wf_error *reterr);

/* A part that is done. */
struct wfi_chord_done {
    const char *group_id, *task_id;
    const char *state;
    bool has_index; /* else it comes last */
    int64_t index;
    const char *result; /* JSON: the value or the exception */
    size_t len;
};

/*
 * Counts a part. One that was counted before is not counted again; unless it had succeeded then,
 * its end now takes the place of that.
 *
 * ret_complete   whether the chord is complete, and this part is the one that ends it: its body is
 *                to be sent, and the chord forgotten
 */
int wfi_chord_count_part(struct wfi_store *store, const struct wfi_chord_done *done,
                         bool *ret_complete, wf_deadline deadline, struct wf_error *reterr);

/* The parts in their order, all strings: replies[0], an array; and the group that was saved, or
 * nil: replies[1]. */
int wfi_chord_read(struct wfi_store *store, const char *group_id, struct wfi_redis_answer *ret,
                   wf_deadline deadline, struct wf_error *reterr);

/* The metas of tasks: replies[0], an array of strings, or nil for those that have none. */
int wfi_chord_read_results(struct wfi_store *store, const char *const *ids, size_t count,
                           struct wfi_redis_answer *ret, wf_deadline deadline,
                           struct wf_error *reterr);

/* The chord is over: removes .s, .t, .j and .a. */
int wfi_chord_forget(struct wfi_store *store, const char *group_id, wf_deadline deadline,
                     struct wf_error *reterr);

#endif
