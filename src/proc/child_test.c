/* SPDX-License-Identifier: MIT */
/*
 * Child programs, from threads and fibers; ids name the behaviours of test/conformance.txt. Most
 * children are shells, or this program again (see `main`), which tells what it finds itself with.
 *
 * What must come after something else waits for it: for a byte in a pipe, for the end of a pipe
 * that the dead had open. A child that has to stay until it is told reads from descriptor 3, whose
 * other end the test has.
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
#include "sched/cancel.h"

#define SLOW (WFI_ASAN || WFI_TSAN)

/* A party that is not the test's own thread cannot report to cmocka: a check that fails ends the
 * program. */
static void fail_at(int line, const char *what, const char *got)
{
    fprintf(stderr, "child_test.c:%d: not so: %s; it is %s\n", line, what, got);
    abort();
}

static void check_at(int line, const char *what, bool holds)
{
    if (!holds)
        fail_at(line, what, "not");
}

static void check_int_at(int line, const char *what, long long a, long long b)
{
    char got[32];
    snprintf(got, sizeof got, "%lld", a);
    if (a != b)
        fail_at(line, what, got);
}

static void check_text_at(int line, const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        fail_at(line, what, a);
}

#define check(condition) check_at(__LINE__, #condition, condition)
#define check_int(a, b) check_int_at(__LINE__, #a " == " #b, a, b)
#define check_text(a, b) check_text_at(__LINE__, #a " == " #b, a, b)
#define check_bytes(a, b, len) check(memcmp(a, b, len) == 0)

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* Long enough for a child to get to where it waits, most of the time; right in any case. */
static wf_deadline shortly(void)
{
    return wf_after(WF_MILLISECONDS(10));
}

static char self_path[4096]; /* of this program */

static int run(const struct wf_run_options *options, struct wf_run_result *ret_result)
{
    struct wf_error error = {0};
    int err = wf_run(options, ret_result, soon(), &error);
    if (err)
        print_message("%s\n", error.text);
    return err;
}

/* A program that must succeed; its output, which stays valid until the next call on any party. */
static void expect_output(const struct wf_child_options *child, const char *expected)
{
    struct wf_run_result result;
    check_int(run(&(struct wf_run_options){.child = *child}, &result), 0);
    if (result.exit.status || result.exit.signal)
        print_message("%s\n", result.err);
    check_text(result.out, expected);
    check_int(result.exit.status, 0);
    check_int(result.exit.signal, 0);
    wf_run_result_fini(&result);
}

static void expect_shell(const char *text, const char *expected)
{
    expect_output(&(struct wf_child_options){.shell = text}, expected);
}

static struct wf_child *spawn(const struct wf_child_options *options)
{
    struct wf_child *child = NULL;
    struct wf_error error = {0};
    int err = wf_child_spawn(options, &child, &error);
    if (err)
        print_message("%s\n", error.text);
    check_int(err, 0);
    return child;
}

/* A pipe between test and child: ends[0] is read. */
static void open_pipe(int ends[2])
{
    check_int(pipe2(ends, O_CLOEXEC), 0);
}

/* All who had the other end open have closed it, or died. */
static void expect_end(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    char byte;
    check_int(poll(&look, 1, 60000), 1);
    check_int(read(fd, &byte, 1), 0);
}

