/* SPDX-License-Identifier: MIT */
/* weft crawl: a whole site, page by page, into JSON Lines. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/main.h>

#include "commands.h"
#include "crawl/crawl.h"
#include "crawl/remote.h"
#include "engine.h"

enum {
    CONCURRENCY_FIBERS = 64, /* more pages in flight gain nothing on one site */
    CONCURRENCY_THREADS = 16,
    CONCURRENCY_PROCESSES = 8,
    CONCURRENCY_MAX = 10000,
    TIMEOUT_S = 30,
    BODY_MB = 16,
};

struct crawl_values {
    const char *output, *stats;
    struct option_list selects;
    int64_t concurrency, depth, max_pages, timeout_s, max_body_mb;
    int engine;
    bool quiet;
};

#define FIELD(name) offsetof(struct crawl_values, name)

static const struct option_spec specs[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .field = FIELD(output),
     .argument = "FILE",
     .help = "write the records to FILE, - for standard output (default)"},
    {.name = "select",
     .type = OPTION_LIST,
     .field = FIELD(selects),
     .argument = "NAME=CSS[@ATTR]",
     .help = "put the texts of the elements that CSS matches, or the values of\n"
             "their attribute ATTR, into fields.NAME; may be given many times"},
    {.name = "concurrency",
     .letter = 'c',
     .type = OPTION_NUMBER,
     .field = FIELD(concurrency),
     .argument = "N",
     .min = 1,
     .max = CONCURRENCY_MAX,
     .help = "pages in flight at most (default 64 on fibers, 16 on threads,\n"
             "8 in processes)"},
    {.name = "depth",
     .type = OPTION_NUMBER,
     .field = FIELD(depth),
     .argument = "N",
     .min = 0,
     .max = UINT32_MAX - 1,
     .help = "follow links N times (default: as far as they lead)"},
    {.name = "max-pages",
     .type = OPTION_NUMBER,
     .field = FIELD(max_pages),
     .argument = "N",
     .min = 1,
     .max = INT64_MAX,
     .help = "fetch N pages at most"},
    {.name = "timeout",
     .type = OPTION_NUMBER,
     .field = FIELD(timeout_s),
     .argument = "S",
     .min = 1,
     .max = 86400,
     .help = "give a page up after S seconds (default 30)"},
    {.name = "max-body",
     .type = OPTION_NUMBER,
     .field = FIELD(max_body_mb),
     .argument = "MB",
     .min = 1,
     .max = 4096,
     .help = "give up a page larger than this (default 16)"},
    {.name = "engine",
     .type = OPTION_CHOICE,
     .field = FIELD(engine),
     .argument = "ENGINE",
     .choices = engine_names,
     .help = "what fetches: one after another, threads, fibers (default), or\n"
             "processes, one page at a time in each"},
    {.name = "stats-json",
     .type = OPTION_TEXT,
     .field = FIELD(stats),
     .argument = "FILE",
     .help = "write figures of the whole crawl to FILE"},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_FLAG,
     .field = FIELD(quiet),
     .help = "no progress on standard error"},
    {0},
};

/* What the root task works on. */
struct job {
    struct crawl *crawl;
    enum engine engine;
    int status;
};

/* Prints a selector and a caret under the byte that cannot stay. */
static int wrong_select(const char *text, size_t at, const struct wf_error *error)
{
    int column = 0;
    for (size_t i = 0; i < at; i++)
        column += (text[i] & 0xC0) != 0x80; /* the second byte of a character on takes no room */
    fprintf(stderr, "weft crawl: --select: %s\n  %s\n  %*s^\n", error->text, text, column, "");
    return EXIT_USAGE;
}

static int read_select(const char *text, struct page_select *ret_select)
{
    struct wf_error error = {0};
    const char *equals = strchr(text, '=');
    /* "a[href=x]" has an = too: a name ends before anything a name cannot hold. */
    size_t name_len = strcspn(text, "= .#[>,*@:\"'");
    if (!equals || name_len == 0 || text[name_len] != '=') {
        wf_error_set(&error, WF_EPARSE, "a name and = are missing in front of the selector");
        return wrong_select(text, 0, &error);
    }
    size_t at = 0;
    ret_select->text = equals + 1;
    int err = wf_css_compile(equals + 1, &ret_select->css, &at, &error);
    if (err == WF_EPARSE)
        return wrong_select(text, name_len + 1 + at, &error);
    ret_select->name = err ? NULL : strndup(text, name_len);
    if (err || !ret_select->name) {
        fprintf(stderr, "weft crawl: %s\n", wf_strerror(-ENOMEM));
        return EXIT_FAILED;
    }
    return -1;
}

static int read_selects(const struct option_list *list, struct page_select *selects)
{
    for (size_t i = 0; i < list->count; i++) {
        int status = read_select(list->items[i], &selects[i]);
        if (status >= 0)
            return status;
        for (size_t j = 0; j < i; j++)
            if (strcmp(selects[j].name, selects[i].name) == 0)
                return options_wrong(&crawl_command, "--select: the name %s is given twice",
                                     selects[i].name);
    }
    return -1;
}

