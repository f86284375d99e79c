/* SPDX-License-Identifier: MIT */
/* Lines of the access log, and that no request can forge one. */
#include "http/access_log.h"

#include "base/alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define T(literal) ((struct wfi_text){(literal), sizeof(literal) - 1})

static const struct wfi_access whole = {
    .client = T("192.0.2.1"),
    .method = T("GET"),
    .target = T("/a?b"),
    .minor = 1,
    .status = 200,
    .body_bytes = 2326,
    .time = INT64_C(784111777),
    .elapsed_ns = 1500000,
    .host = T("h"),
    .referer = T("http://h/"),
    .user_agent = T("curl/7.88"),
    .route = T("/{x}"),
    .request_id = T("17"),
};

static void check(const struct wfi_access *access, const char *expected)
{
    struct wfi_buffer out = {0};
    assert_int_equal(wfi_access_common(&out, access), 0);
    assert_string_equal(wfi_buffer_text(&out), expected);
    wfi_buffer_reset(&out);
}

static void the_common_form_has_its_columns(void **state)
{
    (void)state;
    check(&whole, "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 2326 "
                  "\"http://h/\" \"curl/7.88\"\n");
    check(&(struct wfi_access){.status = 400},
          "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

static void no_request_forges_a_line(void **state)
{
    (void)state;
    struct wfi_access access = whole;
    access.target = T("/\" 200 1\n\x1b[0m\\\xc3\xa9");
    access.user_agent = T("a\"b\tc\x7f");
    check(&access, "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "
                   "\"GET /\\x22 200 1\\x0a\\x1b[0m\\x5c\\xc3\\xa9 HTTP/1.1\" 200 2326 "
                   "\"http://h/\" \"a\\x22b\\x09c\\x7f\"\n");
}

static void json_says_what_is_known(void **state)
{
    (void)state;
    struct wf_json_writer *writer;
    const char *text;
    size_t len;
    assert_int_equal(wf_json_writer_create(NULL, &writer), 0);
    wfi_access_json(writer, &whole);
    wfi_access_json(
        writer,
        &(struct wfi_access){.status = 408, .method = T("G\"\n"), .reason = T("the time is up")});
    assert_int_equal(wf_json_writer_text(writer, &text, &len), 0);
    assert_string_equal(
        text, "{\"time\":\"1994-11-06T08:49:37Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\","
              "\"target\":\"/a?b\",\"host\":\"h\",\"status\":200,\"bytes\":2326,"
              "\"seconds\":0.0015,\"referer\":\"http://h/\",\"user_agent\":\"curl/7.88\","
              "\"route\":\"/{x}\",\"request_id\":\"17\"}\n"
              "{\"time\":\"1970-01-01T00:00:00Z\",\"method\":\"G\\\"\\n\",\"status\":408,"
              "\"bytes\":0,\"seconds\":0.0,\"reason\":\"the time is up\"}\n");
    wf_json_writer_destroy(writer);
}

static void without_memory_no_line_is_torn(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_buffer out = {0};
        assert_int_equal(wfi_buffer_append_text(&out, "before\n"), 0);
        wfi_alloc_watch(n);
        const int err = wfi_access_common(&out, &whole);
        failed = wfi_alloc_unwatch();
        assert_int_equal(err, failed ? -ENOMEM : 0);
        if (failed)
            assert_string_equal(wfi_buffer_text(&out), "before\n");
        wfi_buffer_reset(&out);
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_common_form_has_its_columns),
        cmocka_unit_test(no_request_forges_a_line),
        cmocka_unit_test(json_says_what_is_known),
        cmocka_unit_test(without_memory_no_line_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
