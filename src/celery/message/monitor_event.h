/* SPDX-License-Identifier: MIT */
/*
 * Events: what workers tell those who watch, in the form of Celery 5.2.6, down to the order of the
 * members. Pure.
 *
 * A worker's own events and a client's task-sent go out each by itself, to the routing key that
 * their type makes (worker.online, task.sent); a worker's events of tasks go out several at a time,
 * as a list, to task.multi. All to the exchange celeryev, with delivery mode 1 and one header,
 * hostname; see wfi_event_write_redis.
 */
#ifndef WFI_CELERY_MONITOR_EVENT_H
#define WFI_CELERY_MONITOR_EVENT_H

#include "celery/message/envelope.h"

#define WFI_EVENT_EXCHANGE "celeryev"
#define WFI_EVENT_MULTI_KEY "task.multi"

/* How many events of tasks go out at once; then they have to, before the next is added. */
enum { WFI_EVENT_BATCH_MAX = 24 };

enum wfi_event_type {
    WFI_EVENT_WORKER_ONLINE,
    WFI_EVENT_WORKER_HEARTBEAT,
    WFI_EVENT_WORKER_OFFLINE,
    WFI_EVENT_TASK_SENT,
    WFI_EVENT_TASK_RECEIVED,
    WFI_EVENT_TASK_STARTED,
    WFI_EVENT_TASK_SUCCEEDED,
    WFI_EVENT_TASK_FAILED,
    WFI_EVENT_TASK_RETRIED,
    WFI_EVENT_TASK_REVOKED,
    WFI_EVENT_TASK_REJECTED,
    WFI_EVENT_OTHER, /* read only: one that a task invented, or of a later version */
};

/* Texts that are NULL become null. Which members are used follows from the type. */
struct wfi_celery_event {
    enum wfi_event_type type;
    const char *hostname; /* "w1@here": the node's name, of a client gen<pid>@host */
    int64_t pid, clock;
    int utcoffset;    /* hours west of UTC */
    double timestamp; /* seconds since 1970 */
    /* worker-* */
    double freq_s; /* how often there is a heartbeat */
    int64_t active, processed;
    double loadavg[3];
    const char *sw_ident, *sw_ver, *sw_sys;
    /* task-* */
    const char *uuid;
    /* sent, received */
    const char *name, *args, *kwargs; /* arguments as Python shows them */
    const char *root_id, *parent_id, *eta, *expires;
    int64_t retries;
    const char *queue, *exchange, *routing_key; /* sent */
    const char *result;                         /* succeeded: as Python shows it */
    double runtime_s;                           /* succeeded */
    const char *exception, *traceback;          /* failed, retried */
    bool terminated, expired;                   /* revoked */
    int signum;                                 /* revoked: 0 becomes null */
    bool requeue;                               /* rejected */
};

/* "task-sent", and the routing key, "task.sent". */
const char *wfi_event_type_name(enum wfi_event_type type);
const char *wfi_event_routing_key(enum wfi_event_type type);

void wfi_event_write(struct wf_json_writer *w, const struct wfi_celery_event *e);

/* Reads an event; a body may be one, or a list of them. Returns 0, or WF_EPARSE when it has no
 * type or hostname. The texts are those of the value. */
int wfi_event_read(const struct wf_json_value *value, struct wfi_celery_event *ret);

/* Writes the message around an event, or a list of them, as Redis carries it. Returns 0 or
 * -ENOMEM. */
int wfi_event_write_redis(struct wf_json_writer *w, const char *hostname, const char *routing_key,
                          const char *delivery_tag, const char *body, size_t len);

/* Events of tasks that wait to go out together. Zeroed is empty. */
struct wfi_event_batch {
    struct wf_json_writer *w; /* NULL: none yet */
    size_t count;
};

/* Adds one. Returns how many there are now, or -ENOMEM; when there are WFI_EVENT_BATCH_MAX they
 * should be taken before the next. Lack of memory may show only when they are, and then all are
 * lost. */
int wfi_event_batch_add(struct wfi_event_batch *batch, const struct wfi_celery_event *e);

/* The list as text, valid until the next call; the batch is empty then. Returns how many are in it,
 * 0 and no text for an empty one, or -ENOMEM. */
int wfi_event_batch_take(struct wfi_event_batch *batch, const char **ret_text, size_t *ret_len);

void wfi_event_batch_fini(struct wfi_event_batch *batch);

/*
 * The Lamport clock: one for a program, guarded by its owner. Each message takes the next number,
 * and one that came in with a number sets it ahead.
 */
static inline int64_t wfi_lamport_next(int64_t *clock)
{
    return ++*clock;
}

static inline void wfi_lamport_saw(int64_t *clock, int64_t seen)
{
    if (seen < INT64_MAX)
        *clock = (seen > *clock ? seen : *clock) + 1;
}

#endif