/* Nothing was left behind: no child of this process, dead or alive. */
static void expect_no_children(void)
{
    siginfo_t info;
    check_int(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    check_int(errno, ECHILD);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The first wait opens what a thread or worker keeps. */
static void warm_up(void)
{
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    struct wf_child *child = spawn(&(struct wf_child_options){.shell = "read a", .in = pipe});
    check_int(wf_child_wait(child, NULL, shortly()), -ETIMEDOUT);
    wf_child_close(child);
    expect_shell("echo", "\n");
}

/* A test's body as a party of the current mode, which leaves nothing behind. */
struct clean_body {
    void (*fn)(void);
};

static void clean_main(void *arg)
{
    struct clean_body *body = arg;
    warm_up();
    int before = open_descriptors();
    body->fn();
    expect_no_children();
    check_int(open_descriptors(), before);
}

static void as_party(void (*fn)(void))
{
    struct clean_body body = {fn};
    struct party p;
    party_start(&p, clean_main, &body);
    party_join(&p);
}

/* How it ended */

static void expect_failure(const char *text, int status, int signo, const char *told)
{
    struct wf_run_result result;
    struct wf_error error = {0};
    check_int(wf_run(&(struct wf_run_options){.child.shell = text}, &result, soon(), &error), 0);
    check_int(result.exit.status, status);
    check_int(result.exit.signal, signo);
    wf_run_result_fini(&result);
    int err = wf_run(&(struct wf_run_options){.child.shell = text, .check = true}, &result, soon(),
                     &error);
    check_int(err, WF_ETASKFAILED);
    check_int(error.code, WF_ETASKFAILED);
    check_int(error.exit_status, status);
    check_int(error.signal, signo);
    check_int(error.pid, result.exit.pid);
    check_text(result.out, "said\n");
    check_text(error.text, told);
    wf_run_result_fini(&result);
}

static void ends(void)
{
    struct wf_run_result result;
    const char *const argv[] = {"sh", "-c", "exit 0", NULL};
    check_int(run(&(struct wf_run_options){.child.argv = argv, .check = true}, &result), 0);
    check_int(result.exit.status, 0);
    check(result.exit.pid > 0);
    check(result.exit.wall_ns > 0);
    check(result.exit.max_rss_bytes > 0);
    wf_run_result_fini(&result);
    expect_failure("echo said; exit 47", 47, 0, "echo said; exit 47: exited with status 47");
    expect_failure("echo said; echo one >&2; echo two >&2; exit 1", 1, 0,
                   "echo said; echo one >&2; echo two >&2; exit 1: exited with status 1: two");
    expect_failure("echo said; kill -TERM $$", 0, SIGTERM,
                   "echo said; kill -TERM $$: killed by SIGTERM");
    expect_failure("echo said; kill -40 $$", 0, 40, "echo said; kill -40 $$: killed by signal 40");
}

/* SUB-01 */
static void the_end_is_told_and_checked(void **state)
{
    (void)state;
    as_party(ends);
}

static void usage(void)
{
    struct wf_run_result result;
    const char *text = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
    check_int(run(&(struct wf_run_options){.child.shell = text}, &result), 0);
    check(result.exit.user_ns + result.exit.system_ns > 0);
    check(result.exit.user_ns + result.exit.system_ns <= 2 * result.exit.wall_ns);
    wf_run_result_fini(&result);
}

static void what_it_used_is_told(void **state)
{
    (void)state;
    as_party(usage);
}

/* What cannot be started */

static void expect_refusal(const struct wf_child_options *options, int code, const char *text)
{
    struct wf_child *child = NULL;
    struct wf_error error = {0};
    check_int(wf_child_spawn(options, &child, &error), code);
    check(!child);
    check_int(error.code, code);
    if (!strstr(error.text, text))
        print_message("%s\n", error.text);
    check(strstr(error.text, text));
}

static void refusals(void)
{
    const char *const missing[] = {"/no/such/program", NULL}, *const unknown[] = {"no-such-prog",
                                                                                  NULL};
    const char *const folder[] = {"/", NULL}, *const fine[] = {"true", NULL};
    const char *const nothing[] = {NULL}, *const nameless[] = {"", NULL};
    expect_refusal(&(struct wf_child_options){.argv = missing}, -ENOENT,
                   "run /no/such/program: No");
    expect_refusal(&(struct wf_child_options){.argv = unknown}, -ENOENT, "run no-such-prog: No");
    expect_refusal(&(struct wf_child_options){.argv = folder}, -EACCES, "run /: Perm");
    expect_refusal(&(struct wf_child_options){.argv = nameless}, -ENOENT, "run : No");
    expect_refusal(&(struct wf_child_options){.argv = fine, .cwd = "/no/such/folder"}, -ENOENT,
                   "in /no/such/folder: No");
    expect_refusal(&(struct wf_child_options){.argv = fine, .cwd = "/dev/null"}, -ENOTDIR,
                   "in /dev/null: Not");
    struct wf_stdio file = {.kind = WF_STDIO_FILE, .path = "/no/such/file"};
    expect_refusal(&(struct wf_child_options){.argv = fine, .in = file}, -ENOENT,
                   "open /no/such/file: No");
    struct wf_stdio bad = {.kind = WF_STDIO_FD, .fd = 4000};
    expect_refusal(&(struct wf_child_options){.argv = fine, .out = bad}, -EBADF,
                   "its descriptor 1, from 4000: Bad");
    struct wf_stdio join = {.kind = WF_STDIO_JOIN};
    expect_refusal(&(struct wf_child_options){.argv = fine, .out = join}, -EINVAL, "joined");
    struct wf_pass_fd twice[] = {{0, 3}, {1, 3}}, low[] = {{5, 2}};
    expect_refusal(&(struct wf_child_options){.argv = fine, .pass = twice, .pass_count = 2},
                   -EINVAL, "two descriptors are passed as 3");
    expect_refusal(&(struct wf_child_options){.argv = fine, .pass = low, .pass_count = 1}, -EINVAL,
                   "5 cannot be passed as 2");
    struct wf_rlimit limit = {9999, 1, 1};
    expect_refusal(&(struct wf_child_options){.argv = fine, .rlimits = &limit, .rlimit_count = 1},
                   -EINVAL, "resource limit 9999");
    expect_refusal(&(struct wf_child_options){.argv = nothing}, -EINVAL, "either argv");
    expect_refusal(&(struct wf_child_options){.argv = fine, .shell = "true"}, -EINVAL,
                   "either argv");
    if (wfi_under_valgrind())
        return; /* which ends when exec refuses its arguments */
    const char *huge[3] = {"true"};
    char *text = malloc(200 * 1024);
    memset(text, 'x', 200 * 1024 - 1);
    text[200 * 1024 - 1] = '\0';
    huge[1] = text;
    expect_refusal(&(struct wf_child_options){.argv = huge}, -E2BIG, "run true: Arg");
    free(text);
}

/* SUB-02 */
static void what_cannot_be_started_is_named(void **state)
{
    (void)state;
    as_party(refusals);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");
    check(f);
    fputs(text, f);
    fclose(f);
    check_int(chmod(path, mode), 0);
}

static void read_file(const char *path, char *ret_text, size_t size)
{
    FILE *f = fopen(path, "re");
    check(f);
    ret_text[fread(ret_text, 1, size - 1, f)] = '\0';
    fclose(f);
}

/* A folder of its own for each caller, removed with what is in it. */
static void make_folder(char ret_path[64])
{
    strcpy(ret_path, "/tmp/child_test.XXXXXX");
    check(mkdtemp(ret_path));
}

static void remove_folder(const char *path)
{
    const char *const argv[] = {"rm", "-r", path, NULL};
    expect_output(&(struct wf_child_options){.argv = argv}, "");
}

static void scripts(void)
{
    char folder[64], path[80], env[160];
    make_folder(folder);
    const char *const by_path[] = {path, NULL}, *const by_name[] = {"tool", NULL};
    snprintf(path, sizeof path, "%s/tool", folder);
    if (!wfi_under_valgrind()) { /* it ends when exec refuses what looks like a program */
        write_file(path, "echo no interpreter\n", 0755);
        expect_refusal(&(struct wf_child_options){.argv = by_path}, -ENOEXEC, path);
        write_file(path, "#!/no/such/interpreter\n", 0755);
        expect_refusal(&(struct wf_child_options){.argv = by_path}, -ENOENT, "(its interpreter)");
    }
    /* The PATH that counts is the child's; what may not be executed there is passed over, and told
     * of when there is nothing else. */
    write_file(path, "#!/bin/sh\necho found\n", 0644);
    snprintf(env, sizeof env, "PATH=/no/such:%s", folder);
    const char *const list[] = {env, NULL};
    expect_refusal(&(struct wf_child_options){.argv = by_name, .env = list}, -EACCES, "run tool: ");
    chmod(path, 0755);
    expect_output(&(struct wf_child_options){.argv = by_name, .env = list}, "found\n");
    /* An empty folder in PATH is the current one, and that is the child's. */
    const char *const here[] = {"PATH=/no/such:", NULL};
    expect_output(&(struct wf_child_options){.argv = by_name, .env = here, .cwd = folder},
                  "found\n");
    const char *const relative[] = {"./tool", NULL};
    expect_output(&(struct wf_child_options){.argv = relative, .cwd = folder}, "found\n");
    remove_folder(folder);
}

static void a_program_is_found_as_the_child_would(void **state)
{
    (void)state;
    as_party(scripts);
}

static void no_shell(void)
{
    const char *const argv[] = {"echo", "$HOME `id` ; *", "a  b", NULL};
    expect_output(&(struct wf_child_options){.argv = argv}, "$HOME `id` ; * a  b\n");
}

static void no_shell_unless_asked(void **state)
{
    (void)state;
    as_party(no_shell);
}

/* Where input and output go */

static void places(void)
{
    char folder[64], path[80], text[64];
    struct wf_run_result result;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    struct wf_stdio file = {.kind = WF_STDIO_FILE, .path = path};
    struct wf_stdio more = {.kind = WF_STDIO_FILE, .path = path, .append = true};
    struct wf_stdio join = {.kind = WF_STDIO_JOIN}, null = {.kind = WF_STDIO_NULL};
    expect_output(&(struct wf_child_options){.shell = "echo out; echo err >&2", .err = join},
                  "out\nerr\n");
    expect_output(&(struct wf_child_options){.shell = "echo one", .out = file}, "");
    expect_output(
        &(struct wf_child_options){.shell = "echo two; echo three >&2", .out = more, .err = join},
        "");
    read_file(path, text, sizeof text);
    check_text(text, "one\ntwo\nthree\n");
    expect_output(&(struct wf_child_options){.shell = "cat", .in = file}, "one\ntwo\nthree\n");
    expect_output(&(struct wf_child_options){.shell = "echo lost", .out = null, .err = null}, "");
    expect_output(&(struct wf_child_options){.shell = "cat; echo end"},
                  "end\n"); /* not our input */
    int ends[2];
    open_pipe(ends);
    struct wf_stdio fd = {.kind = WF_STDIO_FD, .fd = ends[1]};
    expect_output(&(struct wf_child_options){.shell = "echo to fd >&2", .err = fd}, "");
    check_int(read(ends[0], text, sizeof text), 6);
    close(ends[1]);
    expect_end(ends[0]);
    close(ends[0]);
    struct wf_run_options fed = {
        .child.shell = "cat; echo err >&2", .input = "in\0put", .input_len = 6};
    check_int(run(&fed, &result), 0);
    check_int(result.out_len, 6);
    check_bytes(result.out, "in\0put", 7);
    check_text(result.err, "err\n");
    wf_run_result_fini(&result);
    remove_folder(folder);
}

/* SUB-03 */
static void bytes_land_where_asked(void **state)
{
    (void)state;
    as_party(places);
}

static void inherited(void)
{
    int ends[2], saved = dup(1);
    char text[16] = "";
    open_pipe(ends);
    fflush(stdout);
    dup2(ends[1], 1);
    struct wf_stdio inherit = {.kind = WF_STDIO_INHERIT}, join = {.kind = WF_STDIO_JOIN};
    struct wf_run_result result;
    int err = wf_run(&(struct wf_run_options){.child.shell = "echo to caller >&2",
                                              .child.out = inherit,
                                              .child.err = join},
                     &result, soon(), NULL);
    dup2(saved, 1);
    close(saved);
    close(ends[1]);
    check_int(err, 0);
    check_text(result.out, "");
    wf_run_result_fini(&result);
    check_int(read(ends[0], text, sizeof text), 10);
    check_text(text, "to caller\n");
    close(ends[0]);
}

/* SUB-03 */
static void output_can_be_the_callers(void **state)
{
    (void)state;
    as_party(inherited);
}

/* More than any pipe holds */

static char *pattern(size_t len)
{
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 + i / 4096);
    return bytes;
}

static void much(void)
{
    size_t len = SLOW ? 1 << 20 : 3 << 20;
    char *bytes = pattern(len);
    struct wf_run_result result;
    struct wf_run_options options = {
        .child.shell = "tee /dev/fd/2", .input = bytes, .input_len = len};
    check_int(run(&options, &result), 0);
    check_int(result.out_len, len);
    check_int(result.err_len, len);
    check_bytes(result.out, bytes, len);
    check_bytes(result.err, bytes, len);
    wf_run_result_fini(&result);
    free(bytes);
}

/* SUB-04 */
static void much_in_every_direction_at_once(void **state)
{
    (void)state;
    as_party(much);
}

static void capped(void)
{
    struct wf_run_result result;
    struct wf_run_options options = {
        .child.shell = "echo 123456789; echo 12345 >&2; seq 100000 >&2", .child.capture_max = 10};
    check_int(run(&options, &result), 0);
    check_text(result.out, "123456789\n");
    check(!result.out_truncated);
    check_text(result.err, "12345\n1\n2\n");
    check(result.err_truncated);
    check_int(result.exit.status, 0);
    wf_run_result_fini(&result);
}

static void what_is_kept_has_a_limit(void **state)
{
    (void)state;
    as_party(capped);
}

/* Communicating in several calls */

struct told {
    struct wf_child *child;
    int tell;
};

/* A child with all pipes that can be told to go on through descriptor 3. */
static struct told spawn_told(const char *text)
{
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    struct told told;
    int ends[2];
    open_pipe(ends);
    told.tell = ends[1];
    struct wf_pass_fd pass = {ends[0], 3};
    told.child = spawn(&(struct wf_child_options){
        .shell = text, .in = pipe, .out = pipe, .err = pipe, .pass = &pass, .pass_count = 1});
    close(ends[0]);
    return told;
}

static void tell(struct told *told)
{
    check_int(write(told->tell, "go\n", 3), 3);
}

static void end_told(struct told *told)
{
    wf_child_close(told->child);
    close(told->tell);
}

static void resumed(void)
{
    size_t len = SLOW ? 300000 : 1 << 20;
    char *bytes = pattern(len), *expected = malloc(2 * len);
    struct wf_run_result result;
    /* It reads all input and gives it back only after it was told, in two parts. */
    char text[160];
    snprintf(text, sizeof text,
             "echo begin >&2; read a <&3; head -c %zu; read a <&3; cat; echo end >&2", len / 2);
    struct told told = spawn_told(text);
    for (int i = 0; i < 3; i++)
        check_int(wf_child_communicate(told.child, bytes, len, &result, shortly()), -ETIMEDOUT);
    tell(&told);
    for (int i = 0; i < 3; i++)
        check_int(wf_child_communicate(told.child, NULL, 0, &result, shortly()), -ETIMEDOUT);
    check_int(wf_child_communicate(told.child, NULL, 0, &result, WF_NOW), -ETIMEDOUT);
    tell(&told);
    check_int(wf_child_communicate(told.child, NULL, 0, &result, soon()), 0);
    check_int(result.out_len, len);
    check_bytes(result.out, bytes, len);
    check_text(result.err, "begin\nend\n");
    check_int(result.exit.status, 0);
    wf_run_result_fini(&result);
    end_told(&told);
    free(bytes);
    free(expected);
}

/* SUB-05 */
static void a_timed_out_exchange_goes_on(void **state)
{
    (void)state;
    as_party(resumed);
}

static void partly(void)
{
    struct wf_run_result result;
    struct told told = spawn_told("echo first; read a <&3; echo second");
    char line[6];
    check_int(wf_stream_read_full(wf_child_out(told.child), line, 6, soon()), 6);
    check_bytes(line, "first\n", 6);
    check_int(wf_child_communicate(told.child, NULL, 0, &result, WF_NOW), -ETIMEDOUT);
    wf_child_collect(told.child, &result);
    check_text(result.out, "");
    wf_run_result_fini(&result);
    tell(&told);
    check_int(wf_child_communicate(told.child, NULL, 0, &result, soon()), 0);
    check_text(result.out, "second\n");
    wf_run_result_fini(&result);
    end_told(&told);
}

/* SUB-05 */
static void what_was_taken_is_not_given_again(void **state)
{
    (void)state;
    as_party(partly);
}

static void silent(void)
{
    struct wf_run_result result;
    struct told told = spawn_told("exec >&- 2>&- <&-; read a <&3; exit 5");
    for (int i = 0; i < 4; i++)
        check_int(wf_child_communicate(told.child, "in", 2, &result, shortly()), -ETIMEDOUT);
    tell(&told);
    check_int(wf_child_communicate(told.child, NULL, 0, &result, soon()), 0);
    check_int(result.exit.status, 5);
    wf_run_result_fini(&result);
    end_told(&told);
}

/* SUB-16 */
static void a_child_that_closes_its_pipes_is_waited_for(void **state)
{
    (void)state;
    as_party(silent);
}

/* Streams */

static void talked(void)
{
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    const char *const argv[] = {"cat", NULL};
    struct wf_child *child =
        spawn(&(struct wf_child_options){.argv = argv, .in = pipe, .out = pipe});
    struct wf_exit end;
    char text[16];
    check(!wf_child_err(child));
    for (int i = 0; i < 3; i++) {
        check_int(wf_stream_write(wf_child_in(child), "line\n", 5, soon()), 0);
        check_int(wf_stream_read_full(wf_child_out(child), text, 5, soon()), 5);
    }
    check_int(wf_child_wait(child, &end, WF_NOW), -ETIMEDOUT);
    struct wf_part parts[2] = {{"a", 1}, {"b", 1}};
    check_int(wf_stream_writev(wf_child_in(child), parts, 2, soon()), 0);
    wf_stream_close(wf_child_take(child, 0));
    check(!wf_child_in(child));
    check_int(wf_stream_read_full(wf_child_out(child), text, 3, soon()), WF_ESHORT);
    check_int(wf_child_wait(child, &end, soon()), 0);
    check_int(end.status, 0);
    check_int(wf_child_wait(child, NULL, WF_NOW), 0);
    wf_child_close(child);
}

static void pipes_are_streams(void **state)
{
    (void)state;
    as_party(talked);
}

/* Ends by force */

/* What the options say, with descriptor 3 of the child as a witness: the test gets the end that
 * closes when all who had the other one are gone. */
static int run_witnessed(struct wf_run_options *options, struct wf_run_result *ret_result,
                         wf_deadline deadline, int *ret_err)
{
    int ends[2];
    open_pipe(ends);
    struct wf_pass_fd pass = {ends[1], 3};
    options->child.pass = &pass;
    options->child.pass_count = 1;
    *ret_err = wf_run(options, ret_result, deadline, NULL);
    close(ends[1]);
    return ends[0];
}

/*
 * A run that must end by its deadline, after the child has written `expected`, which a busy machine
 * gives it time for: once more with twice the time where it had too little.
 */
static void run_out(struct wf_run_options *options, const char *expected,
                    struct wf_run_result *ret_result)
{
    for (int64_t time_ns = WF_MILLISECONDS(30); time_ns < WF_SECONDS(60); time_ns *= 2) {
        int err;
        int64_t began = wf_now();
        int witness = run_witnessed(options, ret_result, wf_after(time_ns), &err);
        check_int(err, -ETIMEDOUT);
        check(ret_result->timed_out);
        check(wf_now() - began < time_ns + WF_SECONDS(10)); /* not the 100 that children sleep */
        expect_end(witness);
        close(witness);
        if (strcmp(ret_result->out, expected) == 0)
            return;
        check(strncmp(ret_result->out, expected, strlen(ret_result->out)) == 0);
        wf_run_result_fini(ret_result);
    }
    fail_at(__LINE__, expected, "never written");
}

static void grandchild(void)
{
    struct wf_run_result result;
    const char *const texts[] = {
        "sleep 100 & echo partial; wait",                     /* the shell lives too */
        "sleep 100 & echo partial",                           /* it has ended and left another */
        "set -m; sleep 100 & sleep 100 & echo partial; wait", /* groups of their own */
    };
    for (int i = 0; i < 3; i++) {
        struct wf_run_options options = {.child.shell = texts[i]};
        /* A shell that is about to end has the time for it that it may need. */
        for (;;) {
            run_out(&options, "partial\n", &result);
            if (i != 1 || !result.exit.signal)
                break;
            wf_run_result_fini(&result);
        }
        check_int(result.exit.signal, i == 1 ? 0 : SIGKILL);
        wf_run_result_fini(&result);
    }
}

/* SUB-07 */
static void a_deadline_ends_grandchildren_too(void **state)
{
    (void)state;
    as_party(grandchild);
}

static void out_of_reach(void)
{
    struct wf_run_result result;
    int input[2], output[2];
    open_pipe(input); /* the escaped one lives until there is something to read */
    open_pipe(output);
    struct wf_pass_fd pass[] = {{input[0], 4}, {output[1], 5}};
    struct wf_run_options options = {
        .child = {.shell = "setsid sh -c 'echo partial; echo out >&5; read a <&4' & wait",
                  .pass = pass,
                  .pass_count = 2},
        .drain_ns = WF_MILLISECONDS(50)};
    for (int64_t time_ns = WF_MILLISECONDS(100);; time_ns *= 2) {
        struct pollfd look = {.fd = output[0], .events = POLLIN};
        check_int(wf_run(&options, &result, wf_after(time_ns), NULL), -ETIMEDOUT);
        check_int(result.exit.signal, SIGKILL);
        bool escaped = poll(&look, 1, 0) == 1;
        escaped = escaped && strcmp(result.out, "partial\n") == 0;
        wf_run_result_fini(&result);
        if (escaped)
            break;
    }
    close(input[1]);
    close(input[0]);
    close(output[1]);
    char text[64];
    while (read(output[0], text, sizeof text) > 0) /* until all of them have ended */
        ;
    close(output[0]);
}

/* SUB-07 */
static void who_left_the_session_holds_nobody_up(void **state)
{
    (void)state;
    as_party(out_of_reach);
}

static void graceful(void)
{
    struct wf_run_result result;
    struct wf_run_options options = {
        .child.shell = "echo up; trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done",
        .kill_grace_ns = WF_SECONDS(30)};
    run_out(&options, "up\nbye\n", &result);
    check_int(result.exit.status, 3);
    wf_run_result_fini(&result);
    options = (struct wf_run_options){.child.shell =
                                          "trap '' TERM; echo up; while :; do sleep 0.01; done",
                                      .kill_grace_ns = WF_MILLISECONDS(30)};
    run_out(&options, "up\n", &result);
    check_int(result.exit.signal, SIGKILL);
    wf_run_result_fini(&result);
}

static void leftovers(void)
{
    static const char text[] = "(trap '' TERM; exec sleep 100 >&- 2>&-) & echo up; sleep 100";
    struct wf_run_result result;
    struct wf_run_options options = {.child.shell = text, .kill_grace_ns = WF_SECONDS(30)};
    run_out(&options, "up\n", &result);
    check_int(result.exit.signal, SIGTERM);
    wf_run_result_fini(&result);

    int ends[2];
    struct wf_exit end;
    open_pipe(ends);
    struct wf_pass_fd pass = {ends[1], 3};
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    struct wf_child *child = spawn(
        &(struct wf_child_options){.shell = text, .out = pipe, .pass = &pass, .pass_count = 1});
    char up[3];
    check_int(wf_stream_read_full(wf_child_out(child), up, 3, soon()), 3);
    check_int(wf_child_stop(child, WF_SECONDS(30), &end), 0);
    check_int(end.signal, SIGTERM);
    check_int(wf_child_stop(child, 0, &end), 0);
    check_int(wf_child_signal_all(child, SIGKILL), -ESRCH);
    wf_child_close(child);
    close(ends[1]);
    expect_end(ends[0]);
    close(ends[0]);
}

static void what_outlives_a_polite_end_is_killed(void **state)
{
    (void)state;
    as_party(leftovers);
}

static void who_is_asked_first_may_end_by_itself(void **state)
{
    (void)state;
    as_party(graceful);
}

static void endless(void)
{
    struct wf_run_result result;
    struct wf_run_options options = {.child.shell = "exec yes", .child.capture_max = 4};
    run_out(&options, "y\ny\n", &result);
    check(result.out_truncated);
    wf_run_result_fini(&result);
}

/* SUB-07 */
static void a_deadline_ends_endless_output(void **state)
{
    (void)state;
    as_party(endless);
}

/* Input nobody wants; signals meanwhile */

static void unread(void)
{
    size_t len = 1 << 20;
    char *bytes = pattern(len);
    struct wf_run_result result;
    struct wf_run_options options = {
        .child.shell = "exec <&-; echo fine", .input = bytes, .input_len = len};
    for (int i = 0; i < 3; i++) {
        check_int(run(&options, &result), 0);
        check_text(result.out, "fine\n");
        check_int(result.exit.status, 0);
        wf_run_result_fini(&result);
    }
    /* As a stream it is told. */
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    struct wf_child *child = spawn(&(struct wf_child_options){.shell = "exit 0", .in = pipe});
    check_int(wf_child_wait(child, NULL, soon()), 0);
    check_int(wf_stream_write(wf_child_in(child), bytes, len, soon()), -EPIPE);
    wf_child_close(child);
    free(bytes);
}

/* SUB-08 */
static void input_that_is_not_read_hurts_nobody(void **state)
{
    (void)state;
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    check(action.sa_handler == SIG_DFL);
    as_party(unread);
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int signo)
{
    (void)signo;
    signals_seen++;
}

static void interrupted(void)
{
    struct wf_run_result result;
    const char *text = "for i in 1 2 3 4 5; do kill -USR1 $PPID; sleep 0.01; done; echo done";
    check_int(run(&(struct wf_run_options){.child.shell = text}, &result), 0);
    check_text(result.out, "done\n");
    wf_run_result_fini(&result);
}

/* SUB-08 */
static void a_signal_ends_no_wait(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = count_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    signals_seen = 0;
    as_party(interrupted);
    check(signals_seen > 0);
    sigaction(SIGUSR1, &before, NULL);
}

/* Nothing is left behind */

static void failing(void)
{
    struct wf_stdio pipe = {.kind = WF_STDIO_PIPE};
    const char *const argv[] = {"/no/such/program", NULL};
    int count = wfi_under_valgrind() ? 6 : SLOW ? 100 : 1024;
    for (int i = 0; i < count; i++) {
        struct wf_child *child;
        check_int(
            wf_child_spawn(
                &(struct wf_child_options){.argv = argv, .in = pipe, .out = pipe, .err = pipe},
                &child, NULL),
            -ENOENT);
    }
}

/* SUB-09 */
static void failing_spawns_leave_nothing(void **state)
{
    (void)state;
    as_party(failing);
}

static void reaped(void)
{
    const char *const argv[] = {"true", NULL};
    struct wf_child *child = spawn(&(struct wf_child_options){.argv = argv});
    check_int(wf_child_wait(child, NULL, soon()), 0);
    expect_no_children();
    check_int(wf_child_signal(child, SIGKILL), -ESRCH);
    check_int(wf_child_signal_all(child, SIGKILL), -ESRCH);
    wf_child_close(child);
    child = spawn(&(struct wf_child_options){
        .shell = "read a", .group = WF_CHILD_SAME_GROUP, .in = {.kind = WF_STDIO_PIPE}});
    check_int(wf_child_signal(child, 9999), -EINVAL);
    check_int(wf_child_signal(child, 0), 0);
    check_int(wf_child_signal_all(child, SIGTERM), 0);
    struct wf_exit end;
    check_int(wf_child_wait(child, &end, soon()), 0);
    check_int(end.signal, SIGTERM);
    wf_child_close(child);
}

/* SUB-12 */
static void the_reaped_get_no_signal(void **state)
{
    (void)state;
    as_party(reaped);
}

static void closed(void)
{
    int ends[2];
    open_pipe(ends);
    struct wf_pass_fd pass = {ends[1], 3};
    const enum wf_child_group groups[] = {WF_CHILD_SESSION, WF_CHILD_GROUP};
    for (int i = 0; i < 2; i++) {
        struct wf_child *child = spawn(&(struct wf_child_options){.shell = "sleep 100 & sleep 100",
                                                                  .pass = &pass,
                                                                  .pass_count = 1,
                                                                  .group = groups[i],
                                                                  .out = {.kind = WF_STDIO_PIPE}});
        wf_child_close(child);
        expect_no_children();
    }
    close(ends[1]);
    expect_end(ends[0]);
    close(ends[0]);
    wf_child_close(NULL);
}

/* SUB-17 */
static void a_closed_child_is_killed_and_reaped(void **state)
{
    (void)state;
    as_party(closed);
}

struct canceled {
    struct wfi_cancel level;
    WFI_ATOMIC(struct wfi_waiter *) waiter;
    struct wf_child *child; /* waited for, or NULL: wf_run */
    int err;
};

static void be_canceled(void *arg)
{
    struct canceled *c = arg;
    wfi_cancel_enter(&c->level, NULL, false, WF_FOREVER);
    wfi_store(&c->waiter, wfi_self());
    struct wf_run_result result;
    if (c->child) {
        c->err = wf_child_wait(c->child, NULL, soon());
    } else {
        struct wf_run_options options = {.child.shell = "echo partial; sleep 100 & sleep 100"};
        int witness = run_witnessed(&options, &result, soon(), &c->err);
        check_int(result.exit.signal, SIGKILL);
        check(!result.timed_out);
        expect_end(witness);
        close(witness);
        wf_run_result_fini(&result);
    }
    wfi_cancel_leave(&c->level);
}

static void cancel_one(struct wf_child *child, const char *reason)
{
    struct canceled c = {.child = child};
    struct party p;
    party_start(&p, be_canceled, &c);
    for (;;) {
        struct wfi_waiter *waiter = wfi_load(&c.waiter);
        const char *now = waiter ? wfi_load_relaxed(&waiter->reason) : NULL;
        if (now && strcmp(now, reason) == 0)
            break;
        wfi_yield();
    }
    wfi_cancel_ask(&c.level);
    party_join(&p);
    check_int(c.err, -ECANCELED);
}

/* SUB-17; on its own thread, which starts the parties that are cancelled */
static void the_cancelled_leave_no_child(void **state)
{
    (void)state;
    expect_shell("echo", "\n");
    cancel_one(NULL, "child's pipes");
    expect_no_children();
    struct wf_child *child =
        spawn(&(struct wf_child_options){.shell = "read a", .in = {.kind = WF_STDIO_PIPE}});
    struct wf_exit end;
    cancel_one(child, "child");
    check_int(wf_child_wait(child, &end, WF_NOW), -ETIMEDOUT);
    wf_stream_close(wf_child_take(child, 0));
    check_int(wf_child_wait(child, &end, soon()), 0);
    check_int(end.status, 1);
    wf_child_close(child);
    expect_no_children();
}

static void canceled_before(void)
{
    struct wfi_cancel level;
    struct wf_run_result result;
    wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
    wfi_cancel_ask(&level);
    check_int(wf_run(&(struct wf_run_options){.child.shell = "sleep 100"}, &result, soon(), NULL),
              -ECANCELED);
    wf_run_result_fini(&result);
    struct wf_child *child = spawn(&(struct wf_child_options){.shell = "sleep 100"});
    wf_child_close(child);
    wfi_cancel_leave(&level);
}

/* SUB-17 */
static void the_already_cancelled_leave_no_child(void **state)
{
    (void)state;
    as_party(canceled_before);
}

/* What the child finds itself with */

/* This program again: what it prints depends on `what`. */
static void expect_of_self(const char *what, const struct wf_child_options *options,
                           const char *expected)
{
    const char *const argv[] = {self_path, what, NULL};
    struct wf_child_options child = *options;
    child.argv = argv;
    expect_output(&child, expected);
}

static void descriptors(void)
{
    char text[64];
    int open_here = dup(0), a[2], b[2]; /* not closed on exec */
    check(open_here > 2);
    open_pipe(a);
    open_pipe(b);
    expect_of_self("descriptors", &(struct wf_child_options){.umask_set = false}, "0 1 2\n");
    /* Far up, and two that change places. */
    struct wf_pass_fd pass[] = {{a[1], b[1]}, {b[1], a[1]}, {a[0], 200}};
    snprintf(text, sizeof text, "0 1 2 %d %d 200\n", a[1] < b[1] ? a[1] : b[1],
             a[1] < b[1] ? b[1] : a[1]);
    struct wf_child_options options = {.pass = pass, .pass_count = 3};
    expect_of_self("descriptors", &options, text);
    char swap[96], got[16];
    fcntl(a[0], F_SETFL, O_NONBLOCK); /* what is not there by then does not come */
    fcntl(b[0], F_SETFL, O_NONBLOCK);
    snprintf(swap, sizeof swap, "echo to b >/dev/fd/%d; echo to a >/dev/fd/%d", a[1], b[1]);
    options.shell = swap;
    expect_output(&options, "");
    check_int(read(a[0], got, sizeof got), 5);
    check_bytes(got, "to a\n", 5);
    check_int(read(b[0], got, sizeof got), 5);
    check_bytes(got, "to b\n", 5);
    /* The same number, and several copies of one. */
    struct wf_pass_fd same[] = {{a[1], 0}, {a[1], 7 + a[1]}};
    snprintf(text, sizeof text, "0 1 2 %d %d\n", a[1], 7 + a[1]);
    expect_of_self("descriptors", &(struct wf_child_options){.pass = same, .pass_count = 2}, text);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    close(open_here);
}

/* SUB-14 */
static void only_asked_for_descriptors_arrive(void **state)
{
    (void)state;
    as_party(descriptors);
}

/* SUB-14; on the test's own thread, since it takes its 0, 1 and 2 away for a moment */
static void descriptors_below_three_may_be_closed_or_swapped(void **state)
{
    (void)state;
    int saved[3];
    fflush(NULL);
    for (int i = 0; i < 3; i++)
        check((saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100)) >= 0);
    int failed = 0;
    for (int closed = 0; closed < 8 && !failed; closed++) {
        struct wf_run_result result = {.out = NULL};
        for (int i = 0; i < 3; i++)
            if (closed & 1 << i)
                close(i);
        struct wf_run_options options = {
            .child.shell = "cat; echo err >&2", .input = "in", .input_len = 2};
        int err = wf_run(&options, &result, soon(), NULL);
        if (err || strcmp(result.out, "in") || strcmp(result.err, "err\n"))
            failed = closed + 1;
        wf_run_result_fini(&result);
        /* What is inherited closed stays closed. */
        char expected[16];
        const char *const argv[] = {self_path, "descriptors", NULL};
        options = (struct wf_run_options){.child = {.argv = argv,
                                                    .in = {.kind = WF_STDIO_INHERIT},
                                                    .err = {.kind = WF_STDIO_INHERIT}}};
        err = wf_run(&options, &result, soon(), NULL);
        snprintf(expected, sizeof expected, "%s1%s\n", closed & 1 ? "" : "0 ",
                 closed & 4 ? "" : " 2");
        if (err || strcmp(result.out, expected))
            failed = closed + 1;
        wf_run_result_fini(&result);
        for (int i = 0; i < 3; i++)
            dup2(saved[i], i);
    }
    /* Output and error change places, and input comes from above both. */
    int out[2], err[2];
    open_pipe(out);
    open_pipe(err);
    dup2(out[1], 1);
    dup2(err[1], 2);
    struct wf_child *child = NULL;
    int code = wf_child_spawn(&(struct wf_child_options){.shell = "echo out; echo err >&2",
                                                         .out = {.kind = WF_STDIO_FD, .fd = 2},
                                                         .err = {.kind = WF_STDIO_FD, .fd = 1}},
                              &child, NULL);
    if (!code)
        code = wf_child_wait(child, NULL, soon());
    wf_child_close(child);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    close(out[1]);
    close(err[1]);
    char text[16] = "";
    check_int(failed, 0);
    check_int(code, 0);
    check_int(read(out[0], text, 4), 4);
    check_text(text, "err\n");
    check_int(read(err[0], text, 4), 4);
    check_text(text, "out\n");
    close(out[0]);
    close(err[0]);
}

