/* SPDX-License-Identifier: MIT */
/*
 * The server under test in V1 to V3: prints its port and serves until SIGTERM. What it answers is
 * described in README.md, and is the same for every server there.
 */
#include <weft/fibers.h>
#include <weft/json.h>
#include <weft/main.h>
#include <weft/processes.h>
#include <weft/server.h>
#include <weft/threads.h>
#include <weft/time.h>

#include "primes.h"

#define NUMBERS_MAX 16

static int answer_hello(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "Hello, world!\n");
}

/* V2: a file, a database and another service, as far as waiting is concerned. */

WF_TASK(const char *, wait_for, (int64_t, duration_ns), (const char *, result))

int wait_for(struct wf_task *self, int64_t duration_ns, const char *result, const char **ret)
{
    (void)self;
    *ret = result;
    return wf_sleep(wf_after(duration_ns));
}
WF_TASK_DEFINE(wait_for)

static int answer_waits(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    static const char *const keys[] = {"result_file", "result_db", "result_api"};
    struct wf_scope *scope = wf_request_scope(request);
    wait_for_future waits[] = {
        wait_for_spawn(scope, WF_MILLISECONDS(100), "file result"),
        wait_for_spawn(scope, WF_MILLISECONDS(200), "db result"),
        wait_for_spawn(scope, WF_MILLISECONDS(300), "api result"),
    };
    struct wf_json_writer *json;
    int err = wf_json_writer_create(NULL, &json);
    if (err)
        return err;
    wf_json_write_object(json);
    for (int i = 0; i < 3 && !err; i++) {
        const char *result;
        err = wait_for_result(&waits[i], &result, WF_FOREVER, NULL);
        if (!err) {
            wf_json_write_key(json, keys[i]);
            wf_json_write_string(json, result, strlen(result));
        }
    }
    wf_json_write_end(json);
    if (!err)
        err = wf_response_json(response, 200, json);
    wf_json_writer_destroy(json);
    return err;
}

/* V3: the numbers of one path, each a task of the executor that `arg` points to. */
static int answer_primes(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct wf_executor *on = *(struct wf_executor **)arg;
    const char *at = wf_request_param(request, "numbers");
    is_prime_future found[NUMBERS_MAX];
    uint64_t numbers[NUMBERS_MAX];
    size_t count = 0;
    for (char *end; *at && count < NUMBERS_MAX; at = end + (*end == ',')) {
        numbers[count] = strtoull(at, &end, 10);
        if (end == at)
            return 400;
        count++;
    }
    for (size_t i = 0; i < count; i++)
        found[i] = is_prime_submit(on, numbers[i]);
    char text[64 * NUMBERS_MAX] = "{";
    size_t len = 1;
    for (size_t i = 0; i < count; i++) {
        bool prime;
        int err = is_prime_result(&found[i], &prime, WF_FOREVER, NULL);
        if (err)
            return err;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%llu\": %s", i ? ", " : "",
                                (unsigned long long)numbers[i], prime ? "true" : "false");
    }
    text[len++] = '}';
    return wf_response_send(response, 200, "application/json", text, len);
}

static struct wf_executor *threads, *processes;

static const struct wf_route routes[] = {
    {.method = "GET", .path = "/", .handler = answer_hello},
    {.method = "GET", .path = "/waits", .handler = answer_waits},
    {.method = "GET", .path = "/is_prime/{numbers}", .handler = answer_primes, .arg = &threads},
    {.method = "GET",
     .path = "/on_processes/{numbers}",
     .handler = answer_primes,
     .arg = &processes},
};

static int serve(void *arg)
{
    (void)arg;
    struct wf_server *server;
    struct wf_address at;
    must(wf_threads_create(NULL, &threads, NULL));
    must(wf_processes_create(NULL, &processes, NULL));
    must(wf_server_create(&(struct wf_server_options){.connections_max = 20000}, &server, NULL));
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        must(wf_server_route(server, &routes[i], NULL));
    must(wf_server_listen(server, "127.0.0.1:0", NULL, NULL));
    must(wf_server_address(server, 0, &at));
    char text[WF_ADDRESS_TEXT_BYTES];
    wf_address_format(&at, text, sizeof text);
    printf("%s\n", strrchr(text, ':') + 1);
    fflush(stdout);
    int err = wf_server_run(server, wf_main_executor(), NULL);
    wf_server_destroy(server);
    wf_executor_destroy(threads);
    wf_executor_destroy(processes);
    return err ? 1 : 0;
}

int main(void)
{
    int status = wf_main(NULL, serve, NULL, NULL);
    return status == 128 + 15 ? 0 : 1;
}
