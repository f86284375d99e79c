/* SPDX-License-Identifier: MIT */
/* Who counts as this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/loopback.h"

struct example {
    const char *text;
    bool local;
};

static void check(bool (*fn)(struct wfi_text), const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct wfi_text text = {examples[i].text, strlen(examples[i].text)};
        if (fn(text) != examples[i].local)
            fail_msg("\"%s\" %s", text.ptr, examples[i].local ? "is not let in" : "is let in");
    }
}
#define CHECK(fn, examples) check(fn, examples, sizeof(examples) / sizeof *(examples))

static void peers(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"127.0.0.1:4000", true}, {"127.8.9.10:1", true},         {"[::1]:80", true},
        {"unix:", true},          {"unix:/run/x", true},          {"[::ffff:127.0.0.1]:80", true},
        {"10.0.0.1:4000", false}, {"128.0.0.1:4000", false},      {"[fe80::1]:80", false},
        {"0.0.0.0:1", false},     {"[::ffff:10.0.0.1]:1", false}, {"", false},
        {"[::]:1", false},        {"localhost:1", false},
    };
    CHECK(wfi_loopback_peer, examples);
}

static void forwarded(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"127.0.0.1", true},
        {" ::1 , 127.0.0.1\t", true},
        {"[::1]:99", true},
        {"192.0.2.1", false},
        {"192.0.2.1, 127.0.0.1", false},
        {"127.0.0.1, 192.0.2.1", false},
        {"unknown", false},
        {"127.0.0.1,", false},
        {",127.0.0.1", false},
        {"localhost", false},
        {"unix:", false},
        {"", false},
    };
    CHECK(wfi_loopback_forwarded, examples);
}

static void hosts(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"localhost", true},
        {"localhost:8000", true},
        {"LocalHost:8000", true},
        {"app.localhost:8000", true},
        {"127.0.0.1", true},
        {"127.0.0.1:8000", true},
        {"[::1]", true},
        {"[::1]:8000", true},
        {"example.org", false},
        {"example.org:8000", false},
        {"notlocalhost:8000", false},
        {"localhost.example.org", false},
        {"10.0.0.1:8000", false},
        {"127.0.0.1.nip.io", false},
        {"localhost.", false},
        {":8000", false},
        {"", false},
        {"localhost:80x", false},
    };
    CHECK(wfi_loopback_host, examples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers),
        cmocka_unit_test(forwarded),
        cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