static void surroundings(void)
{
    char text[96];
    setenv("CHILD_TEST_A", "from caller", 1);
    const char *const none[] = {NULL};
    const char *const change[] = {"CHILD_TEST_A=a", "CHILD_TEST_B=b=c", "CHILD_TEST_B=d", NULL};
    const char *const take[] = {"CHILD_TEST_A", NULL};
    const char *show = "echo \"$CHILD_TEST_A,$CHILD_TEST_B\"";
    expect_output(&(struct wf_child_options){.shell = show}, "from caller,\n");
    expect_output(&(struct wf_child_options){.shell = show, .env = change}, "a,d\n");
    expect_output(&(struct wf_child_options){.shell = show, .env = take}, ",\n");
    const char *const env_argv[] = {"/usr/bin/env", NULL};
    expect_output(&(struct wf_child_options){.argv = env_argv, .env_empty = true}, "");
    expect_output(&(struct wf_child_options){.argv = env_argv, .env_empty = true, .env = none}, "");
    expect_output(&(struct wf_child_options){.argv = env_argv, .env_empty = true, .env = change},
                  "CHILD_TEST_A=a\nCHILD_TEST_B=d\n");
    expect_output(&(struct wf_child_options){.shell = "pwd", .cwd = "/usr"}, "/usr\n");
    expect_output(&(struct wf_child_options){.shell = "umask", .umask_set = true, .umask = 0137},
                  "0137\n");
    expect_of_self("group", &(struct wf_child_options){.umask_set = false}, "session leader\n");
    expect_of_self("group", &(struct wf_child_options){.group = WF_CHILD_GROUP}, "group leader\n");
    snprintf(text, sizeof text, "in group %d\n", (int)getpgrp());
    expect_of_self("group", &(struct wf_child_options){.group = WF_CHILD_SAME_GROUP}, text);
    struct wf_rlimit limits[] = {{RLIMIT_CPU, 50, 60}, {RLIMIT_CORE, 9, 0}};
    expect_output(&(struct wf_child_options){.shell = "ulimit -St; ulimit -Ht; ulimit -c",
                                             .rlimits = limits,
                                             .rlimit_count = 2},
                  "50\n60\n0\n");
    unsetenv("CHILD_TEST_A");
}

