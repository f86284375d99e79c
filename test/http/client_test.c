/* SPDX-License-Identifier: MIT */
/* The HTTP client against a server that misbehaves by path; every case on a thread and on a fiber.
 */
#include <weft/http.h>

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sched/cancel.h"
#include "sched/runtime.h"

static struct {
    pid_t pid;
    int input;
    int port;
} server;

static struct wf_http *http;

static int start_server(void **state)
{
    (void)state;
    int in[2], out[2];
    const char *root = getenv("MESON_SOURCE_ROOT");
    char script[512], line[16] = "";
    snprintf(script, sizeof script, "%s/test/http/server.py", root ? root : ".");
    if (pipe(in) || pipe(out))
        return -1;
    server.pid = fork();
    if (server.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", script, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server.input = in[1];
    for (size_t n = 0; n < sizeof line - 1 && read(out[0], &line[n], 1) == 1 && line[n] != '\n';
         n++)
        ;
    close(out[0]);
    server.port = atoi(line);
    return server.port > 0 && wf_http_create(&(struct wf_http_options){.body_bytes_max = 1 << 20},
                                             &http, NULL) == 0
               ? 0
               : -1;
}

static int stop_server(void **state)
{
    (void)state;
    wf_http_destroy(http);
    close(server.input);
    return waitpid(server.pid, NULL, 0) == server.pid ? 0 : -1;
}

static const char *url_of(char buffer[static 128], const char *path)
{
    snprintf(buffer, 128, "http://127.0.0.1:%d%s", server.port, path);
    return buffer;
}

/* Runs a case on this thread, then on fibers. */
static void both(void (*fn)(void *))
{
    struct wfi_runtime *runtime;
    struct wfi_routine routines[2];
    fn(NULL);
    assert_int_equal(
        wfi_runtime_create(&(struct wfi_runtime_options){.workers = 2}, &runtime, NULL), 0);
    for (int i = 0; i < 2; i++)
        wfi_routine_start(&routines[i], runtime, "case", fn, NULL);
    for (int i = 0; i < 2; i++)
        wfi_routine_join(&routines[i], WF_FOREVER);
    wfi_runtime_destroy(runtime);
}

static int get(const char *path, struct wf_http_response *answer, wf_deadline deadline,
               struct wf_error *err)
{
    char url[128];
    struct wf_http_request request = {.url = url_of(url, path), .keep_body = true};
    return wf_http_fetch(http, &request, answer, deadline, err);
}

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(20));
}

static void answers(void *unused)
{
    (void)unused;
    struct wf_http_response answer;
    struct wf_error err;
    assert_int_equal(get("/ok", &answer, soon(), &err), 0);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "hello");
    assert_int_equal(answer.body_len, 5);
    assert_string_equal(answer.content_type, "text/plain; charset=utf-8");
    assert_null(answer.location);
    assert_true(answer.elapsed_ns > 0);
    wf_http_response_fini(&answer);
    /* Any status is an answer. */
    assert_int_equal(get("/missing", &answer, soon(), &err), 0);
    assert_int_equal(answer.status, 404);
    assert_string_equal(answer.body, "no such page");
    wf_http_response_fini(&answer);
    /* A redirect is reported, absolute, and not followed. */
    char url[128];
    assert_int_equal(get("/redirect", &answer, soon(), &err), 0);
    assert_int_equal(answer.status, 302);
    assert_string_equal(answer.location, url_of(url, "/ok"));
    wf_http_response_fini(&answer);
    assert_int_equal(get("/chunked", &answer, soon(), &err), 0);
    assert_string_equal(answer.body, "abcdefg");
    wf_http_response_fini(&answer);
    assert_int_equal(get("/gzip", &answer, soon(), &err), 0);
    assert_int_equal(answer.body_len, 10000);
    assert_true(answer.wire_bytes < 1000);
    wf_http_response_fini(&answer);
}

static void an_answer_arrives_whole(void **state)
{
    (void)state;
    both(answers);
}

static void sends(void *unused)
{
    (void)unused;
    char url[128];
    struct wf_http_response answer;
    struct wf_error err;
    struct wf_http_header headers[] = {{"x-requested-with", "XMLHttpRequest"},
                                       {"pragma", "no-cache"}};
    struct wf_http_request request = {.url = url_of(url, "/echo"),
                                      .headers = headers,
                                      .header_count = 2,
                                      .body = "{\"PageIndex\":1}",
                                      .body_len = 15,
                                      .keep_body = true};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), &err), 0);
    assert_int_equal(strncmp(answer.body, "POST\n", 5), 0);
    assert_non_null(strstr(answer.body, "x-requested-with: XMLHttpRequest\n"));
    assert_non_null(strstr(answer.body, "pragma: no-cache\n"));
    assert_non_null(strstr(answer.body, "\n\n{\"PageIndex\":1}"));
    wf_http_response_fini(&answer);
    request = (struct wf_http_request){.url = url, .method = "HEAD", .keep_body = true};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), &err), 0);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body_len, 0);
    wf_http_response_fini(&answer);
    /* A header that would become two is refused before anything is sent. */
    struct wf_http_header bad = {"x", "a\r\nevil: 1"};
    request = (struct wf_http_request){.url = url, .headers = &bad, .header_count = 1};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), &err), -EINVAL);
    wf_http_response_fini(&answer);
}

static void headers_and_body_are_sent_as_given(void **state)
{
    (void)state;
    both(sends);
}

struct stream {
    int heads, status;
    size_t bytes, stop_after;
};

static int on_head(void *arg, int status, const char *type)
{
    struct stream *stream = arg;
    assert_string_equal(type, "text/plain; charset=utf-8");
    stream->heads++;
    stream->status = status;
    return 0;
}

