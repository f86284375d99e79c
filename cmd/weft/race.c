/* SPDX-License-Identifier: MIT */
/*
 * weft race: one workload on each engine, measured. The pages of the race craw come from a site in
 * a process of its own, so that what it costs is on nobody's account.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/child.h>
#include <weft/inline.h>
#include <weft/json.h>
#include <weft/main.h>
#include <weft/processes.h>
#include <weft/threads.h>

#include "commands.h"
#include "race/work.h"

enum {
    TASKS_MAX = 1000000,
    JOBS_MAX = 1000,
    PRIMES = 100,    /* as many as in the texts */
    PAGES = 50,      /* as many as in the texts */
    SLEEPS = 100,    /* a second on one thread */
    WAITERS = 50,    /* threads or processes for tasks that wait: a page each, as in the texts */
    DELAY_MS = 100,  /* of a page */
    ENGINES_MAX = 8, /* in one race; one may run twice */
};

enum race { RACE_PRIMES, RACE_CRAW, RACE_SLEEP };
enum racer { RACER_SINGLE, RACER_THREADS, RACER_FIBERS, RACER_PROCESSES };

static const char *const race_names[] = {"primes", "craw", "sleep", NULL};
static const char *const racer_names[] = {"single", "threads", "fibers", "processes", NULL};

struct race_values {
    const char *engines;
    int64_t n, jobs;
    bool json;
};

#define FIELD(name) offsetof(struct race_values, name)

static const struct option_spec specs[] = {
    {.name = "engines",
     .type = OPTION_TEXT,
     .field = FIELD(engines),
     .argument = "LIST",
     .help = "which, with commas between: single, threads, fibers, processes\n"
             "(default: all of them)"},
    {.name = "n",
     .letter = 'n',
     .type = OPTION_NUMBER,
     .field = FIELD(n),
     .argument = "N",
     .min = 1,
     .max = TASKS_MAX,
     .help = "tasks (default: primes 100, craw 50, sleep 100)"},
    {.name = "jobs",
     .letter = 'j',
     .type = OPTION_NUMBER,
     .field = FIELD(jobs),
     .argument = "N",
     .min = 1,
     .max = JOBS_MAX,
     .help = "threads and processes (default: primes one per usable CPU, the\n"
             "others one per task, up to 50); fibers are as many as tasks"},
    {.name = "json",
     .type = OPTION_FLAG,
     .field = FIELD(json),
     .help = "print an object for each engine instead of a table"},
    {0},
};

struct racing {
    enum race race;
    enum racer racers[ENGINES_MAX];
    size_t racer_count;
    size_t n;
    int jobs; /* 0: one per usable CPU */
    bool json;
    char site[128]; /* address, for the race craw */
    double first_s; /* wall time that the others are measured against */
};

struct measured {
    double wall_s, cpu_s;
};

/* ---- engines ---- */

static int open_racer(const struct racing *racing, enum racer racer, struct wf_executor **ret_on,
                      struct wf_error *reterr)
{
    switch (racer) {
    case RACER_SINGLE:
        return wf_inline_create(ret_on, reterr);
    case RACER_THREADS: {
        int workers = racing->jobs ? racing->jobs : (int)wf_executor_workers(wf_main_executor());
        return wf_threads_create(&(struct wf_threads_options){.workers = workers, .name = "race"},
                                 ret_on, reterr);
    }
    case RACER_PROCESSES:
        return wf_processes_create(
            &(struct wf_processes_options){.workers = racing->jobs, .name = "race"}, ret_on,
            reterr);
    default:
        *ret_on = wf_main_executor();
        return 0;
    }
}

