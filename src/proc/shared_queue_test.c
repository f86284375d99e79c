/* SPDX-License-Identifier: MIT */
/* Shared queues between threads, fibers and processes, and the killing of either side. */
#include "family.h"

#include <errno.h>
#include <unistd.h>

#include <weft/shared_queue.h>

#include "os/sanitizer.h"
#include "proc/shared_ring.h"

#define TYPE "struct wf_shared_queue *"

static uint64_t seed;
static bool slow; /* under a tool */

static struct wf_shared_queue *new_queue(size_t capacity, size_t item_bytes)
{
    struct wf_shared_queue *q = NULL;
    struct wf_error error;
    struct wf_shared_queue_options options = {capacity, item_bytes};
    if (wf_shared_queue_create(&options, &q, &error))
        fail_msg("%s", error.text);
    return q;
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    struct wf_shared_queue *q = NULL;
    struct wf_error error;
    struct wf_shared_queue_options none = {0, 8}, many = {1 << 24, 8}, huge = {1000, SIZE_MAX / 8};
    assert_int_equal(wf_shared_queue_create(&none, &q, &error), -EINVAL);
    assert_int_equal(wf_shared_queue_create(&many, &q, &error), -EINVAL);
    assert_int_equal(wf_shared_queue_create(&huge, &q, &error), WF_ETOOBIG);
    assert_null(q);
    q = new_queue(2, 8);
    wf_bytes taken;
    assert_int_equal(wf_shared_queue_try_push(q, "1234567", 7), -EINVAL);
    assert_int_equal(wf_shared_queue_take(q, &taken, WF_NOW), -EINVAL);
    wf_shared_queue_destroy(q);
    wf_shared_queue_destroy(NULL);
}

static void it_is_first_in_first_out_and_holds_its_capacity(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 5; capacity++) {
        struct wf_shared_queue *q = new_queue(capacity, sizeof(int));
        int in = 0, out = 0, item;
        for (int round = 0; round < 20; round++) {
            while (wf_shared_queue_try_push(q, &in, sizeof in) == 0)
                in++;
            assert_int_equal(in - out, capacity);
            assert_int_equal(wf_shared_queue_len(q), capacity);
            assert_int_equal(wf_shared_queue_push(q, &in, sizeof in, WF_NOW), -ETIMEDOUT);
            for (size_t k = 0; k <= (size_t)round % capacity; k++) {
                size_t len = 0;
                assert_int_equal(wf_shared_queue_try_pop(q, &item, sizeof item, &len), 0);
                assert_int_equal(len, sizeof item);
                assert_int_equal(item, out++);
            }
        }
        while (wf_shared_queue_try_pop(q, &item, sizeof item, NULL) == 0)
            assert_int_equal(item, out++);
        assert_int_equal(in, out);
        assert_int_equal(wf_shared_queue_pop(q, &item, sizeof item, NULL, WF_NOW), -ETIMEDOUT);
        wf_shared_queue_destroy(q);
    }
}

static void items_of_any_size_stay_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 40, 41, 1000, 70000, 16 << 20};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    uint64_t before = family_blocks();
    struct wf_shared_queue *q = new_queue(SIZES, 0);
    unsigned char *item = test_malloc(sizes[SIZES - 1]), *back = test_malloc(sizes[SIZES - 1]);
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < SIZES; i++) {
            memset(item, i + 1, sizes[i]);
            assert_int_equal(wf_shared_queue_push(q, item, sizes[i], WF_NOW), 0);
        }
        for (int i = 0; i < SIZES; i++) {
            memset(item, i + 1, sizes[i]);
            size_t len = 12345;
            wf_bytes taken = {back, 0};
            if (sizes[i] && i % 2)
                assert_int_equal(wf_shared_queue_try_pop(q, back, sizes[i] - 1, &len), -EMSGSIZE);
            if (way == 0) {
                assert_int_equal(wf_shared_queue_pop(q, back, sizes[SIZES - 1], &len, party_soon()),
                                 0);
                taken.len = len;
            } else {
                assert_int_equal(wf_shared_queue_take(q, &taken, party_soon()), 0);
                assert_int_equal(((const char *)taken.ptr)[taken.len], 0);
            }
            assert_int_equal(taken.len, sizes[i]);
            assert_memory_equal(taken.ptr, item, sizes[i]);
            if (way == 1)
                wf_shared_free(taken.ptr);
        }
    }
    /* What is left inside goes with the queue. */
    assert_int_equal(wf_shared_queue_push(q, item, sizes[SIZES - 2], WF_NOW), 0);
    wf_shared_queue_destroy(q);
    assert_int_equal(family_blocks(), before);
    test_free(item);
    test_free(back);
}

