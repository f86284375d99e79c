/* SPDX-License-Identifier: MIT */
/*
 * Child programs, from threads and fibers. The tests use /bin/sh and the tools every system has.
 * Ids name the behaviours of test/conformance.txt. What must come after something else waits for
 * it: for a byte in a pipe, for the end of a process, never for time to pass.
 */
#include "parties.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/child.h>
#include <weft/stream.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "os/spawn.h"

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* A test's body as a party of the current mode. */
static void as_party(void (*fn)(void *))
{
    struct party p;
    party_start(&p, fn, NULL);
    party_join(&p);
}

static int run(const struct wf_run_options *options, struct wf_run_result *ret_result)
{
    struct wf_error error = {0};
    int err = wf_run(options, ret_result, soon(), &error);
    if (err)
        print_message("%s\n", error.text);
    return err;
}

static void run_shell(const char *text, struct wf_run_result *ret_result)
{
    assert_int_equal(run(&(struct wf_run_options){.child.shell = text}, ret_result), 0);
}

static void smoke(void *arg)
{
    (void)arg;
    const char *const argv[] = {"echo", "hello", "world", NULL};
    struct wf_run_result result;
    assert_int_equal(run(&(struct wf_run_options){.child.argv = argv}, &result), 0);
    assert_string_equal(result.out, "hello world\n");
    assert_int_equal(result.out_len, 12);
    assert_string_equal(result.err, "");
    assert_int_equal(result.exit.status, 0);
    wf_run_result_fini(&result);
    run_shell("echo out; echo err >&2; exit 7", &result);
    assert_string_equal(result.out, "out\n");
    assert_string_equal(result.err, "err\n");
    assert_int_equal(result.exit.status, 7);
    wf_run_result_fini(&result);
}

static void a_program_runs(void **state)
{
    (void)state;
    as_party(smoke);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTIES_TEST(a_program_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
