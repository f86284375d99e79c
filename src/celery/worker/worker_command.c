/* SPDX-License-Identifier: MIT */
#include "celery/worker/worker_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <weft/celery_app.h>

#include "base/alloc.h"

enum kind {
    FLAG,    /* bool */
    TEXT,    /* const char * */
    LIST,    /* struct wfi_texts; commas between them, and it may be given many times */
    COUNT,   /* int64_t from min to 10^9 */
    SECONDS, /* double, above 0 */
    CHOICE,  /* int: index into choices, in any case */
    NOTHING, /* understood, and nothing to do about it */
    REFUSED, /* of Celery's, not of this worker's: help says what to do instead */
};

struct row {
    struct wf_celery_worker_option shown; /* by --help, unless it has no help, or is refused */
    enum kind kind;
    size_t field;
    int64_t min;
    const char *const *choices;
};

#define FIELD(name) offsetof(struct wfi_worker_command, name)

static const char *const levels[] = {"WARNING",  "DEBUG", "INFO", "ERROR",
                                     "CRITICAL", "FATAL", NULL};
/* From the fifth on: Celery's own names, of what is nearest to them here. */
static const char *const pools[] = {"threads", "fibers", "processes", "solo",
                                    "prefork", "gevent", "eventlet",  NULL};
static const int pool_kinds[] = {WFI_POOL_THREADS, WFI_POOL_FIBERS,    WFI_POOL_PROCESSES,
                                 WFI_POOL_SOLO,    WFI_POOL_PROCESSES, WFI_POOL_FIBERS,
                                 WFI_POOL_FIBERS};
static const char *const profiles[] = {"default", "fair", NULL};