/* Parties */

struct traffic {
    struct wf_shared_queue *q;
    int producers, items; /* of each producer */
    WFI_ATOMIC(int) done, popped;
    WFI_ATOMIC(uint64_t) sum;
};

static void produces_or_consumes(struct party *self)
{
    struct traffic *t = self->arg;
    uint64_t item;
    if (self->index < t->producers) {
        for (int i = 0; i < t->items; i++) {
            item = (uint64_t)(self->index * t->items + i + 1);
            party_equal(wf_shared_queue_push(t->q, &item, sizeof item, party_soon()), 0);
        }
        if (wfi_fetch_add(&t->done, 1) + 1 == t->producers)
            wf_shared_queue_close(t->q, WF_CLOSE_GRACEFUL);
        return;
    }
    int err;
    while ((err = wf_shared_queue_pop(t->q, &item, sizeof item, NULL, party_soon())) == 0) {
        wfi_fetch_add(&t->popped, 1);
        wfi_fetch_add(&t->sum, item);
    }
    party_equal(err, -EPIPE);
}

static void every_item_arrives_once(void **state)
{
    static const size_t capacities[] = {1, 3, 64};
    for (int i = 0; i < 3; i++) {
        struct traffic t = {new_queue(capacities[i], 8), 3, slow ? 200 : 3000, 0, 0, 0};
        party_run(party_mode_of(state), 6, produces_or_consumes, &t);
        uint64_t all = (uint64_t)t.producers * (uint64_t)t.items;
        assert_int_equal(wfi_load(&t.popped), all);
        assert_int_equal(wfi_load(&t.sum), all * (all + 1) / 2);
        wf_shared_queue_destroy(t.q);
    }
}

static void waits_at_a_queue(struct party *self)
{
    struct traffic *t = self->arg;
    uint64_t item = 1;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "shared queue pop");
        party_cancel(party_at(self, 1));
        party_ended(party_at(self, 1));
        party_equal(wf_shared_queue_push(t->q, &item, sizeof item, party_soon()), 0);
        party_reaches(&t->popped, 1);
        wf_shared_queue_close(t->q, WF_CLOSE_NOW);
        return;
    }
    int err = wf_shared_queue_pop(t->q, &item, sizeof item, NULL, party_soon());
    if (err == 0)
        wfi_fetch_add(&t->popped, 1);
    else
        party_equal(err, self->index == 1 ? -ECANCELED : -EPIPE);
}

static void a_waiting_pop_is_cancelled_served_or_told_of_the_end(void **state)
{
    struct traffic t = {.q = new_queue(2, 8)};
    party_run(party_mode_of(state), 5, waits_at_a_queue, &t);
    assert_int_equal(wfi_load(&t.popped), 1);
    wf_shared_queue_destroy(t.q);
}

static void closing_lets_out_what_is_inside_or_not(void **state)
{
    (void)state;
    int item = 1;
    struct wf_shared_queue *q = new_queue(3, sizeof item);
    assert_int_equal(wf_shared_queue_try_push(q, &item, sizeof item), 0);
    assert_int_equal(wf_shared_queue_try_push(q, &item, sizeof item), 0);
    wf_shared_queue_close(q, WF_CLOSE_GRACEFUL);
    assert_int_equal(wf_shared_queue_push(q, &item, sizeof item, WF_FOREVER), -EPIPE);
    assert_int_equal(wf_shared_queue_pop(q, &item, sizeof item, NULL, WF_FOREVER), 0);
    wf_shared_queue_close(q, WF_CLOSE_NOW);
    wf_shared_queue_close(q, WF_CLOSE_GRACEFUL);
    assert_int_equal(wf_shared_queue_pop(q, &item, sizeof item, NULL, WF_FOREVER), -EPIPE);
    wf_shared_queue_destroy(q);
}

/* Processes */

struct order {
    struct family_parcel queue, back;
    int count, number;
    WFI_ATOMIC(int) * counter;
};

static struct order order_of(const void *blob, size_t bytes)
{
    struct order order;
    family_check(bytes == sizeof order);
    memcpy(&order, blob, sizeof order);
    return order;
}

static int puts_and_ends(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_queue *q = family_unpack(TYPE, &order.queue);
    for (int i = 0; i < order.count; i++) {
        char text[100];
        int len = snprintf(text, sizeof text, "%d.%d%*s", order.number, i, i % 60, "");
        family_check(wf_shared_queue_push(q, text, (size_t)len, party_soon()) == 0);
    }
    return 0;
}

