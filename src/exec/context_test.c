/* SPDX-License-Identifier: MIT */
/* What a task takes along: context locals and names. CTX-01, CTX-02, GRP-10, on every engine. */
#include "engines.h"

#include <weft/local.h>

WF_LOCAL(int, user)
WF_LOCAL_DEFINE(int, user, 7)

struct counter {
    int value;
};
WF_OBJECT(struct counter, counter)
const struct wf_object counter_object_type = {"counter", sizeof(struct counter), NULL, NULL};

WF_TASK(int, read_user)
WF_TASK(int, change_user, (int, to))
WF_TASK(int, count_own, (int, times))
WF_TASK(int, nested_user, (int, to))

int read_user(struct wf_task *self, int *ret)
{
    *ret = user_get();
    return strcmp(wf_task_name(self), "reader") == 0 ? 0 : wf_task_fail(self, -1, "not named");
}
WF_TASK_DEFINE(read_user)

int change_user(struct wf_task *self, int to, int *ret)
{
    (void)self;
    int before = user_get();
    check_int(user_set(to), 0);
    wf_yield();
    check_int(user_get(), to);
    *ret = before;
    return 0;
}
WF_TASK_DEFINE(change_user)

/* An object local: every party that runs here has its own. */
int count_own(struct wf_task *self, int times, int *ret)
{
    (void)self;
    struct counter *own = NULL;
    check_int(counter_object(&own), 0);
    own->value = 0;
    for (int i = 0; i < times; i++) {
        own->value++;
        wf_yield();
    }
    *ret = own->value;
    return 0;
}
WF_TASK_DEFINE(count_own)

/* Run on top of another task where the engine helps: each still sees its own. */
int nested_user(struct wf_task *self, int to, int *ret)
{
    check_int(user_set(to), 0);
    if (to > 0) {
        int below = 0;
        nested_user_future f = nested_user_submit(wf_task_executor(self), to - 1);
        check_int(nested_user_result(&f, &below, party_soon(), NULL), 0);
        check_int(below, to - 1);
    }
    *ret = user_get();
    return 0;
}
WF_TASK_DEFINE(nested_user)

static void context(struct wf_executor *on)
{
    check_int(user_get(), 7);
    check_int(user_set(11), 0);
    change_user_future f[10];
    for (int i = 0; i < 10; i++)
        f[i] = change_user_submit(on, 100 + i);
    for (int i = 0; i < 10; i++) {
        int before = 0;
        check_int(change_user_result(&f[i], &before, party_soon(), NULL), 0);
        check_int(before, 11); /* what was set where it was submitted */
    }
    check_int(user_get(), 11); /* and nothing of what it set */

    struct wf_submit_options named = {.name = "reader"};
    struct wf_scope scope;
    int seen = 0;
    wf_scope_open(&scope, on, WF_FOREVER);
    check_int(user_set(12), 0);
    read_user_future g = read_user_spawn_with(&scope, &named);
    check_int(user_set(13), 0);
    check_int(wf_scope_join(&scope, NULL), 0);
    check_int(read_user_result(&g, &seen, WF_NOW, NULL), 0);
    check_int(seen, 12);
    check(strcmp(wf_future_name(g.future), "reader") == 0);
    check_int(wf_scope_close(&scope, NULL), 0);

    nested_user_future n = nested_user_submit(on, 5);
    check_int(nested_user_result(&n, &seen, party_soon(), NULL), 0);
    check_int(seen, 5);

    /* One that never runs gives its context back too. */
    WF_SCOPE(never, on, WF_NOW) {
        change_user_spawn(never, 1);
    }
    check_int(user_set(7), 0);
}

static void each_task_sees_its_submitters_context_and_keeps_its_own(void **state)
{
    (void)state;
    ON_ALL(context);
}

static void objects(struct wf_executor *on)
{
    count_own_future f[10];
    for (int i = 0; i < 10; i++)
        f[i] = count_own_submit(on, 20 + i);
    for (int i = 0; i < 10; i++) {
        int value = 0;
        check_int(count_own_result(&f[i], &value, party_soon(), NULL), 0);
        check_int(value, 20 + i);
    }
}

static void each_party_has_its_own_object(void **state)
{
    (void)state;
    ON_ALL(objects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_sees_its_submitters_context_and_keeps_its_own),
        cmocka_unit_test(each_party_has_its_own_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
