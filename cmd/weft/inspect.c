/* SPDX-License-Identifier: MIT */
/* weft inspect: asks the workers of a Celery cluster how they are, or to change something. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/celery_client.h>

#include "commands.h"
#include "worker/addresses.h"

/* For sending, beside the time in which workers reply: what cannot be reached is told within five
 * seconds. */
#define SEND_NS WF_SECONDS(3)

struct values {
    struct addresses addresses;
    struct option_list destinations;
    const char *timeout, *arguments;
    bool json;
};

#define FIELD(name) offsetof(struct values, name)

static const struct option_spec specs[] = {
    {.name = "destination",
     .letter = 'd',
     .type = OPTION_LIST,
     .field = FIELD(destinations),
     .argument = "NODE",
     .help = "ask this worker alone, celery@host; may be given many times"},
    {.name = "timeout",
     .letter = 't',
     .type = OPTION_TEXT,
     .field = FIELD(timeout),
     .argument = "S",
     .help = "wait so long for replies (default 1)"},
    {.name = "arguments",
     .type = OPTION_TEXT,
     .field = FIELD(arguments),
     .argument = "JSON",
     .help = "the method's arguments as an object, in place of ARG..."},
    {.name = "app",
     .letter = 'A',
     .type = OPTION_TEXT,
     .field = FIELD(addresses.app),
     .argument = "MODULE",
     .help = "a module that declares the broker"},
    {.name = "broker",
     .letter = 'b',
     .type = OPTION_TEXT,
     .field = FIELD(addresses.broker),
     .argument = "URL",
     .help = "redis://, redis+socket:// or amqp:// (default: CELERY_BROKER_URL, the\n"
             "module's, amqp://guest@localhost:5672//)"},
    {.name = "result-backend",
     .hidden = true,
     .type = OPTION_TEXT,
     .field = FIELD(addresses.backend),
     .argument = "URL",
     .help = "not asked"},
    {.name = "json",
     .letter = 'j',
     .type = OPTION_FLAG,
     .field = FIELD(json),
     .help = "print the replies as one object, by worker"},
    {0},
};

/* What the operands of a method are called. */
static const struct method {
    const char *name;
    const char *arguments[3];
    bool list; /* the only one takes all operands, as an array */
} methods[] = {
    {"query_task", {"ids"}, true},
    {"registered", {"taskinfoitems"}, true},
    {"revoke", {"task_id"}, true},
    {"terminate", {"task_id", "signal"}, false},
    {"rate_limit", {"task_name", "rate_limit"}, false},
    {"time_limit", {"task_name", "soft", "hard"}, false},
    {"pool_grow", {"n"}, false},
    {"pool_shrink", {"n"}, false},
    {"add_consumer", {"queue", "exchange", "exchange_type"}, false},
    {"cancel_consumer", {"queue"}, false},
};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

static void write_operand(struct wf_json_writer *w, const char *text)
{
    const size_t len = strlen(text);
    if (len && len < 10 && strspn(text, "0123456789") == len)
        wf_json_write_int(w, atoi(text));
    else
        wf_json_write_string(w, text, len);
}

/* Writes the method's arguments, an object. Returns -1, or EXIT_USAGE after a line. */
static int write_arguments(struct wf_json_writer *w, char **operands, int count)
{
    const struct method *method = find_method(operands[0]);
    wf_json_write_object(w);
    if (method && method->list && count > 1) {
        wf_json_write_key(w, method->arguments[0]);
        wf_json_write_array(w);
        for (int i = 1; i < count; i++)
            wf_json_write_string(w, operands[i], strlen(operands[i]));
        wf_json_write_end(w);
    }
    for (int i = 1; i < count && !(method && method->list); i++) {
        if (!method || i > 3 || !method->arguments[i - 1])
            return options_wrong(&inspect_command, "%s: unexpected argument \"%s\"", operands[0],
                                 operands[i]);
        wf_json_write_key(w, method->arguments[i - 1]);
        write_operand(w, operands[i]);
    }
    wf_json_write_end(w);
    return -1;
}

/* ---- replies ---- */

static int print_json(const struct wf_json_value *value, const char *before)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, value);
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        printf("%s%.*s\n", before, (int)len, text);
    wf_json_writer_destroy(w);
    return err;
}

/* A list has a line for each item, an object one for each member. */
static int print_reply(const struct wf_json_value *value)
{
    const enum wf_json_type type = wf_json_type(value);
    const size_t count = wf_json_count(value);
    int err = 0;
    size_t len;
    if (type == WF_JSON_STRING) {
        const char *text = wf_json_text(value, &len);
        return printf("    %.*s\n", (int)len, text) < 0 ? -EIO : 0;
    }
    if (type != WF_JSON_ARRAY && type != WF_JSON_OBJECT)
        return print_json(value, "    ");
    if (!count)
        printf("    - empty -\n");
    for (size_t i = 0; !err && i < count; i++) {
        const struct wf_json_value *item = wf_json_at(value, i);
        if (type == WF_JSON_OBJECT) {
            const char *key = wf_json_key(item, &len);
            printf("    %.*s:", (int)len, key);
            err = print_json(item, " ");
        } else {
            err = print_json(item, "    * ");
        }
    }
    return err;
}

