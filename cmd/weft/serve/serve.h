/* SPDX-License-Identifier: MIT */
/*
 * What `weft serve` was told (the table of options is in ../serve.c), and the server that is made
 * of it: the values become wf_server_options, then routes, then listeners.
 */
#ifndef WEFT_CMD_SERVE_SERVE_H
#define WEFT_CMD_SERVE_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include <weft/server.h>

#include "options.h"

/* Where it listens when it is not told. */
#define SERVE_ADDRESS "127.0.0.1:8000"

struct serve_values {
    const char *listen; /* NULL: what was passed, or else SERVE_ADDRESS */
    int64_t drain_s;
    const char *folder; /* NULL: none was named */
    const char *access_log;
    int log_format;                                /* an enum wf_access_form */
    int64_t connections, per_address, rate, burst; /* 0: not given */
    struct option_list trust;
    bool demo;  /* the texts' web services */
    bool debug; /* /debug/, which the demo has in any case */
    bool no_list, hidden, no_gzip;
    struct wf_folder files;         /* made of these by serve_root */
    const char *tls_cert, *tls_key; /* files; NULL: plain HTTP; the key may be in the first */
};

/* The root task: serves as the values say until it is cancelled. Returns the status to exit with,
 * having said on standard error what went wrong. */
int serve_root(void *values);

#endif
