/* SPDX-License-Identifier: MIT */
/* Accept: how gladly a client takes a type. */
#include "http/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void check(const char *accepted, int html, int json)
{
    struct wfi_request_field field = {{"Accept", 6}, {"", 0}};
    if (accepted)
        field.value = (struct wfi_text){accepted, strlen(accepted)};
    const struct wfi_request_head head = {.fields = &field, .field_count = accepted != NULL};
    if (wfi_accept_weight(&head, "text/html") != html ||
        wfi_accept_weight(&head, "application/json") != json)
        fail_msg("%s: %d %d", accepted ? accepted : "nothing",
                 wfi_accept_weight(&head, "text/html"),
                 wfi_accept_weight(&head, "application/json"));
}

static void the_most_particular_range_counts(void **state)
{
    (void)state;
    check(NULL, 1000, 1000);
    check("", 0, 0);
    check("*/*", 1000, 1000);
    check("application/json", 0, 1000);
    check("Application/JSON; charset=utf-8", 0, 1000);
    check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 1000, 800);
    check("application/*;q=0.5, text/*", 1000, 500);
    check("*/*, application/json;q=0", 1000, 0);
    check("application/json;q=0.2, application/*", 0, 200);
    check("text/html;q=0.1, text/html;q=0.3", 300, 0);
    check("*/*;q=0.7, text/html;q=0.3", 300, 700);
}

static void what_is_malformed_does_not_count(void **state)
{
    (void)state;
    check("application/json;q=2", 0, 0);
    check("application/json;q=", 0, 0);
    check("application, json, /, *, text/, */json", 0, 0);
    check("text/*x, textx*", 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_particular_range_counts),
        cmocka_unit_test(what_is_malformed_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
