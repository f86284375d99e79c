/* SPDX-License-Identifier: MIT */
/* Waits on shared words, four ways, with and without sleeping on several words at once. */
#include "party.h"

#include <errno.h>

#include "os/memory.h"
#include "os/sanitizer.h"
#include "os/word.h"
#include "proc/shared_wait.h"

enum { WORDS = 300 };
static WFI_ATOMIC(uint32_t) * words; /* in memory that processes could share */

struct shared {
    WFI_ATOMIC(int) reached, woken;
    int rounds;
};

static int map_words(void **state)
{
    (void)state;
    void *low;
    if (wfi_memory_share(wfi_page_bytes(), &low))
        return -1;
    words = low;
    return 0;
}

static void clear(void)
{
    for (int i = 0; i < WORDS; i++)
        wfi_store(&words[i], 0);
}

static void change(WFI_ATOMIC(uint32_t) * word)
{
    wfi_fetch_add(word, 1);
    wfi_shared_wake(word, WFI_WAKE_ALL);
}

static void waits_for_one(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "word");
        change(&words[0]);
        return;
    }
    int err = 0;
    while (!err && wfi_load(&words[0]) == 0)
        err = wfi_shared_wait(&words[0], 0, "word", NULL, party_soon());
    party_equal(err, 0);
    wfi_fetch_add(&s->woken, 1);
}

static void a_change_wakes_all_that_wait(void **state)
{
    struct shared s = {.woken = 0};
    clear();
    party_run(party_mode_of(state), 9, waits_for_one, &s);
    assert_int_equal(wfi_load(&s.woken), 8);
}

static void times_out(struct party *self)
{
    (void)self;
    int64_t start = wf_now();
    int err = 0;
    while (!err)
        err = wfi_shared_wait(&words[0], 0, "word", NULL, (wf_deadline){start + 20000000});
    party_equal(err, -ETIMEDOUT);
    party_check(wf_now() >= start + 20000000);
    struct wfi_shared_word two[] = {{&words[0], 0}, {&words[1], 0}};
    party_equal(wfi_shared_wait_any(two, 2, "words", NULL, WF_NOW), -ETIMEDOUT);
    party_equal(wfi_shared_wait(&words[0], 7, "word", NULL, WF_FOREVER), 0); /* not expected */
}

static void a_deadline_ends_a_wait(void **state)
{
    clear();
    party_run(party_mode_of(state), 2, times_out, NULL);
}

static void is_cancelled(struct party *self)
{
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            party_parked(party_at(self, i), "word");
            party_cancel(party_at(self, i));
        }
        return;
    }
    int err = 0;
    struct wfi_shared_word two[] = {{&words[0], 0}, {&words[1], 0}};
    while (!err && self->index % 2)
        err = wfi_shared_wait(&words[0], 0, "word", NULL, party_soon());
    while (!err)
        err = wfi_shared_wait_any(two, 2, "word", NULL, party_soon());
    party_equal(err, -ECANCELED);
    /* And the next one is not even begun, where it may be cancelled. */
    party_equal(wfi_shared_wait(&words[0], 0, "word", NULL, party_soon()), -ECANCELED);
    wf_deadline soon = wf_after(WF_MILLISECONDS(1));
    do
        err = wfi_shared_wait_uncancelable(&words[0], 0, "word", NULL, soon);
    while (!err); /* others that leave wake this one for nothing */
    party_equal(err, -ETIMEDOUT);
}

static void a_cancel_ends_a_wait(void **state)
{
    clear();
    party_run(party_mode_of(state), 5, is_cancelled, NULL);
}

static void waits_for_any(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "words");
        for (int i = 1; i < self->count; i++)
            change(&words[(self->count - i) * 25]); /* each is in somebody's stretch */
        return;
    }
    /* Stretches of 50 that overlap by half. */
    struct wfi_shared_word mine[50];
    bool changed = false;
    while (!changed) {
        for (int i = 0; i < 50; i++)
            mine[i] = (struct wfi_shared_word){&words[(self->index - 1) * 25 + i], 0};
        party_equal(wfi_shared_wait_any(mine, 50, "words", NULL, party_soon()), 0);
        for (int i = 0; i < 50; i++)
            changed |= wfi_load(mine[i].word) != 0;
    }
    wfi_fetch_add(&s->woken, 1);
}

