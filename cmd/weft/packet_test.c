/* SPDX-License-Identifier: MIT */
/* What was put in comes out; what was not put in by these calls does no harm. */
#include "packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void pack(struct packet *packet)
{
    packet_put_number(packet, 42);
    packet_put_text(packet, "hello");
    packet_put_text(packet, NULL);
    packet_put_text(packet, "");
    packet_put_bytes(packet, "a\0b", 3);
    packet_put_bytes(packet, NULL, 0);
    packet_put_number(packet, UINT64_MAX);
}

/* Of its own size, so that a step beyond the end is seen by the tools. */
static char *packed(size_t *ret_len)
{
    struct packet measured = {NULL, 0}, written = {NULL, 0};
    pack(&measured);
    written.ptr = malloc(measured.len);
    assert_non_null(written.ptr);
    pack(&written);
    assert_int_equal(written.len, measured.len);
    *ret_len = written.len;
    return written.ptr;
}

/* Reads as much as it can; returns whether all was there. */
static bool unpack(const char *ptr, size_t len)
{
    struct packet_walk walk = packet_open(ptr, len);
    size_t bytes;
    uint64_t number = packet_number(&walk);
    const char *hello = packet_text(&walk);
    bool none = packet_none(&walk), other_none = packet_none(&walk);
    const char *empty = packet_text(&walk);
    const char *inner = packet_bytes(&walk, &bytes);
    bool same = bytes == 3;
    if (inner)
        same = same && memcmp(inner, "a\0b", 4) == 0;
    const char *nothing = packet_bytes(&walk, &bytes);
    same = same && nothing && bytes == 0;
    uint64_t last = packet_number(&walk);
    return packet_is_read(&walk) && same && number == 42 && hello && strcmp(hello, "hello") == 0 &&
           none && !other_none && empty && !*empty && last == UINT64_MAX;
}

static void what_was_put_in_comes_out(void **state)
{
    (void)state;
    size_t len;
    char *ptr = packed(&len);
    assert_true(unpack(ptr, len));
    free(ptr);
}

static void a_packet_cut_short_is_noticed(void **state)
{
    (void)state;
    size_t len;
    char *ptr = packed(&len);
    for (size_t cut = 0; cut < len; cut++) {
        char *part = malloc(cut + 1);
        assert_non_null(part);
        memcpy(part + 1, ptr, cut);
        assert_false(unpack(part + 1, cut));
        free(part);
    }
    free(ptr);
}

static void lengths_that_lie_are_noticed(void **state)
{
    (void)state;
    size_t len;
    char *ptr = packed(&len);
    /* Behind the first number: the length of "hello". */
    static const uint64_t lies[] = {
        0, 4, 6, 1000, INT64_MAX, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 8};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(ptr + 8, &lies[i], sizeof lies[i]);
        assert_false(unpack(ptr, len));
    }
    free(ptr);
}

static void any_byte_changed_is_survived(void **state)
{
    (void)state;
    size_t len;
    char *ptr = packed(&len);
    for (size_t at = 0; at < len; at++)
        for (int byte = 0; byte < 256; byte++) {
            char kept = ptr[at];
            ptr[at] = (char)byte;
            assert_int_equal(unpack(ptr, len), ptr[at] == kept);
            ptr[at] = kept;
        }
    free(ptr);
}

static void bytes_left_over_are_noticed(void **state)
{
    (void)state;
    size_t len;
    char *ptr = packed(&len);
    struct packet_walk walk = packet_open(ptr, len);
    assert_int_equal(packet_number(&walk), 42);
    assert_false(packet_is_read(&walk));
    free(ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_comes_out),
        cmocka_unit_test(a_packet_cut_short_is_noticed),
        cmocka_unit_test(lengths_that_lie_are_noticed),
        cmocka_unit_test(any_byte_changed_is_survived),
        cmocka_unit_test(bytes_left_over_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
