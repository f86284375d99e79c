/* SPDX-License-Identifier: MIT */
/*
 * A web service that needs a file, a database and another service for its answer: 0.1, 0.2 and 0.3
 * seconds, on a pool of threads, together 0.3. /fibers and /serial are the same handler with other
 * executors: the fibers that the server itself runs on, also 0.3 and for any number of requests at
 * once; and one that runs each task at once in the caller, 0.6.
 *
 *     web_thread_pool [PORT | --ask]
 */
#include <stdio.h>

#include <weft/inline.h>
#include <weft/scope.h>
#include <weft/threads.h>

#include "web_service.h"

WF_TASK(const char *, read_file)
WF_TASK(const char *, read_db)
WF_TASK(const char *, read_api)

int read_file(struct wf_task *self, const char **ret)
{
    (void)self;
    *ret = "file result";
    return wf_sleep(wf_after(WF_MILLISECONDS(100)));
}
WF_TASK_DEFINE(read_file)

int read_db(struct wf_task *self, const char **ret)
{
    (void)self;
    *ret = "db result";
    return wf_sleep(wf_after(WF_MILLISECONDS(200)));
}
WF_TASK_DEFINE(read_db)

int read_api(struct wf_task *self, const char **ret)
{
    (void)self;
    *ret = "api result";
    return wf_sleep(wf_after(WF_MILLISECONDS(300)));
}
WF_TASK_DEFINE(read_api)

/* When the client goes away, so do the tasks: they are in the scope, and that in the request's. */
static int answer(struct wf_request *request, struct wf_response *response, void *on)
{
    (void)request;
    WF_SCOPE(scope, on, WF_FOREVER) {
        read_file_future file = read_file_spawn(scope);
        read_db_future db = read_db_spawn(scope);
        read_api_future api = read_api_spawn(scope);
        const char *texts[3];
        char json[128];
        int err = wf_scope_join(scope, NULL);
        if (err)
            return err;
        read_file_result(&file, &texts[0], WF_NOW, NULL);
        read_db_result(&db, &texts[1], WF_NOW, NULL);
        read_api_result(&api, &texts[2], WF_NOW, NULL);
        int len =
            snprintf(json, sizeof json,
                     "{\"result_file\": \"%s\", \"result_db\": \"%s\", \"result_api\": \"%s\"}",
                     texts[0], texts[1], texts[2]);
        return wf_response_send(response, 200, "application/json", json, (size_t)len);
    }
    return 0;
}

static int open_service(struct web_service *self, struct wf_server *server, struct wf_error *reterr)
{
    struct wf_route route = {.method = "GET", .path = "/", .handler = answer};
    int err = wf_threads_create(NULL, &self->executors[0], reterr);
    if (!err)
        err = wf_inline_create(&self->executors[1], reterr);
    route.arg = self->executors[0];
    if (!err)
        err = wf_server_route(server, &route, reterr);
    route.path = "/fibers";
    route.arg = NULL; /* a scope without an executor has that of the task it is in */
    if (!err)
        err = wf_server_route(server, &route, reterr);
    route.path = "/serial";
    route.arg = self->executors[1];
    return err ? err : wf_server_route(server, &route, reterr);
}

static const char *const paths[] = {"/", "/fibers", "/serial", NULL};
struct web_service web_thread_pool = {
    .name = "web_thread_pool", .open = open_service, .paths = paths};

#ifdef WEB_THREAD_POOL_MAIN
int main(int argc, char **argv)
{
    return web_service_main(&web_thread_pool, argc, argv);
}
#endif
