/* SPDX-License-Identifier: MIT */
#include "serve/demo.h"

#include <weft/metrics.h>

#include "web_service.h"

static struct web_service *const services[] = {&web_thread_pool, &web_process_pool};

enum { SERVICES = sizeof services / sizeof services[0] };

static const struct wf_route routes[] = {
    {.method = "GET", .path = "/metrics", .handler = wf_serve_metrics},
    {.method = "GET", .path = "/healthz", .handler = wf_serve_health},
};

enum { ROUTES = sizeof routes / sizeof routes[0] };

int demo_open(struct wf_server *server, struct wf_error *reterr)
{
    int err = 0;
    for (size_t i = 0; i < ROUTES && !err; i++)
        err = wf_server_route(server, &routes[i], reterr);
    for (size_t i = 0; i < SERVICES && !err; i++)
        err = services[i]->open(services[i], server, reterr);
    return err;
}

void demo_close(void)
{
    for (size_t i = 0; i < SERVICES; i++)
        web_service_close(services[i]);
}
