/* SPDX-License-Identifier: MIT */
/* Context locals and object locals, four ways. */
#include "party.h"

#include <errno.h>

#include "sync/local.h"

struct pair {
    int a, b;
};

WF_LOCAL(int, number)
WF_LOCAL_DEFINE(int, number, 7)
WF_LOCAL(const char *, name)
WF_LOCAL_DEFINE(const char *, name, "none")
WF_LOCAL(struct pair, pair)
WF_LOCAL_DEFINE(struct pair, pair, {1, 2})

struct session {
    int owner;
    char text[40];
};

static WFI_ATOMIC(int) opened, closed;
static WFI_ATOMIC(bool) refuse;

static int session_open(struct session *s)
{
    if (wfi_load(&refuse))
        return -ECONNREFUSED;
    assert_int_equal(s->owner, 0);
    wfi_fetch_add(&opened, 1);
    return 0;
}

static void session_close(struct session *s)
{
    party_check(s->owner > 0);
    wfi_fetch_add(&closed, 1);
}

WF_OBJECT(struct session, session)
WF_OBJECT_DEFINE(struct session, session, session_open, session_close)

static int last_open(int *unused)
{
    (void)unused;
    return 0;
}

/* Made after the session, so it ends before it: the session is still there. */
static void last_close(int *unused)
{
    (void)unused;
    struct session *mine = NULL;
    party_equal(session_object(&mine), 0);
    party_check(mine->owner > 0);
}

WF_OBJECT(int, last)
WF_OBJECT_DEFINE(int, last, last_open, last_close)

struct shared {
    WFI_ATOMIC(int) step;
    struct wfi_locals *snapshot;
};

static void writes_its_own(struct party *self)
{
    struct shared *s = self->arg;
    party_equal(number_get(), 7);
    party_check(strcmp(name_get(), "none") == 0);
    struct session *mine = NULL;
    party_equal(session_object(&mine), 0);
    mine->owner = self->index + 1;
    int *last = NULL;
    party_equal(last_object(&last), 0);
    for (int i = 0; i < 20; i++) {
        party_equal(number_set(self->index * 100 + i), 0);
        party_equal(pair_set((struct pair){self->index, i}), 0);
        wfi_yield();
        party_equal(number_get(), self->index * 100 + i);
        party_equal(pair_get().a, self->index);
        party_equal(pair_get().b, i);
        struct session *again = NULL;
        party_equal(session_object(&again), 0);
        party_check(again == mine);
        party_equal(again->owner, self->index + 1);
    }
    wfi_fetch_add(&s->step, 1);
    party_reaches(&s->step, self->count); /* all are alive together */
    party_equal(number_get(), self->index * 100 + 19);
}

/* CTX-01 */
static void every_party_sees_only_its_own(void **state)
{
    struct shared s = {0};
    wfi_store(&opened, 0);
    wfi_store(&closed, 0);
    party_run(party_mode_of(state), 10, writes_its_own, &s);
    assert_int_equal(number_get(), 7);
    assert_int_equal(wfi_load(&opened), 10);
    assert_int_equal(wfi_load(&closed), 10);
}

static void passes_a_snapshot_on(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(number_set(42), 0);
        party_equal(name_set("parent"), 0);
        s->snapshot = wfi_locals_capture();
        party_equal(number_set(43), 0); /* after the snapshot: not seen in the child */
        wfi_store(&s->step, 1);
        party_reaches(&s->step, 2);
        party_equal(number_get(), 43);
        party_check(strcmp(name_get(), "parent") == 0);
        party_equal(pair_get().a, 1);
        return;
    }
    party_reaches(&s->step, 1);
    party_equal(number_set(5), 0);
    struct wfi_locals *outer = wfi_locals_enter(s->snapshot);
    party_equal(number_get(), 42);
    party_check(strcmp(name_get(), "parent") == 0);
    party_equal(name_set("child"), 0);
    party_equal(pair_set((struct pair){8, 9}), 0);
    party_check(strcmp(name_get(), "child") == 0);
    party_equal(number_get(), 42);
    wfi_locals_leave(outer);
    party_equal(number_get(), 5);
    party_check(strcmp(name_get(), "none") == 0);
    wfi_store(&s->step, 2);
}