/* MPR-02 */
static void what_a_process_put_arrives_although_it_ended_at_once(void **state)
{
    (void)state;
    enum { PROCESSES = 3, ITEMS = 50 };
    uint64_t before = family_blocks();
    struct wf_shared_queue *q = new_queue(PROCESSES * ITEMS, 0);
    struct family_process p[PROCESSES];
    struct order order = {.count = ITEMS};
    for (order.number = 0; order.number < PROCESSES; order.number++) {
        order.queue = family_pack(TYPE, q);
        family_start(&p[order.number], puts_and_ends, &order, sizeof order);
    }
    for (int i = 0; i < PROCESSES; i++)
        family_join(&p[i]);
    int next[PROCESSES] = {0}, number, item;
    for (int i = 0; i < PROCESSES * ITEMS; i++) {
        char text[100] = "";
        assert_int_equal(wf_shared_queue_pop(q, text, sizeof text - 1, NULL, WF_NOW), 0);
        assert_int_equal(sscanf(text, "%d.%d", &number, &item), 2);
        assert_int_equal(item, next[number]++);
    }
    wf_bytes none;
    wf_deadline soon = wf_after(WF_MILLISECONDS(20)); /* and the waiting rules of any queue */
    assert_int_equal(wf_shared_queue_take(q, &none, soon), -ETIMEDOUT);
    assert_true(wf_now() >= soon.ns);
    wf_shared_queue_destroy(q);
    assert_int_equal(family_blocks(), before);
}

static void echoes(struct party *self)
{
    struct order *order = self->arg;
    struct wf_shared_queue *q = family_unpack(TYPE, &order->queue);
    struct wf_shared_queue *back = family_unpack(TYPE, &order->back);
    uint64_t item;
    int err;
    while ((err = wf_shared_queue_pop(q, &item, sizeof item, NULL, party_soon())) == 0)
        family_check(wf_shared_queue_push(back, &item, sizeof item, party_soon()) == 0);
    family_check(err == -EPIPE);
}

static int echoes_by_parties(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    party_run((enum party_mode)order.number, 3, echoes, &order);
    return 0;
}

/* Threads and fibers of two processes at the ends of two queues, which are short. */
static void parties_of_two_processes_pass_items(void **state)
{
    (void)state;
    enum { PROCESSES = 2 };
    int items = slow ? 300 : 5000;
    for (int mode = 0; mode < 4; mode++) {
        uint64_t before = family_blocks();
        struct wf_shared_queue *q = new_queue(4, 8), *back = new_queue(4, 8);
        struct family_process p[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            struct order order = {family_pack(TYPE, q), family_pack(TYPE, back), 0, mode, NULL};
            family_start(&p[i], echoes_by_parties, &order, sizeof order);
        }
        uint64_t sum = 0, item;
        for (uint64_t pushed = 0, popped = 0; popped < (uint64_t)items;) {
            if (pushed < (uint64_t)items && pushed < popped + 6) {
                pushed++;
                assert_int_equal(wf_shared_queue_push(q, &pushed, 8, party_soon()), 0);
            } else {
                assert_int_equal(wf_shared_queue_pop(back, &item, 8, NULL, party_soon()), 0);
                sum += item;
                popped++;
            }
        }
        assert_int_equal(sum, (uint64_t)items * ((uint64_t)items + 1) / 2);
        wf_shared_queue_close(q, WF_CLOSE_GRACEFUL);
        for (int i = 0; i < PROCESSES; i++)
            family_join(&p[i]);
        wf_shared_queue_destroy(q);
        wf_shared_queue_destroy(back);
        assert_int_equal(family_blocks(), before);
    }
}

/* The head is at the last slot of a turn, the tail behind it at the first of the next: the slot's
 * producer was killed after claiming it, and the hole was passed. */
static void a_head_that_was_left_behind_is_no_length(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 8; capacity++) {
        struct wfi_shared_ring *ring = test_calloc(1, wfi_shared_ring_bytes(capacity, 8));
        wfi_shared_ring_init(ring, capacity, 8);
        for (uint64_t pushed = 0; pushed + 1 < capacity; pushed++) {
            uint64_t item;
            assert_int_equal(wfi_shared_ring_try_push(ring, &pushed, 8), 0);
            assert_int_equal(wfi_shared_ring_try_pop(ring, &item, 8, NULL), 0);
        }
        uint64_t head = wfi_load(&ring->head), item = 1;
        assert_int_equal(wfi_shared_ring_try_push(ring, &item, 8), 0);
        assert_int_equal(wfi_shared_ring_try_pop(ring, &item, 8, NULL), 0);
        wfi_store(&ring->head, head);
        assert_int_equal(wfi_shared_ring_len(ring), 0);
        assert_int_equal(wfi_shared_ring_try_push(ring, &item, 8), 0);
        assert_int_equal(wfi_shared_ring_len(ring), 1);
        test_free(ring);
    }
}