static const struct row rows[] = {
    {.shown = {"app", 'A', "MODULE",
               "a module of tasks: a path, or NAME for NAME.so in this folder or along\n"
               "WEFT_TASK_PATH; several with commas, or given many times"},
     .kind = LIST,
     .field = FIELD(modules)},
    {.shown = {"broker", 'b', "URL",
               "redis://, redis+socket:// or amqp:// (default: CELERY_BROKER_URL, the\n"
               "module's, amqp://guest@localhost:5672//)"},
     .kind = TEXT,
     .field = FIELD(broker)},
    {.shown = {"result-backend", 0, "URL",
               "where results go: redis://, redis+socket:// or rpc:// (default:\n"
               "CELERY_RESULT_BACKEND, the module's, or nowhere)"},
     .kind = TEXT,
     .field = FIELD(backend)},
    {.shown = {"loglevel", 'l', "LEVEL",
               "DEBUG, INFO, WARNING (default), ERROR, CRITICAL or FATAL"},
     .kind = CHOICE,
     .field = FIELD(level),
     .choices = levels},
    {.shown = {"queues", 'Q', "QUEUE", "take from these, with commas, instead of celery"},
     .kind = LIST,
     .field = FIELD(queues)},
    {.shown = {"concurrency", 'c', "N", "tasks at a time (default: one for each usable CPU)"},
     .kind = COUNT,
     .field = FIELD(concurrency),
     .min = 1},
    {.shown = {"pool", 'P', "POOL",
               "where tasks run: threads (default), fibers, processes (also called\n"
               "prefork) or solo, one thread"},
     .kind = CHOICE,
     .field = FIELD(pool),
     .choices = pools},
    {.shown = {"hostname", 'n', "NAME",
               "this worker's name among others (default celery@%h): %h is the host,\n"
               "%n the host without its domain, %d the domain"},
     .kind = TEXT,
     .field = FIELD(name)},
    {.shown = {"task-events", 'E', NULL, "tell monitors of every task's life"},
     .kind = FLAG,
     .field = FIELD(events)},
    {.shown = {"optimization", 'O', "PROFILE", "fair (which it is anyway) or default"},
     .kind = CHOICE,
     .field = FIELD(fair),
     .choices = profiles},
    {.shown = {"prefetch-multiplier", 0, "N",
               "messages held for each task at a time (default 4; 0: no limit)"},
     .kind = COUNT,
     .field = FIELD(prefetch),
     .min = 0},
    {.shown = {"max-tasks-per-child", 0, "N", "replace a process after so many tasks"},
     .kind = COUNT,
     .field = FIELD(tasks_max),
     .min = 1},
    {.shown = {"max-memory-per-child", 0, "KIB",
               "replace a process that is larger than this after a task"},
     .kind = COUNT,
     .field = FIELD(memory_max_kib),
     .min = 1},
    {.shown = {"time-limit", 0, "S",
               "end a task that runs longer, and its process where it has one"},
     .kind = SECONDS,
     .field = FIELD(time_limit_s)},
    {.shown = {"soft-time-limit", 0, "S", "ask a task that runs longer to stop"},
     .kind = SECONDS,
     .field = FIELD(soft_time_limit_s)},
    {.shown = {"acks-late", 0, NULL,
               "acknowledge a message when its task is done, not before it begins"},
     .kind = FLAG,
     .field = FIELD(acks_late)},
    {.shown = {"track-started", 0, NULL, "store that a task has begun"},
     .kind = FLAG,
     .field = FIELD(track_started)},
    {.shown = {"result-expires", 0, "S", "keep results so long (default 86400; 0: for ever)"},
     .kind = COUNT,
     .field = FIELD(result_expires_s),
     .min = 0},
    {.shown = {"visibility-timeout", 0, "S",
               "when a message on Redis counts as lost by its worker (default\n"
               "3600)"},
     .kind = SECONDS,
     .field = FIELD(visibility_s)},
    {.shown = {"pidfile", 0, "FILE",
               "hold this process's number there; if another's is there, and it runs,\n"
               "do not start"},
     .kind = TEXT,
     .field = FIELD(pid_file)},
    {.shown = {"logfile", 'f', "FILE",
               "log there, instead of standard error; %n in it is the worker's name,\n"
               "%h the host, %p both"},
     .kind = TEXT,
     .field = FIELD(log_file)},
    {.shown = {"workdir", 0, "DIR", "go there first"}, .kind = TEXT, .field = FIELD(folder)},
    {.shown = {"quiet", 'q', NULL, "print no banner"}, .kind = FLAG, .field = FIELD(quiet)},
    {.shown = {"broker-retry-on-startup", 0, NULL,
               "try for long, not 4 seconds, when the broker cannot be\n"
               "reached at the start; the result backend is not looked for"},
     .kind = FLAG,
     .field = FIELD(retry_on_startup)},
    {.shown = {"without-heartbeat", 0, NULL, "do not tell them"},
     .kind = FLAG,
     .field = FIELD(no_heartbeat)},
    {.shown = {"without-mingle", 0, NULL, "do not ask other workers what was revoked"},
     .kind = FLAG,
     .field = FIELD(no_mingle)},
    {.shown = {"without-gossip", 0, NULL, "understood; there is none"},
     .kind = FLAG,
     .field = FIELD(no_gossip)},
    {.shown = {"events", 0, NULL, NULL}, .kind = FLAG, .field = FIELD(events)},
    {.shown = {"include", 'I', "MODULE", NULL}, .kind = LIST, .field = FIELD(modules)},
    {.shown = {"no-color", 'C', NULL, NULL}, .kind = NOTHING},
    {.shown = {"loader", 0, "LOADER", NULL}, .kind = NOTHING},
    {.shown = {"detach", 'D', NULL, "let a service manager start it, or setsid --fork"},
     .kind = REFUSED},
    {.shown = {"autoscale", 0, "N", "-c says how many tasks run at a time"}, .kind = REFUSED},
    {.shown = {"beat", 'B', NULL, "let a process of its own send periodic tasks"}, .kind = REFUSED},
    {.shown = {"statedb", 'S', "FILE", "what was revoked is asked of the other workers"},
     .kind = REFUSED},
    {.shown = {"heartbeat-interval", 0, "S", "monitors are told every 2 seconds that it lives"},
     .kind = REFUSED},
    {.shown = {"uid", 0, "UID", "let what starts it change the user"}, .kind = REFUSED},
    {.shown = {"gid", 0, "GID", "let what starts it change the group"}, .kind = REFUSED},
    {.shown = {"umask", 0, "MASK", "let what starts it set the mask"}, .kind = REFUSED},
    {.shown = {"purge", 0, NULL, "nothing here throws waiting messages away"}, .kind = REFUSED},
    {.shown = {"discard", 0, NULL, "nothing here throws waiting messages away"}, .kind = REFUSED},
    {.shown = {"config", 0, "MODULE", "a module's WF_CELERY_APP takes its place"}, .kind = REFUSED},
};

