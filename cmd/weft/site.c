/* SPDX-License-Identifier: MIT */
/* weft site: the test site. */
#include <stdio.h>
#include <weft/error.h>

#include "commands.h"
#include "site/pages.h"
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

static int run(int argc, char **argv)
{
    struct site_values values = {.pages = 50, .seed = 1};
    int operands, status = options_parse(&site_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    struct site site = {(enum site_kind)values.kind, (uint32_t)values.pages, (uint64_t)values.seed};
    if (values.write)
        return write_site(&site, &values);
    return options_wrong(&site_command, "missing --write DIR");
}

const struct command site_command = {
    .name = "site",
    .summary = "A web site made for testing, the same bytes for the same seed",
    .operands = "",
    .options = specs,
    .run = run,
};
