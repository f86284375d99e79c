/* SPDX-License-Identifier: MIT */
/* Conditional requests: each condition, and their order. */
#include "http/condition.h"
#include "http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NOV INT64_C(784111777)
#define AT "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct wfi_validator strong = {
    .exists = true, .has_modified = true, .modified = NOV, .etag = {"\"a\"", 3}};
static const struct wfi_validator weak = {
    .exists = true, .has_modified = true, .modified = NOV, .etag = {"W/\"a\"", 5}};
static const struct wfi_validator bare = {.exists = true};
static const struct wfi_validator absent = {.exists = false};

/* `fields`: name and value by turns, up to NULL. */
static struct wfi_request_head head_of(enum wfi_request_method method, const char *const fields[],
                                       struct wfi_request_field room[8])
{
    struct wfi_request_head head = {.method = method, .fields = room};
    for (; fields[0]; fields += 2)
        room[head.field_count++] = (struct wfi_request_field){{fields[0], strlen(fields[0])},
                                                              {fields[1], strlen(fields[1])}};
    return head;
}

#define CHECK(expected, method, validator, ...)                                             \
    do {                                                                                    \
        struct wfi_request_field room_[8];                                                  \
        const char *const fields_[] = {__VA_ARGS__, NULL};                                  \
        const struct wfi_request_head head_ = head_of(WFI_METHOD_##method, fields_, room_); \
        assert_int_equal(wfi_condition(&head_, &(validator), NOV + 1000),                   \
                         WFI_CONDITION_##expected);                                         \
    } while (0)

#define CHECK_RANGE(expected, validator, now, ...)                                      \
    do {                                                                                \
        struct wfi_request_field room_[8];                                              \
        const char *const fields_[] = {__VA_ARGS__, NULL};                              \
        const struct wfi_request_head head_ = head_of(WFI_METHOD_GET, fields_, room_);  \
        assert_int_equal(wfi_condition_range(&head_, &(validator), (now)), (expected)); \
    } while (0)

static void what_the_peer_has_is_not_sent_again(void **state)
{
    (void)state;
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", "\"a\"");
    CHECK(NOT_MODIFIED, HEAD, strong, "if-none-match", "\"a\"");
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", "W/\"a\"");
    CHECK(NOT_MODIFIED, GET, weak, "If-None-Match", "\"a\"");
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", "\"b\", \"a\"");
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", ",,\"b,\" ,\"a\" x");
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", "\"b\"", "If-None-Match", "\"a\"");
    CHECK(NOT_MODIFIED, GET, strong, "If-None-Match", "*");
    CHECK(NOT_MODIFIED, GET, bare, "If-None-Match", "*");
    CHECK(HOLDS, GET, strong, "If-None-Match", "\"b\"");
    CHECK(HOLDS, GET, strong, "If-None-Match", "\"b, \"a\"\"");
    CHECK(HOLDS, GET, strong, "If-None-Match", "a");
    CHECK(HOLDS, GET, strong, "If-None-Match", "\"a");
    CHECK(HOLDS, GET, strong, "If-None-Match", "\"A\"");
    CHECK(HOLDS, GET, strong, "If-None-Match", "");
    CHECK(HOLDS, GET, bare, "If-None-Match", "\"\"");
    CHECK(HOLDS, GET, absent, "If-None-Match", "*");
}

static void a_date_serves_where_no_tag_is_named(void **state)
{
    (void)state;
    CHECK(NOT_MODIFIED, GET, strong, "If-Modified-Since", AT);
    CHECK(NOT_MODIFIED, GET, strong, "If-Modified-Since", AFTER);
    CHECK(HOLDS, GET, strong, "If-Modified-Since", BEFORE);
    CHECK(HOLDS, POST, strong, "If-Modified-Since", AT);
    CHECK(HOLDS, GET, bare, "If-Modified-Since", AT);
    CHECK(HOLDS, GET, strong, "If-Modified-Since", "yesterday");
    CHECK(HOLDS, GET, strong, "If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT");
    CHECK(HOLDS, GET, strong, "If-None-Match", "\"b\"", "If-Modified-Since", AT);
    CHECK(NOT_MODIFIED, GET, strong, "If-Modified-Since", BEFORE, "If-None-Match", "\"a\"");
}