/* SUB-15 */
static void a_child_sees_what_it_was_given(void **state)
{
    (void)state;
    as_party(surroundings);
}

static void signal_state(void)
{
    const char *const argv[] = {"cat", "/proc/self/status", NULL};
    struct wf_run_result result;
    check_int(run(&(struct wf_run_options){.child.argv = argv}, &result), 0);
    const char *at = strstr(result.out, "\nSigBlk:");
    unsigned long long blocked, ignored, caught;
    check(at);
    check_int(sscanf(at, " SigBlk: %llx SigIgn: %llx SigCgt: %llx", &blocked, &ignored, &caught),
              3);
    check(!blocked && !caught);
    /* A make that was started by posix_spawn hands on two of the C library's own as ignored. */
    check((ignored & 0x7fffffff) == 0);
    wf_run_result_fini(&result);
}

/* SUB-15 */
static void a_child_has_default_signals(void **state)
{
    (void)state;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, count = {.sa_handler = count_signal};
    struct sigaction before[3];
    sigset_t block, mask;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigaddset(&block, SIGRTMAX);
    pthread_sigmask(SIG_BLOCK, &block, &mask);
    sigaction(SIGPIPE, &ignore, &before[0]);
    sigaction(SIGHUP, &ignore, &before[1]);
    sigaction(SIGCHLD, &count, &before[2]);
    as_party(signal_state);
    sigaction(SIGPIPE, &before[0], NULL);
    sigaction(SIGHUP, &before[1], NULL);
    sigaction(SIGCHLD, &before[2], NULL);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &mask, &now);
    check(sigismember(&now, SIGUSR2)); /* the caller's is as it was */
    check(!sigismember(&now, SIGTERM));
}

