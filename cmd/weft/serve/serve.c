/* SPDX-License-Identifier: MIT */
/* The server of `weft serve`: options, routes, listeners, in this order, then it runs. */
#include "serve/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/access_log.h>
#include <weft/debug.h>
#include <weft/file.h>
#include <weft/main.h>
#include <weft/server.h>

#include "options.h"
#include "serve/demo.h"
#include "serve/listen.h"
#include "serve/secure.h"

/* The files of a folder, below everything else that is routed. */
static int route_folder(struct wf_server *server, struct serve_values *values,
                        struct wf_error *reterr)
{
    struct wf_file_info info;
    const char *folder = values->folder ? values->folder : ".";
    values->files = (struct wf_folder){
        .path = folder, .list = !values->no_list, .hidden = values->hidden, .packed = true};
    struct wf_route route = {.method = "GET",
                             .path = "/{path:path}",
                             .handler = wf_serve_folder_with,
                             .arg = &values->files};
    int err = wf_file_look(folder, &info);
    if (!err && !info.directory)
        err = -ENOTDIR;
    if (err)
        return wf_error_set(reterr, err, "%s: %s", folder, wf_strerror(err));
    return wf_server_route(server, &route, reterr);
}

static int add_routes(struct wf_server *server, struct serve_values *values,
                      struct wf_error *reterr)
{
    int err = values->demo ? demo_open(server, reterr) : 0;
    if (!err && (values->demo || values->debug))
        err = wf_server_debug(server, "/debug", reterr);
    if (!err && (values->folder || !values->demo))
        err = route_folder(server, values, reterr);
    return err;
}

static int print_address(const struct wf_server *server, bool tls)
{
    struct wf_address at;
    char text[WF_ADDRESS_TEXT_BYTES];
    int err = wf_server_address(server, 0, &at);
    if (err)
        return err;
    wf_address_format(&at, text, sizeof text);
    if (strncmp(text, "unix:", 5) == 0)
        puts(text);
    else
        printf("%s://%s/\n", tls ? "https" : "http", text);
    fflush(stdout);
    return 0;
}

static int open_log(const struct serve_values *values, struct wf_server_options *options,
                    struct wf_access_log **ret_log, struct wf_error *reterr)
{
    const struct wf_access_log_options how = {.path = values->access_log,
                                              .form = (enum wf_access_form)values->log_format};
    int err = how.path ? wf_access_log_open(&how, ret_log, reterr) : 0;
    if (*ret_log) {
        options->access = wf_access_log_note;
        options->access_arg = *ret_log;
    }
    return err;
}

int serve_root(void *arg)
{
    struct serve_values *values = arg;
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    struct wf_server_options options = {.drain_ns = WF_SECONDS(values->drain_s),
                                        .no_gzip = values->no_gzip,
                                        .connections_max = (uint32_t)values->connections,
                                        .address_connections_max = (uint32_t)values->per_address,
                                        .address_requests_per_second = (double)values->rate,
                                        .address_burst = (uint32_t)values->burst,
                                        .trusted = values->trust.items,
                                        .trusted_count = values->trust.count};
    struct wf_access_log *log = NULL;
    int err = open_log(values, &options, &log, &error);
    if (!err)
        err = wf_server_create(&options, &server, &error);
    if (!err)
        err = add_routes(server, values, &error);
    if (!err)
        err = listen_add(server, values->listen, SERVE_ADDRESS, &error);
    if (!err && values->tls_cert)
        err = secure_open(server, values->tls_cert, values->tls_key, &error);
    if (!err)
        err = print_address(server, values->tls_cert);
    if (!err)
        err = wf_server_run(server, wf_main_executor(), &error);
    wf_server_destroy(server);
    struct wf_error lost;
    if (wf_access_log_close(log, &lost))
        fprintf(stderr, "weft serve: access log: %s\n", lost.text);
    demo_close();
    secure_close();
    if (err)
        fprintf(stderr, "weft serve: %s\n", error.text);
    return err ? EXIT_FAILED : EXIT_DONE;
}