static void a_change_is_made_only_to_what_was_seen(void **state)
{
    (void)state;
    CHECK(HOLDS, PUT, strong, "If-Match", "\"a\"");
    CHECK(HOLDS, PUT, strong, "If-Match", "\"b\", \"a\"");
    CHECK(HOLDS, PUT, strong, "If-Match", "*");
    CHECK(FAILS, PUT, strong, "If-Match", "\"b\"");
    CHECK(FAILS, PUT, strong, "If-Match", "W/\"a\"");
    CHECK(FAILS, PUT, weak, "If-Match", "W/\"a\"");
    CHECK(FAILS, PUT, absent, "If-Match", "*");
    CHECK(FAILS, PUT, strong, "If-Match", "a");
    CHECK(FAILS, PUT, strong, "If-None-Match", "*");
    CHECK(HOLDS, PUT, absent, "If-None-Match", "*");
    CHECK(HOLDS, PUT, strong, "If-Unmodified-Since", AT);
    CHECK(FAILS, PUT, strong, "If-Unmodified-Since", BEFORE);
    CHECK(HOLDS, PUT, strong, "If-Unmodified-Since", "x");
    CHECK(HOLDS, PUT, bare, "If-Unmodified-Since", BEFORE);
    CHECK(HOLDS, PUT, strong, "If-Match", "\"a\"", "If-Unmodified-Since", BEFORE);
    CHECK(NOT_MODIFIED, GET, strong, "If-Match", "\"a\"", "If-None-Match", "\"a\"");
    CHECK(FAILS, GET, strong, "If-Match", "\"b\"", "If-None-Match", "\"a\"");
}

static void a_range_is_of_the_state_it_was_begun_with(void **state)
{
    (void)state;
    CHECK_RANGE(true, strong, NOV + 9, "Range", "bytes=0-1");
    CHECK_RANGE(true, strong, NOV + 9, "If-Range", "\"a\"");
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", "\"b\"");
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", "W/\"a\"");
    CHECK_RANGE(false, weak, NOV + 9, "If-Range", "W/\"a\"");
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", "\"a\", \"b\"");
    CHECK_RANGE(true, strong, NOV + 9, "If-Range", AT);
    CHECK_RANGE(false, strong, NOV, "If-Range", AT);
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", AFTER);
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", BEFORE);
    CHECK_RANGE(false, strong, NOV + 9, "If-Range", "");
    CHECK_RANGE(false, absent, NOV + 9, "If-Range", "\"a\"");
}

static void the_tag_of_a_file_changes_with_it(void **state)
{
    (void)state;
    char a[WFI_ETAG_BYTES], b[WFI_ETAG_BYTES];
    struct wfi_text tag = wfi_etag_of_file(a, 255, 16);
    assert_string_equal(a, "\"ff-10\"");
    assert_int_equal(tag.len, strlen(a));
    wfi_etag_of_file(b, 255, 17);
    assert_string_not_equal(a, b);
    wfi_etag_of_file(b, 256, 16);
    assert_string_not_equal(a, b);
    tag = wfi_etag_of_file(a, UINT64_MAX, -1);
    assert_true(tag.len < sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_peer_has_is_not_sent_again),
        cmocka_unit_test(a_date_serves_where_no_tag_is_named),
        cmocka_unit_test(a_change_is_made_only_to_what_was_seen),
        cmocka_unit_test(a_range_is_of_the_state_it_was_begun_with),
        cmocka_unit_test(the_tag_of_a_file_changes_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
