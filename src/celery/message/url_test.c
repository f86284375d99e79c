/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "celery/message/url.h"

static void test_what_celery_writes_is_read(void **state)
{
    static const struct {
        const char *text, *endpoint, *user, *password, *vhost, *shown;
        enum wfi_transport transport;
        int database;
    } cases[] = {
        {"redis://", "localhost:6379", "", "", "", "redis://localhost:6379/0", 0, 0},
        {"redis://localhost/3", "localhost:6379", "", "", "", "redis://localhost:6379/3", 0, 3},
        {"redis://127.0.0.1:7000/", "127.0.0.1:7000", "", "", "", "redis://127.0.0.1:7000/0", 0, 0},
        {"redis://:s%40crt@h:1/2", "h:1", "", "s@crt", "", "redis://:**@h:1/2", 0, 2},
        {"redis://me:a@b@h:1", "h:1", "me", "a@b", "", "redis://me:**@h:1/0", 0, 0},
        {"redis://[::1]:7000/1", "[::1]:7000", "", "", "", "redis://[::1]:7000/1", 0, 1},
        {"redis://[::1]", "[::1]:6379", "", "", "", "redis://[::1]:6379/0", 0, 0},
        {"redis+socket:///tmp/r.sock", "unix:/tmp/r.sock", "", "", "",
         "redis+socket:///tmp/r.sock?virtual_host=0", 0, 0},
        {"redis+socket:///tmp/r.sock?virtual_host=4", "unix:/tmp/r.sock", "", "", "",
         "redis+socket:///tmp/r.sock?virtual_host=4", 0, 4},
        {"amqp://", "localhost:5672", "guest", "guest", "/", "amqp://guest:**@localhost:5672//",
         WFI_TRANSPORT_AMQP, 0},
        {"amqp://u:p@h:1//", "h:1", "u", "p", "/", "amqp://u:**@h:1//", WFI_TRANSPORT_AMQP, 0},
        {"pyamqp://u@h/my%2Fhost", "h:5672", "u", "", "my/host", "amqp://u@h:5672/my/host",
         WFI_TRANSPORT_AMQP, 0},
        {"rpc://", "", "", "", "", "rpc://", WFI_TRANSPORT_RPC, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_celery_url url;
        struct wf_error error = {0};
        char shown[WFI_CELERY_URL_BYTES];
        if (wfi_celery_url_parse(cases[i].text, &url, &error))
            fail_msg("%s", error.text);
        assert_int_equal(url.transport, cases[i].transport);
        assert_string_equal(url.endpoint, cases[i].endpoint);
        assert_string_equal(url.user, cases[i].user);
        assert_string_equal(url.password, cases[i].password);
        assert_string_equal(url.vhost, cases[i].vhost);
        assert_int_equal(url.database, cases[i].database);
        assert_string_equal(wfi_celery_url_format(&url, shown), cases[i].shown);
    }
}

static void test_what_is_wrong_is_named_without_the_password(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *rule;
    } cases[] = {
        {"", -EINVAL, "begins with redis:// or amqp://"},
        {"localhost", -EINVAL, "begins with redis:// or amqp://"},
        {"sqs://x", -ENOTSUP, "none of redis, amqp and rpc"},
        {"redi://x", -ENOTSUP, "none of redis, amqp and rpc"},
        {"redis+://x", -ENOTSUP, "none of redis, amqp and rpc"},
        {"rediss://:secret@h", -ENOTSUP, "TLS"},
        {"amqps://h", -ENOTSUP, "TLS"},
        {"redis://a;redis://b", -ENOTSUP, "not a list"},
        {"redis://h:0", -EINVAL, "host or port"},
        {"redis://h:65536", -EINVAL, "host or port"},
        {"redis://h:6x", -EINVAL, "host or port"},
        {"redis://h:-1", -EINVAL, "host or port"},
        {"redis://[::1", -EINVAL, "host or port"},
        {"redis://[::1]x", -EINVAL, "host or port"},
        {"redis://h/x", -EINVAL, "not a number"},
        {"redis://h/-1", -EINVAL, "not a number"},
        {"redis://h/99999999999", -EINVAL, "not a number"},
        {"redis://h?db=1", -EINVAL, "behind ?"},
        {"redis://:secret%4@h", -EINVAL, "user or password"},
        {"redis://:secret%zz@h", -EINVAL, "user or password"},
        {"redis://:secret%00@h", -EINVAL, "user or password"},
        {"redis+socket://tmp/x", -EINVAL, "path of the socket"},
        {"redis+socket:///x?virtual_host=", -EINVAL, "virtual_host=NUMBER"},
        {"redis+socket:///x?virtual=1", -EINVAL, "virtual_host=NUMBER"},
        {"amqp://h/%2", -EINVAL, "virtual host"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_celery_url url;
        struct wf_error error = {0};
        int err = wfi_celery_url_parse(cases[i].text, &url, &error);
        if (err != cases[i].code || !strstr(error.text, cases[i].rule))
            fail_msg("%s: %d, %s", cases[i].text, err, error.text);
        assert_null(strstr(error.text, "secret"));
    }
}

static void test_parts_that_are_too_long_are_refused(void **state)
{
    static const char *const forms[] = {"redis://%s", "redis://:%s@h", "redis://%s:x@h",
                                        "redis+socket:///%s", "amqp://h/%s"};
    char part[1200], text[1300];
    struct wfi_celery_url url;
    (void)state;
    memset(part, 'x', sizeof part - 1);
    part[sizeof part - 1] = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct wf_error error = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, forms[i], part);
#pragma GCC diagnostic pop
        assert_int_equal(wfi_celery_url_parse(text, &url, &error), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_celery_writes_is_read),
        cmocka_unit_test(test_what_is_wrong_is_named_without_the_password),
        cmocka_unit_test(test_parts_that_are_too_long_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
