/* SPDX-License-Identifier: MIT */
/* The access log as a file: whole lines of everything that was answered, whatever the disk does. */
#include "http/server_test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/access_log.h>

#include "base/alloc.h"
#include "base/atomic.h"

static char folder[] = "/tmp/weft-log-XXXXXX";
static char path[64], old_path[64];

static struct wf_access_log *open_log(enum wf_access_form form, size_t bytes_max)
{
    struct wf_access_log *log = NULL;
    struct wf_error error = {0};
    struct wf_access_log_options options = {.path = path, .form = form, .bytes_max = bytes_max};
    if (wf_access_log_open(&options, &log, &error))
        fail_msg("%s", error.text);
    return log;
}

/* The file's text, valid until the next call; the caller removes the file. */
static const char *text_of(const char *name)
{
    static char text[300000];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

static void answers_and_refusals_are_lines(void **state)
{
    (void)state;
    struct wf_access_log *log = open_log(WF_ACCESS_COMMON, 0);
    struct wf_server_options options = {.access = wf_access_log_note, .access_arg = log};
    struct wf_access_log_counts counts;
    struct wf_server *server = start_one(&options, hello, NULL);
    ask(server, "GET /?a=b HTTP/1.1\r\nUser-Agent: me \"x\"\r\n" CLOSE);
    ask(server, "GET /no HTTP/1.1\r\n" CLOSE);
    ask(server, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n");
    wf_server_destroy(server);
    assert_int_equal(wf_access_log_close(log, NULL), 0);
    const char *text = text_of(path);
    assert_int_equal(lines_of(text), 3);
    assert_int_equal(strncmp(text, "127.0.0.1 - - [", 15), 0);
    assert_non_null(strstr(text, "\"GET /?a=b HTTP/1.1\" 200 5 \"-\" \"me \\x22x\\x22\"\n"));
    assert_non_null(strstr(text, "\"GET /no HTTP/1.1\" 404 "));
    assert_non_null(strstr(text, "] \"-\" 400 "));
    /* The next one goes on behind it, here in the other form. */
    log = open_log(WF_ACCESS_JSON, 0);
    options.access_arg = log;
    server = start_one(&options, hello, NULL);
    ask(server, "GET / HTTP/1.1\r\n" CLOSE);
    ask(server, "GET / HTTP/9.9\r\nHost: h\r\n\r\n");
    wf_server_destroy(server);
    wf_access_log_count(log, &counts);
    assert_int_equal(wf_access_log_close(log, NULL), 0);
    assert_int_equal(counts.dropped, 0);
    text = text_of(path);
    assert_int_equal(lines_of(text), 5);
    assert_non_null(
        strstr(text, "\"method\":\"GET\",\"target\":\"/\",\"host\":\"h\",\"status\":200,"));
    assert_non_null(strstr(text, "\"route\":\"/\",\"request_id\":\""));
    assert_non_null(strstr(text, "\"client\":\"127.0.0.1\",\"status\":505,"));
    assert_non_null(strstr(text, "\"reason\":\""));
    assert_int_equal(unlink(path), 0);
}

static void a_layer_notes_what_is_below_its_path(void **state)
{
    (void)state;
    struct wf_access_log *log = open_log(WF_ACCESS_COMMON, 0);
    struct wf_server *server = NULL;
    struct wf_middleware layer = {.path = "/api", .layer = wf_layer_log, .arg = log};
    struct wf_route route = {.path = "/{rest:path}", .handler = hello};
    assert_int_equal(wf_server_create(NULL, &server, NULL), 0);
    assert_int_equal(wf_server_use(server, &layer, NULL), 0);
    assert_int_equal(wf_server_route(server, &route, NULL), 0);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, NULL), 0);
    assert_int_equal(wf_server_start(server, fibers, NULL), 0);
    ask(server, "GET /api/x HTTP/1.1\r\n" CLOSE);
    ask(server, "GET /other HTTP/1.1\r\n" CLOSE);
    wf_server_destroy(server);
    assert_int_equal(wf_access_log_close(log, NULL), 0);
    assert_int_equal(lines_of(text_of(path)), 1);
    assert_non_null(strstr(text_of(path), "\"GET /api/x HTTP/1.1\" 200 5 "));
    assert_int_equal(unlink(path), 0);
}

static void note(struct wf_access_log *log, int status)
{
    wf_access_log_note(log, NULL, &(struct wf_access){.status = status, .client = "1.2.3.4"});
}

