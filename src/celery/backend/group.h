/* SPDX-License-Identifier: MIT */
/*
 * The results of a chord's parts, as texts [1, id, state, result]: those that were counted, or,
 * where some of the parts are groups themselves, made from a group that Python has saved and from
 * the results of its tasks, so that they have its form: [1, [2, 3]].
 */
#ifndef WFI_CELERY_GROUP_H
#define WFI_CELERY_GROUP_H

#include "celery/backend/store.h"
#include "celery/message/envelope.h"

/* Zeroed is none. */
struct wfi_group_members {
    struct wfi_buffer pieces; /* of struct wfi_json_piece, their texts owned */
};

/* Adds a copy of one. Returns 0 or -ENOMEM. */
int wfi_group_add(struct wfi_group_members *members, const char *text, size_t len,
                  struct wf_error *reterr);

/*
 * Adds those of a group as Python saves it: {"result": [[id, parent], [[[id, parent], null],
 * ...]]}. Of a part that is a group, one that has failed stands for all.
 *
 * deadline   until when results that are missing may come; later they are a TimeoutError
 *
 * Returns 0, WF_EPARSE when it is no group, WF_ETOOBIG when it is nested too deep, or an error of
 * wfi_store_put.
 */
int wfi_group_read(struct wfi_group_members *members, struct wfi_store *store, const char *text,
                   size_t len, wf_deadline deadline, struct wf_error *reterr);

const struct wfi_json_piece *wfi_group_pieces(const struct wfi_group_members *members);
size_t wfi_group_count(const struct wfi_group_members *members);
void wfi_group_reset(struct wfi_group_members *members);

#endif