static int floods(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_queue *q = family_unpack(TYPE, &order.queue);
    static char text[5000];
    for (int i = 0;; i++) { /* every other item lies in a block of its own */
        memset(text, i & 0x7f, sizeof text);
        size_t len = i % 2 ? sizeof text : 8;
        memcpy(text, &(int[]){order.number, i}, 8);
        wfi_fetch_add(order.counter, 1);
        family_check(wf_shared_queue_push(q, text, len, party_soon()) == 0);
    }
}

static int drains(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_queue *q = family_unpack(TYPE, &order.queue);
    for (wf_bytes item;;) {
        family_check(wf_shared_queue_take(q, &item, party_soon()) == 0);
        wfi_fetch_add(order.counter, 1);
        wf_shared_free(item.ptr);
    }
}

/* Producers and consumers are killed wherever they are; the others go on, and nothing is lost but
 * what the killed had in hand. */
static void a_killed_party_stops_nobody(void **state)
{
    (void)state;
    int kills = slow ? 4 : 30;
    uint64_t before = family_blocks();
    WFI_ATOMIC(int) * counter;
    assert_int_equal(wfi_arena_alloc(WFI_BLOCK_BYTES, sizeof(int), (void **)&counter, NULL), 0);
    for (int n = 0; n < kills; n++) {
        struct wf_shared_queue *q = new_queue(1 + wfi_splitmix64(&seed) % 8, 0);
        struct family_process p[3];
        struct order order = {.counter = counter};
        int start = wfi_load(counter);
        for (order.number = 0; order.number < 2; order.number++) {
            order.queue = family_pack(TYPE, q);
            family_start(&p[order.number], floods, &order, sizeof order);
        }
        order.queue = family_pack(TYPE, q);
        family_start(&p[2], drains, &order, sizeof order);
        party_reaches(counter, start + (int)(wfi_splitmix64(&seed) % 2000));
        int first = (int)(wfi_splitmix64(&seed) % 3);
        family_kill(&p[first]);
        /* The other two, or this process, move items on. */
        int last[2] = {-1, -1}, got = 0;
        while (got < 50 && first != 0) {
            static char text[5000];
            size_t len;
            int head[2];
            int err = wf_shared_queue_pop(q, text, sizeof text, &len, party_soon());
            assert_int_equal(err, 0);
            memcpy(head, text, sizeof head);
            assert_true(head[0] == 0 || head[0] == 1);
            assert_true(head[1] > last[head[0]]); /* in the order they were pushed */
            last[head[0]] = head[1];
            assert_int_equal(len, head[1] % 2 ? sizeof text : 8);
            for (size_t i = 8; i < len; i++)
                assert_int_equal(text[i], head[1] & 0x7f);
            got++;
        }
        for (int i = 0; i < 3; i++)
            if (i != first)
                family_kill(&p[i]);
        /* Nobody is at it: what is inside comes out, and the room is there again. */
        char text[5000];
        int err;
        while ((err = wf_shared_queue_try_pop(q, text, sizeof text, NULL)) == 0)
            ;
        assert_int_equal(err, -EAGAIN);
        assert_int_equal(wf_shared_queue_len(q), 0);
        wf_shared_queue_destroy(q);
        assert_int_equal(family_blocks(), before + 1);
    }
    wfi_arena_free((void *)counter);
}

enum { LARGE = 256 * 1024 }; /* the copying takes most of the time */

static int copies_for_ever(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_queue *q = family_unpack(TYPE, &order.queue);
    static char item[LARGE];
    for (int i = 0;; i++) {
        memset(item, i, sizeof item);
        wfi_fetch_add(order.counter, 1);
        int err = order.number ? wf_shared_queue_push(q, item, sizeof item, party_soon())
                               : wf_shared_queue_pop(q, item, sizeof item, NULL, party_soon());
        family_check(err == 0);
        for (size_t k = 1; k < sizeof item; k += 4096)
            family_check(item[k] == item[0]); /* whole, though another died over its slot */
    }
}

