/* SPDX-License-Identifier: MIT */
/* Shared mutex, semaphore, event, condition, barrier and array, between parties and processes. */
#include "family.h"

#include <errno.h>
#include <unistd.h>

#include <weft/shared_array.h>
#include <weft/shared_barrier.h>
#include <weft/shared_condition.h>
#include <weft/shared_event.h>
#include <weft/shared_mutex.h>
#include <weft/shared_semaphore.h>

#include "os/sanitizer.h"

static uint64_t seed;
static bool slow;

/* One of each, made for a test and ended after it. `counts` is shared memory. */
struct tools {
    struct wf_shared_mutex *mutex;
    struct wf_shared_semaphore *semaphore;
    struct wf_shared_event *event;
    struct wf_shared_condition *condition;
    struct wf_shared_barrier *barrier;
    struct wf_shared_array *array;
    WFI_ATOMIC(int) * counts; /* its items */
    int rounds;
    uint64_t blocks; /* there were */
};

enum { COUNTS = 8 };

static void make(struct tools *t, uint32_t permits, size_t parties)
{
    memset(t, 0, sizeof *t);
    t->blocks = family_blocks();
    assert_int_equal(wf_shared_mutex_create(&t->mutex, NULL), 0);
    assert_int_equal(wf_shared_semaphore_create(permits, 0, &t->semaphore, NULL), 0);
    assert_int_equal(wf_shared_event_create(&t->event, NULL), 0);
    assert_int_equal(wf_shared_condition_create(&t->condition, NULL), 0);
    assert_int_equal(wf_shared_barrier_create(parties, &t->barrier, NULL), 0);
    assert_int_equal(wf_shared_array_create(COUNTS, sizeof(int), &t->array, NULL), 0);
    t->counts = wf_shared_array_items(t->array);
    t->rounds = slow ? 20 : 1000;
}

static void end(struct tools *t)
{
    wf_shared_mutex_destroy(t->mutex);
    wf_shared_semaphore_destroy(t->semaphore);
    wf_shared_event_destroy(t->event);
    wf_shared_condition_destroy(t->condition);
    wf_shared_barrier_destroy(t->barrier);
    wf_shared_array_destroy(t->array);
    assert_int_equal(family_blocks(), t->blocks);
}

/* The tools in another process. */
struct box {
    struct family_parcel mutex, semaphore, event, condition, barrier, array;
    int number, rounds, mode;
};

static struct box pack(struct tools *t, int number, enum party_mode mode)
{
    return (struct box){
        family_pack("struct wf_shared_mutex *", t->mutex),
        family_pack("struct wf_shared_semaphore *", t->semaphore),
        family_pack("struct wf_shared_event *", t->event),
        family_pack("struct wf_shared_condition *", t->condition),
        family_pack("struct wf_shared_barrier *", t->barrier),
        family_pack("struct wf_shared_array *", t->array),
        number,
        t->rounds,
        (int)mode,
    };
}

static struct tools unpack(const void *blob, size_t bytes, struct box *box)
{
    family_check(bytes == sizeof *box);
    memcpy(box, blob, sizeof *box);
    struct tools t = {
        .mutex = family_unpack("struct wf_shared_mutex *", &box->mutex),
        .semaphore = family_unpack("struct wf_shared_semaphore *", &box->semaphore),
        .event = family_unpack("struct wf_shared_event *", &box->event),
        .condition = family_unpack("struct wf_shared_condition *", &box->condition),
        .barrier = family_unpack("struct wf_shared_barrier *", &box->barrier),
        .array = family_unpack("struct wf_shared_array *", &box->array),
        .rounds = box->rounds,
    };
    t.counts = wf_shared_array_items(t.array);
    return t;
}

/* Runs `fn` by parties of this process and of another at once. */
static void (*both_fn)(struct party *);

static int runs_parties(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    void (*fn)(struct party *);
    memcpy(&fn, &t.counts[COUNTS - 2], sizeof fn); /* same image, same addresses */
    party_run((enum party_mode)box.mode, 3, fn, &t);
    return 0;
}

