/* SPDX-License-Identifier: MIT */
/* Events, latches and once, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/event.h>
#include <weft/latch.h>
#include <weft/once.h>

struct shared {
    struct wf_event event;
    struct wf_latch latch;
    struct wf_once once;
    WFI_ATOMIC(int) passed, runs, step;
};

static void waits_for_event(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_reaches(&s->step, 5);
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "event");
        wf_event_set(&s->event);
        wf_event_clear(&s->event); /* those who waited pass all the same */
        party_reaches(&s->passed, 5);
        party_check(!wf_event_is_set(&s->event));
        wf_event_set(&s->event);
        party_equal(wf_event_wait(&s->event, WF_NOW), 0);
        return;
    }
    int64_t begin = wf_now();
    party_equal(wf_event_wait(&s->event, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
    party_check(wf_now() - begin >= WF_MILLISECONDS(5));
    party_equal(wf_event_wait(&s->event, WF_NOW), -ETIMEDOUT);
    wfi_fetch_add(&s->step, 1);
    party_equal(wf_event_wait(&s->event, party_soon()), 0);
    wfi_fetch_add(&s->passed, 1);
}

/* LCK-05 */
static void setting_an_event_wakes_all_five(void **state)
{
    struct shared s = {.event = WF_EVENT_INIT};
    party_run(party_mode_of(state), 6, waits_for_event, &s);
    assert_int_equal(wfi_load(&s.passed), 5);
    wf_event_fini(&s.event);
}

static void is_cancelled(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "event");
        party_cancel(party_at(self, 1));
        party_ended(party_at(self, 1));
        wf_event_set(&s->event);
        return;
    }
    int err = wf_event_wait(&s->event, party_soon());
    party_equal(err, self->index == 1 ? -ECANCELED : 0);
    if (!err)
        wfi_fetch_add(&s->passed, 1);
}

/* ASY-01 */
static void a_cancelled_waiter_leaves_the_event_to_the_others(void **state)
{
    struct shared s = {.event = WF_EVENT_INIT};
    party_run(party_mode_of(state), 4, is_cancelled, &s);
    assert_int_equal(wfi_load(&s.passed), 2);
    wf_event_fini(&s.event);
}

/* The event lives in the frame of the one that waits, and is gone as soon as it has been seen set.
 */
static void lends_an_event(struct party *self)
{
    WFI_ATOMIC(struct wf_event *) *place = self->arg;
    for (int i = 0; i < 300; i++) {
        if (self->index == 0) {
            struct wf_event mine = WF_EVENT_INIT;
            wfi_store(place, &mine);
            party_equal(wf_event_wait(&mine, party_soon()), 0);
            wf_event_fini(&mine);
            memset((void *)&mine, 0xa5, sizeof mine);
        } else {
            struct wf_event *theirs;
            while (!(theirs = wfi_exchange(place, NULL)))
                wfi_yield();
            wf_event_set(theirs);
        }
    }
}

static void an_event_may_go_as_soon_as_its_waiter_has_passed(void **state)
{
    WFI_ATOMIC(struct wf_event *) place = NULL;
    party_run(party_mode_of(state), 2, lends_an_event, (void *)&place);
}

static void counts_down(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index <= 2) {
        party_equal(wf_latch_wait(&s->latch, WF_NOW), -ETIMEDOUT);
        wfi_fetch_add(&s->step, 1);
        party_equal(wf_latch_wait(&s->latch, party_soon()), 0);
        party_equal(wf_latch_count(&s->latch), 0);
        party_equal(wfi_load(&s->passed), self->count - 3);
        return;
    }
    party_reaches(&s->step, 3);
    wfi_fetch_add(&s->passed, 1);
    party_equal(wf_latch_count_down(&s->latch, 2), 0);
}

static void a_latch_opens_when_all_have_counted_down(void **state)
{
    struct shared s = {.latch = WF_LATCH_INIT(10)};
    party_run(party_mode_of(state), 8, counts_down, &s);
    assert_int_equal(wf_latch_count_down(&s.latch, 1), WF_ESTATE);
    assert_int_equal(wf_latch_count_down(&s.latch, 0), 0);
    assert_int_equal(wf_latch_wait(&s.latch, WF_NOW), 0);
    wf_latch_fini(&s.latch);
    wf_latch_init(&s.latch, 1);
    assert_int_equal(wf_latch_count_down(&s.latch, 2), WF_ESTATE);
    assert_int_equal(wf_latch_count(&s.latch), 1);
    wf_latch_fini(&s.latch);
}

