/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <weft/inline.h>
#include <weft/threads.h>

const char *const engine_names[] = {"single", "threads", "fibers", "processes", NULL};

int engine_create(enum engine engine, int concurrency, const char *command,
                  struct wf_executor **ret_on, struct wf_error *reterr)
{
    struct wf_threads_options threads = {.workers = concurrency, .name = command};
    switch (engine) {
    case ENGINE_SINGLE:
        return wf_inline_create(ret_on, reterr);
    case ENGINE_THREADS:
        return wf_threads_create(&threads, ret_on, reterr);
    default:
        *ret_on = NULL;
        return 0;
    }
}