static void run_in_two_processes(struct tools *t, enum party_mode mode)
{
    struct family_process p;
    if (!wfi_helper_alive()) { /* under Valgrind: all of them in this one */
        party_run(mode, 6, both_fn, t);
        return;
    }
    memcpy((void *)&t->counts[COUNTS - 2], &both_fn, sizeof both_fn);
    struct box box = pack(t, 0, mode);
    family_start(&p, runs_parties, &box, sizeof box);
    party_run(mode, 3, both_fn, t);
    family_join(&p);
}

/* Mutex */

static void adds_under_the_mutex(struct party *self)
{
    struct tools *t = self->arg;
    for (int i = 0; i < t->rounds; i++) {
        party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), 0);
        int seen = wfi_load_relaxed(&t->counts[0]);
        if (i % 16 == 0)
            wfi_yield();
        wfi_store_relaxed(&t->counts[0], seen + 1);
        party_equal(wf_shared_mutex_unlock(t->mutex), 0);
    }
}

static void the_mutex_excludes(void **state)
{
    struct tools t;
    make(&t, 0, 1);
    both_fn = adds_under_the_mutex;
    run_in_two_processes(&t, party_mode_of(state));
    assert_int_equal(wfi_load(&t.counts[0]), 6 * t.rounds);
    end(&t);
}

static void holds_or_wants(struct party *self)
{
    struct tools *t = self->arg;
    if (self->index == 0) {
        party_equal(wf_shared_mutex_unlock(t->mutex), WF_ESTATE);
        party_equal(wf_shared_mutex_lock(t->mutex, WF_FOREVER), 0);
        party_equal(wf_shared_mutex_lock(t->mutex, WF_FOREVER), WF_EDEADLOCK);
        party_equal(wf_shared_mutex_try_lock(t->mutex), -EAGAIN);
        wfi_store(&t->counts[1], 1);
        party_ended(party_at(self, 1));
        party_parked(party_at(self, 2), "shared mutex");
        party_cancel(party_at(self, 2));
        party_ended(party_at(self, 2));
        party_parked(party_at(self, 3), "shared mutex");
        party_equal(wf_shared_mutex_unlock(t->mutex), 0);
        return;
    }
    party_reaches(&t->counts[1], 1);
    if (self->index == 1) {
        party_equal(wf_shared_mutex_try_lock(t->mutex), -EAGAIN);
        party_equal(wf_shared_mutex_unlock(t->mutex), -EPERM);
        party_equal(wf_shared_mutex_repaired(t->mutex), -EPERM);
        party_equal(wf_shared_mutex_lock(t->mutex, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    } else if (self->index == 2) {
        party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), -ECANCELED);
    } else {
        party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), 0);
        party_equal(wf_shared_mutex_unlock(t->mutex), 0);
    }
}

static void the_mutex_knows_its_owner(void **state)
{
    struct tools t;
    make(&t, 0, 1);
    party_run(party_mode_of(state), 4, holds_or_wants, &t);
    end(&t);
}

static int locks_and_is_killed(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    family_check(wf_shared_mutex_lock(t.mutex, party_soon()) == 0);
    wfi_store(&t.counts[1], 1);
    for (;;)
        wfi_yield();
}

