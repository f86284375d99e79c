/* SPDX-License-Identifier: MIT */
/* What stands for what in the names of workers and of their files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "celery/message/node_name.h"

static void names_of_workers(void **state)
{
    static const struct {
        const char *text, *host, *name;
    } rows[] = {
        {NULL, "george.example.com", "celery@george.example.com"},
        {"w1", "george.example.com", "w1@george.example.com"},
        {"w1@%h", "george.example.com", "w1@george.example.com"},
        {"w1@%n", "george.example.com", "w1@george"},
        {"w1@%d", "george.example.com", "w1@example.com"},
        {"%n@%d", "george.example.com", "george@example.com"},
        {"w1@elsewhere", "george", "w1@elsewhere"},
        {"@elsewhere", "george", "celery@elsewhere"},
        {"%n", "george", "george@george"},
        {"100%%", "george", "100%@george"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[WFI_NODE_NAME_BYTES];
        assert_int_equal(wfi_node_name(rows[i].text, rows[i].host, name, NULL), 0);
        assert_string_equal(name, rows[i].name);
    }
}

static void names_that_are_none(void **state)
{
    char name[WFI_NODE_NAME_BYTES] = "untouched", text[200];
    struct wf_error error;
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(wfi_node_name("w%x", "host", name, &error), -EINVAL);
    assert_string_equal(error.text, "the worker's name \"w%x\": %x is no sign for anything");
    assert_int_equal(wfi_node_name("w%", "host", name, &error), -EINVAL);
    assert_int_equal(wfi_node_name("", "host", name, &error), -EINVAL);
    assert_int_equal(wfi_node_name(text, "host", name, &error), -EINVAL);
    text[WFI_NODE_NAME_BYTES - 3] = '\0'; /* it fits alone, but not with the host */
    assert_int_equal(wfi_node_name(text, "host", name, &error), -EINVAL);
    assert_string_equal(name, "untouched");
}

static void names_of_files(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"/var/log/%n.log", "/var/log/w1.log"},
        {"%n%I.log", "w1.log"},
        {"%p-%i", "w1@george.example.com-0"},
        {"%h %d %%", "george.example.com example.com %"},
    };
    (void)state;
    char name[64];
    struct wf_error error;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            wfi_node_file(rows[i].text, "w1@george.example.com", name, sizeof name, NULL), 0);
        assert_string_equal(name, rows[i].name);
    }
    assert_int_equal(wfi_node_file("%p", "w1@host", name, 7, &error), -EINVAL);
    assert_int_equal(wfi_node_file("%q", "w1@host", name, sizeof name, &error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_workers),
        cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(names_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
