/* SPDX-License-Identifier: MIT */
/* Addresses as values, endpoints taken apart, names that need no resolver, and one that fails. */
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

/* RFC 6761 keeps .invalid free of names; without a network the answer is as quick. */
static void ask_for_nothing(void *arg)
{
    struct wf_address found[2];
    struct wf_error error = {0};
    int err = wf_resolve("no-such-host.invalid", 80, found, 2, wf_after(WF_SECONDS(5)), &error);
    if (err == -ETIMEDOUT) {
        *(bool *)arg = true;
        return;
    }
    assert_int_equal(err, WF_ERESOLVE);
    assert_int_equal(error.code, WF_ERESOLVE);
    assert_non_null(strstr(error.text, "no-such-host.invalid: "));
}

static void a_host_without_address(void **state)
{
    (void)state;
    struct party parties[6];
    bool slow[6] = {false};
    for (int i = 0; i < 6; i++)
        party_start(&parties[i], ask_for_nothing, &slow[i]);
    for (int i = 0; i < 6; i++)
        party_join(&parties[i]);
    for (int i = 0; i < 6; i++)
        if (slow[i]) {
            print_message("the system's resolver does not answer in 5 s\n");
            skip();
        }
}

static void ask_and_leave(void *arg)
{
    (void)arg;
    struct wf_address found[2];
    struct wf_error error;
    int err = wf_resolve("gone-at-once.invalid", 80, found, 2, WF_NOW, &error);
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
    for (uint64_t n = 1; n <= 3; n++) {
        wfi_alloc_watch(n);
        int err = wf_resolve("no-memory.invalid", 80, found, 2, WF_NOW, &error);
        wfi_alloc_unwatch();
        assert_true(err == (n == 3 ? -EAGAIN : -ENOMEM) || err == -ETIMEDOUT || err == WF_ERESOLVE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(names_that_need_no_resolver),
        PARTIES_TEST(a_host_without_address),
        PARTIES_TEST(an_asker_that_does_not_wait),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
