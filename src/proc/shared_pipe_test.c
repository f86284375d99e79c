/* SPDX-License-Identifier: MIT */
/* Shared pipes: boundaries, sizes, ends of streams, and waiting on many. */
#include "family.h"

#include <errno.h>
#include <unistd.h>

#include <weft/shared_pipe.h>

#include "os/sanitizer.h"

#define TYPE "struct wf_shared_pipe *"

static void new_pipe(struct wf_shared_pipe *ends[2], bool one_way, size_t capacity)
{
    struct wf_error error;
    struct wf_shared_pipe_options options = {one_way, capacity};
    if (wf_shared_pipe_create(&options, ends, &error))
        fail_msg("%s", error.text);
}

static void close_both(struct wf_shared_pipe *ends[2])
{
    assert_int_equal(wf_shared_pipe_close(ends[0]), 0);
    assert_int_equal(wf_shared_pipe_close(ends[1]), 0);
}

static bool has_message(struct wf_shared_pipe *end)
{
    return wf_shared_pipe_wait_any(&end, 1, WF_NOW) == 0;
}

/* MPR-03 */
static void messages_keep_their_boundaries_and_an_empty_one_counts(void **state)
{
    (void)state;
    static const char *const messages[] = {"a", "b", "", "cd", ""};
    enum { COUNT = sizeof messages / sizeof *messages };
    uint64_t before = family_blocks();
    struct wf_shared_pipe *ends[2];
    new_pipe(ends, true, 0);
    assert_false(has_message(ends[0]));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(
            wf_shared_pipe_send(ends[1], messages[i], strlen(messages[i]), party_soon()), 0);
    for (int i = 0; i < COUNT; i++) {
        char text[10] = "unchanged";
        size_t len = 99;
        for (int k = 0; k < 3; k++)
            assert_true(has_message(ends[0])); /* a look changes nothing */
        assert_int_equal(wf_shared_pipe_receive(ends[0], text, sizeof text, &len, WF_NOW), 0);
        assert_int_equal(len, strlen(messages[i]));
        assert_memory_equal(text, messages[i], len);
    }
    assert_false(has_message(ends[0]));
    char none;
    assert_int_equal(wf_shared_pipe_receive(ends[0], &none, 1, NULL, WF_NOW), -ETIMEDOUT);
    close_both(ends);
    assert_int_equal(family_blocks(), before);
}

struct order {
    struct family_parcel end, other;
    int number, count;
};

static struct order order_of(const void *blob, size_t bytes)
{
    struct order order;
    family_check(bytes == sizeof order);
    memcpy(&order, blob, sizeof order);
    return order;
}

static int sends_back(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_pipe *end = family_unpack(TYPE, &order.end);
    wf_bytes message;
    int err;
    while ((err = wf_shared_pipe_take(end, &message, party_soon())) == 0) {
        family_check(wf_shared_pipe_send(end, message.ptr, message.len, party_soon()) == 0);
        wf_shared_free(message.ptr);
    }
    family_check(err == -EPIPE);
    return 0;
}

/* MPR-04 */
static void a_message_of_16_mib_arrives_whole_and_then_the_end(void **state)
{
    (void)state;
    enum { BYTES = 16 << 20 };
    uint64_t before = family_blocks();
    size_t resident = wfi_arena_resident();
    struct wf_shared_pipe *ends[2];
    struct family_process p;
    new_pipe(ends, false, 0);
    struct order order = {.end = family_pack(TYPE, ends[1])};
    family_start(&p, sends_back, &order, sizeof order);
    assert_int_equal(wf_shared_pipe_close(ends[1]), 0);
    assert_int_equal(wf_shared_pipe_send(ends[1], "", 0, WF_NOW), WF_ESTATE);
    unsigned char *message = test_malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        message[i] = (unsigned char)((unsigned)i * 2654435761u >> 24);
    assert_int_equal(wf_shared_pipe_send(ends[0], message, BYTES, party_soon()), 0);
    assert_int_equal(wf_shared_pipe_send(ends[0], NULL, 0, party_soon()), 0);
    wf_bytes back;
    assert_int_equal(wf_shared_pipe_take(ends[0], &back, party_soon()), 0);
    assert_int_equal(back.len, BYTES);
    assert_memory_equal(back.ptr, message, BYTES);
    wf_shared_free(back.ptr);
    assert_int_equal(wf_shared_pipe_take(ends[0], &back, party_soon()), 0);
    assert_int_equal(back.len, 0);
    wf_shared_free(back.ptr);
    test_free(message);
    assert_int_equal(wf_shared_pipe_close(ends[0]), 0); /* it is told, and ends */
    family_join(&p);
    assert_int_equal(family_blocks(), before);
    /* Valgrind reads all there is, and so makes it resident, at the end of the peer. */
    assert_true(wfi_under_valgrind() || wfi_arena_resident() < resident + BYTES / 4);
}

