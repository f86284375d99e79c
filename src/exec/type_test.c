/* SPDX-License-Identifier: MIT */
/* The registry of task types: found by name, and walked through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <weft/task.h>

WF_TASK(wf_none, first_of_two, (int, n))

int first_of_two(struct wf_task *self, int n, wf_none *ret)
{
    (void)self, (void)n, (void)ret;
    return 0;
}
WF_TASK_DEFINE(first_of_two)

WF_TASK(wf_none, second_of_two, (int, n))

int second_of_two(struct wf_task *self, int n, wf_none *ret)
{
    (void)self, (void)n, (void)ret;
    return 0;
}
WF_TASK_DEFINE(second_of_two)

static void finds_a_task_by_its_name(void **state)
{
    (void)state;
    assert_ptr_equal(wf_task_find("first_of_two"), &first_of_two_task);
    assert_ptr_equal(wf_task_find("second_of_two"), &second_of_two_task);
    assert_null(wf_task_find("third_of_two"));
}

static void walks_through_all_of_them_once(void **state)
{
    (void)state;
    size_t first = 0, second = 0, count = 0;
    for (const struct wf_task_type *t = NULL; (t = wf_task_next(t)); count++) {
        first += t == &first_of_two_task;
        second += t == &second_of_two_task;
        assert_ptr_equal(wf_task_find(t->name), t);
        assert_true(count < 1000);
    }
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
    const struct wf_task_type stranger = {.name = "stranger"};
    assert_null(wf_task_next(&stranger));
}

static void takes_a_type_out_and_in_again(void **state)
{
    (void)state;
    static struct wf_task_entry entry = {&second_of_two_task, NULL};
    wf_task_unregister(&entry);
    assert_null(wf_task_find("second_of_two"));
    assert_ptr_equal(wf_task_find("first_of_two"), &first_of_two_task);
    wf_task_unregister(&entry); /* once more does nothing */
    wf_task_register(&entry);
    assert_ptr_equal(wf_task_find("second_of_two"), &second_of_two_task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_task_by_its_name),
        cmocka_unit_test(walks_through_all_of_them_once),
        cmocka_unit_test(takes_a_type_out_and_in_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