static void the_next_is_told_that_the_owner_died(void **state)
{
    (void)state;
    struct tools t;
    struct family_process p;
    make(&t, 0, 1);
    struct box box = pack(&t, 0, PARTY_THREADS);
    family_start(&p, locks_and_is_killed, &box, sizeof box);
    party_reaches(&t.counts[1], 1);
    assert_int_equal(wf_shared_mutex_lock(t.mutex, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    wfi_related_signal(p.related, SIGKILL);
    assert_int_equal(wf_shared_mutex_lock(t.mutex, party_soon()), WF_OWNER_DIED);
    family_end(&p);
    assert_int_equal(wf_shared_mutex_unlock(t.mutex), 0);
    assert_int_equal(wf_shared_mutex_try_lock(t.mutex), WF_OWNER_DIED); /* nobody repaired it */
    assert_int_equal(wf_shared_mutex_repaired(t.mutex), 0);
    assert_int_equal(wf_shared_mutex_unlock(t.mutex), 0);
    assert_int_equal(wf_shared_mutex_lock(t.mutex, WF_NOW), 0);
    assert_int_equal(wf_shared_mutex_unlock(t.mutex), 0);
    end(&t);
}

/* Moves from one account to the other, for ever. */
static int moves_money(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    for (;;) {
        int got = wf_shared_mutex_lock(t.mutex, party_soon());
        family_check(got >= 0);
        if (got == WF_OWNER_DIED) {
            wfi_store(&t.counts[1], -wfi_load(&t.counts[0]));
            wfi_fetch_add(&t.counts[3], 1);
            family_check(wf_shared_mutex_repaired(t.mutex) == 0);
        }
        family_check(wfi_load(&t.counts[0]) + wfi_load(&t.counts[1]) == 0);
        wfi_fetch_add(&t.counts[0], 1);
        wfi_fetch_sub(&t.counts[1], 1);
        family_check(wf_shared_mutex_unlock(t.mutex) == 0);
        wfi_fetch_add(&t.counts[2], 1);
    }
}

static void killed_at_any_point_the_holder_is_followed_by_another(void **state)
{
    (void)state;
    int kills = slow ? 4 : 30;
    struct tools t;
    struct family_process p[3];
    make(&t, 0, 1);
    for (int i = 0; i < 3; i++) {
        struct box box = pack(&t, i, PARTY_THREADS);
        family_start(&p[i], moves_money, &box, sizeof box);
    }
    for (int n = 0; n < kills; n++) {
        int rounds = wfi_load(&t.counts[2]), i = n % 3;
        party_reaches(&t.counts[2], rounds + (int)(wfi_splitmix64(&seed) % 3000));
        family_kill(&p[i]);
        struct box box = pack(&t, i, PARTY_THREADS);
        family_start(&p[i], moves_money, &box, sizeof box);
    }
    for (int i = 0; i < 3; i++)
        family_kill(&p[i]);
    printf("%d of %d kills met the owner\n", wfi_load(&t.counts[3]), kills);
    end(&t);
}

/* Semaphore */

static void takes_and_gives(struct party *self)
{
    struct tools *t = self->arg;
    for (int i = 0; i < t->rounds; i++) {
        uint32_t n = 1 + (uint32_t)(i + self->index) % 2;
        party_equal(wf_shared_semaphore_acquire(t->semaphore, n, party_soon()), 0);
        party_check(wfi_fetch_add(&t->counts[0], (int)n) + (int)n <= 2);
        if (i % 16 == 0)
            wfi_yield();
        wfi_fetch_sub(&t->counts[0], (int)n);
        party_equal(wf_shared_semaphore_release(t->semaphore, n), 0);
    }
}

static void the_semaphore_lets_in_as_many_as_it_has_permits(void **state)
{
    struct tools t;
    make(&t, 2, 1);
    both_fn = takes_and_gives;
    run_in_two_processes(&t, party_mode_of(state));
    assert_int_equal(wf_shared_semaphore_value(t.semaphore), 2);
    end(&t);
}

static void the_semaphore_refuses_what_is_too_much(void **state)
{
    (void)state;
    struct wf_shared_semaphore *s = NULL;
    assert_int_equal(wf_shared_semaphore_create(3, 2, &s, NULL), -EINVAL);
    assert_int_equal(wf_shared_semaphore_create(1, 2, &s, NULL), 0);
    assert_int_equal(wf_shared_semaphore_release(s, 0), -EINVAL);
    assert_int_equal(wf_shared_semaphore_release(s, 2), WF_ESTATE);
    assert_int_equal(wf_shared_semaphore_release(s, 1), 0);
    assert_int_equal(wf_shared_semaphore_acquire(s, 3, WF_FOREVER), -EINVAL);
    assert_int_equal(wf_shared_semaphore_acquire(s, 2, WF_FOREVER), 0);
    assert_int_equal(wf_shared_semaphore_try_acquire(s, 1), -EAGAIN);
    assert_int_equal(wf_shared_semaphore_acquire(s, 1, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    wf_shared_semaphore_destroy(s);
}

/* Event */

static void waits_for_the_event(struct party *self)
{
    struct tools *t = self->arg;
    wfi_fetch_add(&t->counts[0], 1);
    party_equal(wf_shared_event_wait(t->event, party_soon()), 0);
    wfi_fetch_add(&t->counts[1], 1);
}

static int sets_the_event(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    party_reaches(&t.counts[0], 4);
    wf_shared_event_set(t.event);
    return 0;
}

static void the_event_lets_all_go(void **state)
{
    struct tools t;
    struct family_process p;
    make(&t, 0, 1);
    assert_int_equal(wf_shared_event_wait(t.event, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    struct box box = pack(&t, 0, PARTY_THREADS);
    family_start(&p, sets_the_event, &box, sizeof box);
    party_run(party_mode_of(state), 4, waits_for_the_event, &t);
    family_join(&p);
    assert_int_equal(wfi_load(&t.counts[1]), 4);
    assert_true(wf_shared_event_is_set(t.event));
    assert_int_equal(wf_shared_event_wait(t.event, WF_NOW), 0);
    wf_shared_event_clear(t.event);
    assert_false(wf_shared_event_is_set(t.event));
    assert_int_equal(wf_shared_event_wait(t.event, WF_NOW), -ETIMEDOUT);
    end(&t);
}

static void is_let_go_by_a_short_set(struct party *self)
{
    struct tools *t = self->arg;
    if (self->index > 0) {
        party_equal(wf_shared_event_wait(t->event, party_soon()), 0);
        return;
    }
    for (int i = 1; i < self->count; i++)
        party_parked(party_at(self, i), "shared event");
    wf_shared_event_set(t->event);
    wf_shared_event_clear(t->event);
}

static void a_short_set_is_not_missed(void **state)
{
    struct tools t;
    make(&t, 0, 1);
    party_run(party_mode_of(state), 4, is_let_go_by_a_short_set, &t);
    end(&t);
}

/* Condition */

static void hands_on_the_turn(struct party *self)
{
    struct tools *t = self->arg;
    /* Each takes a number by which its turn comes, whatever process it is of. */
    int me = wfi_fetch_add(&t->counts[1], 1);
    party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), 0);
    for (int i = 0; i < t->rounds / 20; i++) {
        while (wfi_load(&t->counts[0]) % 6 != me)
            party_equal(wf_shared_condition_wait(t->condition, t->mutex, party_soon()), 0);
        wfi_fetch_add(&t->counts[0], 1);
        wf_shared_condition_notify_all(t->condition);
    }
    party_equal(wf_shared_mutex_unlock(t->mutex), 0);
}

static void the_condition_is_told_of_each_change(void **state)
{
    struct tools t;
    make(&t, 0, 1);
    both_fn = hands_on_the_turn;
    run_in_two_processes(&t, party_mode_of(state));
    assert_int_equal(wfi_load(&t.counts[0]), 6 * (t.rounds / 20));
    end(&t);
}

static void is_notified_singly(struct party *self)
{
    struct tools *t = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "shared condition");
        party_cancel(party_at(self, 1));
        for (int given = 1; given < self->count - 1; given++) {
            party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), 0);
            wfi_fetch_add(&t->counts[0], 1);
            party_equal(wf_shared_mutex_unlock(t->mutex), 0);
            wf_shared_condition_notify(t->condition);
            party_reaches(&t->counts[1], given);
        }
        return;
    }
    party_equal(wf_shared_mutex_lock(t->mutex, party_soon()), 0);
    int err = 0;
    while (!err && (self->index == 1 || wfi_load(&t->counts[0]) == 0))
        err = wf_shared_condition_wait(t->condition, t->mutex, party_soon());
    party_equal(err, self->index == 1 ? -ECANCELED : 0);
    if (!err) {
        wfi_fetch_sub(&t->counts[0], 1);
        wfi_fetch_add(&t->counts[1], 1);
    }
    party_equal(wf_shared_mutex_unlock(t->mutex), 0); /* held, whatever came */
}

