/* SPDX-License-Identifier: MIT */
/*
 * The part of cmocka's interface that weft's core tests use, for the aarch64 build: Debian 12 has
 * cmocka for that architecture only by adding it to the machine's, which a test has no business
 * doing. Reports in cmocka's words, so that tools/check counts alike. A failed assertion ends the
 * program at once: it may stand on a fiber's stack, from which there is no way back to the runner.
 */
#ifndef WEFT_TEST_CROSS_CMOCKA_H
#define WEFT_TEST_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

static jmp_buf cross_skip;

__attribute__((noreturn, unused, format(printf, 3, 4))) static void
cross_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "[  FAILED  ] %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

__attribute__((unused)) static int cross_run(const char *group, const struct CMUnitTest *tests,
                                             size_t count, CMFixtureFunction setup,
                                             CMFixtureFunction teardown)
{
    void *shared = NULL;
    volatile size_t passed = 0, skipped = 0;
    if (setup && setup(&shared) != 0)
        cross_fail(group, 0, "group setup failed");
    for (volatile size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state ? tests[i].initial_state : shared;
        printf("[ RUN      ] %s\n", tests[i].name);
        fflush(stdout);
        if (tests[i].setup_func && tests[i].setup_func(&state) != 0)
            cross_fail(tests[i].name, 0, "setup failed");
        if (setjmp(cross_skip) == 0) {
            tests[i].test_func(&state);
            printf("[       OK ] %s\n", tests[i].name);
            passed++;
        } else {
            printf("[  SKIPPED ] %s\n", tests[i].name);
            skipped++;
        }
        if (tests[i].teardown_func && tests[i].teardown_func(&state) != 0)
            cross_fail(tests[i].name, 0, "teardown failed");
    }
    if (teardown && teardown(&shared) != 0)
        cross_fail(group, 0, "group teardown failed");
    printf("[  PASSED  ] %zu test(s).\n", (size_t)passed);
    return 0;
}

/* clang-format off */
#define cmocka_unit_test(f) {#f, f, NULL, NULL, NULL}
#define cmocka_unit_test_setup(f, s) {#f, f, s, NULL, NULL}
#define cmocka_unit_test_teardown(f, t) {#f, f, NULL, t, NULL}
#define cmocka_unit_test_setup_teardown(f, s, t) {#f, f, s, t, NULL}
#define cmocka_unit_test_prestate(f, p) {#f, f, NULL, NULL, p}
#define cmocka_unit_test_prestate_setup_teardown(f, s, t, p) {#f, f, s, t, p}
/* clang-format on */
#define cmocka_run_group_tests(t, s, d) cross_run(#t, t, sizeof(t) / sizeof((t)[0]), s, d)
#define cmocka_run_group_tests_name(n, t, s, d) cross_run(n, t, sizeof(t) / sizeof((t)[0]), s, d)

#define skip() longjmp(cross_skip, 1)
#define fail() cross_fail(__FILE__, __LINE__, "fail()")
#define fail_msg(...) cross_fail(__FILE__, __LINE__, __VA_ARGS__)
#define print_message(...) printf(__VA_ARGS__)
#define print_error(...) fprintf(stderr, __VA_ARGS__)

#define CROSS_CHECK(c, text) ((c) ? (void)0 : cross_fail(__FILE__, __LINE__, "%s", text))
#define CROSS_COMPARE(a, op, b)                                                                    \
    do {                                                                                           \
        uintmax_t cross_a = (uintmax_t)(a), cross_b = (uintmax_t)(b);                              \
        if (!(cross_a op cross_b))                                                                 \
            cross_fail(__FILE__, __LINE__, "%s " #op " %s: %#jx, %#jx", #a, #b, cross_a, cross_b); \
    } while (0)
#define assert_true(c) CROSS_CHECK(c, #c)
#define assert_false(c) CROSS_CHECK(!(c), "not " #c)
#define assert_non_null(p) CROSS_CHECK((p) != NULL, #p " is NULL")
#define assert_null(p) CROSS_CHECK((p) == NULL, #p " is not NULL")
#define assert_ptr_equal(a, b) CROSS_CHECK((const void *)(a) == (const void *)(b), #a " is not " #b)
#define assert_ptr_not_equal(a, b) CROSS_CHECK((const void *)(a) != (const void *)(b), #a " is " #b)
#define assert_int_equal(a, b) CROSS_COMPARE(a, ==, b)
#define assert_int_not_equal(a, b) CROSS_COMPARE(a, !=, b)
#define assert_in_range(v, low, high) \
    do {                              \
        CROSS_COMPARE(v, >=, low);    \
        CROSS_COMPARE(v, <=, high);   \
    } while (0)
#define assert_string_equal(a, b)                                                     \
    do {                                                                              \
        const char *cross_s = (a), *cross_t = (b);                                    \
        if (strcmp(cross_s, cross_t) != 0)                                            \
            cross_fail(__FILE__, __LINE__, "\"%s\" is not \"%s\"", cross_s, cross_t); \
    } while (0)
#define assert_string_not_equal(a, b) CROSS_CHECK(strcmp(a, b) != 0, #a " equals " #b)
#define assert_memory_equal(a, b, n) CROSS_CHECK(memcmp(a, b, n) == 0, #a " is not " #b)
#define assert_memory_not_equal(a, b, n) CROSS_CHECK(memcmp(a, b, n) != 0, #a " equals " #b)
#define assert_return_code(r, e) CROSS_CHECK((r) >= 0, #r " is an error")

#endif