static void wait_for_lines(struct wf_access_log *log, uint64_t lines)
{
    struct wf_access_log_counts counts;
    do {
        (void)wf_sleep(wf_after(WF_MILLISECONDS(1)));
        wf_access_log_count(log, &counts);
    } while (counts.lines < lines);
}

/* What logrotate does: the name is taken away, and is there again with the next lines. */
static void a_file_that_was_renamed_is_made_anew(void **state)
{
    (void)state;
    struct wf_access_log *log = open_log(WF_ACCESS_COMMON, 0);
    note(log, 201);
    wait_for_lines(log, 1);
    assert_int_equal(rename(path, old_path), 0);
    uint64_t lines = 1;
    for (; access(path, F_OK); lines++) {
        note(log, 202);
        wait_for_lines(log, lines + 1);
    }
    assert_int_equal(wf_access_log_close(log, NULL), 0);
    assert_non_null(strstr(text_of(old_path), " 201 "));
    size_t before = lines_of(text_of(old_path));
    assert_true(lines_of(text_of(path)) > 0);
    assert_int_equal(before + lines_of(text_of(path)), lines);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(old_path), 0);
}

/* A pipe that nobody reads is the slowest disk there is. */
static void what_a_slow_disk_does_not_take_is_dropped_and_said(void **state)
{
    (void)state;
    struct wf_access_log_counts counts;
    static char text[400000];
    assert_int_equal(mkfifo(path, 0600), 0);
    FILE *reader = fopen(path, "r+"); /* a reader, so that it can be opened to write */
    assert_non_null(reader);
    struct wf_access_log *log = open_log(WF_ACCESS_COMMON, 10000);
    do {
        note(log, 200); /* never waits: the test would not end */
        wf_access_log_count(log, &counts);
    } while (counts.dropped < 100);
    uint64_t said = 0;
    size_t len = 0;
    /* Now it is read; the next line says what is missing. */
    while (said == 0) {
        ssize_t n = read(fileno(reader), text + len, sizeof text - len - 1);
        assert_true(n > 0);
        len += (size_t)n;
        text[len] = '\0';
        const char *words = strstr(text, " lines of this log were dropped\"\n");
        if (words) {
            while (words > text && words[-1] != '"')
                words--;
            said = strtoull(words, NULL, 10);
        }
        assert_true(len < 200000); /* more than was waiting anywhere */
        for (int i = 0; i < 50; i++)
            note(log, 200);
    }
    assert_true(said >= 100);
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(line[0] == '1' || line[0] == '-');
    fclose(reader);
    (void)wf_access_log_close(log, NULL); /* -EPIPE perhaps */
    assert_int_equal(unlink(path), 0);
}

static void a_full_disk_is_tried_again(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK))
        skip();
    struct wf_access_log *log = NULL;
    struct wf_error error;
    struct wf_access_log_options options = {.path = "/dev/full"};
    assert_int_equal(wf_access_log_open(&options, &log, &error), 0);
    note(log, 200);
    assert_int_equal(wf_access_log_close(log, &error), -ENOSPC);
    assert_string_equal(error.text, "/dev/full: No space left on device");
    options.path = "/no/such/folder/log";
    assert_int_equal(wf_access_log_open(&options, &log, &error), -ENOENT);
    options.path = NULL;
    assert_int_equal(wf_access_log_open(&options, &log, &error), -EINVAL);
    assert_int_equal(wf_access_log_close(NULL, NULL), 0);
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_access_log *log = NULL;
        struct wf_access_log_options options = {.path = path, .form = WF_ACCESS_JSON};
        wfi_alloc_watch(n);
        if (wf_access_log_open(&options, &log, NULL) == 0) {
            note(log, 200);
            assert_int_equal(wf_access_log_close(log, NULL), 0);
        }
        done = !wfi_alloc_unwatch();
    }
    assert_int_equal(unlink(path), 0);
}

static int set_up_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/access.log", folder);
    snprintf(old_path, sizeof old_path, "%s/access.log.1", folder);
    return set_up(state);
}

static int tear_down_folder(void **state)
{
    int err = rmdir(folder);
    return tear_down(state) | err;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_refusals_are_lines),
        cmocka_unit_test(a_layer_notes_what_is_below_its_path),
        cmocka_unit_test(a_file_that_was_renamed_is_made_anew),
        cmocka_unit_test(what_a_slow_disk_does_not_take_is_dropped_and_said),
        cmocka_unit_test(a_full_disk_is_tried_again),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests_name("server log", tests, set_up_folder, tear_down_folder);
}
