/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "celery/broker/redis_keys.h"

static void test_priorities_map_to_steps(void **state)
{
    static const int steps[] = {0, 0, 0, 3, 3, 3, 6, 6, 6, 9};
    (void)state;
    for (int priority = 0; priority < 10; priority++)
        assert_int_equal(wfi_redis_step(priority), steps[priority]);
    assert_int_equal(wfi_redis_step(-5), 0);
    assert_int_equal(wfi_redis_step(255), 9);
}

static void test_keys_are_kombus(void **state)
{
    struct wfi_buffer key = {0};
    (void)state;
    assert_int_equal(wfi_redis_queue_key(&key, "", "celery", 0), 0);
    assert_string_equal(wfi_buffer_text(&key), "celery");
    wfi_buffer_clear(&key);
    assert_int_equal(wfi_redis_queue_key(&key, "app:", "celery", 9), 0);
    assert_string_equal(wfi_buffer_text(&key), "app:celery\x06\x16"
                                               "9");
    wfi_buffer_reset(&key);
}

static void test_bindings(void **state)
{
    struct wfi_buffer binding = {0};
    const char *queue = NULL;
    (void)state;
    assert_int_equal(wfi_redis_binding(&binding, "celery", "", "celery"), 0);
    assert_string_equal(wfi_buffer_text(&binding), "celery\x06\x16\x06\x16"
                                                   "celery"); /* as captured */
    assert_true(wfi_redis_binding_fits(binding.data, "celery", &queue));
    assert_string_equal(queue, "celery");
    assert_false(wfi_redis_binding_fits(binding.data, "celer", &queue));
    assert_false(wfi_redis_binding_fits(binding.data, "celery2", &queue));
    assert_false(wfi_redis_binding_fits("celery", "celery", &queue));
    assert_false(wfi_redis_binding_fits("celery\x06\x16", "celery", &queue));
    wfi_buffer_reset(&binding);
}

