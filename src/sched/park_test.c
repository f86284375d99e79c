/* SPDX-License-Identifier: MIT */
/* Parking of plain threads: every way a wait can end, and the races between them. */
#include "sched/park.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/thread.h"
#include "sched/cancel.h"

/* One place to wait at, and a party that waits there. */
struct place {
    struct wfi_lock lock;
    struct wfi_wait_list list;
    struct wfi_thread thread;
    WFI_ATOMIC(struct wfi_cancel *) level;
    wf_deadline deadline;
    bool shielded;
    int fd;
    int result;
    void *handed;
};

static void *wait_there(void *arg)
{
    struct place *place = arg;
    struct wfi_cancel level, shield;
    wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
    if (place->shielded)
        wfi_cancel_enter(&shield, &level, true, WF_FOREVER);
    wfi_store(&place->level, &level);
    struct wfi_wait_node node = {0};
    wfi_lock_lock(&place->lock);
    place->result =
        place->fd ? wfi_wait_fd(&place->list, &place->lock, &node, place->fd, POLLIN, "test", place,
                                place->deadline)
                  : wfi_wait(&place->list, &place->lock, &node, "test", place, place->deadline);
    place->handed = node.slot;
    if (place->shielded)
        wfi_cancel_leave(&shield);
    wfi_cancel_leave(&level);
    return NULL;
}

static void start(struct place *place)
{
    assert_int_equal(wfi_thread_start(&place->thread, "waiter", 0, wait_there, place), 0);
}

static void until_it_waits(struct place *place)
{
    for (bool waits = false; !waits; wfi_thread_yield()) {
        wfi_lock_lock(&place->lock);
        waits = !wfi_wait_list_empty(&place->list);
        wfi_lock_unlock(&place->lock);
    }
}

static bool wake_first(struct place *place, void *item)
{
    wfi_lock_lock(&place->lock);
    struct wfi_wait_node *node = wfi_wait_claim_first(&place->list);
    if (node)
        node->slot = item;
    wfi_lock_unlock(&place->lock);
    if (node)
        wfi_wake(node->waiter);
    return node;
}

static void a_woken_thread_has_what_was_handed_over(void **state)
{
    (void)state;
    struct place place = {.deadline = WF_FOREVER};
    start(&place);
    until_it_waits(&place);
    assert_true(wake_first(&place, &place));
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, 0);
    assert_ptr_equal(place.handed, &place);
    assert_true(wfi_wait_list_empty(&place.list));
}

static void a_deadline_ends_a_wait_and_not_too_early(void **state)
{
    (void)state;
    struct place place = {.deadline = wf_after(WF_MILLISECONDS(20))};
    wait_there(&place);
    assert_int_equal(place.result, -ETIMEDOUT);
    assert_true(wf_now() >= place.deadline.ns);
    assert_true(wfi_wait_list_empty(&place.list));
    assert_false(wake_first(&place, &place));
}

static void a_past_deadline_does_not_wait(void **state)
{
    (void)state;
    struct place place = {.deadline = WF_NOW};
    wait_there(&place);
    assert_int_equal(place.result, -ETIMEDOUT);
}

static void a_cancel_ends_a_wait(void **state)
{
    (void)state;
    struct place place = {.deadline = WF_FOREVER};
    start(&place);
    until_it_waits(&place);
    assert_true(wfi_cancel_ask(wfi_load(&place.level)));
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, -ECANCELED);
    assert_true(wfi_wait_list_empty(&place.list));
}

static void a_shield_keeps_a_cancel_from_a_wait(void **state)
{
    (void)state;
    struct place place = {.deadline = WF_FOREVER, .shielded = true};
    start(&place);
    until_it_waits(&place);
    assert_true(wfi_cancel_ask(wfi_load(&place.level)));
    assert_false(wfi_cancel_ask(wfi_load(&place.level)));
    assert_true(wake_first(&place, NULL));
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, 0);
}