/* 275 words for 10 parties: more than one sleep can be on. */
static void many_words_are_waited_for_at_once(void **state)
{
    struct shared s = {.woken = 0};
    clear();
    party_run(party_mode_of(state), 11, waits_for_any, &s);
    assert_int_equal(wfi_load(&s.woken), 10);
}

static void takes_turns(struct party *self)
{
    struct shared *s = self->arg;
    for (int i = 0; i < s->rounds; i++) {
        uint32_t mine = (uint32_t)(i * self->count + self->index), seen;
        while ((seen = wfi_load(&words[0])) != mine)
            party_equal(wfi_shared_wait(&words[0], seen, "word", NULL, party_soon()), 0);
        change(&words[0]);
    }
}

static void no_change_is_missed(void **state)
{
    bool slow = !wfi_word_wait_any_works() || WFI_TSAN || wfi_under_valgrind();
    struct shared s = {.rounds = slow ? 8 : 500};
    clear();
    party_run(party_mode_of(state), 5, takes_turns, &s);
    assert_int_equal(wfi_load(&words[0]), 5 * s.rounds);
}

/* Tokens: a change gives one, and wakes one sleeper. */
static void takes_tokens(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 0; i < s->rounds; i++) {
            wfi_fetch_add(&words[1], 1);
            wfi_fetch_add(&words[0], 1);
            wfi_shared_wake(&words[0], 1);
            party_reaches(&s->woken, i + 1);
        }
        wfi_store(&words[2], 1);
        change(&words[0]);
        return;
    }
    for (int n = self->index;; n++) {
        uint32_t seen = wfi_load(&words[0]), tokens = wfi_load(&words[1]);
        if (wfi_load(&words[2]))
            return;
        if (tokens && wfi_cas(&words[1], &tokens, tokens - 1)) {
            wfi_fetch_add(&s->woken, 1);
        } else if (!tokens) {
            /* Some give up all the time; what was meant for them has to reach another. */
            wf_deadline until = self->index % 2 ? party_soon() : wf_after(n * 7919 % 50000);
            int err = wfi_shared_wait(&words[0], seen, "word", NULL, until);
            party_check(err == 0 || err == -ETIMEDOUT);
        }
    }
}

static void a_wake_up_spent_on_one_that_left_reaches_another(void **state)
{
    bool slow = !wfi_word_wait_any_works() || WFI_TSAN || wfi_under_valgrind();
    struct shared s = {.rounds = slow ? 20 : 1500};
    clear();
    party_run(party_mode_of(state), 5, takes_tokens, &s);
    assert_int_equal(wfi_load(&s.woken), s.rounds);
}

static int without(void **state)
{
    (void)state;
    wfi_word_wait_any_forbid(true);
    return 0;
}

#define ALL_WAYS(test)                                                                        \
    PARTY_TEST(test), {#test " on threads, in slices", test, without, NULL, &party_modes[0]}, \
        {#test " on fibers, in slices", test, without, NULL, &party_modes[1]},                \
    {                                                                                         \
#test " mixed, in slices", test, without, NULL, &party_modes[3]                       \
    }

static int with(void **state)
{
    (void)state;
    wfi_word_wait_any_forbid(false);
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ALL_WAYS(a_change_wakes_all_that_wait),
        ALL_WAYS(a_deadline_ends_a_wait),
        ALL_WAYS(a_cancel_ends_a_wait),
        ALL_WAYS(many_words_are_waited_for_at_once),
        ALL_WAYS(no_change_is_missed),
        ALL_WAYS(a_wake_up_spent_on_one_that_left_reaches_another),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (tests[i].setup_func)
            tests[i].teardown_func = with;
    printf("sleeps on several words: %s\n", wfi_word_wait_any_works() ? "yes" : "no");
    return cmocka_run_group_tests(tests, map_words, NULL);
}
