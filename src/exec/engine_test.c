/* SPDX-License-Identifier: MIT */
/*
 * Engines from outside. The one here adds numbers on a thread of its own, when the test lets it;
 * asked to stop, it does so at once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/engine.h>
#include <weft/event.h>
#include <weft/future.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"

WF_TASK_AS("far.add", int64_t, add, (int64_t, x), (int64_t, y))
WF_TASK_AS("far.name", char *, name_of, (int, x))

struct far_call {
    struct wfi_link link;
    struct wf_engine_call *call;
    int64_t sum;
    char *text;
    bool out; /* of the list; under the lock */
};

struct far {
    struct wf_mutex lock;
    struct wfi_list calls; /* under the lock */
    struct wf_event work;
    pthread_t thread;
    bool quit;    /* under the lock */
    bool held;    /* nothing is answered; under the lock */
    int finished; /* under the lock */
    struct wf_executor *on;
    wf_deadline deadline; /* of the last call */
    char shown[32];
};

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static int prepare(void *arg, struct wf_engine_call *call, const struct wf_submit_options *options,
                   struct wf_error *reterr)
{
    struct far *far = arg;
    struct far_call *mine = wf_engine_call_data(call);
    mine->call = call;
    mine->text = wfi_strdup("text");
    if (!mine->text)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (strcmp(wf_engine_call_type(call)->name, "far.add") == 0) {
        const struct add_args *args = wf_engine_call_args(call);
        mine->sum = args->x + args->y;
    }
    far->deadline = wf_engine_call_deadline(call);
    snprintf(far->shown, sizeof far->shown, "%s", wf_engine_call_name(call));
    return options->priority == 3 ? wf_error_set(reterr, -ENOTSUP, "not so urgent") : 0;
}

static void start(void *arg, struct wf_engine_call *call)
{
    struct far *far = arg;
    struct far_call *mine = wf_engine_call_data(call);
    WF_LOCKED(&far->lock) {
        wfi_list_push_back(&far->calls, &mine->link);
    }
    wf_event_set(&far->work);
}

static void asked(void *arg)
{
    wf_event_set(&((struct far *)arg)->work);
}

static void finish(void *arg, struct wf_engine_call *call)
{
    struct far *far = arg;
    wfi_free(((struct far_call *)wf_engine_call_data(call))->text);
    WF_LOCKED(&far->lock) {
        far->finished++;
    }
}

static void answer(struct far_call *mine)
{
    const struct wf_task_type *type = wf_engine_call_type(mine->call);
    struct wf_error error;
    if (strcmp(type->name, "far.name") == 0) {
        *(char **)wf_engine_call_result(mine->call) = mine->text;
        mine->text = NULL;
        wf_engine_call_end(mine->call, 0, NULL);
    } else if (mine->sum < 0) {
        wf_error_set(&error, -ERANGE, "below zero");
        wf_engine_call_end(mine->call, -ERANGE, &error);
    } else {
        memcpy(wf_engine_call_result(mine->call), &mine->sum, sizeof mine->sum);
        wf_engine_call_end(mine->call, 0, NULL);
    }
}

static void drop_asked(struct far *far)
{
    struct wf_engine_call *call;
    while ((call = wf_engine_next_asked(far->on))) {
        struct far_call *mine = wf_engine_call_data(call);
        bool ours = false;
        WF_LOCKED(&far->lock) {
            ours = !mine->out && wfi_link_linked(&mine->link);
            if (ours)
                wfi_list_remove(&mine->link);
            mine->out = true;
        }
        if (ours)
            wf_engine_call_end(call, -ECANCELED, NULL);
        wf_engine_call_unref(call);
    }
}

static void *work(void *arg)
{
    struct far *far = arg;
    for (bool quit = false; !quit;) {
        struct far_call *mine = NULL;
        assert_int_equal(wf_event_wait(&far->work, WF_FOREVER), 0);
        wf_event_clear(&far->work);
        drop_asked(far);
        do {
            WF_LOCKED(&far->lock) {
                struct wfi_link *link = far->held ? NULL : wfi_list_pop_front(&far->calls);
                mine = link ? wfi_container_of(link, struct far_call, link) : NULL;
                if (mine)
                    mine->out = true;
                quit = far->quit;
            }
            if (mine)
                answer(mine);
        } while (mine);
    }
    return NULL;
}

static void destroy(void *arg)
{
    struct far *far = arg;
    WF_LOCKED(&far->lock) {
        far->quit = true;
    }
    wf_event_set(&far->work);
    pthread_join(far->thread, NULL);
}

static const struct wf_engine engine = {.name = "far",
                                        .call_bytes = sizeof(struct far_call),
                                        .prepare = prepare,
                                        .start = start,
                                        .asked = asked,
                                        .finish = finish,
                                        .destroy = destroy,
                                        .workers = 3};

static void far_start(struct far *far)
{
    memset(far, 0, sizeof *far);
    wf_mutex_init(&far->lock);
    wf_event_init(&far->work);
    assert_int_equal(wf_engine_create(&engine, "out there", far, &far->on, NULL), 0);
    assert_int_equal(pthread_create(&far->thread, NULL, work, far), 0);
}

