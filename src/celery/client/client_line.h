/* SPDX-License-Identifier: MIT */
/*
 * A client's connection to a server, shared by all callers: opened when it is needed, and again
 * after it broke, or after a caller waited on it in vain for a second and longer. What is done on
 * it is done again when it breaks, three times, as Celery does it: what was sent before the
 * server's answer was lost may then be there twice.
 */
#ifndef WFI_CELERY_CLIENT_LINE_H
#define WFI_CELERY_CLIENT_LINE_H

#include <weft/mutex.h>

#include "celery/message/url.h"

/* The three functions of a kind of connection; `options` is what the line was given. */
struct wfi_line_kind {
    int (*open)(const struct wfi_celery_url *url, const void *options, void **ret_connection,
                wf_deadline deadline, struct wf_error *reterr);
    bool (*is_open)(const void *connection);
    /* `silent`: the server has not answered, and no word is lost on it. */
    void (*close)(void *connection, bool silent);
};

/* Its fields are its own, but `url`. */
struct wfi_line {
    const struct wfi_line_kind *kind;
    struct wfi_celery_url url;
    const void *options;
    bool once; /* nothing is tried again */
    int64_t silence_ns;
    struct wf_mutex opening;
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_line_connection *current;
    uint64_t opened; /* how many there were */
};

/* `options` is not copied. */
void wfi_line_init(struct wfi_line *line, const struct wfi_line_kind *kind,
                   const struct wfi_celery_url *url, const void *options, bool once);

/* Nobody is inside a call any more. A zeroed line is fine. */
void wfi_line_fini(struct wfi_line *line);

/*
 * Something that is done on a connection; `number` is 1 for the line's first, and so on. Returns 0
 * or a negative code.
 */
typedef int (*wfi_line_act)(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                            struct wf_error *reterr);

/*
 * Calls `act` on a connection that is open, again if it breaks.
 *
 * Returns what that returned last, or
 *   -ETIMEDOUT, -ECANCELED
 *   -ENOMEM, or an error of opening a connection
 * Context: thread or fiber; any number of callers.
 */
int wfi_line_do(struct wfi_line *line, wfi_line_act act, void *arg, wf_deadline deadline,
                struct wf_error *reterr);

#endif
