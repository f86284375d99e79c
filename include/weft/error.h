/* SPDX-License-Identifier: MIT */
/*
 * Errors. A function that can fail returns an int: 0 or a count on success, a negative code on
 * failure. The code is -errno where errno has the meaning (-ETIMEDOUT, -ECANCELED, -EPIPE for
 * closed, -EAGAIN for would-block, -ENOMEM) and one of weft's own, below -4096, where it has not.
 *
 * Where a number is not enough (a failed task, a connection, a parse error) the last argument,
 * `reterr`, takes a struct wf_error. It is a plain value: no ownership, nothing to free, NULL when
 * the caller does not want it. It is written only on failure. There is no last-error variable.
 */
#ifndef WEFT_ERROR_H
#define WEFT_ERROR_H

#include <weft/api.h>

WF_BEGIN_DECLS

/* One table: name, number, text. */
#define WF_ERROR_MAP(X)                                                                           \
    X(WF_EBROKEN, -4097, "broken: an initialiser failed, a party left, or the pool was given up") \
    X(WF_ESTATE, -4098, "wrong state for this call")                                              \
    X(WF_ETASKFAILED, -4099, "the task failed")                                                   \
    X(WF_EWORKERDIED, -4100, "the worker that ran the task died")                                 \
    X(WF_EPROTOCOL, -4101, "the peer broke the protocol")                                         \
    X(WF_EFORKED, -4102, "weft cannot be used in a child made by fork")                           \
    X(WF_ENOTWIRE, -4103, "a parameter cannot leave this process")                                \
    X(WF_EPARSE, -4104, "the text does not parse")                                                \
    X(WF_ERESOLVE, -4105, "the host name does not resolve")                                       \
    X(WF_ETLS, -4106, "the TLS handshake or certificate check failed")                            \
    X(WF_ETOOBIG, -4107, "larger than the limit that was set")                                    \
    X(WF_ESHORT, -4108, "the peer ended before everything announced had arrived")                 \
    X(WF_EDEADLOCK, -4109, "the wait could never end")                                            \
    X(WF_ENORESULT, -4110, "the task ends without a result of its own")

enum wf_error_code {
#define WF_ERROR_ENUM_(name, number, text) name = number,
    WF_ERROR_MAP(WF_ERROR_ENUM_)
#undef WF_ERROR_ENUM_
};

struct wf_error {
    int code;        /* negative, as returned; 0 in a zeroed struct */
    int pid;         /* the process that failed, where there is one */
    int signal;      /* the signal that ended it, or 0 */
    int exit_status; /* its exit status, or 0 */
    char task[64];   /* name of the task that failed, or empty */
    char origin[64]; /* where: host, worker or engine, or empty */
    char text[384];  /* one sentence; each level that passes it on may put "what: " in front */
};

/*
 * One line of text for a code, from weft's table or the system's. Never NULL; the text for a
 * system code is in the C locale.
 * Context: any, never blocks.
 */
WF_API const char *wf_strerror(int code);

/*
 * The name of a code: "WF_EBROKEN", "ETIMEDOUT", or "unknown".
 * Context: any, never blocks.
 */
WF_API const char *wf_error_name(int code);

/*
 * Fills `err` with `code` and a formatted text; without a format (NULL) the text is
 * wf_strerror(code). Too long a text is cut. `err` may be NULL.
 *
 * Returns `code`, so that failing is one statement: return wf_error_set(reterr, -EINVAL, "...").
 * Context: any, never blocks.
 */
WF_API int wf_error_set(struct wf_error *err, int code, const char *format, ...) WF_PRINTF(3, 4);

/*
 * Puts "prefix: " in front of the text of `err`, cutting the end if it does not fit. `err` may be
 * NULL.
 *
 * Returns the code of `err`, or 0 when it is NULL.
 * Context: any, never blocks.
 */
WF_API int wf_error_prefix(struct wf_error *err, const char *format, ...) WF_PRINTF(2, 3);

WF_END_DECLS

#endif