#define ROWS (sizeof rows / sizeof *rows)

static bool is_shown(const struct row *row)
{
    return row->shown.help && row->kind != REFUSED;
}

struct wf_celery_worker_option wf_celery_worker_option_at(size_t i)
{
    for (size_t r = 0; r < ROWS; r++)
        if (is_shown(&rows[r]) && i-- == 0)
            return rows[r].shown;
    return (struct wf_celery_worker_option){0};
}

/* ---- --help ---- */

#define HELP_COLUMN 26

static void print_row(const struct wf_celery_worker_option *shown)
{
    char letter[5] = "    ", left[96];
    const char *help = shown->help;
    if (shown->letter)
        snprintf(letter, sizeof letter, "-%c, ", shown->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, shown->name, shown->argument ? " " : "",
             shown->argument ? shown->argument : "");
    if (strlen(left) >= HELP_COLUMN)
        printf("%s\n%*s", left, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, left);
    for (size_t len; len = strcspn(help, "\n"), help[len]; help += len + 1)
        printf("%.*s\n%*s", (int)len, help, HELP_COLUMN, "");
    printf("%s\n", help);
}

static void print_help(const char *program)
{
    printf("usage: %s -A MODULE [options]\n"
           "Runs tasks that a Celery cluster sends.\n\n",
           program);
    for (size_t i = 0; i < ROWS; i++)
        if (is_shown(&rows[i]))
            print_row(&rows[i].shown);
    print_row(&(struct wf_celery_worker_option){"help", 'h', NULL, "print this and exit"});
    printf("\nTERM, or INT once, ends it when the tasks that run are done; QUIT, or INT again, at\n"
           "once.\n");
}

/* ---- values ---- */

static int add_text(struct wfi_texts *texts, const char *text, size_t len, struct wf_error *reterr)
{
    char **grown = wfi_realloc(texts->items, (texts->count + 1) * sizeof *grown);
    char *copy = grown ? wfi_alloc(len + 1) : NULL;
    if (grown)
        texts->items = grown;
    if (!copy)
        return wf_error_set(reterr, -ENOMEM, NULL);
    memcpy(copy, text, len);
    copy[len] = '\0';
    texts->items[texts->count++] = copy;
    return 0;
}

static int add_texts(struct wfi_texts *texts, const char *given, const char *value,
                     struct wf_error *reterr)
{
    const size_t before = texts->count;
    int err = 0;
    for (const char *at = value; !err && *at;) {
        size_t len = strcspn(at, ",");
        if (len)
            err = add_text(texts, at, len, reterr);
        at += len + (at[len] == ',');
    }
    if (!err && texts->count == before)
        err = wf_error_set(reterr, -EINVAL, "%s wants a name", given);
    return err;
}

static int read_choice(const struct row *row, const char *given, const char *value, int *ret,
                       struct wf_error *reterr)
{
    char list[160] = "";
    for (int i = 0; row->choices[i]; i++) {
        const size_t len = strlen(list);
        if (strcasecmp(row->choices[i], value) == 0) {
            *ret = row->choices == pools ? pool_kinds[i] : i;
            return 0;
        }
        snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", row->choices[i]);
    }
    return wf_error_set(reterr, -EINVAL, "%s wants one of %s, not \"%.60s\"", given, list, value);
}

