/* SPDX-License-Identifier: MIT */
/*
 * For tests of behaviour that must be the same on every engine: each test runs on inline, threads,
 * fibers with one worker and fibers with four. The test function is called on a plain thread, and
 * for threads and fibers also on a fiber of another runtime, so that both kinds of party mix. Where
 * all tasks of a test can travel, it runs on worker processes too; the program then begins with
 * wf_processes_init.
 */
#ifndef TEST_ENGINES_H
#define TEST_ENGINES_H

#include "party.h"

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/inline.h>
#include <weft/processes.h>
#include <weft/scope.h>
#include <weft/threads.h>

enum engine_kind { INLINE, THREADS, FIBERS, PROCESSES };

struct engine {
    const char *name;
    enum engine_kind kind;
    int workers;
    bool from_fiber; /* the test's own function runs on a fiber of another runtime */
};

static const struct engine engines[] = {
    {"inline", INLINE, 1, false},
    {"threads-4", THREADS, 4, false},
    {"threads-1", THREADS, 1, false},
    {"fibers-1", FIBERS, 1, false},
    {"fibers-4", FIBERS, 4, false},
    {"threads-4 from a fiber", THREADS, 4, true},
    {"fibers-4 from a fiber", FIBERS, 4, true},
    {"processes-1", PROCESSES, 1, false},
    {"processes-4", PROCESSES, 4, false},
    {"processes-2 from a fiber", PROCESSES, 2, true},
};
enum { ENGINE_COUNT = sizeof engines / sizeof *engines };

static inline struct wf_executor *engine_start(const struct engine *engine)
{
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    int err;
    if (engine->kind == INLINE)
        err = wf_inline_create(&on, &error);
    else if (engine->kind == THREADS)
        err = wf_threads_create(&(struct wf_threads_options){.workers = engine->workers}, &on,
                                &error);
    else if (engine->kind == PROCESSES)
        err = wf_processes_create(&(struct wf_processes_options){.workers = engine->workers}, &on,
                                  &error);
    else
        err =
            wf_fibers_create(&(struct wf_fibers_options){.workers = engine->workers}, &on, &error);
    if (err) {
        fprintf(stderr, "%s: %s\n", engine->name, error.text);
        abort();
    }
    return on;
}

struct engine_call {
    void (*body)(struct wf_executor *on);
    struct wf_executor *on;
};

static inline void engine_call(void *arg)
{
    struct engine_call *call = arg;
    call->body(call->on);
}

static inline void engine_run(const struct engine *engine, void (*body)(struct wf_executor *on))
{
    (void)party_modes;
    struct wf_executor *on = engine_start(engine);
    struct engine_call call = {body, on};
    if (getenv("VERBOSE"))
        fprintf(stderr, "  on %s\n", engine->name);
    if (engine->from_fiber) {
        struct wfi_runtime *runtime;
        struct wfi_routine routine;
        party_equal(wfi_runtime_create(&(struct wfi_runtime_options){.workers = 1}, &runtime, NULL),
                    0);
        wfi_routine_start(&routine, runtime, "the test", engine_call, &call);
        party_equal(wfi_routine_join(&routine, WF_FOREVER), 0);
        wfi_runtime_destroy(runtime);
    } else {
        engine_call(&call);
    }
    wf_executor_destroy(on);
}

/* Calls `body` once per engine from `first` to `last`. ENGINE=name in the environment picks one. */
static inline void on_engines(void (*body)(struct wf_executor *on), enum engine_kind first,
                              enum engine_kind last)
{
    const char *only = getenv("ENGINE");
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (engines[i].kind >= first && engines[i].kind <= last &&
            (!only || strcmp(only, engines[i].name) == 0))
            engine_run(&engines[i], body);
}
#define ON_ALL(body) on_engines((body), INLINE, FIBERS)
#define ON_CONCURRENT(body) on_engines((body), THREADS, FIBERS)
#define ON_PROCESSES(body) on_engines((body), PROCESSES, PROCESSES)
#define ON_EVERYTHING(body) on_engines((body), INLINE, PROCESSES)

#define check(condition) party_check(condition)
#define check_int(a, b) party_equal(a, b)

#endif
