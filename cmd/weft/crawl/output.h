/* SPDX-License-Identifier: MIT */
/*
 * Where records go: a file or standard output, one line a record, written whole lines at a time by
 * whoever finds enough of them waiting, off the fiber workers.
 *
 * Invariants
 *   1. Lines are written in the order they were added, and a line is never torn: after a write that
 *      failed half-way the file is cut back to its last whole line.
 *   2. One party writes at a time (`writing`); the others go on adding, until PENDING_MAX bytes
 *      wait.
 *   3. The first failure is kept; everything added later is refused with it.
 */
#ifndef WEFT_CMD_CRAWL_OUTPUT_H
#define WEFT_CMD_CRAWL_OUTPUT_H

#include <weft/cond.h>
#include <weft/error.h>
#include <weft/mutex.h>

struct output {
    const char *path; /* for messages; "standard output" for "-" */
    int fd;
    bool is_file; /* can be cut back */
    struct wf_mutex lock;
    struct wf_condition written;
    /* Under the lock. */
    char *pending;
    size_t len, size;
    bool writing;
    int64_t wrote_ns;
    uint64_t lines_added, lines_written;
    uint64_t pending_lines;
    struct wf_error error;
};

/* Opens `path`, "-" for standard output, emptying a file. Returns 0 or a -errno. */
int output_open(struct output *out, const char *path, struct wf_error *reterr);

/* Adds a line, its newline included. Returns 0, or why the output cannot be written (any more). */
int output_add(struct output *out, const char *line, size_t len, struct wf_error *reterr);

/* Writes all that waits. Returns 0 or the first failure. */
int output_flush(struct output *out, struct wf_error *reterr);

/* Lines that are in the file. */
uint64_t output_lines(struct output *out);

/* Flushes and closes. Returns 0 or the first failure. */
int output_close(struct output *out, struct wf_error *reterr);

#endif
