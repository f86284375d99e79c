/* SPDX-License-Identifier: MIT */
/* What the texts' web services share: the program around a service's routes. `weft serve --demo`
 * serves the same services. */
#ifndef EXAMPLES_WEB_SERVICE_H
#define EXAMPLES_WEB_SERVICE_H

#include <weft/server.h>

struct web_service {
    const char *name;

    /* Makes the executors that the handlers need, and adds the routes. */
    int (*open)(struct web_service *self, struct wf_server *server, struct wf_error *reterr);
    struct wf_executor *executors[2];

    /* What the service asks itself for, NULL at the end. */
    const char *const *paths;
};

extern struct web_service web_thread_pool, web_process_pool;

/* Ends the executors, once the server has ended, or when open failed. */
void web_service_close(struct web_service *service);

/*
 * A service's main: NAME [PORT] serves on 127.0.0.1, port 8000 if none is given, until it is
 * interrupted. NAME --ask serves on any free port, asks itself for its paths, prints each request
 * with its answer and how long that took, and ends.
 */
int web_service_main(struct web_service *service, int argc, char **argv);

#endif
