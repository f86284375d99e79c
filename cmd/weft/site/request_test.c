/* SPDX-License-Identifier: MIT */
/*
 * Requests out of bytes. Every input lies in an allocation of exactly its size, so that a tool sees
 * one byte read too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "site/request.h"

static char *kept; /* the last input; the request points into it */

static long parse(const char *text, size_t len, struct request *request)
{
    free(kept);
    kept = malloc(len ? len : 1);
    memcpy(kept, text, len);
    return request_parse(kept, len, request);
}

static int forget(void **state)
{
    (void)state;
    free(kept);
    kept = NULL;
    return 0;
}

static const char post[] = "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length:  5 \r\n"
                           "X-Empty:\r\n\r\nhello";

static void whole_request_is_read(void **state)
{
    (void)state;
    struct request request;
    assert_int_equal(parse(post, sizeof(post) - 1, &request), sizeof(post) - 1);
    assert_string_equal(request.http.method, "POST");
    assert_memory_equal(request.http.target, "/a?b", request.http.target_len);
    assert_int_equal(request.http.header_count, 3);
    assert_memory_equal(request.headers[1].value, "5", 1);
    assert_int_equal(request.headers[1].value_len, 1);
    assert_int_equal(request.headers[2].value_len, 0);
    assert_memory_equal(request.http.body, "hello", request.http.body_len);
    assert_int_equal(request.http.body_len, 5);
    assert_true(request.keep_alive);
}

static void every_part_of_it_asks_for_more(void **state)
{
    (void)state;
    struct request request;
    for (size_t len = 0; len < sizeof(post) - 1; len++)
        assert_int_equal(parse(post, len, &request), 0);
}

static void next_request_is_left_alone(void **state)
{
    (void)state;
    struct request request;
    static const char two[] =
        "\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n";
    long first = parse(two, sizeof(two) - 1, &request);
    assert_int_equal(first, 30);
    assert_memory_equal(request.http.target, "/1", 2);
    assert_int_equal(parse(two + first, sizeof(two) - 1 - (size_t)first, &request), 28);
    assert_memory_equal(request.http.target, "/2", 2);
}

static void connection_is_kept_as_the_client_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: te , close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    struct request request;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(parse(cases[i].text, strlen(cases[i].text), &request) > 0);
        assert_int_equal(request.keep_alive, cases[i].keep);
    }
}

static void waiting_for_continue_is_seen_before_the_body(void **state)
{
    (void)state;
    static const char text[] = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n"
                               "Content-Length: 3\r\n\r\n";
    struct request request;
    assert_int_equal(parse(text, sizeof(text) - 1, &request), 0);
    assert_true(request.expects);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long status;
    } cases[] = {
        {"\x16\x03\x01", -400},
        {"GET\r\n\r\n", -400},
        {"GET /\r\n\r\n", -400},
        {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", -400},
        {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", -400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", -505},
        {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", -505},
        {"GET / FTP/1.1\r\nHost: x\r\n\r\n", -400},
        {"GET / HTTP/1.1\nHost: x\n\n", -400},
        {"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", -400},
        {"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA\x01: b\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", -413},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", -413},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", -501},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         -400},
    };
    struct request request;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &request), cases[i].status);
}

static void heads_have_a_limit(void **state)
{
    (void)state;
    struct request request;
    char *text = malloc(REQUEST_HEAD_MAX + 1);
    memset(text, 'a', REQUEST_HEAD_MAX + 1);
    assert_int_equal(parse(text, REQUEST_HEAD_MAX - 1, &request), 0);
    assert_int_equal(parse(text, REQUEST_HEAD_MAX, &request), -431);
    int len = snprintf(text, REQUEST_HEAD_MAX, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 1; i < REQUEST_HEADERS_MAX; i++)
        len += snprintf(text + len, 16, "h%d: v\r\n", i);
    int all = len + snprintf(text + len, 16, "\r\n");
    assert_int_equal(parse(text, (size_t)all, &request), all);
    all = len + snprintf(text + len, 16, "one: more\r\n\r\n");
    assert_int_equal(parse(text, (size_t)all, &request), -431);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_request_is_read),
        cmocka_unit_test(every_part_of_it_asks_for_more),
        cmocka_unit_test(next_request_is_left_alone),
        cmocka_unit_test(connection_is_kept_as_the_client_says),
        cmocka_unit_test(waiting_for_continue_is_seen_before_the_body),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(heads_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
