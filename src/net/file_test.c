/* SPDX-License-Identifier: MIT */
/* Files from threads and fibers, and their way into a stream. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/file.h>
#include <weft/stream.h>

#include "base/alloc.h"
#include "parties.h"

#define BIG_BYTES (3 * 1000 * 1000)

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static char byte_at(size_t at)
{
    return (char)(at * 31 >> 3);
}

static int make_files(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft_file_test_XXXXXX");
    assert_non_null(mkdtemp(folder));
    FILE *file = fopen(in_folder("small"), "w");
    fputs("hello", file);
    fclose(file);
    file = fopen(in_folder("big"), "w");
    for (size_t i = 0; i < BIG_BYTES; i++)
        putc(byte_at(i), file);
    fclose(file);
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(in_folder("small"));
    unlink(in_folder("big"));
    unlink(in_folder("pipe"));
    rmdir(folder);
    return 0;
}

static void look_at_files(void *unused)
{
    (void)unused;
    struct wf_file *file = NULL;
    struct wf_file_info info = {0}, again = {0};
    char buf[16];
    assert_int_equal(wf_file_open(in_folder("small"), &file, &info), 0);
    assert_int_equal(info.bytes, 5);
    assert_false(info.directory);
    assert_int_equal(wf_file_look(in_folder("small"), &again), 0);
    assert_memory_equal(&info, &again, sizeof info);
    assert_int_equal(wf_file_read(file, buf, sizeof buf, 1), 4);
    assert_memory_equal(buf, "ello", 4);
    assert_int_equal(wf_file_read(file, buf, sizeof buf, 5), 0);
    wf_file_close(file);
    assert_int_equal(wf_file_open(folder, &file, &info), 0);
    assert_true(info.directory);
    assert_int_equal(wf_file_read(file, buf, sizeof buf, 0), -EISDIR);
    wf_file_close(file);
    assert_int_equal(wf_file_open(in_folder("none"), &file, NULL), -ENOENT);
    assert_int_equal(wf_file_open(in_folder("small/x"), &file, NULL), -ENOTDIR);
    assert_int_equal(wf_file_open(in_folder("pipe"), &file, NULL), -EINVAL);
    assert_int_equal(wf_file_look(in_folder("pipe"), &info), -EINVAL);
    wf_file_close(NULL);
}

static void files_are_opened_and_read(void **state)
{
    (void)state;
    struct party p;
    party_start(&p, look_at_files, NULL);
    party_join(&p);
}

/* In both ways: what is copied at once, and what is read on another thread. */
static void read_much(void *unused)
{
    (void)unused;
    static const size_t lens[] = {1, 65536, 65537, 1000000, BIG_BYTES};
    struct wf_file *file = NULL;
    char *buf = malloc(BIG_BYTES);
    assert_int_equal(wf_file_open(in_folder("big"), &file, NULL), 0);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t from = BIG_BYTES - lens[i];
        assert_int_equal(wf_file_read(file, buf, lens[i], (int64_t)from), lens[i]);
        assert_int_equal(buf[0], byte_at(from));
        assert_int_equal(buf[lens[i] - 1], byte_at(BIG_BYTES - 1));
        assert_int_equal(wf_file_read(file, buf, lens[i], (int64_t)from + 1), lens[i] - 1);
    }
    wf_file_close(file);
    free(buf);
}

static void what_is_read_ends_only_with_the_file(void **state)
{
    (void)state;
    struct party p;
    party_start(&p, read_much, NULL);
    party_join(&p);
}

struct seen {
    int files, directories;
    int stop_after;
};

static int count_one(void *arg, const char *name, const struct wf_file_info *info)
{
    struct seen *seen = arg;
    assert_true(name[0] != '.');
    *(info->directory ? &seen->directories : &seen->files) += 1;
    return seen->files + seen->directories == seen->stop_after ? 7 : 0;
}

