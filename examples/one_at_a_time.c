/* SPDX-License-Identifier: MIT */
/*
 * Ten requests at the same time, each of which waits for 0.1 s: to a server that has one worker,
 * whose handlers block it, as the frameworks' own servers do; then to one that is left as it is.
 *
 *     one_at_a_time
 */
#include <stdio.h>

#include <weft/fibers.h>
#include <weft/http.h>
#include <weft/main.h>
#include <weft/map.h>
#include <weft/server.h>
#include <weft/threads.h>

enum { REQUESTS = 10 };

static struct wf_http *client;

static int wait_a_while(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = wf_sleep(wf_after(WF_MILLISECONDS(100)));
    return err ? err : wf_response_text(response, 200, "done\n");
}

WF_TASK(int, ask, (const char *, url))

int ask(struct wf_task *self, const char *url, int *ret)
{
    struct wf_error error;
    struct wf_http_response got;
    int err = wf_http_fetch(client, &(struct wf_http_request){.url = url}, &got,
                            wf_after(WF_SECONDS(30)), &error);
    *ret = got.status;
    wf_http_response_fini(&got);
    return err ? wf_task_fail_with(self, &error) : 0;
}
WF_TASK_DEFINE(ask)

/* Serves on any free port, with handlers on the executor `on`, or, for NULL, as weft does it. */
static int time_requests(const char *name, struct wf_executor *on, struct wf_error *reterr)
{
    struct wf_server *server = NULL;
    struct wf_address address;
    struct ask_args asks[REQUESTS];
    int statuses[REQUESTS], good = 0;
    char at[WF_ADDRESS_TEXT_BYTES], url[sizeof at + 8];
    int err = wf_server_create(NULL, &server, reterr);
    if (!err)
        err = wf_server_route(
            server, &(struct wf_route){.path = "/", .handler = wait_a_while, .on = on}, reterr);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, reterr);
    if (!err)
        err = wf_server_address(server, 0, &address);
    if (!err)
        err = wf_server_start(server, wf_main_executor(), reterr);
    if (!err) {
        wf_address_format(&address, at, sizeof at);
        snprintf(url, sizeof url, "http://%s", at);
        for (int i = 0; i < REQUESTS; i++)
            asks[i].url = url;
        int64_t start_ns = wf_now();
        err = ask_each(wf_main_executor(), &(struct wf_map_options){.look_ahead = REQUESTS}, asks,
                       REQUESTS, statuses, WF_FOREVER, reterr);
        double cost_s = (double)(wf_now() - start_ns) / 1e9;
        for (int i = 0; i < REQUESTS && !err; i++)
            good += statuses[i] == 200;
        if (!err)
            printf("%s: %d of %d answered, cost: %.3f seconds\n", name, good, REQUESTS, cost_s);
    }
    wf_server_destroy(server);
    return err;
}

static int run(void *arg)
{
    (void)arg;
    struct wf_executor *one = NULL;
    struct wf_error error;
    int err = wf_http_create(NULL, &client, &error);
    if (!err)
        err = wf_threads_create(&(struct wf_threads_options){.workers = 1}, &one, &error);
    if (!err)
        err = time_requests("one worker, one request at a time", one, &error);
    if (!err)
        err = time_requests("a fiber for each connection", NULL, &error);
    if (err)
        fprintf(stderr, "one_at_a_time: %s\n", error.text);
    wf_executor_destroy(one);
    wf_http_destroy(client);
    return err ? 1 : 0;
}

int main(void)
{
    struct wf_error error;
    int status = wf_main(&(struct wf_main_options){.no_processes = true}, run, NULL, &error);
    if (status < 0)
        fprintf(stderr, "one_at_a_time: %s\n", error.text);
    return status < 0 ? 1 : status;
}
