/* SPDX-License-Identifier: MIT */
/*
 * Messages that workers of Python were given back from `unacked`, as captured: weft puts the same
 * back from the same entries.
 */
#include "celery/broker/redis_keys.h"

#include "celery_fixture.h"

/* Both with the members of objects in the same order: whatever order they are in, it is one. */
static void check_same(const struct wf_json_value *a, const struct wf_json_value *b)
{
    assert_int_equal(wf_json_type(a), wf_json_type(b));
    assert_int_equal(wf_json_count(a), wf_json_count(b));
    if (wf_json_count(a) == 0) {
        char *left = fixture_dump(a), *right = fixture_dump(b);
        assert_string_equal(left, right);
        free(left);
        free(right);
    }
    for (size_t i = 0; i < wf_json_count(a); i++) {
        const char *key = wf_json_key(wf_json_at(a, i), NULL);
        check_same(wf_json_at(a, i), key ? wf_json_get(b, key) : wf_json_at(b, i));
    }
}

static void check_entry(const struct wf_json_value *line)
{
    const char *entry = fixture_text(line, "unacked"), *raw = fixture_text(line, "restored");
    struct wfi_redis_restored restored;
    struct wfi_buffer key = {0};

    assert_int_equal(wfi_redis_restore_entry(entry, strlen(entry), &restored), 0);
    struct wf_json *ours = fixture_parse(restored.text, restored.len);
    struct wf_json *theirs = fixture_parse(raw, strlen(raw));
    check_same(wf_json_root(ours), wf_json_root(theirs));
    assert_int_equal(
        wfi_redis_queue_key(&key, "", restored.routing_key, wfi_redis_step(restored.priority)), 0);
    assert_string_equal(wfi_buffer_text(&key), fixture_text(line, "key"));
    wfi_buffer_reset(&key);
    wf_json_destroy(ours);
    wf_json_destroy(theirs);
    wfi_redis_restored_fini(&restored);
}

static void entries_go_back_as_kombu_puts_them_back(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("redis_restored.jsonl", check_entry), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_go_back_as_kombu_puts_them_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
