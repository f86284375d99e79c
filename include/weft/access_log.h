/* SPDX-License-Identifier: MIT */
/*
 * An access log: a line for each answer of a server, in a file or on standard output.
 *
 *     wf_access_log_open(&(struct wf_access_log_options){.path = "access.log"}, &log, &error);
 *     options.access = wf_access_log_note, options.access_arg = log;
 *     ... wf_server_create(&options, ...), run, destroy ...
 *     wf_access_log_close(log, &error);
 *
 * Lines are collected in memory and written by a thread of the log's own, many at a time, at the
 * latest a twentieth of a second after they were made; so a slow disk holds up no request. When it
 * is so slow that `bytes_max` are waiting, lines are dropped, and a line that says how many stands
 * where they are missing. A line is written whole or not at all; after an error (a full disk) the
 * rest is tried again every second.
 *
 * A file that was renamed or removed is noticed within a second of the next line, and made anew
 * under its name: that is all logrotate needs, neither a signal nor copytruncate.
 */
#ifndef WEFT_ACCESS_LOG_H
#define WEFT_ACCESS_LOG_H

#include <weft/middleware.h>
#include <weft/server.h>

WF_BEGIN_DECLS

struct wf_access_log;

enum wf_access_form {
    /* 1.2.3.4 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "REFERER" "USER AGENT" */
    WF_ACCESS_COMMON,
    WF_ACCESS_JSON, /* an object a line: time, client, method, target, status, bytes, seconds ... */
};

struct wf_access_log_options {
    const char *path; /* of a file that is appended to; "-": standard output */
    enum wf_access_form form;
    size_t bytes_max; /* of lines that wait to be written; 0: 4 MiB */
};

/*
 * Opens the file, which is made if there is none, and starts the thread.
 *
 * ret_log   receives it; the caller closes it, after the server that notes in it was destroyed
 *
 * Returns 0, or
 *   -EINVAL   no path, or it names what is neither a file nor can be written like one
 *   -ENOENT, -EACCES, -EISDIR, -EMFILE, ... (the file cannot be opened)
 *   -EAGAIN   no thread could be started
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_access_log_open(const struct wf_access_log_options *options,
                              struct wf_access_log **ret_log, struct wf_error *reterr);

/*
 * Notes an answer or a refusal: `access` in wf_server_options, with the log as its argument.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_access_log_note(void *log, const struct wf_request *request,
                               const struct wf_access *access);

/*
 * A layer (weft/middleware.h) that notes what is answered below its path, for a log of its own:
 * `.layer = wf_layer_log, .arg = log`. Refusals reach no layer, and of an answer the server makes
 * for a failed handler the status is known, not the length.
 *
 * Returns as wf_next_run.
 * Context: fiber only.
 */
WF_API int wf_layer_log(struct wf_request *request, struct wf_response *response,
                        struct wf_next *next, void *log);

struct wf_access_log_counts {
    uint64_t lines;   /* written */
    uint64_t dropped; /* since too many waited, there was no memory, or the log was closed */
};

/*
 * What became of the lines so far.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_access_log_count(struct wf_access_log *log, struct wf_access_log_counts *ret_counts);

/*
 * Writes what is waiting and closes the log. What cannot be written now is lost. NULL is fine.
 *
 * Returns 0, or the error with which the file refused the last lines (-ENOSPC, -EIO, -EPIPE, ...).
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_access_log_close(struct wf_access_log *log, struct wf_error *reterr);

WF_END_DECLS

#endif
