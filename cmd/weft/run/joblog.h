/* SPDX-License-Identifier: MIT */
/*
 * The log of jobs, in GNU parallel's columns: a heading, then a line for each job that has ended.
 * A job counts as done when its whole line is there; a torn last line is cut off before more is
 * written.
 */
#ifndef WEFT_CMD_RUN_JOBLOG_H
#define WEFT_CMD_RUN_JOBLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/error.h>

#include "run/words.h"

struct joblog_entry {
    uint64_t number;
    double start_s, run_s; /* since the epoch; how long */
    uint64_t bytes;        /* of standard output */
    int exit_status, signal;
    const char *command;
};

/* The heading, as a line. */
extern const char joblog_heading[];

/* Puts the line of a job into the word being made. */
void joblog_put(const struct joblog_entry *entry, struct words *out);

/* Which jobs a log says are done. */
struct joblog_done {
    unsigned char *bits;
    uint64_t limit; /* numbers below it have a bit */
    uint64_t count;
};

/*
 * Reads a line, without its newline. With `failed_again` only jobs that succeeded count as done.
 * Returns 0, WF_EPARSE, or -ENOMEM.
 */
int joblog_read_line(struct joblog_done *done, const char *line, bool failed_again);
bool joblog_has(const struct joblog_done *done, uint64_t number);
void joblog_done_fini(struct joblog_done *done);

/*
 * Opens the log for writing lines. Without `resume` it begins anew; with it, what is there is read
 * into `done` and kept.
 *
 * Returns the descriptor, or a -errno, WF_EPARSE for a file that is no such log.
 */
int joblog_open(const char *path, bool resume, bool failed_again, struct joblog_done *done,
                struct wf_error *reterr);

#endif