/* Beside others */

static void beside_others(void)
{
    pid_t other = fork();
    if (other == 0)
        raise(SIGKILL); /* at an exit Valgrind would look for what the threads left behind here */
    for (int i = 0; i < 3; i++)
        expect_shell("echo", "\n");
    int status;
    check_int(waitpid(other, &status, 0), other);
    check_int(WTERMSIG(status), SIGKILL);
    /* And the other way round: one that is taken away is told, and nothing hangs. */
    const char *const argv[] = {"true", NULL};
    struct wf_child *child = spawn(&(struct wf_child_options){.argv = argv});
    check_int(waitpid(wf_child_pid(child), &status, 0), wf_child_pid(child));
    check_int(wf_child_wait(child, NULL, soon()), -ECHILD);
    check_int(wf_child_signal_all(child, SIGKILL), -ESRCH);
    wf_child_close(child);
}

static void others_children_are_left_alone(void **state)
{
    (void)state;
    as_party(beside_others);
}

enum { CROWD = 60 };
struct member {
    int number;
};

static void be_in_crowd(void *arg)
{
    struct member *member = arg;
    char text[16], input[16];
    struct wf_run_result result;
    int len = snprintf(input, sizeof input, "%d", member->number);
    struct wf_run_options options = {
        .child.shell = "cat; exit 9", .input = input, .input_len = (size_t)len};
    check_int(run(&options, &result), 0);
    snprintf(text, sizeof text, "%d", member->number);
    check_text(result.out, text);
    check_int(result.exit.status, 9);
    wf_run_result_fini(&result);
}

