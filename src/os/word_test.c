/* SPDX-License-Identifier: MIT */
/* Words between processes, and the memory they lie in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/memory.h"
#include "os/word.h"

enum { PAGES = 8 };
static WFI_ATOMIC(uint32_t) * words;

static int map_words(void **state)
{
    (void)state;
    void *low;
    if (wfi_memory_share(PAGES * wfi_page_bytes(), &low))
        return -1;
    words = low;
    return 0;
}

static int unmap_words(void **state)
{
    (void)state;
    wfi_memory_release((void *)words, PAGES * wfi_page_bytes(), 0);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    for (int i = 0; i < WFI_WORDS_MAX; i++)
        wfi_store(&words[i], 0);
    return 0;
}

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(30));
}

static void a_word_that_changed_is_not_slept_on(void **state)
{
    (void)state;
    struct wfi_word two[] = {{&words[0], 0, true}, {&words[1], 7, true}};
    assert_int_equal(wfi_word_wait(&words[0], 1, WF_FOREVER), -EAGAIN);
    assert_int_equal(wfi_word_wait_any(two, 2, WF_FOREVER),
                     wfi_word_wait_any_works() ? -EAGAIN : -ENOSYS);
}

static void a_deadline_is_kept(void **state)
{
    (void)state;
    struct wfi_word two[] = {{&words[0], 0, true}, {&words[1], 0, false}};
    int err;
    wf_deadline until = wf_after(WF_MILLISECONDS(5));
    while ((err = wfi_word_wait(&words[0], 0, until)) == 0)
        ;
    assert_int_equal(err, -ETIMEDOUT);
    assert_true(wf_now() >= until.ns);
    until = wf_after(WF_MILLISECONDS(5));
    while ((err = wfi_word_wait_any(two, 2, until)) >= 0)
        ;
    assert_int_equal(err, wfi_word_wait_any_works() ? -ETIMEDOUT : -ENOSYS);
    assert_int_equal(wfi_word_wait(&words[0], 0, WF_NOW), -ETIMEDOUT);
}

/* The child counts up word 1 for each count of word 0, sleeping in between as its parent does. */
static void echo(bool on_two)
{
    for (uint32_t i = 0; i < 100; i++) {
        while (wfi_load(&words[0]) == i) {
            struct wfi_word two[] = {{&words[2], 0, true}, {&words[0], i, true}};
            if (on_two)
                wfi_word_wait_any(two, 2, soon());
            else
                wfi_word_wait(&words[0], i, soon());
        }
        wfi_fetch_add(&words[1], 1);
        wfi_word_wake(&words[1], 1);
    }
}

static void a_wake_up_reaches_another_process(void **state)
{
    (void)state;
    for (int on_two = 0; on_two <= wfi_word_wait_any_works(); on_two++) {
        clear(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            echo(on_two);
            _exit(0);
        }
        for (uint32_t i = 0; i < 100; i++) {
            wfi_fetch_add(&words[0], 1);
            wfi_word_wake(&words[0], 1);
            while (wfi_load(&words[1]) == i) {
                int err = wfi_word_wait(&words[1], i, soon());
                assert_true(err == 0 || err == -EAGAIN);
            }
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void the_one_that_was_woken_is_named(void **state)
{
    (void)state;
    if (!wfi_word_wait_any_works())
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* Woken without a change, until it is seen to have been. */
        while (!wfi_load(&words[1]))
            wfi_word_wake(&words[77], 1);
        _exit(0);
    }
    struct wfi_word all[WFI_WORDS_MAX];
    for (int i = 0; i < WFI_WORDS_MAX; i++)
        all[i] = (struct wfi_word){&words[i], 0, true};
    int index;
    while ((index = wfi_word_wait_any(all, WFI_WORDS_MAX, soon())) == 0)
        ; /* a slice of TSan's */
    wfi_store(&words[1], 1);
    waitpid(pid, NULL, 0);
    assert_int_equal(index, 77);
}

static void forbidden_it_is_as_on_an_old_system(void **state)
{
    (void)state;
    struct wfi_word one = {&words[0], 0, true};
    wfi_word_wait_any_forbid(true);
    bool works = wfi_word_wait_any_works();
    int err = wfi_word_wait_any(&one, 1, WF_NOW);
    wfi_word_wait_any_forbid(false);
    assert_false(works);
    assert_int_equal(err, -ENOSYS);
}

static void shared_pages_are_given_back_to_all(void **state)
{
    (void)state;
    size_t page = wfi_page_bytes();
    char *low = (char *)words;
    memset(low + page, 1, 4 * page);
    assert_int_equal(wfi_memory_resident(low + page, 4 * page), 4 * page);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        wfi_memory_unshare_pages(low + 2 * page, 2 * page);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    assert_int_equal(low[2 * page - 1], 1);
    assert_int_equal(low[2 * page], 0);
    assert_int_equal(low[4 * page - 1], 0);
    assert_int_equal(low[4 * page], 1);
}

int main(void)
{
    printf("sleeps on several words: %s\n", wfi_word_wait_any_works() ? "yes" : "no");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_word_that_changed_is_not_slept_on, clear),
        cmocka_unit_test_setup(a_deadline_is_kept, clear),
        cmocka_unit_test_setup(a_wake_up_reaches_another_process, clear),
        cmocka_unit_test_setup(the_one_that_was_woken_is_named, clear),
        cmocka_unit_test_setup(forbidden_it_is_as_on_an_old_system, clear),
        cmocka_unit_test_setup(shared_pages_are_given_back_to_all, clear),
    };
    return cmocka_run_group_tests(tests, map_words, unmap_words);
}
