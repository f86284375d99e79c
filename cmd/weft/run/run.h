/* SPDX-License-Identifier: MIT */
/*
 * Programs run side by side: a fiber for each slot, which takes a job, runs it, prints it and takes
 * the next.
 *
 *  1. Jobs are numbered as they are taken, under `source_lock`; nothing is read ahead of them but
 *     the source's one block.
 *  2. What a job has written is printed whole, under `print_lock`; in the order of numbers where
 *     that is asked for: results that come early are held, in memory up to a limit, then in the
 *     spill, and no job starts that is too far ahead of the one they wait for.
 *  3. A job that was ended by force because the run ends is not a result: neither printed nor
 *     logged, so that it is run again by --resume.
 */
#ifndef WEFT_CMD_RUN_RUN_H
#define WEFT_CMD_RUN_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <weft/cond.h>
#include <weft/error.h>
#include <weft/event.h>
#include <weft/mutex.h>

#include "run/joblog.h"
#include "run/order.h"
#include "run/print.h"
#include "run/source.h"
#include "run/template.h"

enum run_output { RUN_GROUPED, RUN_LINES, RUN_UNGROUPED };
enum run_halt { RUN_HALT_NEVER, RUN_HALT_SOON, RUN_HALT_NOW };

struct run_options {
    int jobs;           /* at a time; 0: one per usable CPU */
    size_t args;        /* of a job */
    int64_t timeout_ns; /* of one try; 0: none */
    int tries;          /* 1: a job that fails has failed */
    enum run_halt halt;
    uint64_t halt_count;  /* after so many jobs have failed, or */
    bool halt_on_success; /* succeeded */
    enum run_output output;
    bool keep_order, json, progress, quiet;
    struct wf_rlimit *child_limit; /* on descriptors, as it was before the command raised its own */
};

struct run {
    const struct run_options *options;
    const struct template *template;

    struct wf_mutex source_lock;
    struct source *source;
    uint64_t taken;                 /* under source_lock: jobs taken or passed over */
    bool source_ended;              /* under source_lock */
    const struct joblog_done *done; /* of an earlier run */

    struct wf_mutex print_lock;
    struct printer printer;
    struct order order;        /* under print_lock: held results */
    size_t held_bytes;         /* under print_lock: their buffers */
    struct wf_condition moved; /* of print_lock: the order went on, or a job has ended */
    uint64_t number_max;       /* under print_lock: largest that may start; UINT64_MAX: any */

    struct spill spill;

    /* Under print_lock. */
    unsigned running;
    uint64_t finished, failed, retried, killed;
    struct wf_error error; /* what went wrong first, besides jobs */
    bool broken;           /* by it: nothing is started, printed or logged any more */
    bool halted;
    int halt_status; /* of the job that halted it */

    struct wf_scope *scope; /* of the slots */
    struct wf_event over;   /* all slots have ended */
    unsigned slots_left;    /* under print_lock */
    int stop_reading_fd, stop_fd;
    int64_t start_ns;
};

/*
 * The root task: runs everything. `run` has its options, template, source, done, printer.log_fd.
 * Returns the status to exit with.
 */
int run_root(void *arg);

#endif