static void many_at_once(void **state)
{
    (void)state;
    static struct party crowd[CROWD];
    static struct member members[CROWD];
    int count = SLOW || wfi_under_valgrind() ? 12 : CROWD;
    for (int i = 0; i < count; i++) {
        members[i].number = i * 1000;
        party_start(&crowd[i], be_in_crowd, &members[i]);
    }
    for (int i = 0; i < count; i++)
        party_join(&crowd[i]);
    expect_no_children();
}

struct one_waiter {
    struct wf_child *child;
    struct wf_exit end;
    int err;
};

static void wait_for_one(void *arg)
{
    struct one_waiter *w = arg;
    w->err = wf_child_wait(w->child, &w->end, soon());
}

static void all_who_wait_are_told(void **state)
{
    (void)state;
    struct party parties[4];
    struct one_waiter waiters[4];
    struct wf_child *child =
        spawn(&(struct wf_child_options){.shell = "read a; exit 4", .in = {.kind = WF_STDIO_PIPE}});
    for (int i = 0; i < 4; i++) {
        waiters[i] = (struct one_waiter){.child = child};
        party_start(&parties[i], wait_for_one, &waiters[i]);
    }
    wf_stream_close(wf_child_take(child, 0));
    for (int i = 0; i < 4; i++) {
        party_join(&parties[i]);
        check_int(waiters[i].err, 0);
        check_int(waiters[i].end.status, 4);
    }
    wf_child_close(child);
}