static void a_notify_reaches_one_that_still_waits(void **state)
{
    struct tools t;
    make(&t, 0, 1);
    party_run(party_mode_of(state), 5, is_notified_singly, &t);
    end(&t);
}

/* Barrier */

static void meets_the_others(struct party *self)
{
    struct tools *t = self->arg;
    for (int i = 0; i < t->rounds / 10; i++) {
        int place = wf_shared_barrier_wait(t->barrier, party_soon());
        party_check(place >= 0 && place < 6);
        if (place == 0) { /* one in each round; nobody is two rounds ahead */
            party_equal(wfi_load(&t->counts[0]), i);
            wfi_fetch_add(&t->counts[0], 1);
        }
        int second = wf_shared_barrier_wait(t->barrier, party_soon());
        party_check(second >= 0);
        party_equal(wfi_load(&t->counts[0]), i + 1);
        party_check(wf_shared_barrier_wait(t->barrier, party_soon()) >= 0);
    }
}

static void the_barrier_holds_all_until_the_last(void **state)
{
    struct tools t;
    make(&t, 0, 6);
    both_fn = meets_the_others;
    run_in_two_processes(&t, party_mode_of(state));
    assert_int_equal(wfi_load(&t.counts[0]), t.rounds / 10);
    end(&t);
}