static void far_stop(struct far *far, int finished)
{
    wf_executor_destroy(far->on);
    assert_int_equal(far->finished, finished);
    assert_true(wfi_list_empty(&far->calls));
    wf_event_fini(&far->work);
    wf_mutex_fini(&far->lock);
}

static void hold(struct far *far, bool held)
{
    WF_LOCKED(&far->lock) {
        far->held = held;
    }
    wf_event_set(&far->work);
}

static void test_results_and_failures_arrive(void **state)
{
    struct far far;
    int64_t sum = 0;
    char *text = NULL;
    struct wf_error error = {0};
    (void)state;
    far_start(&far);
    assert_string_equal(wf_executor_engine(far.on), "far");
    assert_int_equal(wf_executor_workers(far.on), 3);
    assert_ptr_equal(wf_engine_arg(far.on, destroy), &far);
    assert_null(wf_engine_arg(far.on, free));
    add_future f = add_submit_with(far.on, &(struct wf_submit_options){.name = "shown"}, 2, 3);
    assert_int_equal(add_result(&f, &sum, soon(), &error), 0);
    assert_int_equal(sum, 5);
    assert_string_equal(far.shown, "shown");
    f = add_submit(far.on, -2, 1);
    assert_int_equal(add_result(&f, &sum, soon(), &error), -ERANGE);
    assert_string_equal(error.text, "below zero");
    f = add_submit_with(far.on, &(struct wf_submit_options){.priority = 3}, 2, 3);
    assert_int_equal(add_result(&f, &sum, soon(), &error), -ENOTSUP);
    name_of_future g = name_of_submit(far.on, 1);
    assert_int_equal(name_of_result(&g, &text, soon(), &error), 0);
    assert_string_equal(text, "text");
    wf_result_free(text);
    g = name_of_submit(far.on, 1); /* nobody takes the text: it is freed with the future */
    name_of_drop(&g);
    far_stop(&far, 5);
}

static void test_a_map_keeps_the_order(void **state)
{
    struct far far;
    struct add_args items[100];
    int64_t sums[100];
    struct wf_error error = {0};
    (void)state;
    far_start(&far);
    for (int i = 0; i < 100; i++)
        items[i] = (struct add_args){.x = i, .y = 1};
    if (add_each(far.on, NULL, items, 100, sums, soon(), &error))
        fail_msg("%s", error.text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sums[i], i + 1);
    far_stop(&far, 100);
}

static void test_asked_calls_end(void **state)
{
    struct far far;
    struct wf_scope storage;
    int64_t sum;
    struct wf_error error = {0};
    (void)state;
    far_start(&far);
    hold(&far, true);
    add_future f = add_submit(far.on, 1, 1);
    assert_int_equal(wf_future_state(f.future), WF_FUTURE_RUNNING);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    assert_int_equal(add_result(&f, &sum, soon(), &error), -ECANCELED);
    /* A deadline of a scope reaches them, and is known to the engine before. */
    wf_deadline limit = wf_after(WF_MILLISECONDS(20));
    struct wf_scope *scope = wf_scope_open(&storage, far.on, limit);
    for (int i = 0; i < 10; i++)
        add_spawn(scope, 1, i);
    assert_int_equal(far.deadline.ns, limit.ns);
    assert_int_equal(wf_scope_close(scope, &error), -ETIMEDOUT);
    far_stop(&far, 11);
}

static void test_shutting_down(void **state)
{
    struct far far;
    int64_t sum;
    struct wf_error error = {0};
    (void)state;
    far_start(&far);
    hold(&far, true);
    add_future f = add_submit(far.on, 1, 1), g = add_submit(far.on, 2, 2);
    assert_int_equal(wf_executor_shutdown(far.on, WF_SHUTDOWN_NO_WAIT, soon()), 0);
    assert_int_equal(wf_executor_shutdown(far.on, WF_SHUTDOWN_WAIT, WF_NOW), -ETIMEDOUT);
    add_future late = add_submit(far.on, 3, 3);
    assert_int_equal(add_result(&late, &sum, soon(), &error), -EPIPE);
    hold(&far, false);
    assert_int_equal(wf_executor_shutdown(far.on, WF_SHUTDOWN_WAIT, soon()), 0);
    assert_int_equal(add_result(&f, &sum, WF_NOW, &error), 0);
    far_stop(&far, 3);
    assert_int_equal(add_result(&g, &sum, WF_NOW, &error), 0); /* outlives its executor */
    assert_int_equal(sum, 4);
    far_start(&far);
    hold(&far, true);
    f = add_submit(far.on, 1, 1);
    far_stop(&far, 1);
    assert_int_equal(add_result(&f, &sum, WF_NOW, &error), -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_and_failures_arrive),
        cmocka_unit_test(test_a_map_keeps_the_order),
        cmocka_unit_test(test_asked_calls_end),
        cmocka_unit_test(test_shutting_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
