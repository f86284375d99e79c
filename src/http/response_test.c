/* SPDX-License-Identifier: MIT */
/* Heads of answers: the bytes, the framing that goes with them, what is refused. */
#include "http/response.h"

#include "base/alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T(literal) ((struct wfi_text){(literal), sizeof(literal) - 1})

static void check(const struct wfi_response *response, const char *expected,
                  enum wfi_response_body body, bool keep_alive)
{
    struct wfi_buffer out = {0};
    enum wfi_response_body got;
    bool kept;
    assert_int_equal(wfi_response_write_head(&out, response, &got, &kept), 0);
    assert_string_equal(wfi_buffer_text(&out), expected);
    assert_int_equal(got, body);
    assert_int_equal(kept, keep_alive);
    wfi_buffer_reset(&out);
}

static void a_head_has_its_fields_and_its_framing(void **state)
{
    (void)state;
    const struct wfi_request_field fields[] = {{T("Content-Type"), T("text/plain")},
                                               {T("X-Empty"), T("")}};
    check(&(struct wfi_response){.status = 200,
                                 .fields = fields,
                                 .field_count = 2,
                                 .body_len = 12,
                                 .date = "Sun, 06 Nov 1994 08:49:37 GMT",
                                 .minor = 1,
                                 .keep_alive = true},
          "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
          "X-Empty: \r\nContent-Length: 12\r\n\r\n",
          WFI_RESPONSE_BODY_LEN, true);
    check(&(struct wfi_response){.status = 404, .minor = 1},
          "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
          WFI_RESPONSE_BODY_LEN, false);
    check(&(struct wfi_response){.status = 299, .minor = 1, .body_len = UINT64_MAX - 1},
          "HTTP/1.1 299 Unknown\r\nContent-Length: 18446744073709551614\r\n"
          "Connection: close\r\n\r\n",
          WFI_RESPONSE_BODY_LEN, false);
}

static void a_body_of_unknown_length_is_chunked_or_ends_the_connection(void **state)
{
    (void)state;
    struct wfi_response r = {
        .status = 200, .minor = 1, .body_len = WFI_BODY_LEN_UNKNOWN, .keep_alive = true};
    check(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WFI_RESPONSE_CHUNKED, true);
    r.keep_alive = false;
    check(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
          WFI_RESPONSE_CHUNKED, false);
    r.keep_alive = true;
    r.minor = 0;
    check(&r, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", WFI_RESPONSE_BODY_EOF, false);
    r.to_head = true;
    check(&r, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", WFI_RESPONSE_NO_BODY, true);
    r.minor = 1;
    check(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WFI_RESPONSE_NO_BODY, true);
}

static void some_answers_have_no_body(void **state)
{
    (void)state;
    struct wfi_response r = {.status = 204, .minor = 1, .body_len = 5, .keep_alive = true};
    check(&r, "HTTP/1.1 204 No Content\r\n\r\n", WFI_RESPONSE_NO_BODY, true);
    r.status = 304;
    check(&r, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", WFI_RESPONSE_NO_BODY, true);
    r.body_len = WFI_BODY_LEN_UNKNOWN;
    check(&r, "HTTP/1.1 304 Not Modified\r\n\r\n", WFI_RESPONSE_NO_BODY, true);
    r.body_len = 5;
    r.status = 100;
    r.keep_alive = false;
    check(&r, "HTTP/1.1 100 Continue\r\n\r\n", WFI_RESPONSE_NO_BODY, false);
    r.status = 200;
    r.to_head = true;
    check(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
          WFI_RESPONSE_NO_BODY, false);
}

static void fields_cannot_begin_lines_of_their_own(void **state)
{
    (void)state;
    const struct wfi_request_field wrong[] = {
        {T("A"), T("b\r\nSet-Cookie: c")},
        {T("A"), T("b\n")},
        {T("A"), T("b\r")},
        {T("A"), {"b\0c", 3}},
        {T("A"), T("\x7f")},
        {T("A\r\nB"), T("c")},
        {T("A:"), T("c")},
        {T("A "), T("c")},
        {T(""), T("c")},
        {T("\xc3\xa9"), T("c")},
        {T("content-length"), T("5")},
        {T("Transfer-Encoding"), T("chunked")},
        {T("Connection"), T("close")},
        {T("Date"), T("now")},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wfi_buffer out = {0};
        const struct wfi_request_field fields[] = {{T("X"), T("y")}, wrong[i]};
        enum wfi_response_body body = WFI_RESPONSE_CHUNKED;
        bool kept = true;
        assert_int_equal(wfi_buffer_append_text(&out, "before"), 0);
        assert_int_equal(
            wfi_response_write_head(
                &out, &(struct wfi_response){.status = 200, .fields = fields, .field_count = 2},
                &body, &kept),
            -EINVAL);
        assert_string_equal(wfi_buffer_text(&out), "before");
        assert_int_equal(body, WFI_RESPONSE_CHUNKED);
        wfi_buffer_reset(&out);
    }
    assert_int_equal(
        wfi_response_write_head(NULL, &(struct wfi_response){.status = 99}, NULL, NULL), -EINVAL);
    assert_int_equal(
        wfi_response_write_head(NULL, &(struct wfi_response){.status = 600}, NULL, NULL), -EINVAL);
}

static void without_memory_nothing_is_written(void **state)
{
    (void)state;
    struct wfi_buffer out = {0};
    enum wfi_response_body body;
    bool kept;
    wfi_alloc_watch(1);
    const int err =
        wfi_response_write_head(&out, &(struct wfi_response){.status = 200}, &body, &kept);
    assert_true(wfi_alloc_unwatch());
    assert_int_equal(err, -ENOMEM);
    assert_int_equal(out.len, 0);
}

static void every_status_and_length_fits(void **state)
{
    (void)state;
    for (int status = 100; status < 600; status++) {
        struct wfi_buffer buffer = {0};
        enum wfi_response_body body;
        bool kept;
        assert_int_equal(
            wfi_response_write_head(&buffer,
                                    &(struct wfi_response){.status = status,
                                                           .body_len = UINT64_MAX - 1,
                                                           .date = "Sun, 06 Nov 1994 08:49:37 GMT"},
                                    &body, &kept),
            0);
        assert_true(buffer.len < 256 && buffer.len <= buffer.size);
        wfi_buffer_reset(&buffer);
    }
}

static void chunks_are_announced_in_hexadecimal(void **state)
{
    (void)state;
    for (int shift = 0; shift < 64; shift++)
        for (int less = 0; less < 2; less++) {
            const size_t len = ((size_t)1 << shift) - (size_t)less;
            if (len == 0)
                continue;
            char out[WFI_CHUNK_HEAD_BYTES], expected[WFI_CHUNK_HEAD_BYTES + 1];
            const int n = snprintf(expected, sizeof expected, "%zx\r\n", len);
            assert_int_equal(wfi_response_chunk_head(out, len), n);
            assert_memory_equal(out, expected, (size_t)n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_has_its_fields_and_its_framing),
        cmocka_unit_test(a_body_of_unknown_length_is_chunked_or_ends_the_connection),
        cmocka_unit_test(some_answers_have_no_body),
        cmocka_unit_test(fields_cannot_begin_lines_of_their_own),
        cmocka_unit_test(without_memory_nothing_is_written),
        cmocka_unit_test(every_status_and_length_fits),
        cmocka_unit_test(chunks_are_announced_in_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
