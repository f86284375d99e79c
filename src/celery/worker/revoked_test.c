/* SPDX-License-Identifier: MIT */
/* Revoked ids: how many are kept, for how long, and what memory that runs out leaves behind. */
#include "celery/worker/revoked.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

static void keeps_ids_for_three_hours(void **state)
{
    (void)state;
    struct wfi_revoked revoked;
    wfi_revoked_init(&revoked, 7);
    assert_false(wfi_revoked_has(&revoked, "a", 0));
    assert_int_equal(wfi_revoked_add(&revoked, "a", 0), 0);
    assert_int_equal(wfi_revoked_add(&revoked, "", 5), 0);
    assert_true(wfi_revoked_has(&revoked, "a", WFI_REVOKED_NS - 1));
    assert_false(wfi_revoked_has(&revoked, "a", WFI_REVOKED_NS));
    assert_true(wfi_revoked_has(&revoked, "", WFI_REVOKED_NS));
    assert_int_equal(wfi_revoked_purge(&revoked, WFI_REVOKED_NS), 1);
    assert_int_equal(wfi_revoked_purge(&revoked, WFI_REVOKED_NS + 5), 0);
    wfi_revoked_fini(&revoked);
}

static void an_id_that_comes_again_is_the_youngest(void **state)
{
    (void)state;
    struct wfi_revoked revoked;
    wfi_revoked_init(&revoked, 7);
    assert_int_equal(wfi_revoked_add(&revoked, "a", 0), 0);
    assert_int_equal(wfi_revoked_add(&revoked, "b", 1), 0);
    assert_int_equal(wfi_revoked_add(&revoked, "a", 2), 0);
    assert_int_equal(wfi_revoked_purge(&revoked, WFI_REVOKED_NS + 1), 1);
    assert_true(wfi_revoked_has(&revoked, "a", WFI_REVOKED_NS + 1));
    assert_int_equal(wfi_revoked_add(&revoked, "c", WFI_REVOKED_NS + 1), 0);
    const struct wfi_revoked_id *id = wfi_revoked_next(&revoked, NULL);
    assert_string_equal(id->text, "a");
    id = wfi_revoked_next(&revoked, id);
    assert_string_equal(id->text, "c");
    assert_null(wfi_revoked_next(&revoked, id));
    wfi_revoked_fini(&revoked);
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    struct wfi_revoked revoked;
    char id[24];
    wfi_revoked_init(&revoked, 7);
    for (int i = 0; i < WFI_REVOKED_MAX + 3; i++) {
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(wfi_revoked_add(&revoked, id, i), 0);
    }
    assert_int_equal(wfi_revoked_purge(&revoked, WFI_REVOKED_MAX), WFI_REVOKED_MAX);
    assert_false(wfi_revoked_has(&revoked, "2", WFI_REVOKED_MAX));
    assert_true(wfi_revoked_has(&revoked, "3", WFI_REVOKED_MAX));
    assert_true(wfi_revoked_has(&revoked, id, WFI_REVOKED_MAX));
    wfi_revoked_fini(&revoked);
}

static void without_memory_nothing_is_added(void **state)
{
    (void)state;
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        struct wfi_revoked revoked;
        wfi_revoked_init(&revoked, 7);
        wfi_alloc_watch(n);
        const int err = wfi_revoked_add(&revoked, "a", 0);
        reached = wfi_alloc_unwatch();
        assert_int_equal(err, reached ? -ENOMEM : 0);
        assert_int_equal(wfi_revoked_has(&revoked, "a", 0), !reached);
        wfi_revoked_fini(&revoked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_ids_for_three_hours),
        cmocka_unit_test(an_id_that_comes_again_is_the_youngest),
        cmocka_unit_test(the_oldest_make_room),
        cmocka_unit_test(without_memory_nothing_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