static double clock_s(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) ? 0 : (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add_worker(const struct wf_worker_info *worker, void *cpu_s)
{
    clockid_t clock;
    if (clock_getcpuclockid(worker->pid, &clock) == 0)
        *(double *)cpu_s += clock_s(clock);
}

/* ---- workloads ---- */

/* The arguments of all tasks, which are of one type; NULL when there is no memory. */
static void *make_arguments(const struct racing *racing)
{
    if (racing->race == RACE_PRIMES) {
        struct race_prime_args *args = calloc(racing->n, sizeof(*args));
        for (size_t i = 0; args && i < racing->n; i++)
            args[i].n = RACE_PRIME;
        return args;
    }
    if (racing->race == RACE_CRAW) {
        struct race_page_args *args = calloc(racing->n, sizeof(*args));
        for (size_t i = 0; args && i < racing->n; i++) {
            args[i].site = racing->site;
            args[i].page = (uint32_t)i + 1;
            args[i].pages = (uint32_t)racing->n;
        }
        return args;
    }
    struct race_sleep_args *args = calloc(racing->n, sizeof(*args));
    for (size_t i = 0; args && i < racing->n; i++)
        args[i].sleep_ns = RACE_SLEEP_NS;
    return args;
}

static int run_tasks(const struct racing *racing, struct wf_executor *on, const void *args,
                     bool *results, struct wf_error *reterr)
{
    /* All at once: how many run is the engine's to say. */
    struct wf_map_options options = {.look_ahead = (int)racing->n};
    switch (racing->race) {
    case RACE_PRIMES:
        return race_prime_each(on, &options, args, racing->n, results, WF_FOREVER, reterr);
    case RACE_CRAW:
        return race_page_each(on, &options, args, racing->n, results, WF_FOREVER, reterr);
    default:
        return race_sleep_each(on, &options, args, racing->n, results, WF_FOREVER, reterr);
    }
}

static const char *wrong_result(enum race race)
{
    return race == RACE_PRIMES ? "came out as no prime"
           : race == RACE_CRAW ? "is not the page that was asked for"
                               : "did not sleep";
}

/* Starting the engine counts, ending it does not. */
static int measure(const struct racing *racing, enum racer racer, struct measured *ret,
                   struct wf_error *reterr)
{
    struct wf_executor *on = NULL;
    bool *results = calloc(racing->n, sizeof(*results));
    void *args = make_arguments(racing);
    int err = results && args ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    int64_t start_ns = wf_now();
    double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    if (!err)
        err = open_racer(racing, racer, &on, reterr);
    if (!err)
        err = run_tasks(racing, on, args, results, reterr);
    ret->wall_s = (double)(wf_now() - start_ns) / 1e9;
    ret->cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
    if (!err && racer == RACER_PROCESSES)
        wf_processes_each(on, add_worker, &ret->cpu_s);
    for (size_t i = 0; !err && i < racing->n; i++)
        if (!results[i])
            err = wf_error_set(reterr, WF_ETASKFAILED, "number %zu %s", i + 1,
                               wrong_result(racing->race));
    if (racer != RACER_FIBERS)
        wf_executor_destroy(on);
    free(args);
    free(results);
    return err ? wf_error_prefix(reterr, "%s", racer_names[racer]), err : 0;
}

/* ---- the site ---- */

static int start_site(struct racing *racing, struct wf_child **ret_site, struct wf_error *reterr)
{
    char pages[16], delay[16], line[64];
    snprintf(pages, sizeof(pages), "%zu", racing->n);
    snprintf(delay, sizeof(delay), "%d", DELAY_MS);
    const char *const argv[] = {"/proc/self/exe", "site", "--kind", "latency", "--pages", pages,
                                "--delay",        delay,  NULL};
    struct wf_child_options options = {
        .argv = argv, .in.kind = WF_STDIO_NULL, .out.kind = WF_STDIO_PIPE};
    struct wf_child *site;
    int err = wf_child_spawn(&options, &site, reterr);
    if (err)
        return wf_error_prefix(reterr, "the site"), err;
    /* Its first line is its address. */
    size_t len = 0;
    while (len < sizeof(line) - 1 && !memchr(line, '\n', len)) {
        ssize_t count = wf_stream_read(wf_child_out(site), line + len, sizeof(line) - 1 - len,
                                       wf_after(WF_SECONDS(30)));
        if (count <= 0) {
            wf_child_close(site);
            return wf_error_set(reterr, count < 0 ? (int)count : WF_ESHORT,
                                "the site did not start");
        }
        len += (size_t)count;
    }
    line[len] = 0;
    snprintf(racing->site, sizeof(racing->site), "%.*s", (int)strcspn(line, "\n"), line);
    *ret_site = site;
    return 0;
}

/* ---- the table ---- */

static void print_head(const struct racing *racing)
{
    static const char *const texts[] = {
        "tests of 112272535095293 for being prime",
        "pages that take 100 ms each",
        "sleeps of 10 ms",
    };
    printf("%zu %s\n%-10s %10s %10s %9s\n", racing->n, texts[racing->race], "engine", "wall s",
           "CPU s", "speed-up");
    fflush(stdout);
}

static int print_json(const struct racing *racing, enum racer racer, const struct measured *m)
{
    struct wf_json_writer *json;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &json);
    if (err)
        return err;
    wf_json_write_object(json);
    wf_json_write_key(json, "race");
    wf_json_write_string(json, race_names[racing->race], strlen(race_names[racing->race]));
    wf_json_write_key(json, "n");
    wf_json_write_uint(json, racing->n);
    wf_json_write_key(json, "engine");
    wf_json_write_string(json, racer_names[racer], strlen(racer_names[racer]));
    wf_json_write_key(json, "wall_seconds");
    wf_json_write_double(json, m->wall_s);
    wf_json_write_key(json, "cpu_seconds");
    wf_json_write_double(json, m->cpu_s);
    wf_json_write_key(json, "speed_up");
    wf_json_write_double(json, racing->first_s / m->wall_s);
    wf_json_write_end(json);
    wf_json_write_line_end(json);
    err = wf_json_writer_text(json, &text, &len);
    if (!err)
        fwrite(text, 1, len, stdout);
    wf_json_writer_destroy(json);
    return err;
}

