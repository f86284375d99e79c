/* SPDX-License-Identifier: MIT */
/* Addresses as values, endpoints taken apart, names that need a resolver and names that do not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/address.h>

#include "base/alloc.h"
#include "parties.h"

static void values(void **state)
{
    (void)state;
    struct wf_address a, b, none = {{0}};
    char text[WF_ADDRESS_TEXT_BYTES];
    assert_int_equal(wf_address_parse("[::1]:80", &a), 0);
    assert_string_equal(wf_address_format(&a, text, sizeof text), "[::1]:80");
    assert_int_equal(wf_address_port(&a), 80);
    assert_int_equal(wf_address_parse(text, &b), 0);
    assert_true(wf_address_equal(&a, &b));
    assert_false(wf_address_equal(&a, &none));
    assert_string_equal(wf_address_format(&none, text, sizeof text), "none");
    b = none;
    assert_int_equal(wf_address_parse("nonsense", &b), -EINVAL);
    assert_true(wf_address_equal(&b, &none));
    assert_string_equal(wf_address_format(&a, text, 4), "[::");
}

static void endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t fallback;
        int err;
        const char *host;
        uint16_t port;
    } rows[] = {
        {"example.org:80", 0, 0, "example.org", 80},
        {"example.org", 443, 0, "example.org", 443},
        {"example.org:81", 443, 0, "example.org", 81},
        {"[::1]:80", 0, 0, "::1", 80},
        {"[::1]", 8, 0, "::1", 8},
        {"h:0", 0, 0, "h", 0},
        {"h:65535", 0, 0, "h", 65535},
        {"h", 0, -EINVAL, "", 0},
        {"h:", 80, -EINVAL, "", 0},
        {"h:65536", 0, -EINVAL, "", 0},
        {"h:8x", 0, -EINVAL, "", 0},
        {":80", 0, -EINVAL, "", 0},
        {"::1:80", 0, -EINVAL, "", 0},
        {"[::1:80", 0, -EINVAL, "", 0},
        {"[::1]80", 0, -EINVAL, "", 0},
        {"[]:80", 0, -EINVAL, "", 0},
        {"", 80, -EINVAL, "", 0},
        {"abcdefghijklmnopqrstuvwxyz:80", 0, -ENAMETOOLONG, "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char host[16] = "";
        uint16_t port = 0;
        int err = wf_address_split(rows[i].text, rows[i].fallback, host, sizeof host, &port);
        assert_int_equal(err, rows[i].err);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void expect(const char *host, const char *first, const char *second)
{
    struct wf_address found[4];
    char text[WF_ADDRESS_TEXT_BYTES];
    struct wf_error error;
    int count = wf_resolve(host, 7, found, 4, WF_NOW, &error);
    assert_int_equal(count, second ? 2 : 1);
    assert_string_equal(wf_address_format(&found[0], text, sizeof text), first);
    if (second)
        assert_string_equal(wf_address_format(&found[1], text, sizeof text), second);
}

static void names_that_need_no_resolver(void **state)
{
    (void)state;
    expect("127.0.0.1", "127.0.0.1:7", NULL);
    expect("::1", "[::1]:7", NULL);
    expect("localhost", "127.0.0.1:7", "[::1]:7");
    expect("LocalHost.", "127.0.0.1:7", "[::1]:7");
    expect("a.localhost", "127.0.0.1:7", "[::1]:7");
    struct wf_address found[1];
    assert_int_equal(wf_resolve("localhost", 7, found, 1, WF_NOW, NULL), 1);
    char host[300];
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    struct wf_error error;
    assert_int_equal(wf_resolve("", 7, found, 1, WF_NOW, &error), -EINVAL);
    assert_int_equal(wf_resolve(host, 7, found, 1, WF_NOW, &error), -EINVAL);
    assert_int_equal(wf_resolve("::1", 7, found, 0, WF_NOW, &error), -EINVAL);
}

/*
 * The resolver's own answers, without a network: a name with an empty label cannot be asked of
 * anybody, and "127.1" is an address in an old form that only it understands.
 */
static void ask_the_resolver(void *arg)
{
    (void)arg;
    struct wf_address found[2];
    struct wf_error error = {0};
    char text[WF_ADDRESS_TEXT_BYTES];
    int err = wf_resolve("no..such-host.invalid", 80, found, 2, WF_FOREVER, &error);
    assert_int_equal(err, WF_ERESOLVE);
    assert_int_equal(error.code, WF_ERESOLVE);
    assert_non_null(strstr(error.text, "no..such-host.invalid: "));
    assert_int_equal(wf_resolve("127.1", 80, found, 2, WF_FOREVER, &error), 1);
    assert_string_equal(wf_address_format(&found[0], text, sizeof text), "127.0.0.1:80");
}

static void names_for_the_resolver(void **state)
{
    (void)state;
    struct party parties[6];
    for (int i = 0; i < 6; i++)
        party_start(&parties[i], ask_the_resolver, NULL);
    for (int i = 0; i < 6; i++)
        party_join(&parties[i]);
}

static void ask_and_leave(void *arg)
{
    (void)arg;
    struct wf_address found[2];
    struct wf_error error;
    int err = wf_resolve("gone..at-once.invalid", 80, found, 2, WF_NOW, &error);
    assert_true(err == -ETIMEDOUT || err == WF_ERESOLVE);
}

static void an_asker_that_does_not_wait(void **state)
{
    (void)state;
    struct party parties[40];
    for (int i = 0; i < 40; i++)
        party_start(&parties[i], ask_and_leave, NULL);
    for (int i = 0; i < 40; i++)
        party_join(&parties[i]);
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct wf_address found[2];
    struct wf_error error;
    wfi_alloc_watch(1);
    int err = wf_resolve("no..memory.invalid", 80, found, 2, WF_NOW, &error);
    assert_int_equal(wfi_alloc_live(), 0);
    assert_true(wfi_alloc_unwatch());
    assert_int_equal(err, -ENOMEM);
    /* Starting a thread fails only if none is there; then the question goes nowhere. */
    for (uint64_t n = 2; n <= 3; n++) {
        wfi_alloc_watch(n);
        err = wf_resolve("no..thread.invalid", 80, found, 2, WF_NOW, &error);
        bool failed = wfi_alloc_unwatch();
        assert_true(err == -ETIMEDOUT || err == WF_ERESOLVE || (failed && err == -EAGAIN));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(names_that_need_no_resolver),
        PARTIES_TEST(names_for_the_resolver),
        PARTIES_TEST(an_asker_that_does_not_wait),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, parties_wait_alone);
}
