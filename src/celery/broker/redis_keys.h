/* SPDX-License-Identifier: MIT */
/*
 * How messages lie in Redis, as kombu (5.2 to 5.6) puts them there: the lists of a queue, the table
 * of messages that are taken and not acknowledged, and the scripts that move a message between them
 * in one step. Pure.
 *
 * A queue is a list for each step of priority: 0 under the queue's own name, the others with the
 * separator and the step behind it. 0 is read first. New messages come in on the left, and are
 * taken from the right.
 *
 * `unacked` is a hash from a message's delivery tag to [envelope, exchange, routing key], and
 * `unacked_index` a sorted set of the tags by the time at which they were taken, in seconds. A tag
 * whose time is longer ago than the visibility timeout counts as lost by its worker, and any worker
 * may put its message back.
 */
#ifndef WFI_CELERY_REDIS_KEYS_H
#define WFI_CELERY_REDIS_KEYS_H

#include <weft/error.h>

#include "base/buffer.h"

/* Between the parts of a key or binding. */
#define WFI_REDIS_SEPARATOR "\x06\x16"

/* The steps of priority, in the order in which they are read. */
#define WFI_REDIS_STEPS 4
extern const int wfi_redis_steps[WFI_REDIS_STEPS];

/* The greatest step that is not above `priority`; below 0 counts as 0, above 9 as 9. */
int wfi_redis_step(int priority);

/* Writes the key of the list of `queue` at `step`, behind `prefix`, which may be "". Returns 0 or
 * -ENOMEM. */
int wfi_redis_queue_key(struct wfi_buffer *out, const char *prefix, const char *queue, int step);

/* Writes the member of _kombu.binding.EXCHANGE that binds a queue. Returns 0 or -ENOMEM. */
int wfi_redis_binding(struct wfi_buffer *out, const char *routing_key, const char *pattern,
                      const char *queue);

/* Whether a message with `routing_key` goes to the queue of a binding, of a topic exchange where it
 * has a pattern, else of a direct one; then `ret_queue` points at the queue's name in `binding`. A
 * malformed one fits nothing. */
bool wfi_redis_binding_fits(const char *binding, const char *routing_key, const char **ret_queue);

/* A message on its way back from `unacked` to its queue. */
struct wfi_redis_restored {
    char *text; /* the envelope, marked as redelivered where it can be read */
    size_t len;
    char *exchange, *routing_key; /* where it was sent to */
    int priority;
};

/*
 * Reads an entry of `unacked`, and writes its envelope anew, with `redelivered` among its headers
 * and in its delivery_info. Numbers keep their digits. What lies there in an envelope's place and
 * is none, or cannot be read, goes back as it is: whoever takes it next says so.
 *
 * Returns 0 with the fields to be freed by wfi_redis_restored_fini, WF_EPARSE when it is no such
 * entry, or -ENOMEM.
 */
int wfi_redis_restore_entry(const char *entry, size_t len, struct wfi_redis_restored *ret);
void wfi_redis_restored_fini(struct wfi_redis_restored *restored);

/*
 * The scripts. KEYS[1] is unacked and KEYS[2] unacked_index in all of them.
 *
 * take: ARGV the time in seconds, how many, how tags of our own begin (the same never twice), and
 * the names of the queues; KEYS[3...] the lists in the order in which to read them, for each step
 * those of the queues in the order of their names. Moves messages from the lists to `unacked`.
 * Returns for each its tag, its envelope, and the place of its list in KEYS, flat. What has no tag
 * that can be read, or one under which another message is kept, gets one of ours.
 */
extern const char wfi_redis_script_take[];

/*
 * acknowledge: ARGV tags. Forgets them. Returns how many were there.
 */
extern const char wfi_redis_script_acknowledge[];

/*
 * touch: ARGV the time in seconds, then tags. Gives those that are still there the time as if they
 * were taken then. Returns how many.
 */
extern const char wfi_redis_script_touch[];

/*
 * put back: ARGV a tag, an envelope, a time or "", and "left" or "right"; KEYS[3...] the lists. If
 * the tag is there, and its time is not after the one given, the envelope goes to that end of the
 * lists and the tag is forgotten. Returns 1, or 0 when nothing was done, or, when it can go to none
 * of them, the error, and it stays.
 */
extern const char wfi_redis_script_put_back[];

/*
 * forget: ARGV a tag, which is no longer kept if there is no message of it. To look first and to
 * remove it then would be wrong: a message that was put back has its tag again as soon as somebody
 * takes it, and without its time nobody would miss it when that worker dies. Returns 1, or 0 when
 * nothing was done.
 */
extern const char wfi_redis_script_forget[];

#endif