static void an_expired_level_reads_as_cancelled(void **state)
{
    (void)state;
    struct wfi_cancel outer, inner;
    wfi_cancel_enter(&outer, NULL, false, wf_after(WF_MILLISECONDS(5)));
    wfi_cancel_enter(&inner, &outer, false, WF_FOREVER);
    assert_int_equal(wf_sleep(WF_FOREVER), -ECANCELED);
    assert_true(wfi_load(&outer.expired));
    assert_false(wfi_load(&inner.expired));
    /* Level-triggered: every later wait is refused as well. */
    assert_int_equal(wf_sleep(wf_after(WF_SECONDS(60))), -ECANCELED);
    assert_int_equal(wfi_yield(), -ECANCELED);
    wfi_cancel_leave(&inner);
    wfi_cancel_leave(&outer);
    assert_int_equal(wf_sleep(wf_after(1)), 0);
}

static void a_thread_waits_for_a_descriptor(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct place place = {.deadline = WF_FOREVER, .fd = ends[0]};
    start(&place);
    until_it_waits(&place);
    assert_int_equal(write(ends[1], "x", 1), 1);
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, 0);
    assert_true(wfi_wait_list_empty(&place.list));
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);

    start(&place);
    until_it_waits(&place);
    assert_true(wake_first(&place, NULL));
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, 0);

    start(&place);
    until_it_waits(&place);
    assert_true(wfi_cancel_ask(wfi_load(&place.level)));
    wfi_thread_join(&place.thread);
    assert_int_equal(place.result, -ECANCELED);

    place.deadline = wf_after(WF_MILLISECONDS(5));
    wait_there(&place);
    assert_int_equal(place.result, -ETIMEDOUT);
    close(ends[0]);
    close(ends[1]);
}

/* A waker, a canceller and a deadline race; whatever wins, an item is handed over exactly when the
 * wait returns 0, and nobody stays behind in the list. */
struct race {
    struct place place;
    WFI_ATOMIC(uint32_t) round, finished;
    WFI_ATOMIC(bool) handed_over;
};

enum { ROUNDS = 2000 };

static void await_round(struct race *race, uint32_t round)
{
    while (wfi_load(&race->round) < round)
        wfi_thread_yield();
}

static void *race_waker(void *arg)
{
    struct race *race = arg;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        await_round(race, round);
        wfi_store(&race->handed_over, wake_first(&race->place, race));
        wfi_fetch_add(&race->finished, 1);
    }
    return NULL;
}

static void *race_canceller(void *arg)
{
    struct race *race = arg;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        await_round(race, round);
        wfi_cancel_ask(wfi_load(&race->place.level));
        wfi_fetch_add(&race->finished, 1);
    }
    return NULL;
}

static void one_of_waker_canceller_and_deadline_wins(void **state)
{
    (void)state;
    struct race race = {0};
    struct wfi_thread waker, canceller;
    struct wfi_cancel level;
    wfi_thread_start(&waker, "waker", 0, race_waker, &race);
    wfi_thread_start(&canceller, "canceller", 0, race_canceller, &race);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
        wfi_store(&race.place.level, &level);
        struct wfi_wait_node node = {0};
        wfi_lock_lock(&race.place.lock);
        wfi_store(&race.round, round);
        int err = wfi_wait(&race.place.list, &race.place.lock, &node, "race", &race,
                           wf_after(WF_MICROSECONDS(round % 50)));
        while (wfi_load(&race.finished) != 2 * round)
            wfi_thread_yield();
        assert_true(err == 0 || err == -ECANCELED || err == -ETIMEDOUT);
        assert_int_equal(err == 0, wfi_load(&race.handed_over));
        assert_ptr_equal(node.slot, err == 0 ? (void *)&race : NULL);
        assert_true(wfi_wait_list_empty(&race.place.list));
        wfi_cancel_leave(&level);
    }
    wfi_thread_join(&waker);
    wfi_thread_join(&canceller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_woken_thread_has_what_was_handed_over),
        cmocka_unit_test(a_deadline_ends_a_wait_and_not_too_early),
        cmocka_unit_test(a_past_deadline_does_not_wait),
        cmocka_unit_test(a_cancel_ends_a_wait),
        cmocka_unit_test(a_shield_keeps_a_cancel_from_a_wait),
        cmocka_unit_test(an_expired_level_reads_as_cancelled),
        cmocka_unit_test(a_thread_waits_for_a_descriptor),
        cmocka_unit_test(one_of_waker_canceller_and_deadline_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
