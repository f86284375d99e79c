/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <weft/fibers.h>

#include "celery/worker/worker_events.h"

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* There is no broker. Its end is held up by one batch of them, not by each. */
static void what_cannot_be_told_is_left_when_the_worker_ends(void **state)
{
    enum { BATCHES = 3 };
    static struct wfi_worker worker = {.name = "w@here"};
    static const struct wf_celery_worker_options options = {.events = true};
    struct wfi_job job = {.worker = &worker, .in = {.message = {.id = "id", .task = "task"}}};
    struct wfi_celery_url url;
    struct wf_executor *on;
    wf_none none;
    (void)state;
    worker.options = &options;
    assert_int_equal(wfi_celery_url_parse("redis://127.0.0.1:1", &url, NULL), 0);
    assert_int_equal(
        wfi_broker_create(&(struct wfi_broker_options){.url = &url}, &worker.broker, NULL), 0);
    assert_int_equal(wfi_events_init(&worker), 0);
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on, NULL), 0);
    for (int i = 0; i < BATCHES * WFI_EVENT_BATCH_MAX; i++)
        wfi_events_received(&job);
    assert_int_equal(worker.events.full_count, BATCHES);
    wfi_events_end(&worker);
    struct wf_future *f = wfi_events_start(&worker, on);
    assert_int_equal(wf_future_result(&f, &none, soon(), NULL), 0);
    assert_int_equal(worker.events.full_count, BATCHES);
    wfi_broker_destroy(worker.broker);
    wfi_events_fini(&worker);
    wf_executor_destroy(on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_told_is_left_when_the_worker_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
