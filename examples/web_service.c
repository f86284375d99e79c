/* SPDX-License-Identifier: MIT */
#include "web_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/http.h>
#include <weft/main.h>

struct run {
    struct web_service *service;
    const char *endpoint;
    bool ask;
};

void web_service_close(struct web_service *service)
{
    for (size_t i = 0; i < sizeof service->executors / sizeof service->executors[0]; i++) {
        wf_executor_destroy(service->executors[i]);
        service->executors[i] = NULL;
    }
}

static int ask(struct wf_http *client, const char *base, const char *path, struct wf_error *reterr)
{
    char url[256];
    struct wf_http_response got;
    snprintf(url, sizeof url, "%s%s", base, path);
    const struct wf_http_request request = {.url = url, .keep_body = true};
    int64_t start_ns = wf_now();
    int err = wf_http_fetch(client, &request, &got, wf_after(WF_SECONDS(60)), reterr);
    if (!err) {
        printf("GET %s\n", path);
        if (got.status != 200)
            printf("status %d: ", got.status);
        printf("%.*s, cost: %.4f seconds\n", (int)strcspn(got.body, "\n"), got.body,
               (double)(wf_now() - start_ns) / 1e9);
    }
    wf_http_response_fini(&got);
    return err;
}

static int ask_all(struct wf_server *server, const char *base, const char *const *paths,
                   struct wf_error *reterr)
{
    struct wf_http *client = NULL;
    int err = wf_server_start(server, wf_main_executor(), reterr);
    if (!err)
        err = wf_http_create(NULL, &client, reterr);
    for (; !err && *paths; paths++)
        err = ask(client, base, *paths, reterr);
    wf_http_destroy(client);
    return err;
}

static int serve(void *arg)
{
    const struct run *run = arg;
    struct wf_server *server = NULL;
    struct wf_address address;
    struct wf_error error;
    char at[WF_ADDRESS_TEXT_BYTES], base[sizeof at + 8];
    int err = wf_server_create(NULL, &server, &error);
    if (!err)
        err = run->service->open(run->service, server, &error);
    if (!err)
        err = wf_server_listen(server, run->endpoint, NULL, &error);
    if (!err)
        err = wf_server_address(server, 0, &address);
    if (!err) {
        wf_address_format(&address, at, sizeof at);
        snprintf(base, sizeof base, "http://%s", at);
    }
    if (!err && run->ask) {
        err = ask_all(server, base, run->service->paths, &error);
    } else if (!err) {
        printf("%s/\n", base);
        fflush(stdout);
        err = wf_server_run(server, wf_main_executor(), &error);
    }
    wf_server_destroy(server);
    web_service_close(run->service);
    if (err)
        fprintf(stderr, "%s: %s\n", run->service->name, error.text);
    return err ? 1 : 0;
}

int web_service_main(struct web_service *service, int argc, char **argv)
{
    char endpoint[32], *end = "";
    bool asks = argc == 2 && strcmp(argv[1], "--ask") == 0;
    long port = asks ? 0 : argc > 1 ? strtol(argv[1], &end, 10) : 8000;
    if (argc > 2 || *end || port < 0 || port > 65535) {
        fprintf(stderr, "usage: %s [PORT | --ask]\n", service->name);
        return 2;
    }
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%ld", port);
    struct run run = {service, endpoint, asks};
    struct wf_error error;
    int status = wf_main(NULL, serve, &run, &error);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", service->name, error.text);
    /* To be interrupted is how serving ends. */
    return status < 0 ? 1 : status > 128 ? 0 : status;
}
