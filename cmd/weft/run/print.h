/* SPDX-License-Identifier: MIT */
/*
 * What a job leaves behind, and how it gets out: to standard output and error as it is, or as a
 * line of JSON; then, when that has been written, to the log.
 *
 *  1. A job's output is written in one go, nothing of another job in between.
 *  2. The log's line follows the output: what the log calls done has been handed over.
 *  3. A reader that has stopped reading holds the run up, but not its end: once `stop_fd` can be
 *     read, a write that does not get on within a second is given up.
 */
#ifndef WEFT_CMD_RUN_PRINT_H
#define WEFT_CMD_RUN_PRINT_H

#include <stdbool.h>

#include "run/capture.h"
#include "run/words.h"

struct result {
    struct capture out, err;
    struct words line; /* for the log */
    struct words head; /* JSON up to the output; empty when the output is printed as it is */
};

/* Where output goes. */
struct printer {
    int out_fd, err_fd, log_fd; /* log_fd: -1 for none */
    int stop_fd;
    bool out_blocks, err_blocks; /* no files: a reader may keep them full */
    bool terminal;               /* progress is shown on standard error, and has to be wiped */
    struct spill *spill;
};

void printer_init(struct printer *printer, struct spill *spill, int log_fd, int stop_fd);

/*
 * Writes a result. Blocks the thread. Returns 0, or, with a text, why something cannot be written.
 */
int printer_print(struct printer *printer, const struct result *result, struct wf_error *reterr);

/* Writes bytes to standard output or error; else as printer_print. */
int printer_write(struct printer *printer, bool to_err, const char *data, size_t len,
                  struct wf_error *reterr);

/* Whether printing would do anything. */
bool result_is_empty(const struct result *result);
void result_clear(struct result *result, struct spill *spill);
void result_fini(struct result *result, struct spill *spill);

#endif
