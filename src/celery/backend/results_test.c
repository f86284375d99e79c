/* SPDX-License-Identifier: MIT */
/*
 * Results over rpc:// that nobody waits for, without a server: the test says what has come. With
 * servers: celery/client/client_test.c and client_amqp_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/backend/results.h"

static struct wfi_results *create_results(void)
{
    static const struct wfi_results_options options = {.reply_queue = "mine"};
    struct wfi_celery_url url;
    struct wfi_results *results = NULL;
    assert_int_equal(wfi_celery_url_parse("amqp://localhost", &url, NULL), 0);
    assert_int_equal(wfi_results_create(&url, &options, &results, NULL), 0);
    return results;
}

/* A text of about so many bytes comes as a result. */
static void arrive(struct wfi_results *results, int number, size_t len)
{
    static const char head[] = "{\"status\": \"SUCCESS\", \"result\": \"", tail[] = "\"}";
    char *text = malloc(sizeof head + len + sizeof tail), id[16];
    assert_non_null(text);
    memcpy(text, head, sizeof head - 1);
    memset(text + sizeof head - 1, 'x', len);
    memcpy(text + sizeof head - 1 + len, tail, sizeof tail);
    snprintf(id, sizeof id, "%d", number);
    wfi_results_arrived(results, id, text, strlen(text));
    free(text);
}

static bool was_kept(struct wfi_results *results, int number)
{
    char id[16];
    snprintf(id, sizeof id, "%d", number);
    return wfi_results_drop(results, id);
}

static void test_the_last_are_kept(void **state)
{
    struct wfi_results *results = create_results();
    (void)state;
    for (int i = 0; i <= WFI_RESULTS_KEPT; i++)
        arrive(results, i, 1);
    assert_false(was_kept(results, 0));
    assert_true(was_kept(results, 1));
    assert_false(was_kept(results, 1));
    arrive(results, 2, 1); /* again, which makes it the last */
    for (int i = 0; i < 2; i++)
        arrive(results, -1 - i, 1);
    assert_true(was_kept(results, 2));
    assert_false(was_kept(results, 3));
    assert_true(was_kept(results, 4));
    wfi_results_destroy(results);
}

static void test_large_ones_are_fewer(void **state)
{
    struct wfi_results *results = create_results();
    (void)state;
    for (int i = 0; i < 4; i++)
        arrive(results, i, WFI_RESULTS_KEPT_BYTES / 4);
    assert_false(was_kept(results, 0));
    assert_true(was_kept(results, 1));
    arrive(results, 4, WFI_RESULTS_KEPT_BYTES / 4); /* in the room of that one */
    assert_true(was_kept(results, 2));
    assert_true(was_kept(results, 3));
    assert_true(was_kept(results, 4));
    wfi_results_destroy(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_are_kept),
        cmocka_unit_test(test_large_ones_are_fewer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
