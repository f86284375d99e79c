/* SPDX-License-Identifier: MIT */
/*
 * Ordered map: one task over many inputs, results in the order of the inputs. The typed forms are
 * made by WF_TASK:
 *
 *     int next(void *arg, struct fetch_args *ret_args);      1: filled, 0: no more, or an error
 *
 *     fetch_stream s;
 *     err = fetch_map(on, &(struct wf_map_options){.look_ahead = 8}, next, arg, &s, &error);
 *     while ((err = fetch_map_next(&s, &page, WF_FOREVER, &error)) == 1)
 *         use(page);
 *     fetch_map_close(&s);
 *
 *     fetch_each(on, NULL, items, count, results, WF_FOREVER, &error);       arrays in, array out
 *
 * Inputs are taken from the source only as results are taken from the map: at most `look_ahead`
 * items are ahead of the reader at any time, whatever the source could give.
 */
#ifndef WEFT_MAP_H
#define WEFT_MAP_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_executor;
struct wf_map;
struct wf_task_type;

/* Zero is the default; anything below is refused. */
struct wf_map_options {
    int look_ahead; /* items handed out and not yet read; 0: two per worker of the executor */
    int chunk;      /* items that one task works on; 0: 1. A look-ahead below it is raised to it. */
};

/*
 * Opens a map. The source is first asked here, and from then on in wf_map_next, by the reader.
 *
 * pull   calls next(arg, ret_args) with its own type; what WF_TASK makes
 *
 * Returns 0, or
 *   -EINVAL   a negative look-ahead or chunk
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_map_create(struct wf_executor *on, const struct wf_task_type *type,
                         const struct wf_map_options *options,
                         int (*pull)(void (*next)(void), void *arg, void *ret_args),
                         void (*next)(void), void *arg, struct wf_map **ret_map,
                         struct wf_error *reterr);

/*
 * The next result, in the order of the inputs. An item that failed is reported at its place, and
 * the call after that goes on with the one behind it.
 *
 * ret   receives the result; may be NULL
 *
 * Returns 1, or 0 after the last, or
 *   -ETIMEDOUT   the deadline passed first; nothing was taken
 *   -ECANCELED   the caller or this item's task was cancelled
 *   another      what this item's task, or the source, failed with
 * Context: thread or fiber; one caller at a time.
 */
WF_API int wf_map_next(struct wf_map *map, void *ret, wf_deadline deadline,
                       struct wf_error *reterr);

/*
 * Ends a map: what has not started is cancelled, what runs goes on unwatched. Harmless on NULL.
 * Context: any, never blocks; by the owner.
 */
WF_API void wf_map_close(struct wf_map *map);

/*
 * The whole of an array: results[i] is what the task makes of items[i].
 *
 * args          `count` structures of the task's arguments
 * ret_results   `count` results; those behind an error are not written; may be NULL
 *
 * Returns 0, or the first failure in the order of the items, its text prefixed with the item's
 * number; or
 *   -ETIMEDOUT         the deadline passed first
 *   -ECANCELED         the caller was cancelled
 *   -EINVAL, -ENOMEM   as wf_map_create
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_map_each(struct wf_executor *on, const struct wf_task_type *type,
                       const struct wf_map_options *options, const void *args, size_t count,
                       void *ret_results, wf_deadline deadline, struct wf_error *reterr);

WF_END_DECLS

#endif
