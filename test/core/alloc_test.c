/* SPDX-License-Identifier: MIT */
/*
 * Out of memory at every place in turn, for what creates, opens or starts something and has no such
 * test beside its source. A row makes the thing, uses it a little, ends it, and returns its first
 * error. The n-th allocation fails, for every n until none is left to fail; then the row must
 * succeed. A row must come to its end and say -ENOMEM or -EAGAIN (no thread); that it keeps
 * nothing, the builds with ASan and under Valgrind see.
 */
#include "party.h"

#include <errno.h>

#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/inline.h>
#include <weft/join.h>
#include <weft/main.h>
#include <weft/pipeline.h>
#include <weft/scope.h>
#include <weft/threads.h>
#include <weft/worker.h>

WF_TASK(int, give, (int, value))
WF_TASK(wf_none, watch)

int give(struct wf_task *self, int value, int *ret)
{
    (void)self;
    *ret = value;
    return 0;
}
WF_TASK_DEFINE(give)

static struct wf_executor *fibers, *threads; /* outlive the rows; on either a row may fail */

static int take(give_future *f)
{
    int value, err = give_result(f, &value, party_soon(), NULL);
    return err;
}

static int row_inline(void)
{
    struct wf_executor *on = NULL;
    int err = wf_inline_create(&on, NULL);
    if (!err) {
        give_future f = give_submit(on, 1);
        err = take(&f);
    }
    wf_executor_destroy(on);
    return err;
}

static int row_fibers(void)
{
    struct wf_executor *on = NULL;
    int err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on, NULL);
    if (!err) {
        give_future f = give_submit(on, 1);
        err = take(&f);
    }
    wf_executor_destroy(on);
    return err;
}

static int walk(struct wf_executor *on)
{
    give_future f[2] = {give_submit(on, 1), give_submit(on, 2)};
    struct wf_future *set[2] = {f[0].future, f[1].future}, *next;
    struct wf_as_completed *walk = NULL;
    int err = wf_as_completed_open(set, 2, &walk, NULL), got = 0;
    while (!err && wf_as_completed_next(walk, &next, NULL, party_soon(), NULL) == 1)
        got++;
    /* Without memory for a task both handles may be the one that stands for that. */
    party_check(err || got == 2);
    wf_as_completed_close(walk);
    for (int i = 0; i < 2; i++) {
        int failed = take(&f[i]);
        err = err ? err : failed;
    }
    return err;
}

static int row_walk(void)
{
    int err = walk(fibers);
    return err ? err : walk(threads);
}

static int three;

static int next_give(void *arg, struct wf_future **ret_future)
{
    if (three-- == 0)
        return 0;
    *ret_future = give_submit(arg, three).future;
    return 1;
}

static int row_source(void)
{
    struct wf_as_completed *walk = NULL;
    struct wf_future *next;
    three = 3;
    int err = wf_as_completed_source(2, next_give, fibers, &walk, NULL);
    while (!err && wf_as_completed_next(walk, &next, NULL, party_soon(), NULL) == 1)
        err = wf_future_result(&next, NULL, party_soon(), NULL);
    wf_as_completed_close(walk);
    return err;
}

static int row_wait_many(void)
{
    give_future f[2] = {give_submit(threads, 1), give_submit(fibers, 2)};
    struct wf_future *set[2] = {f[0].future, f[1].future};
    ssize_t ended = wf_future_wait_many(set, 2, WF_WAIT_ALL, NULL, party_soon());
    int err = ended < 0 ? (int)ended : 0;
    for (int i = 0; i < 2; i++) {
        int failed = take(&f[i]);
        err = err ? err : failed;
    }
    return err;
}

static int ignore(struct wf_future *future, void *arg)
{
    (void)future;
    (void)arg;
    return 0;
}

static int row_callback(void)
{
    give_future f = give_submit(threads, 1);
    int err = wf_future_on_done(f.future, ignore, NULL), failed = take(&f);
    return err ? err : failed;
}

static int work(void *arg, int copy)
{
    (void)arg;
    (void)copy;
    return 0;
}

static int row_stage(void)
{
    struct wf_scope scope;
    wf_scope_open(&scope, fibers, WF_FOREVER);
    int err = wf_stage_start(&scope, &(struct wf_stage){.name = "s", .copies = 3, .work = work});
    int failed = wf_scope_close(&scope, &(struct wf_error){0});
    return err ? err : failed;
}

static void nothing(void *arg)
{
    (void)arg;
}

static int row_block(void)
{
    return wf_block(nothing, NULL);
}

static void never_ready(void *arg, int fd, unsigned ready)
{
    (void)arg;
    (void)fd;
    (void)ready;
}

int watch(struct wf_task *self, wf_none *ret)
{
    (void)self;
    struct wf_watch *watch = NULL;
    struct wf_watch_options options = {.ready = never_ready, .expired = nothing};
    int err = wf_watch_open(&options, &watch, NULL);
    wf_watch_close(watch);
    *ret = (wf_none){0};
    return err;
}
WF_TASK_DEFINE(watch)

static int row_watch(void)
{
    struct wf_executor *on = NULL;
    int err = wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on, NULL);
    if (!err) {
        watch_future f = watch_submit(on);
        err = watch_result(&f, NULL, party_soon(), NULL);
    }
    wf_executor_destroy(on);
    return err;
}

static void add(void *arg)
{
    wfi_fetch_add((WFI_ATOMIC(int) *)arg, 1);
}

static int root(void *arg)
{
    WFI_ATOMIC(int) sum = 0;
    (void)arg;
    wf_join(add, (void *)&sum, add, (void *)&sum);
    return wfi_load(&sum) == 2 ? 0 : 1;
}

static int row_main(void)
{
    return wf_main(&(struct wf_main_options){.workers = 1}, root, NULL, NULL);
}

static int ignore_error(const struct wf_error *error, void *arg)
{
    (void)error;
    (void)arg;
    return 0;
}

static const struct row {
    const char *name;
    int (*fn)(void);
} rows[] = {
    {"inline", row_inline}, {"fibers", row_fibers},       {"as_completed", row_walk},
    {"source", row_source}, {"wait_many", row_wait_many}, {"on_done", row_callback},
    {"stage", row_stage},   {"block", row_block},         {"watch", row_watch},
    {"main", row_main},
};

static void every_allocation_may_fail(void **state)
{
    const struct row *row = *state;
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        int err = row->fn();
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            break;
        }
        if (err != 0 && err != -ENOMEM && err != -EAGAIN)
            fail_msg("%s: %s when allocation %d failed", row->name, wf_error_name(err), (int)n);
        failures += err != 0;
    }
    assert_true(failures > 0);
}

static int begin(void **state)
{
    (void)state;
    wf_set_error_hook(ignore_error, NULL);
    return wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &fibers, NULL) ||
           wf_threads_create(&(struct wf_threads_options){.workers = 1}, &threads, NULL);
}

static int end(void **state)
{
    (void)state;
    wf_executor_destroy(threads);
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[sizeof rows / sizeof *rows];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        tests[i] = (struct CMUnitTest){rows[i].name, every_allocation_may_fail, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    (void)party_modes;
    return cmocka_run_group_tests_name("out of memory", tests, begin, end);
}
