/* SPDX-License-Identifier: MIT */
/*
 * The test site's server: HTTP/1.1 over weft's streams, a task for each connection, straight-line
 * code in it. The pages come from pages.h, what clients send is read by request.h.
 */
#ifndef WEFT_CMD_SITE_SERVER_H
#define WEFT_CMD_SITE_SERVER_H

#include <weft/error.h>
#include <weft/task.h>

#include "site/pages.h"

struct site_server;

struct site_server_options {
    struct site site;
    uint16_t port;      /* on 127.0.0.1; 0: any free one */
    int64_t delay_ns;   /* before every answer */
    int64_t idle_ns;    /* how long a connection may stay silent between requests; 0: a minute */
    int64_t request_ns; /* how long a request may take to come in; 0: ten seconds */
};

/*
 * Listens; connections wait until site_server_run.
 * Returns 0, or as wf_listener_open, or -ENOMEM.
 */
int site_server_open(const struct site_server_options *options, struct site_server **ret_server,
                     struct wf_error *reterr);

uint16_t site_server_port(const struct site_server *server);

/*
 * Serves, each connection a task of `on`, until the calling task is cancelled; then cuts the
 * connections off and waits for their tasks.
 *
 * Returns 0 when it was cancelled, or the error of accepting.
 */
int site_server_run(struct site_server *server, struct wf_executor *on);

/* Closes and frees; harmless on NULL. */
void site_server_close(struct site_server *server);

#endif