static void list_the_folder(void *unused)
{
    (void)unused;
    struct seen seen = {0}, one = {.stop_after = 1};
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    assert_int_equal(wf_file_list(folder, count_one, &seen), 0);
    assert_int_equal(seen.files, 2); /* the pipe is none */
    assert_int_equal(seen.directories, 1);
    assert_int_equal(wf_file_list(folder, count_one, &one), 7);
    assert_int_equal(one.files + one.directories, 1);
    assert_int_equal(rmdir(in_folder("sub")), 0);
    assert_int_equal(wf_file_list(in_folder("sub"), count_one, &seen), -ENOENT);
    assert_int_equal(wf_file_list(in_folder("small"), count_one, &seen), -ENOTDIR);
}

static void a_directory_is_listed(void **state)
{
    (void)state;
    struct party p;
    party_start(&p, list_the_folder, NULL);
    party_join(&p);
}

struct sending {
    struct wf_stream *stream;
    int64_t offset, len;
    int expected;
};

static void send_part(void *arg)
{
    struct sending *sending = arg;
    struct wf_file *file = NULL;
    assert_int_equal(wf_file_open(in_folder("big"), &file, NULL), 0);
    assert_int_equal(wf_stream_send_file(sending->stream, file, sending->offset, sending->len,
                                         wf_after(WF_SECONDS(60))),
                     sending->expected);
    assert_int_equal(wf_stream_shutdown(sending->stream, WF_SHUTDOWN_WRITE), 0);
    wf_file_close(file);
}

static void receive(struct wf_stream *stream, size_t from, size_t len)
{
    char buf[4096];
    size_t have = 0;
    ssize_t n;
    while ((n = wf_stream_read(stream, buf, sizeof buf, wf_after(WF_SECONDS(60)))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(from + have + (size_t)i))
                fail_msg("byte %zu differs", have + (size_t)i);
        have += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(have, len);
}

static void send_and_receive(int64_t offset, int64_t len, int expected, size_t received)
{
    struct wf_stream *pair[2];
    struct party p;
    assert_int_equal(wf_stream_pair(pair), 0);
    struct sending sending = {pair[0], offset, len, expected};
    party_start(&p, send_part, &sending);
    receive(pair[1], (size_t)offset, received);
    party_join(&p);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
}

/* Larger than any socket's buffer, so the sender waits for the reader. */
static void a_file_is_sent(void **state)
{
    (void)state;
    send_and_receive(0, BIG_BYTES, 0, BIG_BYTES);
    send_and_receive(1234567, 700001, 0, 700001);
    send_and_receive(5, 0, 0, 0);
}

static void a_file_that_is_too_short_is_an_error(void **state)
{
    (void)state;
    send_and_receive(BIG_BYTES - 10, 11, WF_ESHORT, 10);
}

static void a_file_meets_its_deadline_and_a_peer_that_has_gone(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    struct wf_file *file = NULL;
    assert_int_equal(wf_file_open(in_folder("big"), &file, NULL), 0);
    assert_int_equal(wf_stream_pair(pair), 0);
    assert_int_equal(wf_stream_send_file(pair[0], file, 0, BIG_BYTES, WF_NOW), -ETIMEDOUT);
    wf_stream_close(pair[1]);
    assert_int_equal(wf_stream_send_file(pair[0], file, 0, BIG_BYTES, WF_NOW), -EPIPE);
    wf_stream_close(pair[0]);
    wf_file_close(file);
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct wf_file *file = NULL;
    wfi_alloc_watch(1);
    assert_int_equal(wf_file_open(in_folder("small"), &file, NULL), -ENOMEM);
    assert_true(wfi_alloc_unwatch());
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTIES_TEST(files_are_opened_and_read),
        PARTIES_TEST(what_is_read_ends_only_with_the_file),
        PARTIES_TEST(a_directory_is_listed),
        PARTIES_TEST(a_file_is_sent),
        cmocka_unit_test(a_file_that_is_too_short_is_an_error),
        cmocka_unit_test(a_file_meets_its_deadline_and_a_peer_that_has_gone),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
