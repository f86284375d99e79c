/* SPDX-License-Identifier: MIT */
/* weft serve: the files of a folder, over HTTP, until SIGINT or SIGTERM. */
#include <stdio.h>
#include <sys/resource.h>

#include <weft/main.h>

#include "commands.h"
#include "serve/serve.h"

#define FIELD(name) offsetof(struct serve_values, name)

static const char *const log_formats[] = {"common", "json", NULL};

static const struct option_spec specs[] = {
    {.name = "listen",
     .letter = 'l',
     .type = OPTION_TEXT,
     .field = FIELD(listen),
     .argument = "ADDR:PORT",
     .help = "where to listen, or unix:PATH, or fd:N, a socket that listens already\n"
             "(default " SERVE_ADDRESS "; port 0: any free one)"},
    {.name = "drain",
     .type = OPTION_NUMBER,
     .field = FIELD(drain_s),
     .argument = "S",
     .min = 1,
     .max = 3600,
     .help = "seconds that requests have to end after the first signal (default 5)"},
    {.name = "access-log",
     .type = OPTION_TEXT,
     .field = FIELD(access_log),
     .argument = "FILE",
     .help = "add a line to FILE for each answer (-: standard output); a FILE that was\n"
             "renamed is made anew"},
    {.name = "log-format",
     .type = OPTION_CHOICE,
     .field = FIELD(log_format),
     .argument = "FORMAT",
     .choices = log_formats,
     .help = "of these lines: common (default) or json"},
    {.name = "connections",
     .type = OPTION_NUMBER,
     .field = FIELD(connections),
     .argument = "N",
     .min = 1,
     .max = 10000000,
     .help = "connections open at a time, more wait (default 10000)"},
    {.name = "per-address",
     .type = OPTION_NUMBER,
     .field = FIELD(per_address),
     .argument = "N",
     .min = 1,
     .max = 10000000,
     .help = "connections of one client address; more are answered with 429"},
    {.name = "rate",
     .type = OPTION_NUMBER,
     .field = FIELD(rate),
     .argument = "N",
     .min = 1,
     .max = 1000000000,
     .help = "requests a second of one client address; more are answered with 429"},
    {.name = "burst",
     .type = OPTION_NUMBER,
     .field = FIELD(burst),
     .argument = "N",
     .min = 1,
     .max = 1000000000,
     .help = "requests at once after a quiet time (default: those of one second)"},
    {.name = "trust",
     .type = OPTION_LIST,
     .field = FIELD(trust),
     .argument = "NET",
     .help = "believe X-Forwarded-For of these peers: an address, or 10.0.0.0/8; may be\n"
             "given many times"},
    {.name = "no-list",
     .type = OPTION_FLAG,
     .field = FIELD(no_list),
     .help = "folders without index.html are not found, instead of listed"},
    {.name = "hidden",
     .type = OPTION_FLAG,
     .field = FIELD(hidden),
     .help = "serve and list names that begin with a dot, too"},
    {.name = "no-gzip",
     .type = OPTION_FLAG,
     .field = FIELD(no_gzip),
     .help = "send text as it is, also to clients that take gzip"},
    {.name = "debug",
     .type = OPTION_FLAG,
     .field = FIELD(debug),
     .help = "what runs, at /debug/ and /debug/tasks, for this machine alone"},
    {.name = "demo",
     .type = OPTION_FLAG,
     .field = FIELD(demo),
     .help = "the services of the texts: /, /fibers, /serial, /is_prime/N,N,...; with\n"
             "/metrics, /healthz and /debug/; files only where DIR is named"},
    {.name = "tls-cert",
     .type = OPTION_TEXT,
     .field = FIELD(tls_cert),
     .argument = "FILE",
     .help = "speak TLS, with the certificate in FILE and those that lead to its root (PEM);\n"
             "read again at SIGHUP"},
    {.name = "tls-key",
     .type = OPTION_TEXT,
     .field = FIELD(tls_key),
     .argument = "FILE",
     .help = "the certificate's key, without a passphrase (default: in the file of --tls-cert)"},
    {0},
};

/* Of the program itself: streams, pollers, listeners, logs. */
#define OWN_DESCRIPTORS 64

/*
 * A connection needs a descriptor, and another for the file it is sent. The soft limit is often
 * 1,024, for the sake of programs that use select(2), and may be raised; where the system allows no
 * more, fewer connections are accepted at a time, and the others wait.
 */
static void fit_descriptors(int64_t *connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)*connections * 2 + OWN_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (getrlimit(RLIMIT_NOFILE, &limit))
            return;
    }
    if (limit.rlim_cur < wanted)
        *connections = limit.rlim_cur > OWN_DESCRIPTORS + 2
                           ? (int64_t)(limit.rlim_cur - OWN_DESCRIPTORS) / 2
                           : 1;
}

static int run(int argc, char **argv)
{
    struct serve_values values = {.drain_s = 5, .connections = 10000};
    int operands, status = options_parse(&serve_command, argc, argv, &values, &operands);
    struct wf_error error = {0};
    if (status >= 0)
        return status;
    if (operands)
        values.folder = argv[1];
    if (values.tls_key && !values.tls_cert)
        return options_wrong(&serve_command, "--tls-key goes with --tls-cert");
    if (values.burst && !values.rate)
        return options_wrong(&serve_command, "--burst goes with --rate");
    fit_descriptors(&values.connections);
    /* The server drains by itself; this is for what does not end then. */
    struct wf_main_options options = {.no_processes = !values.demo,
                                      .drain_ns = WF_SECONDS(values.drain_s + 5)};
    status = wf_main(&options, serve_root, &values, &error);
    options_list_free(&values.trust);
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
             "until it is interrupted; requests under way are then answered. Sockets that were\n"
             "passed by LISTEN_FDS, as systemd does it, take the place of the default address.\n",
    .run = run,
};
