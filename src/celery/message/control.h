/* SPDX-License-Identifier: MIT */
/*
 * Remote control ("pidbox"): requests that go to all workers at once, and what each answers, in the
 * form of Celery 5.2.6. Pure: the worker gives what it knows in structures, or writes the value of
 * the answer with the functions below, one for each form there is.
 *
 *   ping               ok "pong"                      active, reserved   array of tasks
 *   scheduled          array of scheduled tasks       registered         array of names, sorted
 *   active_queues      array of queues                stats              wfi_control_write_stats
 *   revoked            array of ids                   conf               object of settings
 *   query_task         object: id -> [state, task]    report             ok and a text
 *   clock              {"clock": n}                   hello              wfi_control_write_hello
 *   revoke             ok "tasks ID, ID flagged as revoked"
 *   terminate          ok "terminate: ID, ID", or "terminate: tasks unknown"; so revoke, too, where
 *                      it is to terminate
 *   rate_limit         ok "new rate limit set successfully"; for none "rate limit disabled
 *                      successfully"; else error "unknown task"
 *   time_limit         ok "time limits set successfully"
 *   pool_grow          ok "pool will grow"            pool_shrink        ok "pool will shrink"
 *   enable_events      ok "task events enabled", or "task events already enabled"
 *   disable_events     ok "task events disabled", or "task events already disabled"
 *   add_consumer       ok "add consumer QUEUE"
 *   cancel_consumer    ok "no longer consuming from QUEUE"
 *   shutdown           no answer
 *   any other          error "KeyError('METHOD')"
 */
#ifndef WFI_CELERY_CONTROL_H
#define WFI_CELERY_CONTROL_H

#include "celery/message/envelope.h"

#define WFI_CONTROL_EXCHANGE "celery.pidbox"
#define WFI_CONTROL_REPLY_EXCHANGE "reply.celery.pidbox"

struct wfi_control_request {
    const char *method;
    struct wfi_json_piece arguments;   /* an object */
    struct wfi_json_piece destination; /* an array of names of nodes, or nothing for all */
    const char *pattern, *matcher;     /* else those that match: "glob" or "pcre" */
    const char *ticket;
    const char *reply_exchange, *reply_key; /* NULL: no answer is wanted */
    int64_t clock;
    double expires; /* seconds since 1970; 0: never */
};

enum wfi_control_fate {
    WFI_CONTROL_DO,     /* for this node, now */
    WFI_CONTROL_IGNORE, /* for others, or too late */
    WFI_CONTROL_DROP,   /* not a request */
};

/*
 * Reads a request from a message: opens the envelope's body, whose tree is *ret_body, to be given
 * to wf_json_destroy; the request points into both. `now` is in seconds since 1970. The clock is
 * to be seen (wfi_lamport_saw) whatever the fate. Returns a fate, or -ENOMEM.
 */
int wfi_control_read(struct wfi_envelope *envelope, const char *node, double now,
                     struct wf_json **ret_body, struct wfi_control_request *ret);

/* Writes a request: its headers and its body. */
void wfi_control_write_headers(struct wf_json_writer *w, const struct wfi_control_request *r);
void wfi_control_write_body(struct wf_json_writer *w, const struct wfi_control_request *r);

/* Writes a request whole, as it is published on Redis. Returns 0 or -ENOMEM. */
int wfi_control_write_redis(struct wf_json_writer *w, const struct wfi_control_request *r,
                            const char *delivery_tag);

/* Writes an answer whole, as it is pushed on Redis; and alone its headers, and its body. `value` is
 * what one of the functions below wrote. */
int wfi_control_write_reply_redis(struct wf_json_writer *w, const struct wfi_control_request *r,
                                  const char *node, const struct wfi_json_piece *value,
                                  int64_t clock, const char *delivery_tag);
void wfi_control_write_reply_headers(struct wf_json_writer *w, const char *ticket, int64_t clock);
void wfi_control_write_reply_body(struct wf_json_writer *w, const char *node,
                                  const struct wfi_json_piece *value);

/* {"ok": text} and {"error": text}, the text as of printf. */
void wfi_control_write_ok(struct wf_json_writer *w, const char *format, ...) WF_PRINTF(2, 3);
void wfi_control_write_error(struct wf_json_writer *w, const char *format, ...) WF_PRINTF(2, 3);

/* {"error": "KeyError('method')"} */
void wfi_control_write_unknown(struct wf_json_writer *w, const char *method);

/* {"ok": "tasks ID, ID flagged as revoked"} */
void wfi_control_write_revoking(struct wf_json_writer *w, const char *const *ids, size_t count);

/* A task that the worker has. */
struct wfi_control_task {
    const char *id, *name;
    struct wfi_json_piece args, kwargs;
    const char *hostname;
    double time_start; /* seconds since 1970; 0: it has not been started */
    bool acknowledged;
    const char *exchange, *routing_key;
    int priority;
    bool redelivered;
    bool
        tells_first; /* the broker tells of a message that it is not redelivered: false, not null */
    int64_t worker_pid; /* 0: nobody runs it */
};

void wfi_control_write_task(struct wf_json_writer *w, const struct wfi_control_task *task);

/* The same with its eta (ISO 8601), as a member of the answer to `scheduled`. */
void wfi_control_write_scheduled(struct wf_json_writer *w, const char *eta,
                                 const struct wfi_control_task *task);

struct wfi_control_queue {
    const char *name, *exchange, *exchange_type, *routing_key; /* type NULL: direct */
    int max_priority;                                          /* 0: null */
};

void wfi_control_write_queue(struct wf_json_writer *w, const struct wfi_control_queue *queue);

struct wfi_control_stats {
    const char *const *totals_names; /* how many of each task were received */
    const int64_t *totals;
    size_t totals_count;
    int64_t pid, clock, uptime_s;
    int64_t concurrency;
    const int64_t *processes; /* of the pool */
    size_t process_count;
    int64_t tasks_per_child_max; /* 0: "N/A" */
    double hard_s, soft_s;
    const char *transport, *hostname, *userid, *virtual_host; /* of the broker */
    const char *login_method;                                 /* NULL: none */
    int64_t port;
    bool ssl;
    int64_t prefetch_count;
    double user_s, system_s;
    int64_t maxrss_kib, minflt, majflt, inblock, oublock, nvcsw, nivcsw;
};

void wfi_control_write_stats(struct wf_json_writer *w, const struct wfi_control_stats *stats);

/* id: [time, id], a member of an object of what is revoked; the time is the worker's own, and
 * nobody else's. */
void wfi_control_write_revoked(struct wf_json_writer *w, const char *id, double time);

/* {"clock": n, "revoked": {id: [time, id]}} */
void wfi_control_write_hello(struct wf_json_writer *w, int64_t clock, const char *const *revoked,
                             const double *times, size_t count);

/*
 * A rate limit: "100/m" with s, m or h, or a number, which is per second. `ret_per_s` is 0 for no
 * limit: null, "0", "". Returns 0 or -EINVAL.
 */
int wfi_control_rate(const struct wf_json_value *value, double *ret_per_s);
int wfi_control_rate_text(const char *text, double *ret_per_s);

#endif
