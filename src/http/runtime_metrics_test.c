/* SPDX-License-Identifier: MIT */
/* What a page says of executors: whatever they are called, no line stands there twice. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/inline.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "http/metrics.h"

enum { MANY = 80 };

static struct wf_executor *threads_called(const char *name)
{
    struct wf_executor *on = NULL;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.name = name}, &on, NULL), 0);
    return on;
}

static void begin(struct wf_metrics *page)
{
    *page = (struct wf_metrics){0};
    wfi_metrics_runtime(page);
    assert_int_equal(page->error, 0);
    assert_non_null(wfi_buffer_text(&page->text));
}

static size_t lines_with(const struct wf_metrics *page, const char *start)
{
    size_t count = 0;
    for (const char *at = page->text.data; (at = strstr(at, start)); at++)
        count += at == page->text.data || at[-1] == '\n';
    return count;
}

static void assert_no_line_twice(struct wf_metrics *page)
{
    for (const char *line = page->text.data; *line;) {
        char name[256];
        size_t len = strcspn(line, "\n");
        const char *value = line + len; /* behind the blank before it; a comment has none */
        while (line[0] != '#' && value[-1] != ' ')
            value--;
        assert_true(value > line && (size_t)(value - line) < sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)(value - line), line);
        if (lines_with(page, name) != 1)
            fail_msg("twice: %s", name);
        line += len + 1;
    }
}

static void executors_of_one_name_are_one_line(void **state)
{
    (void)state;
    struct wf_executor *same[3];
    struct wf_metrics page;
    for (int i = 0; i < 3; i++)
        same[i] = threads_called("same");
    begin(&page);
    assert_int_equal(
        lines_with(&page, "weft_executor_workers{executor=\"same\",engine=\"threads\"} 0\n"), 1);
    assert_no_line_twice(&page);
    wfi_buffer_reset(&page.text);
    for (int i = 0; i < 3; i++)
        wf_executor_destroy(same[i]);
}

static void what_finds_no_room_is_added_up(void **state)
{
    (void)state;
    struct wf_executor *many[MANY];
    struct wf_metrics page;
    char name[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, i < 70 ? "pool%d" : "(others)", i);
        many[i] = threads_called(name);
    }
    begin(&page);
    assert_int_equal(lines_with(&page, "weft_executor_workers{"), 65);
    assert_int_equal(lines_with(&page, "weft_executor_workers{executor=\"pool9\","), 1);
    assert_int_equal(lines_with(&page, "weft_executor_workers{executor=\"(others)\","), 1);
    assert_no_line_twice(&page);
    wfi_buffer_reset(&page.text);
    for (int i = 0; i < MANY; i++)
        wf_executor_destroy(many[i]);
}

WF_TASK(wf_none, idle)

int idle(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(idle)

static void tasks_and_workers_are_counted(void **state)
{
    (void)state;
    struct wf_executor *on = NULL;
    struct wf_metrics page;
    const struct wf_fibers_options options = {.workers = 2, .name = "loom"};
    assert_int_equal(wf_fibers_create(&options, &on, NULL), 0);
    for (int i = 0; i < 5; i++) {
        idle_future f = idle_submit(on);
        assert_int_equal(idle_result(&f, &(wf_none){0}, WF_FOREVER, NULL), 0);
    }
    /* A task is counted as ended a moment after its result can be had. */
    static const char ended[] = "weft_tasks_ended_total{executor=\"loom\",engine=\"fibers\"} 5\n";
    wf_deadline deadline = wf_after(WF_SECONDS(60));
    begin(&page);
    while (lines_with(&page, ended) == 0 && wf_now() < deadline.ns) {
        wfi_buffer_reset(&page.text);
        begin(&page);
    }
    assert_int_equal(lines_with(&page, ended), 1);
    assert_int_equal(lines_with(&page, "weft_executor_workers{executor=\"loom\","
                                       "engine=\"fibers\"} 2\n"),
                     1);
    assert_int_equal(lines_with(&page, "weft_worker_jobs_total{runtime=\"loom\",worker=\"0\"} "),
                     1);
    assert_int_equal(lines_with(&page, "weft_worker_jobs_total{runtime=\"loom\",worker=\"1\"} "),
                     1);
    assert_int_equal(lines_with(&page, "weft_offload_threads{class=\"block\"} "), 1);
    assert_no_line_twice(&page);
    wfi_buffer_reset(&page.text);
    wf_executor_destroy(on);
}

static void memory_that_runs_out_is_told(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wf_metrics page = {0};
        wfi_alloc_watch(n);
        wfi_metrics_runtime(&page);
        failed = wfi_alloc_unwatch();
        assert_int_equal(page.error, failed ? -ENOMEM : 0);
        wfi_buffer_reset(&page.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(executors_of_one_name_are_one_line),
        cmocka_unit_test(what_finds_no_room_is_added_up),
        cmocka_unit_test(tasks_and_workers_are_counted),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
