/* SPDX-License-Identifier: MIT */
/*
 * The same prime tested a hundred times: on one thread, on as many threads as there are processors,
 * and in as many processes.
 *
 *     cpu_primes [COUNT]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <weft/inline.h>
#include <weft/processes.h>
#include <weft/threads.h>

WF_TASK(bool, is_prime, (uint64_t, n))

/* By every odd number up to the square root, as the texts do it. */
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
    struct wf_error error;
    if (wf_processes_init(&error)) { /* before anything makes a thread */
        fprintf(stderr, "cpu_primes: %s\n", error.text);
        return 1;
    }
    long count = argc > 1 ? atol(argv[1]) : 100;
    if (argc > 2 || count < 1) {
        fputs("usage: cpu_primes [COUNT]\n", stderr);
        return 2;
    }
    struct is_prime_args *numbers = calloc((size_t)count, sizeof *numbers);
    bool *results = calloc((size_t)count, sizeof *results);
    struct wf_executor *on[3] = {NULL, NULL, NULL};
    int err = numbers && results ? 0 : wf_error_set(&error, -ENOMEM, NULL);
    for (long i = 0; i < count && !err; i++)
        numbers[i].n = UINT64_C(112272535095293);
    if (!err)
        err = wf_inline_create(&on[0], &error);
    if (!err)
        err = wf_threads_create(NULL, &on[1], &error);
    if (!err)
        err = wf_processes_create(NULL, &on[2], &error);
    if (err)
        fprintf(stderr, "cpu_primes: %s\n", error.text);
    static const char *const names[] = {"single_thread", "multi_thread", "multi_process"};
    for (size_t i = 0; i < 3 && !err; i++)
        err = timed(names[i], on[i], numbers, (size_t)count, results);
    if (!err)
        puts("Threads gain as much as processes here: nothing keeps compiled code to one "
             "processor.\n"
             "In Python they gained nothing, for one thread at a time may hold the interpreter's "
             "lock.");
    for (size_t i = 0; i < 3; i++)
        wf_executor_destroy(on[i]);
    free(results);
    free(numbers);
    return err ? 1 : 0;
}