static void lends_a_latch(struct party *self)
{
    WFI_ATOMIC(struct wf_latch *) *place = self->arg;
    for (int i = 0; i < 300; i++) {
        if (self->index == 0) {
            struct wf_latch mine = WF_LATCH_INIT(1);
            wfi_store(place, &mine);
            party_equal(wf_latch_wait(&mine, party_soon()), 0);
            wf_latch_fini(&mine);
            memset((void *)&mine, 0xa5, sizeof mine);
        } else {
            struct wf_latch *theirs;
            while (!(theirs = wfi_exchange(place, NULL)))
                wfi_yield();
            party_equal(wf_latch_count_down(theirs, 1), 0);
        }
    }
}

static void a_latch_may_go_as_soon_as_its_waiter_has_passed(void **state)
{
    WFI_ATOMIC(struct wf_latch *) place = NULL;
    party_run(party_mode_of(state), 2, lends_a_latch, (void *)&place);
}

static int third_time_lucky(void *arg)
{
    struct shared *s = arg;
    int run = wfi_fetch_add(&s->runs, 1) + 1;
    party_equal(wf_once_call(&s->once, third_time_lucky, s, party_soon()), WF_EDEADLOCK);
    wfi_yield();
    return run < 3 ? -EIO : 0;
}

static void calls_once(struct party *self)
{
    struct shared *s = self->arg;
    int err = wf_once_call(&s->once, third_time_lucky, s, party_soon());
    if (err)
        party_equal(err, -EIO);
    else
        wfi_fetch_add(&s->passed, 1);
}

static void a_once_is_tried_until_it_succeeds_and_never_again(void **state)
{
    struct shared s = {.once = WF_ONCE_INIT};
    party_run(party_mode_of(state), 8, calls_once, &s);
    assert_int_equal(wfi_load(&s.runs), 3);
    assert_int_equal(wfi_load(&s.passed), 6);
    assert_int_equal(wf_once_call(&s.once, third_time_lucky, &s, WF_NOW), 0);
}

static int waits_for_step(void *arg)
{
    struct shared *s = arg;
    wfi_store(&s->step, 1);
    party_reaches(&s->step, 2);
    return 0;
}

static void gives_up_on_once(struct party *self)
{
    struct shared *s = self->arg;
    switch (self->index) {
    case 0:
        party_equal(wf_once_call(&s->once, waits_for_step, s, party_soon()), 0);
        return;
    case 1:
        party_parked(party_at(self, 2), "once");
        party_cancel(party_at(self, 2));
        party_ended(party_at(self, 2));
        party_equal(wf_once_call(&s->once, waits_for_step, s, WF_NOW), -ETIMEDOUT);
        wfi_store(&s->step, 2);
        return;
    default:
        party_reaches(&s->step, 1);
        party_equal(wf_once_call(&s->once, waits_for_step, s, party_soon()), -ECANCELED);
    }
}

static void waiting_for_a_once_ends_with_time_or_cancellation(void **state)
{
    struct shared s = {.once = WF_ONCE_INIT};
    party_run(party_mode_of(state), 3, gives_up_on_once, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(setting_an_event_wakes_all_five),
        PARTY_TEST(a_cancelled_waiter_leaves_the_event_to_the_others),
        PARTY_TEST(an_event_may_go_as_soon_as_its_waiter_has_passed),
        PARTY_TEST(a_latch_opens_when_all_have_counted_down),
        PARTY_TEST(a_latch_may_go_as_soon_as_its_waiter_has_passed),
        PARTY_TEST(a_once_is_tried_until_it_succeeds_and_never_again),
        PARTY_TEST(waiting_for_a_once_ends_with_time_or_cancellation),
    };
    return cmocka_run_group_tests_name("event, latch, once", tests, NULL, NULL);
}