static void a_party_killed_over_a_copy_leaves_the_room(void **state)
{
    (void)state;
    enum { CAPACITY = 3 };
    static char item[LARGE];
    uint64_t before = family_blocks();
    WFI_ATOMIC(int) * counter;
    assert_int_equal(wfi_arena_alloc(WFI_BLOCK_BYTES, sizeof(int), (void **)&counter, NULL), 0);
    struct wf_shared_queue *q = new_queue(CAPACITY, LARGE);
    for (int n = 0; n < (slow ? 4 : 20); n++) {
        struct family_process p[2];
        int start = wfi_load(counter);
        for (int i = 0; i < 2; i++) {
            struct order order = {.queue = family_pack(TYPE, q), .number = i, .counter = counter};
            family_start(&p[i], copies_for_ever, &order, sizeof order);
        }
        party_reaches(counter, start + 5 + (int)(wfi_splitmix64(&seed) % 40));
        for (int i = 0; i < 2; i++)
            family_kill(&p[(i + n) % 2]);
        while (wf_shared_queue_try_pop(q, item, sizeof item, NULL) == 0)
            assert_int_equal(item[0], item[LARGE - 1]);
        for (int i = 0; i < CAPACITY; i++)
            assert_int_equal(wf_shared_queue_try_push(q, item, sizeof item), 0);
        assert_int_equal(wf_shared_queue_try_push(q, item, sizeof item), -EAGAIN);
        for (int i = 0; i < CAPACITY; i++)
            assert_int_equal(wf_shared_queue_try_pop(q, item, sizeof item, NULL), 0);
    }
    wf_shared_queue_destroy(q);
    wfi_arena_free((void *)counter);
    assert_int_equal(family_blocks(), before);
}

static int makes_a_queue_and_is_killed(const void *blob, size_t bytes, const int *fds,
                                       size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_queue *mine, *back = family_unpack(TYPE, &order.queue);
    struct wf_shared_queue_options options = {4, 0};
    family_check(wf_shared_queue_create(&options, &mine, NULL) == 0);
    char item[1000] = "";
    family_check(wf_shared_queue_push(mine, item, sizeof item, WF_NOW) == 0);
    if (order.number) { /* it is given to another before the end */
        struct family_parcel parcel = {.len = 0};
        parcel.len = (size_t)wf_wire_find(TYPE)->encode(&mine, parcel.bytes, sizeof parcel.bytes);
        family_check(wf_shared_queue_push(back, &parcel, sizeof parcel, WF_NOW) == 0);
    }
    raise(SIGKILL);
    return 1;
}

static void a_queue_goes_with_the_last_that_has_it(void **state)
{
    (void)state;
    uint64_t before = family_blocks();
    struct wf_shared_queue *back = new_queue(1, sizeof(struct family_parcel));
    for (int given = 0; given < 2; given++) {
        struct family_process p;
        struct order order = {.queue = family_pack(TYPE, back), .number = given};
        family_start(&p, makes_a_queue_and_is_killed, &order, sizeof order);
        assert_true(WIFSIGNALED(family_end(&p)));
        if (!given)
            assert_int_equal(family_blocks(), before + 1);
    }
    struct family_parcel parcel;
    assert_int_equal(wf_shared_queue_pop(back, &parcel, sizeof parcel, NULL, WF_NOW), 0);
    struct wf_shared_queue *theirs = family_unpack(TYPE, &parcel);
    char item[1000];
    assert_int_equal(wf_shared_queue_pop(theirs, item, sizeof item, NULL, WF_NOW), 0);
    wf_shared_queue_destroy(theirs);
    wf_shared_queue_destroy(back);
    assert_int_equal(family_blocks(), before);
    /* One that has gone does not arrive. */
    void *gone;
    assert_int_equal(wf_wire_find(TYPE)->decode(&gone, parcel.bytes, parcel.len), WF_EPROTOCOL);
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
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(it_is_first_in_first_out_and_holds_its_capacity),
        cmocka_unit_test(items_of_any_size_stay_whole),
        cmocka_unit_test(closing_lets_out_what_is_inside_or_not),
        PARTY_TEST(every_item_arrives_once),
        PARTY_TEST(a_waiting_pop_is_cancelled_served_or_told_of_the_end),
        cmocka_unit_test(what_a_process_put_arrives_although_it_ended_at_once),
        cmocka_unit_test(parties_of_two_processes_pass_items),
        cmocka_unit_test(a_queue_goes_with_the_last_that_has_it),
        cmocka_unit_test(a_head_that_was_left_behind_is_no_length),
        cmocka_unit_test(a_killed_party_stops_nobody),
        cmocka_unit_test(a_party_killed_over_a_copy_leaves_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
