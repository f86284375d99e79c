/* SPDX-License-Identifier: MIT */
/*
 * Downloads of a list of URLs: a number of workers (tasks, on whatever executor) take the next one,
 * fetch it, perhaps save it, and report it, in the order of the list or as they are completed.
 *
 * What a download is marked for: a failure, a status other than 2xx, a body shorter than announced
 * (a failure, too), and a size that differs from what the same URL answered before, in this run or
 * in the sizes that an earlier one has left.
 *
 * Invariant: everything in struct get below `lock` is under it.
 */
#ifndef WEFT_CMD_GET_GET_H
#define WEFT_CMD_GET_GET_H

#include <stdio.h>

#include <weft/executor.h>
#include <weft/http.h>
#include <weft/mutex.h>

struct get_item {
    char *url; /* as it was given */
    bool done, printed;
    int status;
    size_t bytes;
    bool differs;      /* from `before` */
    size_t before;     /* bytes of an earlier answer */
    bool known_before; /* `before` is one */
    struct wf_error error;
};

struct get_options {
    int concurrency;
    bool processes; /* download in processes, one each at a time */
    bool as_completed;
    const char *directory; /* to save bodies in, or NULL */
    int64_t timeout_ns;
    size_t body_bytes_max;
};

struct get {
    const struct get_options *options;
    struct wf_http *http;       /* one of these two */
    struct wf_executor *remote; /* the worker processes */
    struct get_item *items;
    size_t count;

    struct wf_mutex lock;
    size_t next;    /* to be taken */
    size_t printed; /* in order: all before this one are */
    size_t done, marked;
};

/* Reads URLs, one a line, from `file`; empty lines and those that begin with # do not count.
 * Returns 0, -ENOMEM or what reading gave. */
int get_read_list(struct get *get, FILE *file);

/* Adds one URL. Returns 0, -ENOMEM, or WF_EPARSE with a text. */
int get_add(struct get *get, const char *url, struct wf_error *reterr);

/* Forgets all but the first of equal URLs. Returns 0 or -ENOMEM. */
int get_unique(struct get *get);

/* Takes the sizes of an earlier run into account: lines of a size, a space and a URL; no such file
 * is none. And writes them. Return 0 or a -errno. */
int get_read_sizes(struct get *get, const char *path);
int get_write_sizes(const struct get *get, const char *path);

/* Downloads all. Returns 0, -ECANCELED, or why it could not be done. */
int get_run(struct get *get, struct wf_executor *on, struct wf_error *reterr);

void get_fini(struct get *get);

#endif
