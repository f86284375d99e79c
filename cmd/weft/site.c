/* SPDX-License-Identifier: MIT */
/* weft site: the test site. Serves until SIGINT or SIGTERM, or writes files. */
#include <stdio.h>

#include <weft/main.h>

#include "commands.h"
#include "site/server.h"
#include "site/write.h"

struct site_values {
    int kind;
    int64_t pages, port, delay_ms, seed;
    const char *write;
};

static const char *const kind_names[] = {"blog", "deep", "latency", "sites", "-hostile", NULL};

#define FIELD(name) offsetof(struct site_values, name)

static const struct option_spec specs[] = {
    {.name = "kind",
     .type = OPTION_CHOICE,
     .field = FIELD(kind),
     .argument = "KIND",
     .choices = kind_names,
     .help = "what the site is like"},
    {.name = "pages",
     .type = OPTION_NUMBER,
     .field = FIELD(pages),
     .argument = "N",
     .min = 1,
     .max = SITE_PAGES_MAX,
     .help = "how many pages it has (default 50)"},
    {.name = "port",
     .type = OPTION_NUMBER,
     .field = FIELD(port),
     .argument = "P",
     .min = 0,
     .max = 65535,
     .help = "port on 127.0.0.1 (default: any free one; with --write 8080)"},
    {.name = "delay",
     .type = OPTION_NUMBER,
     .field = FIELD(delay_ms),
     .argument = "MS",
     .min = 0,
     .max = 3600000,
     .help = "answer so many milliseconds late (default 0; latency: 100)"},
    {.name = "seed",
     .type = OPTION_NUMBER,
     .field = FIELD(seed),
     .argument = "N",
     .min = 0,
     .max = INT64_MAX,
     .help = "another seed, other words and links (default 1)"},
    {.name = "write",
     .type = OPTION_TEXT,
     .field = FIELD(write),
     .argument = "DIR",
     .help = "write the pages, manifest.json and nginx.conf to DIR and exit"},
    {0},
};

static int write_site(const struct site *site, const struct site_values *values)
{
    char path[4096];
    if (site->kind == SITE_HOSTILE)
        return options_wrong(&site_command, "no files can do what the hostile pages do");
    int err = site_write(site, values->write, values->port ? (int)values->port : 8080, path);
    if (err) {
        fprintf(stderr, "weft site: cannot write %s: %s\n", path, wf_strerror(err));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

/* The root task. */
static int serve(void *arg)
{
    const struct site_server_options *options = arg;
    struct site_server *server = NULL;
    struct wf_error error = {0};
    int err = site_server_open(options, &server, &error);
    if (!err) {
        printf("http://127.0.0.1:%u/\n", (unsigned)site_server_port(server));
        fflush(stdout);
        err = site_server_run(server, wf_main_executor());
        if (err)
            wf_error_set(&error, err, NULL);
    }
    site_server_close(server);
    if (err)
        fprintf(stderr, "weft site: %s\n", error.text);
    return err ? EXIT_FAILED : EXIT_DONE;
}

/* To be interrupted is how a site ends; so it has done what it should. */
static int serve_until_signal(const struct site *site, const struct site_values *values)
{
    struct site_server_options options = {.site = *site,
                                          .port = (uint16_t)values->port,
                                          .delay_ns = WF_MILLISECONDS(values->delay_ms)};
    struct wf_error error = {0};
    int status = wf_main(&(struct wf_main_options){.no_processes = true}, serve, &options, &error);
    if (status < 0) {
        fprintf(stderr, "weft site: %s\n", error.text);
        return EXIT_FAILED;
    }
    return status > 128 ? EXIT_DONE : status;
}

static int run(int argc, char **argv)
{
    struct site_values values = {.pages = 50, .seed = 1, .delay_ms = -1};
    int operands, status = options_parse(&site_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    struct site site = {(enum site_kind)values.kind, (uint32_t)values.pages, (uint64_t)values.seed};
    if (values.delay_ms < 0)
        values.delay_ms = site.kind == SITE_LATENCY ? 100 : 0;
    return values.write ? write_site(&site, &values) : serve_until_signal(&site, &values);
}

const struct command site_command = {
    .name = "site",
    .summary = "A web site made for testing, the same bytes for the same seed",
    .operands = "",
    .options = specs,
    .notes = "Prints its address on the first line and serves until it is interrupted.\n"
             "/manifest.json  the right answers: path, status, title and links of every URL that\n"
             "                can be reached from /\n"
             "/stats.json     what was asked of it: requests, connections, URLs fetched twice\n",
    .run = run,
};