static int crawl_root(void *arg)
{
    struct job *job = arg;
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    int err = engine_create(job->engine, job->crawl->options->concurrency, "crawl", &on, &error);
    if (!err && job->engine == ENGINE_PROCESSES)
        err = remote_create(job->crawl->options, &job->crawl->remote, &error);
    if (!err)
        err = crawl_run(job->crawl, on, &error);
    wf_executor_destroy(job->crawl->remote);
    wf_executor_destroy(on);
    if (err && err != -ECANCELED) {
        fprintf(stderr, "weft crawl: %s\n", error.text);
        job->status = EXIT_FAILED;
    }
    struct wf_error unwritten = {0};
    if (output_close(job->crawl->output, &unwritten) && !job->status) {
        fprintf(stderr, "weft crawl: %s\n", unwritten.text);
        job->status = EXIT_FAILED;
    }
    return job->status;
}

static int write_stats(struct crawl *crawl, enum engine engine, const char *path)
{
    struct wf_json_writer *json;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &json);
    if (!err)
        err = crawl_stats(crawl, engine_names[engine], json);
    if (!err)
        err = wf_json_writer_text(json, &text, &len);
    FILE *file = err ? NULL : fopen(path, "we");
    if (!err && (!file || fwrite(text, 1, len, file) != len))
        err = -errno;
    if (file && fclose(file) && !err)
        err = -errno;
    wf_json_writer_destroy(json);
    if (err)
        fprintf(stderr, "weft crawl: cannot write %s: %s\n", path, wf_strerror(err));
    return err ? EXIT_FAILED : EXIT_DONE;
}

static int crawl_all(struct crawl *crawl, const struct crawl_values *values)
{
    struct job job = {.crawl = crawl, .engine = (enum engine)values->engine};
    struct wf_error error = {0};
    struct wf_main_options options = {.no_processes = job.engine != ENGINE_PROCESSES};
    int status = wf_main(&options, crawl_root, &job, &error);
    if (status < 0) {
        fprintf(stderr, "weft crawl: %s\n", error.text);
        return EXIT_FAILED;
    }
    if (crawl->away && !values->quiet)
        fprintf(stderr, "weft crawl: not followed: a redirect to another host, %s\n", crawl->away);
    if (status == EXIT_DONE && crawl->counts.fetched == 0) {
        fprintf(stderr, "weft crawl: nothing could be fetched%s\n",
                values->quiet ? "" : "; the records say why");
        status = EXIT_FAILED;
    }
    if (values->stats && write_stats(crawl, job.engine, values->stats) && !status)
        status = EXIT_FAILED;
    return status;
}

static int run_crawl(const struct crawl_values *values, const char *const *urls, int url_count,
                     const struct page_select *selects)
{
    int concurrency = (int)values->concurrency;
    if (values->engine == ENGINE_SINGLE)
        concurrency = 1;
    else if (!concurrency)
        concurrency = values->engine == ENGINE_THREADS     ? CONCURRENCY_THREADS
                      : values->engine == ENGINE_PROCESSES ? CONCURRENCY_PROCESSES
                                                           : CONCURRENCY_FIBERS;
    struct crawl_options options = {
        .urls = urls,
        .url_count = (size_t)url_count,
        .selects = selects,
        .select_count = values->selects.count,
        .concurrency = concurrency,
        .depth_max = values->depth < 0 ? FRONTIER_ANY_DEPTH : (uint32_t)values->depth,
        .pages_max = (uint64_t)values->max_pages,
        .timeout_ns = WF_SECONDS(values->timeout_s),
        .body_bytes_max = (size_t)values->max_body_mb << 20,
        .quiet = values->quiet,
    };
    struct crawl crawl;
    struct output output;
    struct wf_error error = {0};
    int status;
    int err = crawl_init(&crawl, &options, &output, &error);
    if (err == WF_EPARSE)
        status = options_wrong(&crawl_command, "%s", error.text);
    else if (err || output_open(&output, values->output, &error)) {
        fprintf(stderr, "weft crawl: %s\n", error.text);
        status = EXIT_FAILED;
    } else {
        status = crawl_all(&crawl, values);
    }
    crawl_fini(&crawl);
    return status;
}

static int run(int argc, char **argv)
{
    struct crawl_values values = {.output = "-",
                                  .depth = -1,
                                  .timeout_s = TIMEOUT_S,
                                  .max_body_mb = BODY_MB,
                                  .engine = ENGINE_FIBERS};
    int operands, status = options_parse(&crawl_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    struct page_select *selects = calloc(values.selects.count + 1, sizeof *selects);
    if (!selects)
        return EXIT_FAILED;
    status = read_selects(&values.selects, selects);
    if (status < 0)
        status = run_crawl(&values, (const char *const *)(argv + 1), operands, selects);
    for (size_t i = 0; i < values.selects.count; i++) {
        free(selects[i].name);
        wf_css_destroy(selects[i].css);
    }
    free(selects);
    options_list_free(&values.selects);
    return status;
}

const struct command crawl_command = {
    .name = "crawl",
    .summary = "fetch whole sites, extract by CSS selector, write JSON Lines",
    .operands = "URL...",
    .operands_min = 1,
    .operands_max = -1,
    .options = specs,
    .notes = "Stays on the hosts of the URLs given, also when one of them redirects to another\n"
             "host: then it says so. Each URL is fetched once, whatever the spelling; redirects\n"
             "are records of their own. Exit status: 0 the crawl is finished, 1 nothing could\n"
             "be fetched or the output not written, 2 wrong usage, 130 interrupted (what was\n"
             "reported as done is in the file).",
    .run = run,
};