/* As kombu's regular expressions have it. */
static void test_topics(void **state)
{
    static const struct {
        const char *topic, *key;
        bool fits;
    } cases[] = {
        {"feed.#", "feed.import", true},
        {"feed.#", "feed.import.now", true},
        {"feed.#", "feed", false},
        {"feed.#", "food.import", false},
        {"#", "", true},
        {"#", "any.thing", true},
        {"*.error", "disk.error", true},
        {"*.error", ".error", false},
        {"*.error", "disk.error.old", false},
        {"a.*", "a.b", true},
        {"a.*", "a.", false},
        {"a.*", "a.b.", false},
        {"a.*.c.#", "a.b.c.c.d", true},
        {"#.c.*.e", "a.c.b.c.d.e", true},
        {"#.c.*.e", "a.c.b.c.d.f", false},
        {"#.#.#.#.#.x", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.y", false},
        {"plain", "plain", true},
        {"plain", "plane", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_buffer binding = {0};
        const char *queue = NULL;
        assert_int_equal(wfi_redis_binding(&binding, cases[i].topic, "^some$", "q"), 0);
        if (wfi_redis_binding_fits(binding.data, cases[i].key, &queue) != cases[i].fits)
            fail_msg("%s %s", cases[i].topic, cases[i].key);
        if (cases[i].fits)
            assert_string_equal(queue, "q");
        wfi_buffer_reset(&binding);
    }
}

static int restore(const char *entry, struct wfi_redis_restored *ret)
{
    return wfi_redis_restore_entry(entry, strlen(entry), ret);
}

static void test_an_entry_is_marked_and_else_unchanged(void **state)
{
    struct wfi_redis_restored restored;
    (void)state;
    assert_int_equal(
        restore("[{\"body\": \"W10=\", \"headers\": {\"id\": \"1\", \"big\": "
                "123456789012345678901234567890, \"stamps\": {}, \"list\": [], \"x\": 1.0}, "
                "\"properties\": {\"priority\": 5, \"delivery_info\": {\"exchange\": \"e\", "
                "\"routing_key\": \"r\"}, \"delivery_tag\": \"t\"}, \"content-type\": "
                "\"application/json\"}, \"e\", \"r\"]",
                &restored),
        0);
    assert_string_equal(
        restored.text,
        "{\"body\": \"W10=\", \"content-type\": \"application/json\", \"headers\": {\"id\": \"1\", "
        "\"big\": 123456789012345678901234567890, \"stamps\": {}, \"list\": [], \"x\": 1.0, "
        "\"redelivered\": true}, \"properties\": {\"priority\": 5, \"delivery_tag\": \"t\", "
        "\"delivery_info\": {\"exchange\": \"e\", \"routing_key\": \"r\", \"redelivered\": "
        "true}}}");
    assert_int_equal(restored.len, strlen(restored.text));
    assert_string_equal(restored.exchange, "e");
    assert_string_equal(restored.routing_key, "r");
    assert_int_equal(restored.priority, 5);
    wfi_redis_restored_fini(&restored);
    /* A second time changes nothing; a priority that is none is 0. */
    assert_int_equal(restore("[{\"headers\": {\"redelivered\": true}, \"properties\": "
                             "{\"priority\": \"high\", \"delivery_info\": {\"redelivered\": "
                             "false}}}, \"\", \"celery\"]",
                             &restored),
                     0);
    assert_string_equal(restored.text, "{\"headers\": {\"redelivered\": true}, \"properties\": "
                                       "{\"priority\": \"high\", \"delivery_info\": "
                                       "{\"redelivered\": true}}}");
    assert_int_equal(restored.priority, 0);
    wfi_redis_restored_fini(&restored);
}

/* Whoever takes it next says what is wrong with it. */
static void test_what_is_no_envelope_goes_back_as_it_is(void **state)
{
    static const char *const texts[] = {
        "",
        "no json",
        "{\"properties\": {\"priority\": 5",
        "{}",
        "{\"properties\": []}",
        "[\"properties\"]",
        "1, 2",
        "{\"properties\": {}}, \"e\", \"k\"",
        "{\"properties\": {}}, \"e\", \"k\"], [",
        "{\"properties\": {}, \"bad\": \"\xff\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct wfi_redis_restored restored;
        char entry[200];
        snprintf(entry, sizeof entry, "[%s, \"an \\\"e\\u00e4\", \"key, of\"]", texts[i]);
        if (restore(entry, &restored))
            fail_msg("%s was refused", entry);
        assert_string_equal(restored.text, texts[i]);
        assert_int_equal(restored.len, strlen(texts[i]));
        assert_string_equal(restored.exchange, "an \"e\xc3\xa4");
        assert_string_equal(restored.routing_key, "key, of");
        assert_int_equal(restored.priority, 0);
        wfi_redis_restored_fini(&restored);
    }
}

static void test_what_is_no_entry_is_refused(void **state)
{
    static const char *const entries[] = {
        "",
        "x",
        "{}",
        "[]",
        "[",
        ", \"",
        ", \", \"",
        "[, \"e\"]",
        "[{\"properties\": {}}]",
        "[{\"properties\": []}, 1, \"k\"]",
        "[{\"properties\": {}}, 1, \"\"]",
        "[{\"properties\": {}}, \"\", null]",
        "[{\"properties\": {}}, \"\", \"a\\u0000b\"]",
        "[{\"properties\": {}}, \"\", \"q\"",
        "{\"properties\": {}}, \"\", \"q\"]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct wfi_redis_restored restored;
        if (restore(entries[i], &restored) != WF_EPARSE)
            fail_msg("%s was taken", entries[i]);
    }
}

static void memory_runs_out(const char *entry)
{
    for (uint64_t n = 1;; n++) {
        struct wfi_redis_restored restored;
        wfi_alloc_watch(n);
        int err = restore(entry, &restored);
        bool failed = wfi_alloc_unwatch();
        assert_int_equal(err, failed ? -ENOMEM : 0);
        if (!err) {
            wfi_redis_restored_fini(&restored);
            break;
        }
    }
}

static void test_memory_that_runs_out(void **state)
{
    (void)state;
    memory_runs_out("[{\"headers\": {}, \"properties\": {}}, \"e\", \"r\"]");
    memory_runs_out("[no json, \"e\", \"r\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priorities_map_to_steps),
        cmocka_unit_test(test_keys_are_kombus),
        cmocka_unit_test(test_bindings),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_an_entry_is_marked_and_else_unchanged),
        cmocka_unit_test(test_what_is_no_envelope_goes_back_as_it_is),
        cmocka_unit_test(test_what_is_no_entry_is_refused),
        cmocka_unit_test(test_memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