/* MPR-04 */
static void a_one_way_pipe_has_one_way(void **state)
{
    (void)state;
    struct wf_shared_pipe *ends[2];
    char text[4];
    wf_bytes taken;
    new_pipe(ends, true, 1);
    assert_int_equal(wf_shared_pipe_send(ends[0], "x", 1, WF_FOREVER), -EBADF);
    assert_int_equal(wf_shared_pipe_receive(ends[1], text, 4, NULL, WF_FOREVER), -EBADF);
    assert_int_equal(wf_shared_pipe_take(ends[1], &taken, WF_FOREVER), -EBADF);
    assert_int_equal(wf_shared_pipe_wait_any(ends, 2, WF_FOREVER), -EBADF);
    assert_int_equal(wf_shared_pipe_wait_any(ends, 0, WF_FOREVER), -EINVAL);
    assert_int_equal(wf_shared_pipe_send(ends[1], "x", 1, WF_NOW), 0);
    assert_int_equal(wf_shared_pipe_send(ends[1], "y", 1, WF_NOW), -ETIMEDOUT);
    assert_int_equal(wf_shared_pipe_close(ends[1]), 0);
    assert_int_equal(wf_shared_pipe_receive(ends[0], text, 4, NULL, WF_FOREVER), 0);
    assert_int_equal(wf_shared_pipe_receive(ends[0], text, 4, NULL, WF_FOREVER), -EPIPE);
    assert_int_equal(wf_shared_pipe_close(ends[0]), 0);
}

static void without_a_receiver_a_send_is_refused(void **state)
{
    (void)state;
    struct wf_shared_pipe *ends[2];
    new_pipe(ends, false, 2);
    assert_int_equal(wf_shared_pipe_send(ends[1], "left", 4, WF_NOW), 0);
    assert_int_equal(wf_shared_pipe_close(ends[1]), 0);
    assert_int_equal(wf_shared_pipe_send(ends[0], "x", 1, WF_FOREVER), -EPIPE);
    char text[4];
    assert_int_equal(wf_shared_pipe_receive(ends[0], text, 4, NULL, WF_FOREVER), 0);
    assert_int_equal(wf_shared_pipe_receive(ends[0], text, 4, NULL, WF_FOREVER), -EPIPE);
    assert_int_equal(wf_shared_pipe_close(ends[0]), 0);
}

static int sends_numbers(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct order order = order_of(blob, bytes);
    struct wf_shared_pipe *end = family_unpack(TYPE, &order.end);
    for (int i = 0; i < order.count; i++)
        family_check(wf_shared_pipe_send(end, &(int[]){order.number, i}, 8, party_soon()) == 0);
    if (order.number % 2)
        raise(SIGKILL); /* dead or gone, the stream ends */
    return 0;
}

struct reader {
    struct wf_shared_pipe *ends[4];
    int senders, count, got[4], over;
};

static void reads_all(struct party *self)
{
    struct reader *r = self->arg;
    struct wf_shared_pipe *open[4];
    int count = r->senders;
    memcpy(open, r->ends, sizeof open);
    while (count) {
        int message[2] = {-1, -1}, i = wf_shared_pipe_wait_any(open, (size_t)count, party_soon());
        party_check(i >= 0 && i < count);
        int err = wf_shared_pipe_receive(open[i], message, sizeof message, NULL, WF_NOW);
        if (err == -EPIPE) {
            party_equal(wf_shared_pipe_close(open[i]), 0);
            open[i] = open[--count];
            r->over++;
            continue;
        }
        party_equal(err, 0);
        party_equal(message[1], r->got[message[0]]++);
    }
}