/* Means that run out */

/* One of everything that takes memory or descriptors. */
static int run_rich(struct wf_error *reterr)
{
    const char *const env[] = {"A=b", NULL};
    struct wf_pass_fd pass = {2, 3};
    struct wf_rlimit limit = {RLIMIT_CORE, 0, 0};
    struct wf_run_options options = {.child = {.shell = "cat; echo $A >&2",
                                               .env = env,
                                               .pass = &pass,
                                               .pass_count = 1,
                                               .rlimits = &limit,
                                               .rlimit_count = 1},
                                     .input = "in",
                                     .input_len = 2,
                                     .check = true};
    struct wf_run_result result;
    int err = wf_run(&options, &result, soon(), reterr);
    if (!err) {
        check_text(result.out, "in");
        check_text(result.err, "b\n");
    }
    wf_run_result_fini(&result);
    return err;
}

static void starved(void)
{
    struct wf_error error;
    check_int(run_rich(&error), 0);
    bool reached = true;
    int n = 0, failures = 0;
    while (reached) {
        int before = open_descriptors();
        wfi_alloc_watch((uint64_t)++n);
        int err = run_rich(&error);
        reached = wfi_alloc_unwatch();
        check_int(wfi_alloc_live(), 0);
        check(err == (reached ? -ENOMEM : 0));
        failures += err != 0;
        check_int(open_descriptors(), before);
        expect_no_children();
    }
    check(failures > 5);
}