/* {"ok": value} and {"error": text} are how a worker says whether it did something. */
static int print_node(const struct wf_json_value *node, bool *ret_error)
{
    size_t len;
    const char *name = wf_json_key(node, &len);
    const bool marked = wf_json_type(node) == WF_JSON_OBJECT && wf_json_count(node) == 1;
    const struct wf_json_value *ok = marked ? wf_json_get(node, "ok") : NULL;
    const struct wf_json_value *error = marked ? wf_json_get(node, "error") : NULL;
    *ret_error = *ret_error || error;
    printf("->  %.*s: %s\n", (int)len, name, error ? "ERROR" : "OK");
    return print_reply(error ? error : ok ? ok : node);
}

static int print_replies(const struct wf_json_value *replies)
{
    const size_t count = wf_json_count(replies);
    bool error = false;
    int err = 0;
    for (size_t i = 0; !err && i < count; i++)
        err = print_node(wf_json_at(replies, i), &error);
    if (err)
        fprintf(stderr, "weft inspect: %s\n", wf_strerror(err));
    else
        printf("\n%zu worker%s replied\n", count, count == 1 ? "" : "s");
    return err || error ? EXIT_FAILED : EXIT_DONE;
}

static int ask(const struct values *values, const char *method, const char *arguments,
               double timeout_s)
{
    struct wf_celery_client *client;
    struct wf_json *replies = NULL;
    struct wf_error error = {0};
    int status = EXIT_FAILED;
    const struct wf_celery_control control = {.method = method,
                                              .arguments = arguments,
                                              .destination = values->destinations.items,
                                              .destination_count = values->destinations.count,
                                              .wait_ns = WF_SECONDS(timeout_s)};
    int err = wf_celery_client_create(
        &(struct wf_celery_client_options){.broker = values->addresses.broker}, &client, &error);
    if (err) {
        fprintf(stderr, "weft inspect: %s\n", error.text[0] ? error.text : wf_strerror(err));
        return EXIT_USAGE;
    }
    /* A worker that is told to shut down does not reply. */
    const bool silent = strcmp(method, "shutdown") == 0;
    err = wf_celery_client_control(client, &control, silent ? NULL : &replies,
                                   wf_after(SEND_NS + WF_SECONDS(timeout_s)), &error);
    if (err) {
        if (values->addresses.is_default)
            wf_error_prefix(&error, "no broker is named (-b, CELERY_BROKER_URL), so %s",
                            values->addresses.broker);
        fprintf(stderr, "weft inspect: %s\n", error.text[0] ? error.text : wf_strerror(err));
        status = err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    } else if (silent) {
        status = EXIT_DONE;
    } else if (wf_json_count(wf_json_root(replies)) == 0) {
        fprintf(stderr, "weft inspect: no worker replied within %g s\n", timeout_s);
    } else if (values->json) {
        status = print_json(wf_json_root(replies), "") ? EXIT_FAILED : EXIT_DONE;
    } else {
        status = print_replies(wf_json_root(replies));
    }
    wf_json_destroy(replies);
    wf_celery_client_destroy(client);
    return status;
}

static int inspect(const struct values *values, char **operands, int count)
{
    struct wf_json_writer *w;
    double timeout_s = 1;
    const char *arguments = values->arguments;
    size_t len;
    int status = seconds_read(&inspect_command, "--timeout", values->timeout, &timeout_s);
    if (status >= 0)
        return status;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return EXIT_FAILED;
    if (!arguments)
        status = write_arguments(w, operands, count);
    if (status < 0 && !arguments)
        err = wf_json_writer_text(w, &arguments, &len);
    if (status < 0)
        status = err ? EXIT_FAILED : ask(values, operands[0], arguments, timeout_s);
    wf_json_writer_destroy(w);
    return status;
}

static int run(int argc, char **argv)
{
    struct values values = {0};
    int operands, status = options_parse(&inspect_command, argc, argv, &values, &operands);
    if (status < 0 && values.arguments && operands > 1)
        status = options_wrong(&inspect_command, "either ARG... or --arguments");
    if (status < 0)
        status = addresses_find(&inspect_command, &values.addresses);
    if (status < 0)
        status = inspect(&values, argv + 1, operands);
    options_list_free(&values.destinations);
    return status;
}

const struct command inspect_command = {
    .name = "inspect",
    .summary = "Asks the workers of a Celery cluster how they are",
    .operands = "METHOD [ARG...]",
    .operands_min = 1,
    .operands_max = -1,
    .options = specs,
    .notes =
        "Methods: ping, active, reserved, scheduled, registered, stats, active_queues, revoked,\n"
        "conf, report, clock, query_task ID...; and what changes a worker: revoke ID...,\n"
        "terminate ID, rate_limit TASK RATE, time_limit TASK SOFT HARD, pool_grow N,\n"
        "pool_shrink N, add_consumer QUEUE, cancel_consumer QUEUE, enable_events,\n"
        "disable_events, shutdown.\n",
    .run = run,
};