static int on_body(void *arg, const char *data, size_t len)
{
    struct stream *stream = arg;
    assert_int_equal(stream->heads, 1);
    assert_int_equal(data[0], 'x');
    stream->bytes += len;
    return stream->stop_after && stream->bytes >= stream->stop_after ? -ECONNABORTED : 0;
}

static void streams(void *unused)
{
    (void)unused;
    char url[128];
    struct stream stream = {0};
    struct wf_http_response answer;
    struct wf_http_request request = {.url = url_of(url, "/bytes/300000"),
                                      .on_head = on_head,
                                      .on_body = on_body,
                                      .arg = &stream};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), NULL), 0);
    assert_int_equal(stream.bytes, 300000);
    assert_int_equal(stream.status, 200);
    assert_null(answer.body);
    wf_http_response_fini(&answer);
    stream = (struct stream){.stop_after = 1000};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), NULL), -ECONNABORTED);
    assert_true(stream.bytes < 300000);
    wf_http_response_fini(&answer);
}

static void a_body_streams_and_can_be_broken_off(void **state)
{
    (void)state;
    both(streams);
}

static void expect_failure(const char *path, wf_deadline deadline, int code, const char *in_text)
{
    struct wf_http_response answer;
    struct wf_error err = {0};
    assert_int_equal(get(path, &answer, deadline, &err), code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, in_text));
    wf_http_response_fini(&answer);
}

/* The URL of a port that is taken, so nobody else gets it, and that nobody listens on. */
static int refused_port(char *url, size_t len)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addr_len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, addr_len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &addr_len), 0);
    snprintf(url, len, "http://127.0.0.1:%u/", (unsigned)ntohs(addr.sin_port));
    return fd;
}

static void fails(void *unused)
{
    (void)unused;
    expect_failure("/early", soon(), WF_ESHORT, "");
    expect_failure("/garbage", soon(), WF_EPROTOCOL, "");
    expect_failure("/reset", soon(), -ECONNRESET, "");
    expect_failure("/bytes/2000000", soon(), WF_ETOOBIG, "1048576");
    expect_failure("/hang", wf_after(WF_MILLISECONDS(30)), -ETIMEDOUT, "deadline");
    struct wf_http_response answer;
    struct wf_error err;
    struct wf_http_request request = {.url = "ftp://127.0.0.1/x"};
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), &err), WF_EPARSE);
    wf_http_response_fini(&answer);
    char url[40];
    int taken = refused_port(url, sizeof url);
    request.url = url;
    assert_int_equal(wf_http_fetch(http, &request, &answer, soon(), &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, url));
    wf_http_response_fini(&answer);
    close(taken);
    /* And the client works on. */
    assert_int_equal(get("/ok", &answer, soon(), &err), 0);
    wf_http_response_fini(&answer);
}

static void every_failure_names_the_url_and_the_cause(void **state)
{
    (void)state;
    both(fails);
}

struct trial {
    WFI_ATOMIC(struct wfi_cancel *) level;
    int result;
};

static void hang(void *arg)
{
    struct trial *trial = arg;
    struct wfi_cancel level;
    struct wf_http_response answer;
    struct wf_error err;
    wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
    wfi_store(&trial->level, &level);
    trial->result = get("/hang", &answer, WF_FOREVER, &err);
    wf_http_response_fini(&answer);
    wfi_cancel_leave(&level);
}

static void a_cancel_aborts_the_transfer(void **state)
{
    (void)state;
    struct wfi_runtime *runtime;
    struct wfi_routine routine;
    struct trial trial = {.result = 0};
    assert_int_equal(
        wfi_runtime_create(&(struct wfi_runtime_options){.workers = 1}, &runtime, NULL), 0);
    wfi_routine_start(&routine, runtime, "hangs", hang, &trial);
    while (!wfi_load(&trial.level))
        wf_sleep(wf_after(1000));
    wfi_cancel_ask(wfi_load(&trial.level));
    wfi_routine_join(&routine, WF_FOREVER);
    assert_int_equal(trial.result, -ECANCELED);
    wfi_runtime_destroy(runtime);
}

static WFI_ATOMIC(int) reused;

static void fetch_some(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        struct wf_http_response answer;
        assert_int_equal(get("/bytes/10000", &answer, soon(), NULL), 0);
        assert_int_equal(answer.body_len, 10000);
        wfi_fetch_add(&reused, answer.connection_used ? 1 : 0);
        wf_http_response_fini(&answer);
    }
}

static void many_fibers_share_a_workers_connections(void **state)
{
    (void)state;
    enum { FIBERS = 20 };
    struct wfi_runtime *runtime;
    struct wfi_routine routines[FIBERS];
    wfi_store(&reused, 0);
    assert_int_equal(
        wfi_runtime_create(&(struct wfi_runtime_options){.workers = 2}, &runtime, NULL), 0);
    for (int i = 0; i < FIBERS; i++)
        wfi_routine_start(&routines[i], runtime, "fetcher", fetch_some, NULL);
    for (int i = 0; i < FIBERS; i++)
        wfi_routine_join(&routines[i], WF_FOREVER);
    wfi_runtime_destroy(runtime);
    assert_true(wfi_load(&reused) >= FIBERS * 20 - FIBERS * 2);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_arrives_whole),
        cmocka_unit_test(headers_and_body_are_sent_as_given),
        cmocka_unit_test(a_body_streams_and_can_be_broken_off),
        cmocka_unit_test(every_failure_names_the_url_and_the_cause),
        cmocka_unit_test(a_cancel_aborts_the_transfer),
        cmocka_unit_test(many_fibers_share_a_workers_connections),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