static int take_value(const struct row *row, const char *given, const char *value,
                      struct wfi_worker_command *ret, struct wf_error *reterr)
{
    void *field = (char *)ret + row->field;
    char *end;
    int choice = 0;
    int err = 0;
    switch (row->kind) {
    case FLAG:
        *(bool *)field = true;
        break;
    case TEXT:
        if (!value[0])
            return wf_error_set(reterr, -EINVAL, "%s wants a value: %s", given,
                                row->shown.argument);
        *(const char **)field = value;
        break;
    case LIST:
        return add_texts(field, given, value, reterr);
    case COUNT: {
        const size_t digits = strspn(value, "0123456789");
        const long long number = digits && digits < 11 && !value[digits] ? atoll(value) : -1;
        if (number < row->min || number > 1000000000)
            return wf_error_set(reterr, -EINVAL, "%s wants a whole number from %lld, not \"%.60s\"",
                                given, (long long)row->min, value);
        *(int64_t *)field = number;
        break;
    }
    case SECONDS: {
        const double number = strtod(value, &end);
        if (end == value || *end || !(number > 0 && number < 9e9))
            return wf_error_set(reterr, -EINVAL, "%s wants seconds above 0, not \"%.60s\"", given,
                                value);
        *(double *)field = number;
        break;
    }
    case CHOICE:
        err = read_choice(row, given, value, &choice, reterr);
        if (!err && row->choices == profiles)
            *(bool *)field = choice;
        else if (!err)
            *(int *)field = choice;
        ret->has_pool |= row->choices == pools;
        break;
    case NOTHING:
        break;
    case REFUSED:
        return wf_error_set(reterr, -ENOTSUP, "%s is not for this worker: %s", given,
                            row->shown.help);
    }
    return err;
}

/* ---- arguments ---- */

struct reader {
    int argc, at; /* argv[at] is the argument being read */
    char **argv;
    struct wfi_worker_command *ret;
    struct wf_error *reterr;
};

/* `value` stands in the same argument, or is NULL. */
static int take(struct reader *r, const struct row *row, const char *given, const char *value)
{
    if (!row->shown.argument && value)
        return wf_error_set(r->reterr, -EINVAL, "%s takes no value", given);
    if (row->shown.argument && !value) {
        if (r->at + 1 >= r->argc)
            return wf_error_set(r->reterr, -EINVAL, "%s wants a value: %s", given,
                                row->shown.argument);
        value = r->argv[++r->at];
    }
    return take_value(row, given, value, r->ret, r->reterr);
}

static int read_long(struct reader *r)
{
    const char *name = r->argv[r->at] + 2;
    const size_t len = strcspn(name, "=");
    char given[64];
    snprintf(given, sizeof given, "--%.*s", (int)(len < 60 ? len : 60), name);
    for (size_t i = 0; i < ROWS; i++)
        if (strlen(rows[i].shown.name) == len && memcmp(rows[i].shown.name, name, len) == 0)
            return take(r, &rows[i], given, name[len] ? name + len + 1 : NULL);
    return wf_error_set(r->reterr, -EINVAL, "unknown option %s", given);
}

static int read_short(struct reader *r)
{
    const char *letter = r->argv[r->at] + 1;
    int err = 0;
    for (; !err && *letter; letter++) {
        char given[3] = {'-', *letter, 0};
        size_t i = 0;
        while (i < ROWS && rows[i].shown.letter != *letter)
            i++;
        if (*letter == 'h') {
            print_help(r->argv[0]);
            return -ECANCELED;
        }
        if (i == ROWS)
            return wf_error_set(r->reterr, -EINVAL, "unknown option %s", given);
        if (rows[i].shown.argument)
            return take(r, &rows[i], given, letter[1] ? letter + 1 : NULL);
        err = take(r, &rows[i], given, NULL);
    }
    return err;
}

int wfi_worker_command_parse(int argc, char **argv, struct wfi_worker_command *ret,
                             struct wf_error *reterr)
{
    struct reader r = {argc, 1, argv, ret, reterr};
    int err = 0;
    *ret = (struct wfi_worker_command){.prefetch = -1, .result_expires_s = -1};
    for (; !err && r.at < argc; r.at++) {
        const char *argument = argv[r.at];
        if (strcmp(argument, "--help") == 0) {
            print_help(argv[0]);
            err = -ECANCELED;
        } else if (strncmp(argument, "--", 2) == 0) {
            err = read_long(&r);
        } else if (argument[0] == '-' && argument[1]) {
            err = read_short(&r);
        } else if (strcmp(argument, "worker") != 0) { /* as in `PROGRAM worker`, Celery's way */
            err = wf_error_set(reterr, -EINVAL, "unexpected argument \"%.60s\"", argument);
        }
    }
    return err;
}

static void free_texts(struct wfi_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        wfi_free(texts->items[i]);
    wfi_free(texts->items);
    *texts = (struct wfi_texts){0};
}

void wfi_worker_command_fini(struct wfi_worker_command *command)
{
    free_texts(&command->modules);
    free_texts(&command->queues);
}
