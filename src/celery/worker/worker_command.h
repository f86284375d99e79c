/* SPDX-License-Identifier: MIT */
/*
 * A worker's command line, as Celery's users know it: read by a table, from which --help is made.
 * Pure: nothing is loaded, and only --help prints.
 */
#ifndef WFI_CELERY_WORKER_COMMAND_H
#define WFI_CELERY_WORKER_COMMAND_H

#include <weft/celery.h>

/* Texts of a list, in the order in which they were given; they are the list's. */
struct wfi_texts {
    char **items;
    size_t count;
};

enum wfi_pool_kind {
    WFI_POOL_THREADS,
    WFI_POOL_FIBERS,
    WFI_POOL_PROCESSES,
    WFI_POOL_SOLO,
};

/* As given; zero, or below zero where zero means something, is what was not. */
struct wfi_worker_command {
    struct wfi_texts modules, queues;
    const char *broker, *backend, *name, *log_file, *pid_file, *folder;
    int level; /* enum wfi_log_level */
    bool has_pool;
    int pool; /* enum wfi_pool_kind */
    int64_t concurrency, prefetch, tasks_max, memory_max_kib, result_expires_s;
    double time_limit_s, soft_time_limit_s, visibility_s;
    bool fair, events, quiet, acks_late, track_started, retry_on_startup;
    bool no_heartbeat, no_mingle, no_gossip;
};

/* The levels of Python's log, as -l names them. */
enum wfi_log_level {
    WFI_LOG_WARNING, /* Celery's default */
    WFI_LOG_DEBUG,
    WFI_LOG_INFO,
    WFI_LOG_ERROR,
    WFI_LOG_CRITICAL,
    WFI_LOG_FATAL,
};

/*
 * Reads the arguments behind argv[0] into `ret`, which is to be given to wfi_worker_command_fini
 * however it ends; the texts of options point into argv.
 *
 * Returns 0, or
 *   -ECANCELED   --help was printed on standard output
 *   -EINVAL      an argument is wrong, which the text says
 *   -ENOTSUP     one asks for what Celery has and this worker has not
 *   -ENOMEM
 */
int wfi_worker_command_parse(int argc, char **argv, struct wfi_worker_command *ret,
                             struct wf_error *reterr);

void wfi_worker_command_fini(struct wfi_worker_command *command);

#endif