static void waits_in_vain(struct party *self)
{
    struct tools *t = self->arg;
    if (self->index < 2) {
        party_equal(wf_shared_barrier_wait(t->barrier, party_soon()), WF_EBROKEN);
        return;
    }
    for (int i = 0; i < 2; i++)
        party_parked(party_at(self, i), "shared barrier");
    party_equal(wf_shared_barrier_wait(t->barrier, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    party_check(wf_shared_barrier_is_broken(t->barrier));
    party_equal(wf_shared_barrier_wait(t->barrier, WF_FOREVER), WF_EBROKEN);
}

static void waits_for_a_reset(struct party *self)
{
    struct tools *t = self->arg;
    if (self->index == 1) {
        party_equal(wf_shared_barrier_wait(t->barrier, party_soon()), WF_EBROKEN);
        return;
    }
    party_parked(party_at(self, 1), "shared barrier");
    wf_shared_barrier_reset(t->barrier);
}

static int comes_and_stays(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    return wf_shared_barrier_wait(t.barrier, party_soon()) < 0;
}

static void a_party_that_leaves_or_dies_breaks_the_barrier(void **state)
{
    struct tools t;
    struct family_process p;
    make(&t, 0, 4);
    party_run(party_mode_of(state), 3, waits_in_vain, &t);
    wf_shared_barrier_reset(t.barrier);
    assert_false(wf_shared_barrier_is_broken(t.barrier));
    party_run(party_mode_of(state), 2, waits_for_a_reset, &t);
    struct box box = pack(&t, 0, PARTY_THREADS);
    family_start(&p, comes_and_stays, &box, sizeof box);
    while (wf_shared_barrier_waiting(t.barrier) == 0)
        wfi_yield();
    wfi_related_signal(p.related, SIGKILL);
    assert_int_equal(wf_shared_barrier_wait(t.barrier, party_soon()), WF_EBROKEN);
    family_end(&p);
    wf_shared_barrier_abort(t.barrier);
    assert_int_equal(wf_shared_barrier_wait(t.barrier, WF_FOREVER), WF_EBROKEN);
    struct wf_shared_barrier *none = NULL;
    assert_int_equal(wf_shared_barrier_create(0, &none, NULL), -EINVAL);
    end(&t);
}

/* Array */

static int squares(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct family_parcel parcel;
    family_check(bytes == sizeof parcel);
    memcpy(&parcel, blob, sizeof parcel);
    struct wf_shared_array *array = family_unpack("struct wf_shared_array *", &parcel);
    uint64_t *items = wf_shared_array_items(array);
    for (size_t i = 0; i < wf_shared_array_count(array); i++)
        items[i] = i * i;
    return 0;
}

static void an_array_is_one_memory(void **state)
{
    (void)state;
    uint64_t before = family_blocks();
    struct wf_shared_array *array = NULL;
    struct wf_error error;
    assert_int_equal(wf_shared_array_create(0, 8, &array, &error), -EINVAL);
    assert_int_equal(wf_shared_array_create(SIZE_MAX / 8, 16, &array, &error), WF_ETOOBIG);
    assert_int_equal(wf_shared_array_create(SIZE_MAX / 16, 8, &array, &error), WF_ETOOBIG);
    assert_int_equal(wf_shared_array_create(100000, sizeof(uint64_t), &array, &error), 0);
    assert_int_equal(wf_shared_array_count(array), 100000);
    assert_int_equal(wf_shared_array_item_bytes(array), 8);
    uint64_t *items = wf_shared_array_items(array);
    assert_int_equal((uintptr_t)items % 64, 0);
    assert_int_equal(items[99999], 0);
    struct family_parcel parcel = family_pack("struct wf_shared_array *", array);
    struct family_process p;
    family_start(&p, squares, &parcel, sizeof parcel);
    family_join(&p);
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(items[i], i * i);
    wf_shared_array_destroy(array);
    assert_int_equal(family_blocks(), before);
}

/* Who comes back from a killed process's wake-up: all sleepers are woken. */

static int is_woken_and_killed(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct box box;
    struct tools t = unpack(blob, bytes, &box);
    for (;;) {
        family_check(wf_shared_semaphore_acquire(t.semaphore, 1, party_soon()) == 0);
        wfi_fetch_add(&t.counts[2], 1);
        family_check(wf_shared_semaphore_release(t.semaphore, 1) == 0);
    }
}

static void a_wake_up_does_not_die_with_the_woken(void **state)
{
    (void)state;
    int kills = slow ? 3 : 20;
    struct tools t;
    make(&t, 1, 1);
    for (int n = 0; n < kills; n++) {
        struct family_process p[2];
        for (int i = 0; i < 2; i++) {
            struct box box = pack(&t, i, PARTY_THREADS);
            family_start(&p[i], is_woken_and_killed, &box, sizeof box);
        }
        party_reaches(&t.counts[2], wfi_load(&t.counts[2]) + (int)(wfi_splitmix64(&seed) % 500));
        family_kill(&p[0]);
        /* The permit may have gone with it; the one in its place is for the one that waits. */
        int rounds = wfi_load(&t.counts[2]);
        assert_int_equal(wf_shared_semaphore_release(t.semaphore, 1), 0);
        party_reaches(&t.counts[2], rounds + 10);
        family_kill(&p[1]);
        while (wf_shared_semaphore_try_acquire(t.semaphore, 1) == 0)
            ;
        assert_int_equal(wf_shared_semaphore_release(t.semaphore, 1), 0);
    }
    end(&t);
}

int main(void)
{
    if (!family_begin())
        return 1;
    slow = WFI_TSAN || wfi_under_valgrind();
    const char *given = getenv("WEFT_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)wf_now();
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        PARTY_TEST(the_mutex_excludes),
        PARTY_TEST(the_mutex_knows_its_owner),
        cmocka_unit_test(the_next_is_told_that_the_owner_died),
        cmocka_unit_test(killed_at_any_point_the_holder_is_followed_by_another),
        PARTY_TEST(the_semaphore_lets_in_as_many_as_it_has_permits),
        cmocka_unit_test(the_semaphore_refuses_what_is_too_much),
        PARTY_TEST(the_event_lets_all_go),
        PARTY_TEST(a_short_set_is_not_missed),
        PARTY_TEST(the_condition_is_told_of_each_change),
        PARTY_TEST(a_notify_reaches_one_that_still_waits),
        PARTY_TEST(the_barrier_holds_all_until_the_last),
        PARTY_TEST(a_party_that_leaves_or_dies_breaks_the_barrier),
        cmocka_unit_test(an_array_is_one_memory),
        cmocka_unit_test(a_wake_up_does_not_die_with_the_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
