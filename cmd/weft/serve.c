/* SPDX-License-Identifier: MIT */
/* weft serve: the files of a folder, over HTTP, until SIGINT or SIGTERM. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/file.h>
#include <weft/main.h>
#include <weft/server.h>

#include "commands.h"

struct serve_values {
    const char *listen;
    int64_t drain_s;
    const char *folder;
};

#define FIELD(name) offsetof(struct serve_values, name)

static const struct option_spec specs[] = {
    {.name = "listen",
     .letter = 'l',
     .type = OPTION_TEXT,
     .field = FIELD(listen),
     .argument = "ADDR:PORT",
     .help = "where to listen, or unix:PATH (default 127.0.0.1:8000; port 0: any free one)"},
    {.name = "drain",
     .type = OPTION_NUMBER,
     .field = FIELD(drain_s),
     .argument = "S",
     .min = 1,
     .max = 3600,
     .help = "seconds that requests have to end after the first signal (default 5)"},
    {0},
};

static int print_address(const struct wf_server *server)
{
    struct wf_address at;
    char text[WF_ADDRESS_TEXT_BYTES];
    int err = wf_server_address(server, 0, &at);
    if (err)
        return err;
    wf_address_format(&at, text, sizeof text);
    printf(strncmp(text, "unix:", 5) == 0 ? "%s\n" : "http://%s/\n", text);
    fflush(stdout);
    return 0;
}

/* The root task. */
static int serve(void *arg)
{
    const struct serve_values *values = arg;
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    struct wf_file_info info;
    struct wf_server_options options = {.drain_ns = WF_SECONDS(values->drain_s)};
    struct wf_route route = {.method = "GET", .path = "/{path:path}", .handler = wf_serve_folder};
    route.arg = (void *)(uintptr_t)values->folder;
    int err = wf_file_look(values->folder, &info);
    if (!err && !info.directory)
        err = -ENOTDIR;
    if (err)
        wf_error_set(&error, err, "%s: %s", values->folder, wf_strerror(err));
    if (!err)
        err = wf_server_create(&options, &server, &error);
    if (!err)
        err = wf_server_route(server, &route, &error);
    if (!err)
        err = wf_server_listen(server, values->listen, NULL, &error);
    if (!err)
        err = print_address(server);
    if (!err)
        err = wf_server_run(server, wf_main_executor(), &error);
    wf_server_destroy(server);
    if (err)
        fprintf(stderr, "weft serve: %s\n", error.text);
    return err ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct serve_values values = {.listen = "127.0.0.1:8000", .drain_s = 5, .folder = "."};
    int operands, status = options_parse(&serve_command, argc, argv, &values, &operands);
    struct wf_error error = {0};
    if (status >= 0)
        return status;
    if (operands)
        values.folder = argv[1];
    /* The server drains by itself; this is for what does not end then. */
    struct wf_main_options options = {.no_processes = true,
                                      .drain_ns = WF_SECONDS(values.drain_s + 5)};
    status = wf_main(&options, serve, &values, &error);
    if (status < 0)
        fprintf(stderr, "weft serve: %s\n", error.text);
    /* To be interrupted is how serving ends; so it has done what it should. */
    return status < 0 ? EXIT_FAILED : status > 128 ? EXIT_DONE : status;
}

const struct command serve_command = {
    .name = "serve",
    .summary = "Serves the files of a folder over HTTP",
    .operands = "[DIR]",
    .operands_min = 0,
    .operands_max = 1,
    .options = specs,
    .notes = "Prints its address on the first line and serves DIR (default: the current folder)\n"
             "until it is interrupted; requests under way are then answered.\n",
    .run = run,
};