/* In plain threads only: what else runs in a runtime allocates too. */
static void no_memory_is_an_error(void **state)
{
    (void)state;
    starved();
}

static void without_descriptors(void)
{
    struct rlimit before, limit;
    struct wf_error error;
    if (wfi_under_valgrind())
        skip(); /* it ends when clone is refused a pidfd */
    check_int(run_rich(&error), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    int lowest = dup(0), count = open_descriptors() - 1, refused = 0, err = -1;
    close(lowest);
    limit = before;
    for (int more = 1; err && more < 40; more++) {
        limit.rlim_cur = (rlim_t)(lowest + more);
        setrlimit(RLIMIT_NOFILE, &limit);
        err = run_rich(&error);
        setrlimit(RLIMIT_NOFILE, &before);
        if (err)
            check_int(err, -EMFILE);
        refused += err != 0;
        check_int(open_descriptors(), count);
        expect_no_children();
    }
    check_int(err, 0);
    check(refused > 3);
}

static void no_descriptor_is_an_error(void **state)
{
    (void)state;
    without_descriptors();
}

static int with_fork(void **state)
{
    wfi_spawn_force_fork(true);
    return parties_threads(state);
}

static int without_fork(void **state)
{
    wfi_spawn_force_fork(false);
    return parties_tear_down(state);
}

/* Once more where memory cannot be shared with a child. */
#define FORK_TEST(test)                                         \
    {                                                           \
#test " (by fork)", test, with_fork, without_fork, NULL \
    }
#define THREAD_TEST(test)                                     \
    {                                                         \
#test, test, parties_threads, parties_tear_down, NULL \
    }

/* What the children that are this program tell. */
static int be_child(const char *what)
{
    if (strcmp(what, "descriptors") == 0) {
        const char *between = "";
        for (int fd = 0; fd < 1024; fd++)
            if (fcntl(fd, F_GETFD) >= 0) {
                printf("%s%d", between, fd);
                between = " ";
            }
        printf("\n");
    } else if (getsid(0) == getpid()) {
        printf("session leader\n");
    } else if (getpgrp() == getpid()) {
        printf("group leader\n");
    } else {
        printf("in group %d\n", (int)getpgrp());
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PARTIES_TEST(the_end_is_told_and_checked),
        PARTIES_TEST(what_it_used_is_told),
        PARTIES_TEST(what_cannot_be_started_is_named),
        PARTIES_TEST(a_program_is_found_as_the_child_would),
        PARTIES_TEST(no_shell_unless_asked),
        PARTIES_TEST(bytes_land_where_asked),
        PARTIES_TEST(output_can_be_the_callers),
        PARTIES_TEST(much_in_every_direction_at_once),
        PARTIES_TEST(what_is_kept_has_a_limit),
        PARTIES_TEST(a_timed_out_exchange_goes_on),
        PARTIES_TEST(what_was_taken_is_not_given_again),
        PARTIES_TEST(a_child_that_closes_its_pipes_is_waited_for),
        PARTIES_TEST(pipes_are_streams),
        PARTIES_TEST(a_deadline_ends_grandchildren_too),
        PARTIES_TEST(who_left_the_session_holds_nobody_up),
        PARTIES_TEST(who_is_asked_first_may_end_by_itself),
        PARTIES_TEST(what_outlives_a_polite_end_is_killed),
        PARTIES_TEST(a_deadline_ends_endless_output),
        PARTIES_TEST(input_that_is_not_read_hurts_nobody),
        PARTIES_TEST(a_signal_ends_no_wait),
        PARTIES_TEST(failing_spawns_leave_nothing),
        PARTIES_TEST(the_reaped_get_no_signal),
        PARTIES_TEST(a_closed_child_is_killed_and_reaped),
        PARTIES_TEST(the_cancelled_leave_no_child),
        PARTIES_TEST(the_already_cancelled_leave_no_child),
        PARTIES_TEST(only_asked_for_descriptors_arrive),
        PARTIES_TEST(a_child_sees_what_it_was_given),
        PARTIES_TEST(a_child_has_default_signals),
        PARTIES_TEST(others_children_are_left_alone),
        PARTIES_TEST(many_at_once),
        PARTIES_TEST(all_who_wait_are_told),
        THREAD_TEST(descriptors_below_three_may_be_closed_or_swapped),
        THREAD_TEST(no_memory_is_an_error),
        THREAD_TEST(no_descriptor_is_an_error),
        FORK_TEST(the_end_is_told_and_checked),
        FORK_TEST(what_cannot_be_started_is_named),
        FORK_TEST(a_program_is_found_as_the_child_would),
        FORK_TEST(only_asked_for_descriptors_arrive),
        FORK_TEST(descriptors_below_three_may_be_closed_or_swapped),
        FORK_TEST(a_child_sees_what_it_was_given),
        FORK_TEST(a_child_has_default_signals),
        FORK_TEST(failing_spawns_leave_nothing),
        FORK_TEST(no_memory_is_an_error),
        FORK_TEST(no_descriptor_is_an_error),
    };
    if (argc == 2)
        return be_child(argv[1]);
    ssize_t len = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
    self_path[len > 0 ? len : 0] = '\0';
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
