/* SPDX-License-Identifier: MIT */
/* Gzip: what goes in comes out again, when it is asked for, and in how much memory. */
#include "http/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/random.h"

enum { TEXT_BYTES = 300000 };
static char text[TEXT_BYTES], again[TEXT_BYTES + 1];

static void fill(uint64_t seed, unsigned letters)
{
    printf("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + wfi_splitmix64(&seed) % letters);
}

/* Returns how much of the text can be read from `out`; `ended` says whether it has its trailer. */
static size_t read_back(const struct wfi_buffer *out, bool *ret_ended)
{
    z_stream stream = {.next_in = (Bytef *)out->data,
                       .avail_in = (uInt)out->len,
                       .next_out = (Bytef *)again,
                       .avail_out = sizeof again};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    int code = inflate(&stream, Z_SYNC_FLUSH);
    *ret_ended = code == Z_STREAM_END;
    if (!*ret_ended)
        assert_true(code == Z_OK || code == Z_BUF_ERROR);
    assert_int_equal(stream.avail_in, 0);
    inflateEnd(&stream);
    return sizeof again - stream.avail_out;
}

static void check(size_t len, size_t piece, uint64_t told)
{
    struct wfi_gzip *gzip = NULL;
    struct wfi_buffer out = {0};
    bool ended;
    assert_int_equal(wfi_gzip_create(told, &gzip), 0);
    for (size_t at = 0; at < len; at += piece)
        assert_int_equal(
            wfi_gzip_add(gzip, text + at, len - at < piece ? len - at : piece, WFI_GZIP_MORE, &out),
            0);
    assert_int_equal(wfi_gzip_add(gzip, "", 0, WFI_GZIP_END, &out), 0);
    assert_int_equal(read_back(&out, &ended), len);
    assert_true(ended);
    assert_memory_equal(text, again, len);
    wfi_gzip_destroy(gzip);
    wfi_buffer_reset(&out);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    for (unsigned letters = 1; letters <= 256; letters *= 4) { /* the last does not shrink */
        fill(letters, letters);
        check(TEXT_BYTES, TEXT_BYTES, TEXT_BYTES);
        check(TEXT_BYTES, 1777, UINT64_MAX);
        check(TEXT_BYTES, 65536, 10); /* was told wrong */
        check(1, 1, 1);
        check(0, 1, 0);
        check(0, 1, UINT64_MAX);
    }
}

static void a_flush_keeps_nothing_back(void **state)
{
    (void)state;
    struct wfi_gzip *gzip = NULL;
    struct wfi_buffer out = {0};
    bool ended;
    fill(7, 4);
    assert_int_equal(wfi_gzip_create(UINT64_MAX, &gzip), 0);
    assert_int_equal(wfi_gzip_add(gzip, "", 0, WFI_GZIP_FLUSH, &out), 0);
    for (size_t at = 0; at < 1000; at += 10) {
        assert_int_equal(wfi_gzip_add(gzip, text + at, 10, WFI_GZIP_MORE, &out), 0);
        assert_int_not_equal(read_back(&out, &ended), at + 10);
        assert_int_equal(wfi_gzip_add(gzip, "", 0, WFI_GZIP_FLUSH, &out), 0);
        assert_int_equal(read_back(&out, &ended), at + 10);
        assert_false(ended);
        size_t len = out.len;
        assert_int_equal(wfi_gzip_add(gzip, "", 0, WFI_GZIP_FLUSH, &out), 0);
        assert_int_equal(out.len, len); /* there was nothing to add */
    }
    wfi_gzip_destroy(gzip);
    wfi_buffer_reset(&out);
}

static void memory_is_bounded_and_given_back(void **state)
{
    (void)state;
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wfi_gzip *gzip = NULL;
        struct wfi_buffer out = {0};
        wfi_alloc_watch(n);
        int err = wfi_gzip_create(TEXT_BYTES, &gzip);
        if (!err)
            err = wfi_gzip_add(gzip, text, TEXT_BYTES, WFI_GZIP_END, &out);
        wfi_gzip_destroy(gzip);
        wfi_buffer_reset(&out);
        assert_int_equal(wfi_alloc_live(), 0);
        done = !wfi_alloc_unwatch();
        assert_int_equal(err != 0, !done);
    }
    wfi_gzip_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_flush_keeps_nothing_back),
        cmocka_unit_test(memory_is_bounded_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