/* CTX-02 */
static void a_snapshot_is_seen_in_the_child_and_not_changed_back(void **state)
{
    struct shared s = {0};
    party_run(party_mode_of(state), 2, passes_a_snapshot_on, &s);
}

static void a_value_may_be_set_from_itself(void **state)
{
    (void)state;
    struct wfi_locals *outer = wfi_locals_enter(NULL);
    assert_int_equal(wf_local_set(&pair_local, wf_local_get(&pair_local)), 0);
    assert_int_equal(pair_get().b, 2);
    struct wfi_locals *shared = wfi_locals_capture();
    assert_int_equal(wf_local_set(&pair_local, wf_local_get(&pair_local)), 0);
    assert_int_equal(wf_local_set(&pair_local, wf_local_get(&pair_local)), 0);
    assert_int_equal(pair_get().b, 2);
    wfi_locals_release(shared);
    wfi_locals_release(NULL);
    wfi_locals_leave(outer);
}

static void works_for_two_others(struct party *self)
{
    (void)self;
    struct wf_local_stretch first, second;
    party_equal(number_set(1), 0);
    wf_local_enter(&first);
    party_equal(number_get(), 1);
    party_equal(number_set(2), 0);
    party_equal(pair_set((struct pair){5, 6}), 0);
    wf_local_enter(&second);
    party_equal(number_set(3), 0);
    party_equal(pair_get().b, 6);
    wf_local_leave(&second);
    party_equal(number_get(), 2);
    wf_local_leave(&first);
    party_equal(number_get(), 1);
    party_equal(pair_get().b, 2);
    wf_local_enter(&first);
    party_equal(pair_get().b, 2); /* nothing is left of the stretch before */
    wf_local_leave(&first);
}

static void a_stretch_keeps_its_settings_to_itself(void **state)
{
    party_run(party_mode_of(state), 2, works_for_two_others, NULL);
}

static void missing_memory_leaves_the_value_as_it_was(void **state)
{
    (void)state;
    struct wfi_locals *outer = wfi_locals_enter(NULL);
    wfi_alloc_watch(1);
    assert_int_equal(number_set(1), -ENOMEM);
    assert_true(wfi_alloc_unwatch());
    assert_int_equal(number_get(), 7);
    assert_int_equal(number_set(1), 0);
    struct wfi_locals *shared = wfi_locals_capture();
    wfi_alloc_watch(1);
    assert_int_equal(number_set(2), -ENOMEM);
    assert_true(wfi_alloc_unwatch());
    assert_int_equal(number_get(), 1);
    wfi_locals_release(shared);
    wfi_locals_leave(outer);
}

static void fails_to_open(struct party *self)
{
    (void)self;
    struct session *mine = NULL;
    party_equal(session_object(&mine), -ECONNREFUSED);
    wfi_store(&refuse, false);
    wfi_alloc_watch(1);
    party_equal(session_object(&mine), -ENOMEM);
    party_check(wfi_alloc_unwatch());
    party_check(mine == NULL);
    party_equal(session_object(&mine), 0);
    mine->owner = 1;
}

static void an_object_that_cannot_be_made_can_be_asked_for_again(void **state)
{
    wfi_store(&opened, 0);
    wfi_store(&closed, 0);
    wfi_store(&refuse, true);
    party_run(party_mode_of(state), 1, fails_to_open, NULL);
    assert_int_equal(wfi_load(&opened), 1);
    assert_int_equal(wfi_load(&closed), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(every_party_sees_only_its_own),
        PARTY_TEST(a_snapshot_is_seen_in_the_child_and_not_changed_back),
        cmocka_unit_test(a_value_may_be_set_from_itself),
        PARTY_TEST(a_stretch_keeps_its_settings_to_itself),
        cmocka_unit_test(missing_memory_leaves_the_value_as_it_was),
        PARTY_TEST(an_object_that_cannot_be_made_can_be_asked_for_again),
    };
    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
