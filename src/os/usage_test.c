/* SPDX-License-Identifier: MIT */
/* What is told of the process changes with what it does. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <weft/usage.h>

static struct wf_usage read_usage(void)
{
    struct wf_usage usage;
    memset(&usage, 0xff, sizeof usage);
    assert_int_equal(wf_usage_read(&usage), 0);
    return usage;
}

static void descriptors_are_counted(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct wf_usage before = read_usage();
    int fds[20];
    for (int i = 0; i < 20; i++)
        fds[i] = open("/dev/null", O_RDONLY);
    struct wf_usage between = read_usage();
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    struct wf_usage after = read_usage();
    assert_int_equal(between.descriptors, before.descriptors + 20);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_true(limit.rlim_cur == RLIM_INFINITY || before.descriptors_max == limit.rlim_cur);
}

static void memory_is_counted_where_it_is_touched(void **state)
{
    (void)state;
    size_t bytes = (size_t)64 << 20;
    struct wf_usage before = read_usage();
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    struct wf_usage mapped = read_usage();
    memset(memory, 1, bytes);
    struct wf_usage touched = read_usage();
    munmap(memory, bytes);
    assert_true(mapped.virtual_bytes >= before.virtual_bytes + bytes);
    assert_true(mapped.resident_bytes < before.resident_bytes + bytes / 2);
    assert_true(touched.resident_bytes > before.resident_bytes + bytes / 2);
}

static void *wait_for_post(void *semaphore)
{
    while (sem_wait(semaphore))
        ;
    return NULL;
}

static void threads_are_counted(void **state)
{
    (void)state;
    pthread_t threads[10];
    sem_t end;
    sem_init(&end, 0, 0);
    uint64_t before = read_usage().threads;
    for (int i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_post, &end), 0);
    uint64_t between = read_usage().threads;
    for (int i = 0; i < 10; i++)
        sem_post(&end);
    for (int i = 0; i < 10; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&end);
    assert_true(between >= before + 10);
    assert_true(between <= before + 11); /* a sanitizer starts one of its own with the first */
}

static void the_start_lies_just_behind_and_work_is_counted(void **state)
{
    (void)state;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct wf_usage usage = read_usage();
    int64_t age_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - usage.started_ns;
    assert_true(age_ns > -INT64_C(1000000000) && age_ns < INT64_C(600000000000));
    int64_t cpu_ns = usage.cpu_ns;
    assert_true(cpu_ns > 0);
    for (int i = 0; i < 100; i++) /* which is work */
        usage = read_usage();
    assert_true(usage.cpu_ns > cpu_ns);
}

/* The name stands in the middle of the line that is read. */
static void any_name_of_the_process_will_do(void **state)
{
    (void)state;
    char name[16];
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, ") R 1 2 (3) x");
    struct wf_usage usage = read_usage();
    prctl(PR_SET_NAME, name);
    assert_true(usage.threads >= 1 && usage.threads < 100);
    assert_true(usage.resident_bytes > 4096 && usage.resident_bytes <= usage.virtual_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_counted),
        cmocka_unit_test(memory_is_counted_where_it_is_touched),
        cmocka_unit_test(threads_are_counted),
        cmocka_unit_test(the_start_lies_just_behind_and_work_is_counted),
        cmocka_unit_test(any_name_of_the_process_will_do),
    };
    struct wf_usage usage;
    if (wf_usage_read(&usage) == 0 && usage.threads == 0) {
        puts("skipped: this /proc is an emulator's, which makes most of it up");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