static int print_line(struct racing *racing, size_t i, const struct measured *m)
{
    if (i == 0)
        racing->first_s = m->wall_s;
    if (racing->json)
        return print_json(racing, racing->racers[i], m);
    printf("%-10s %10.3f %10.3f %8.2fx\n", racer_names[racing->racers[i]], m->wall_s, m->cpu_s,
           racing->first_s / m->wall_s);
    fflush(stdout);
    return 0;
}

static int race_root(void *arg)
{
    struct racing *racing = arg;
    struct wf_error error = {0};
    struct wf_child *site = NULL;
    int err = racing->race == RACE_CRAW ? start_site(racing, &site, &error) : 0;
    if (!err && !racing->json)
        print_head(racing);
    for (size_t i = 0; !err && i < racing->racer_count; i++) {
        struct measured measured;
        err = measure(racing, racing->racers[i], &measured, &error);
        if (!err)
            err = print_line(racing, i, &measured);
    }
    wf_child_close(site);
    if (err && err != -ECANCELED)
        fprintf(stderr, "weft race: %s\n", error.code ? error.text : wf_strerror(err));
    return err ? EXIT_FAILED : EXIT_DONE;
}

/* ---- the command line ---- */

static int find(const char *const *names, const char *name, size_t len)
{
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    return -1;
}

static int read_engines(const char *list, struct racing *racing)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        int racer = find(racer_names, list, len);
        if (racer < 0)
            return options_wrong(&race_command,
                                 "--engines wants some of single, threads, fibers, processes, "
                                 "not \"%.*s\"",
                                 (int)(len < 40 ? len : 40), list);
        if (racing->racer_count == ENGINES_MAX)
            return options_wrong(&race_command, "--engines wants %d at most", ENGINES_MAX);
        racing->racers[racing->racer_count++] = (enum racer)racer;
        if (!list[len])
            return -1;
        list += len + 1;
    }
}

static int run(int argc, char **argv)
{
    struct race_values values = {.engines = "single,threads,fibers,processes"};
    int operands, status = options_parse(&race_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    int race = find(race_names, argv[1], strlen(argv[1]));
    if (race < 0)
        return options_wrong(&race_command, "there is no race \"%s\": primes, craw, sleep",
                             argv[1]);
    static const size_t defaults[] = {PRIMES, PAGES, SLEEPS};
    struct racing racing = {.race = (enum race)race,
                            .n = values.n ? (size_t)values.n : defaults[race],
                            .jobs = (int)values.jobs,
                            .json = values.json};
    status = read_engines(values.engines, &racing);
    if (status >= 0)
        return status;
    if (!racing.jobs && race != RACE_PRIMES)
        racing.jobs = racing.n < WAITERS ? (int)racing.n : WAITERS;
    struct wf_error error = {0};
    status = wf_main(NULL, race_root, &racing, &error);
    race_work_fini();
    if (status < 0) {
        fprintf(stderr, "weft race: %s\n", error.text);
        return EXIT_FAILED;
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "weft race: cannot write standard output: %s\n", wf_strerror(-errno));
        return EXIT_FAILED;
    }
    return status;
}

const struct command race_command = {
    .name = "race",
    .summary = "run one workload on each engine and compare",
    .operands = "primes|craw|sleep",
    .operands_min = 1,
    .operands_max = 1,
    .options = specs,
    .notes = "primes  tests 112272535095293 for being prime, by trial division\n"
             "craw    fetches pages that take 100 ms each, from a site that it starts\n"
             "sleep   sleeps 10 ms\n"
             "CPU time is that of the program and of its worker processes; the speed-up is over\n"
             "the first engine. What comes out is checked: every test says prime, every page is\n"
             "whole.\n",
    .run = run,
};
