/* SPDX-License-Identifier: MIT */
/* Captures: all bytes come back in order, in flat memory, and their room is given back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "run/capture.h"

/* Byte number i of stream `seed`. */
static char byte(uint64_t i, unsigned seed)
{
    return (char)((i * 2654435761u + seed) >> 7);
}

static void put(struct capture *capture, struct spill *spill, size_t len, unsigned seed)
{
    while (len) {
        char *room;
        size_t size;
        assert_int_equal(capture_reserve(capture, spill, &room, &size, NULL), 0);
        assert_true(size > 0);
        size_t count = size < len ? size : len;
        for (size_t i = 0; i < count; i++)
            room[i] = byte(capture->total + i, seed);
        capture->len += count;
        capture->total += count;
        len -= count;
    }
}

struct check {
    uint64_t at;
    unsigned seed;
    int pieces, stop_after;
};

static int check_piece(void *arg, const char *data, size_t len)
{
    struct check *check = arg;
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte(check->at + i, check->seed))
            return -EBADMSG;
    check->at += len;
    return ++check->pieces == check->stop_after ? -EINTR : 0;
}

static void comes_back(struct capture *capture, struct spill *spill, unsigned seed)
{
    struct check check = {.seed = seed};
    assert_int_equal(capture_each(capture, spill, check_piece, &check), 0);
    assert_int_equal(check.at, capture->total);
}

static void a_little_needs_no_file(void **state)
{
    (void)state;
    struct spill spill;
    struct capture capture = {0};
    spill_init(&spill);
    comes_back(&capture, &spill, 0);
    put(&capture, &spill, 10000, 1);
    comes_back(&capture, &spill, 1);
    assert_int_equal(spill.fd, -1);
    capture_trim(&capture);
    assert_int_equal(capture.size, 10000);
    comes_back(&capture, &spill, 1);
    capture_clear(&capture, &spill);
    capture_trim(&capture);
    assert_null(capture.buf);
    capture_fini(&capture, &spill);
    spill_fini(&spill);
}

static off_t file_blocks(const struct spill *spill)
{
    struct stat status;
    assert_int_equal(fstat(spill->fd, &status), 0);
    assert_int_equal(status.st_nlink, 0);
    return status.st_blocks;
}

static void much_goes_to_one_file_and_its_room_comes_back(void **state)
{
    (void)state;
    struct spill spill;
    struct capture a = {0}, b = {0};
    spill_init(&spill);
    for (int i = 0; i < 20; i++) {
        put(&a, &spill, 100000, 1);
        put(&b, &spill, 77777, 2);
    }
    assert_true(a.size <= CAPTURE_BUFFER_MAX);
    assert_true(a.extent_count > 2);
    comes_back(&a, &spill, 1);
    comes_back(&b, &spill, 2);
    assert_int_equal(capture_spill(&a, &spill, NULL), 0);
    assert_int_equal(a.len, 0);
    comes_back(&a, &spill, 1);
    assert_true(file_blocks(&spill) > 0);
    capture_clear(&a, &spill);
    comes_back(&b, &spill, 2);
    capture_fini(&b, &spill);
    assert_int_equal(spill.used, 0);
    assert_int_equal(spill.end, 0);
    assert_int_equal(file_blocks(&spill), 0);
    put(&a, &spill, 600000, 3);
    comes_back(&a, &spill, 3);
    capture_fini(&a, &spill);
    spill_fini(&spill);
}

static void reading_stops_when_told(void **state)
{
    (void)state;
    struct spill spill;
    struct capture capture = {0};
    spill_init(&spill);
    put(&capture, &spill, 1000000, 1);
    struct check check = {.seed = 1, .stop_after = 2};
    assert_int_equal(capture_each(&capture, &spill, check_piece, &check), -EINTR);
    assert_int_equal(check.pieces, 2);
    capture_fini(&capture, &spill);
    spill_fini(&spill);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct spill spill;
    struct capture capture = {0};
    struct wf_error error = {0};
    char *room;
    size_t size;
    spill_init(&spill);
    setenv("TMPDIR", "/nonexistent/weft", 1);
    put(&capture, &spill, CAPTURE_BUFFER_MAX, 1);
    assert_int_equal(capture_reserve(&capture, &spill, &room, &size, &error), -ENOENT);
    assert_non_null(strstr(error.text, "cannot keep output in /nonexistent/weft: "));
    /* Nothing is lost by it. */
    comes_back(&capture, &spill, 1);
    unsetenv("TMPDIR");
    capture_fini(&capture, &spill);
    spill_fini(&spill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_little_needs_no_file),
        cmocka_unit_test(much_goes_to_one_file_and_its_room_comes_back),
        cmocka_unit_test(reading_stops_when_told),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
