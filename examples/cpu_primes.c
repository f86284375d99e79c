/* SPDX-License-Identifier: MIT */
/*
 * The same prime tested a hundred times, on one thread and on as many as there are processors. In C
 * threads are enough for that; processes are for isolation.
 *
 *     cpu_primes [COUNT]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <weft/inline.h>
#include <weft/threads.h>

WF_TASK(bool, is_prime, (uint64_t, n))

int is_prime(struct wf_task *self, uint64_t n, bool *ret)
{
    (void)self;
    *ret = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; *ret && i * i <= n; i += 2)
        *ret = n % i != 0;
    return 0;
}
WF_TASK_DEFINE(is_prime)

/* Tests them all on the executor and prints how long that took. */
static int timed(const char *name, struct wf_executor *on, const struct is_prime_args *numbers,
                 size_t count, bool *results)
{
    struct wf_error error;
    int64_t start_ns = wf_now();
    int err = is_prime_each(on, NULL, numbers, count, results, WF_FOREVER, &error);
    double cost_s = (double)(wf_now() - start_ns) / 1e9;
    for (size_t i = 0; i < count && !err; i++)
        if (!results[i])
            err = wf_error_set(&error, WF_ETASKFAILED, "%llu came out as no prime",
                               (unsigned long long)numbers[i].n);
    if (err)
        fprintf(stderr, "%s: %s\n", name, error.text);
    else
        printf("%s, cost: %.3f seconds\n", name, cost_s);
    return err;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 100;
    if (argc > 2 || count < 1) {
        fputs("usage: cpu_primes [COUNT]\n", stderr);
        return 2;
    }
    struct is_prime_args *numbers = calloc((size_t)count, sizeof *numbers);
    bool *results = calloc((size_t)count, sizeof *results);
    struct wf_executor *single_thread = NULL, *multi_thread = NULL;
    int err = numbers && results ? 0 : -ENOMEM;
    for (long i = 0; i < count && !err; i++)
        numbers[i].n = UINT64_C(112272535095293);
    if (!err)
        err = wf_inline_create(&single_thread, NULL);
    if (!err)
        err = wf_threads_create(NULL, &multi_thread, NULL);
    if (!err)
        err = timed("single_thread", single_thread, numbers, (size_t)count, results);
    if (!err)
        err = timed("multi_thread", multi_thread, numbers, (size_t)count, results);
    if (!err)
        puts("multi_process: not yet");
    wf_executor_destroy(multi_thread);
    wf_executor_destroy(single_thread);
    free(results);
    free(numbers);
    return err ? 1 : 0;
}
