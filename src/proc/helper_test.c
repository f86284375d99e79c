/* SPDX-License-Identifier: MIT */
/* The fork helper and what it makes: starts, ends, and the deaths of each party. */
#include "party.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/processes.h>

#include "os/ancillary.h"
#include "proc/helper.h"

/* What `ended` told; waited for without sleeping. */
struct end {
    WFI_ATOMIC(int) count;
    int status;
    char tail[4096];
};

static void note_end(void *arg, int wait_status, const char *stderr_tail)
{
    struct end *end = arg;
    end->status = wait_status;
    snprintf(end->tail, sizeof end->tail, "%s", stderr_tail);
    wfi_fetch_add(&end->count, 1);
}

static struct wfi_related *start(wfi_related_entry *entry, const void *blob, size_t bytes,
                                 struct end *end)
{
    struct wfi_related *related = NULL;
    struct wf_error error = {0};
    int err = wfi_related_start(&(struct wfi_related_options){.name = "test",
                                                              .entry = entry,
                                                              .blob = blob,
                                                              .blob_bytes = bytes,
                                                              .ended = note_end,
                                                              .arg = end},
                                &related, &error);
    if (err)
        fail_msg("%s", error.text);
    return related;
}

static int adds_up(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum += ((const unsigned char *)blob)[i];
    return (int)(sum % 251) + (fd_count != 0);
}

static void a_process_gets_its_blob_and_tells_its_end(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2048, 2049, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct end end = {0};
        unsigned char *blob = test_malloc(sizes[i] + 1);
        unsigned sum = 0;
        for (size_t n = 0; n < sizes[i]; n++)
            sum += blob[n] = (unsigned char)(n * 7 + i);
        struct wfi_related *r = start(adds_up, blob, sizes[i], &end);
        assert_true(wfi_related_pid(r) > 0);
        party_reaches(&end.count, 1);
        assert_true(WIFEXITED(end.status));
        assert_int_equal(WEXITSTATUS(end.status), sum % 251);
        assert_string_equal(end.tail, "");
        assert_int_equal(wfi_related_signal(r, SIGKILL), -ESRCH);
        wfi_related_release(r);
        test_free(blob);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_gets_its_blob_and_tells_its_end),
    };
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
