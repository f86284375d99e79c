/* SPDX-License-Identifier: MIT */
/* weft get: downloads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <weft/main.h>

#include "commands.h"
#include "engine.h"
#include "get/get.h"

enum {
    CONCURRENCY = 5, /* as many as the text's pool has threads */
    CONCURRENCY_MAX = 10000,
    TIMEOUT_S = 60,
    BODY_MB = 1024,
};

struct get_values {
    const char *list, *directory, *sizes;
    int64_t concurrency, timeout_s, max_body_mb;
    int engine;
    bool as_completed, unique;
};

#define FIELD(name) offsetof(struct get_values, name)

static const struct option_spec specs[] = {
    {.name = "input",
     .letter = 'i',
     .type = OPTION_TEXT,
     .field = FIELD(list),
     .argument = "FILE",
     .help = "read URLs from FILE, one a line, - for standard input"},
    {.name = "jobs",
     .letter = 'j',
     .type = OPTION_NUMBER,
     .field = FIELD(concurrency),
     .argument = "N",
     .min = 1,
     .max = CONCURRENCY_MAX,
     .help = "downloads at a time (default 5)"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .field = FIELD(directory),
     .argument = "DIR",
     .help = "save what was read in DIR, a file each, named after its URL"},
    {.name = "as-completed",
     .type = OPTION_FLAG,
     .field = FIELD(as_completed),
     .help = "report in the order of completion, not of the list"},
    {.name = "unique",
     .type = OPTION_FLAG,
     .field = FIELD(unique),
     .help = "download a URL that is given twice only once"},
    {.name = "sizes",
     .type = OPTION_TEXT,
     .field = FIELD(sizes),
     .argument = "FILE",
     .help = "mark sizes that differ from those in FILE, and keep them there"},
    {.name = "timeout",
     .type = OPTION_NUMBER,
     .field = FIELD(timeout_s),
     .argument = "S",
     .min = 1,
     .max = 86400,
     .help = "give a download up after S seconds (default 60)"},
    {.name = "max-body",
     .type = OPTION_NUMBER,
     .field = FIELD(max_body_mb),
     .argument = "MB",
     .min = 1,
     .max = 65536,
     .help = "give up a body larger than this (default 1024)"},
    {.name = "engine",
     .type = OPTION_CHOICE,
     .field = FIELD(engine),
     .argument = "ENGINE",
     .choices = engine_names,
     .help = "one after another, threads, fibers (default), or processes"},
    {0},
};

struct job {
    struct get *get;
    enum engine engine;
};

static int get_root(void *arg)
{
    struct job *job = arg;
    struct wf_executor *on;
    struct wf_error error = {0};
    int err = engine_create(job->engine, job->get->options->concurrency, "get", &on, &error);
    if (!err) {
        err = get_run(job->get, on, &error);
        wf_executor_destroy(on);
    }
    if (err && err != -ECANCELED)
        fprintf(stderr, "weft get: %s\n", error.text);
    return err ? EXIT_FAILED : EXIT_DONE;
}

/* Reads the URLs. Returns -1 to go on, or the status to exit with. */
static int read_urls(struct get *get, const struct get_values *values, char **urls, int count)
{
    struct wf_error error = {0};
    for (int i = 0; i < count; i++)
        if (get_add(get, urls[i], &error))
            return options_wrong(&get_command, "%s", error.text);
    if (values->list) {
        bool standard = strcmp(values->list, "-") == 0;
        FILE *file = standard ? stdin : fopen(values->list, "re");
        int err = file ? get_read_list(get, file) : -errno;
        if (file && !standard)
            fclose(file);
        if (err == WF_EPARSE)
            return EXIT_USAGE; /* said already */
        if (err)
            return options_wrong(&get_command, "cannot read %s: %s", values->list,
                                 wf_strerror(err));
    }
    if (get->count == 0)
        return options_wrong(&get_command, "no URL");
    if (values->unique && get_unique(get)) {
        fprintf(stderr, "weft get: %s\n", wf_strerror(-ENOMEM));
        return EXIT_FAILED;
    }
    struct stat status;
    if (values->directory && (stat(values->directory, &status) || !S_ISDIR(status.st_mode)) &&
        mkdir(values->directory, 0777)) {
        fprintf(stderr, "weft get: cannot write to %s: %s\n", values->directory,
                wf_strerror(-errno));
        return EXIT_FAILED;
    }
    return -1;
}

/* With the sizes of an earlier run before, and of this one after. */
static int download(struct get *get, const struct get_values *values)
{
    struct job job = {get, (enum engine)values->engine};
    struct wf_error error = {0};
    int err = values->sizes ? get_read_sizes(get, values->sizes) : 0;
    if (err) {
        fprintf(stderr, "weft get: cannot read %s: %s\n", values->sizes, wf_strerror(err));
        return EXIT_FAILED;
    }
    int64_t start = wf_now();
    struct wf_main_options options = {.no_processes = job.engine != ENGINE_PROCESSES};
    int status = wf_main(&options, get_root, &job, &error);
    if (status < 0) {
        fprintf(stderr, "weft get: %s\n", error.text);
        return EXIT_FAILED;
    }
    printf("Download %zu sites in %.3f seconds\n", get->done, (double)(wf_now() - start) / 1e9);
    err = values->sizes ? get_write_sizes(get, values->sizes) : 0;
    if (err) {
        fprintf(stderr, "weft get: cannot write %s: %s\n", values->sizes, wf_strerror(err));
        return EXIT_FAILED;
    }
    if (fflush(stdout)) {
        fprintf(stderr, "weft get: cannot write standard output: %s\n", wf_strerror(-errno));
        return EXIT_FAILED;
    }
    return status ? status : get->marked ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct get_values values = {.concurrency = CONCURRENCY,
                                .timeout_s = TIMEOUT_S,
                                .max_body_mb = BODY_MB,
                                .engine = ENGINE_FIBERS};
    int operands, status = options_parse(&get_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    struct get_options options = {
        .concurrency = values.engine == ENGINE_SINGLE ? 1 : (int)values.concurrency,
        .processes = values.engine == ENGINE_PROCESSES,
        .as_completed = values.as_completed,
        .directory = values.directory,
        .timeout_ns = WF_SECONDS(values.timeout_s),
        .body_bytes_max = (size_t)values.max_body_mb << 20,
    };
    struct get get = {.options = &options};
    wf_mutex_init(&get.lock);
    status = read_urls(&get, &values, argv + 1, operands);
    if (status < 0)
        status = download(&get, &values);
    get_fini(&get);
    return status;
}

const struct command get_command = {
    .name = "get",
    .summary = "download a list of URLs",
    .operands = "[URL...]",
    .operands_min = 0,
    .operands_max = -1,
    .options = specs,
    .notes = "Redirects are followed. A line is marked with ! where the download failed, the\n"
             "status is not 2xx, or the size differs from what the same URL answered before.\n"
             "Exit status: 0 all is well, 1 something was marked, 2 wrong usage, 130\n"
             "interrupted.",
    .run = run,
};