/* MPR-06 */
static void of_four_senders_every_message_comes_once_until_all_have_ended(void **state)
{
    enum { SENDERS = 4 };
    uint64_t before = family_blocks();
    struct reader r = {.senders = SENDERS, .count = WFI_TSAN || wfi_under_valgrind() ? 50 : 1000};
    struct family_process p[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        struct wf_shared_pipe *ends[2];
        new_pipe(ends, true, (size_t)i + 1);
        struct order order = {.end = family_pack(TYPE, ends[1]), .number = i, .count = r.count};
        family_start(&p[i], sends_numbers, &order, sizeof order);
        assert_int_equal(wf_shared_pipe_close(ends[1]), 0);
        r.ends[i] = ends[0];
    }
    party_run(party_mode_of(state), 1, reads_all, &r);
    for (int i = 0; i < SENDERS; i++) {
        int status = family_end(&p[i]);
        assert_true(i % 2 ? WIFSIGNALED(status) : status == 0);
        assert_int_equal(r.got[i], r.count);
    }
    assert_int_equal(r.over, SENDERS);
    assert_int_equal(family_blocks(), before);
}

static void waits_for_the_end(struct party *self)
{
    struct wf_shared_pipe **ends = self->arg;
    char text[10];
    if (self->index == 0) {
        party_parked(party_at(self, 1), "shared pipe receive");
        party_parked(party_at(self, 2), "shared pipes");
        party_equal(wf_shared_pipe_close(ends[1]), 0);
        return;
    }
    if (self->index == 1) {
        party_equal(wf_shared_pipe_receive(ends[0], text, 10, NULL, party_soon()), -EPIPE);
    } else {
        struct wf_shared_pipe *both[] = {ends[2], ends[0]};
        party_equal(wf_shared_pipe_wait_any(both, 2, party_soon()), 1);
    }
}

static void all_that_wait_are_told_of_the_end(void **state)
{
    struct wf_shared_pipe *ends[4];
    new_pipe(ends, false, 0);
    new_pipe(ends + 2, false, 0);
    party_run(party_mode_of(state), 3, waits_for_the_end, ends);
    assert_int_equal(wf_shared_pipe_close(ends[0]), 0);
    close_both(ends + 2);
}

/* Many ends in one wait, more than one sleep of the system's takes. */
static void many_pipes_are_waited_for_at_once(void **state)
{
    (void)state;
    enum { PIPES = 200 };
    static struct wf_shared_pipe *ends[PIPES][2], *in[PIPES];
    for (int i = 0; i < PIPES; i++) {
        new_pipe(ends[i], true, 1);
        in[i] = ends[i][0];
    }
    assert_int_equal(wf_shared_pipe_wait_any(in, PIPES, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    for (int n = 0; n < 5; n++) {
        int i = n * 47 % PIPES;
        struct order order = {.end = family_pack(TYPE, ends[i][1]), .number = 0, .count = 1};
        struct family_process p;
        char text[8];
        family_start(&p, sends_numbers, &order, sizeof order);
        assert_int_equal(wf_shared_pipe_wait_any(in, PIPES, party_soon()), i);
        assert_int_equal(wf_shared_pipe_receive(in[i], text, 8, NULL, WF_NOW), 0);
        family_join(&p);
    }
    for (int i = 0; i < PIPES; i++)
        close_both(ends[i]);
}

int main(void)
{
    if (!family_begin())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_keep_their_boundaries_and_an_empty_one_counts),
        cmocka_unit_test(a_message_of_16_mib_arrives_whole_and_then_the_end),
        cmocka_unit_test(a_one_way_pipe_has_one_way),
        cmocka_unit_test(without_a_receiver_a_send_is_refused),
        PARTY_TEST(of_four_senders_every_message_comes_once_until_all_have_ended),
        PARTY_TEST(all_that_wait_are_told_of_the_end),
        cmocka_unit_test(many_pipes_are_waited_for_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
