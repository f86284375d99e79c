/* SPDX-License-Identifier: MIT */
#include "engines.h"

#include <errno.h>

#include <weft/channel.h>
#include <weft/pipeline.h>

WF_CHANNEL(int, numbers)

enum { COUNT = 300 };

struct line {
    numbers in, doubled, results;
    WFI_ATOMIC(int) sum, named, fail_at;
};

static int source(void *arg, int copy)
{
    struct line *line = arg;
    check_int(copy, 0);
    for (int i = 1; i <= COUNT; i++) {
        int err = numbers_push(line->in, i, party_soon());
        if (err)
            return err;
    }
    return 0;
}

static int twice(void *arg, int copy)
{
    struct line *line = arg;
    char name[16];
    snprintf(name, sizeof name, "twice%d", copy);
    wfi_fetch_add(&line->named, strcmp(wf_task_name(wf_task_self()), name) == 0);
    int n, err;
    while (!(err = numbers_pop(line->in, &n, party_soon()))) {
        if (n == wfi_load(&line->fail_at))
            return -EIO;
        err = numbers_push(line->doubled, 2 * n, party_soon());
        if (err)
            return err;
    }
    return err;
}

static int sum(void *arg, int copy)
{
    (void)copy;
    struct line *line = arg;
    int n, err;
    while (!(err = numbers_pop(line->doubled, &n, party_soon())))
        wfi_fetch_add(&line->sum, n);
    return err;
}

static int run_line(struct wf_executor *on, struct line *line)
{
    struct wf_channel_options options = {.capacity = 3};
    check_int(numbers_create(&options, &line->in, NULL), 0);
    check_int(numbers_create(&options, &line->doubled, NULL), 0);
    int err = 0;
    WF_SCOPE(scope, on, WF_FOREVER) {
        check_int(wf_stage_start(scope, &(struct wf_stage){.name = "x", .copies = -1}), -EINVAL);
        struct wf_stage stages[] = {
            {.name = "source", .work = source, .arg = line, .out = line->in.channel},
            {.name = "twice",
             .copies = 3,
             .work = twice,
             .arg = line,
             .out = line->doubled.channel},
            {.name = "sum", .copies = 2, .work = sum, .arg = line},
        };
        for (int i = 0; i < 3; i++) {
            int started = wf_stage_start(scope, &stages[i]);
            /* One that fails may have done so before the last was started. */
            if (line->fail_at < 0 || started != -ECANCELED)
                check_int(started, 0);
        }
        err = wf_scope_join(scope, NULL);
    }
    numbers_destroy(line->in);
    numbers_destroy(line->doubled);
    return err;
}

static void flows(struct wf_executor *on)
{
    if (strcmp(wf_executor_engine(on), "threads") == 0)
        return; /* a copy keeps its thread: six are needed, and have their own test */
    struct line line = {.fail_at = -1};
    check_int(run_line(on, &line), 0);
    check_int(wfi_load(&line.sum), COUNT * (COUNT + 1));
    check_int(wfi_load(&line.named), 3);
}

static void stages_flow_and_end_one_after_the_other(void **state)
{
    (void)state;
    ON_CONCURRENT(flows);
    struct wf_executor *on;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 6}, &on, NULL), 0);
    struct line line = {.fail_at = -1};
    assert_int_equal(run_line(on, &line), 0);
    assert_int_equal(wfi_load(&line.sum), COUNT * (COUNT + 1));
    line = (struct line){.fail_at = 40};
    assert_int_equal(run_line(on, &line), -EIO);
    wf_executor_destroy(on);
}

static void fails(struct wf_executor *on)
{
    if (strcmp(wf_executor_engine(on), "threads") == 0)
        return;
    struct line line = {.fail_at = 40};
    check_int(run_line(on, &line), -EIO);
}

static void a_copy_that_fails_ends_the_line(void **state)
{
    (void)state;
    ON_CONCURRENT(fails);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_flow_and_end_one_after_the_other),
        cmocka_unit_test(a_copy_that_fails_ends_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
