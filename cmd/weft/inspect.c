/* SPDX-License-Identifier: MIT */
/* weft inspect: asks the workers of a Celery cluster how they are, or to change something. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "worker/client.h"

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
     .help = "ask this worker alone, celery@host; several with commas, or given many times"},
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
    ADDRESS_OPTIONS(FIELD(addresses)),
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

/* What the operands of a method are called; those in front of `numbers_at` are texts. */
static const struct method {
    const char *name;
    const char *arguments[3];
    int required, numbers_at;
    bool list; /* the only one takes all operands, as an array */
    const char *usage;
} methods[] = {
    {"query_task", {"ids"}, 1, 1, true, "ID..."},
    {"registered", {"taskinfoitems"}, 0, 1, true, "[ITEM...]"},
    {"revoke", {"task_id"}, 1, 1, true, "ID..."},
    {"terminate", {"task_id", "signal"}, 1, 2, false, "ID [SIGNAL]"},
    {"rate_limit", {"task_name", "rate_limit"}, 2, 2, false, "TASK RATE"},
    {"time_limit", {"task_name", "soft", "hard"}, 2, 1, false, "TASK SOFT [HARD]"},
    {"pool_grow", {"n"}, 0, 0, false, "[N]"},
    {"pool_shrink", {"n"}, 0, 0, false, "[N]"},
    {"add_consumer", {"queue", "exchange", "exchange_type"}, 1, 3, false, "QUEUE"},
    {"cancel_consumer", {"queue"}, 1, 1, false, "QUEUE"},
};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* A whole one as an integer, which is what some methods want. */
static bool write_number(struct wf_json_writer *w, const char *text)
{
    const size_t len = strlen(text);
    char *end;
    const double number = strtod(text, &end);
    if (!len || strspn(text, "0123456789.") != len || *end)
        return false;
    if (len < 10 && !strchr(text, '.'))
        wf_json_write_int(w, atoi(text));
    else
        wf_json_write_double(w, number);
    return true;
}

static int write_operands(struct wf_json_writer *w, const struct method *method, char **operands,
                          int count)
{
    for (int i = 0; i < count; i++) {
        if (i == 3 || !method->arguments[i])
            return options_wrong(&inspect_command, "%s wants %s: unexpected argument \"%s\"",
                                 method->name, method->usage, operands[i]);
        wf_json_write_key(w, method->arguments[i]);
        if (i < method->numbers_at)
            wf_json_write_string(w, operands[i], strlen(operands[i]));
        else if (!write_number(w, operands[i]))
            return options_wrong(&inspect_command, "%s wants %s: \"%s\" is no number", method->name,
                                 method->usage, operands[i]);
    }
    return -1;
}

/* Writes the method's arguments, an object. Returns -1, or EXIT_USAGE after a line. */
static int write_arguments(struct wf_json_writer *w, char **operands, int count)
{
    const struct method *method = find_method(operands[0]);
    int status = -1;
    if (!method && count > 1)
        return options_wrong(&inspect_command, "%s: unexpected argument \"%s\"", operands[0],
                             operands[1]);
    if (method && count - 1 < method->required)
        return options_wrong(&inspect_command, "%s wants %s", method->name, method->usage);
    wf_json_write_object(w);
    if (method && method->list && count > 1) {
        wf_json_write_key(w, method->arguments[0]);
        wf_json_write_array(w);
        for (int i = 1; i < count; i++)
            wf_json_write_string(w, operands[i], strlen(operands[i]));
        wf_json_write_end(w);
    } else if (method) {
        status = write_operands(w, method, operands + 1, count - 1);
    }
    if (status < 0)
        wf_json_write_end(w);
    return status;
}

/* ---- replies ---- */

static void print_text(const char *before, const struct wf_json_value *value)
{
    size_t len;
    const char *text = wf_json_text(value, &len);
    fputs(before, stdout);
    fwrite(text, 1, len, stdout);
    putchar('\n');
}

/* A list has a line for each item, an object one for each member. */
static int print_reply(const struct wf_json_value *value)
{
    const enum wf_json_type type = wf_json_type(value);
    const size_t count = wf_json_count(value);
    int err = 0;
    size_t len;
    if (type == WF_JSON_STRING)
        print_text("    ", value);
    else if (type != WF_JSON_ARRAY && type != WF_JSON_OBJECT)
        return client_print("    ", value);
    else if (!count)
        printf("    - empty -\n");
    for (size_t i = 0; !err && i < count; i++) {
        const struct wf_json_value *item = wf_json_at(value, i);
        if (type == WF_JSON_OBJECT) {
            const char *key = wf_json_key(item, &len);
            printf("    %.*s:", (int)len, key);
            err = client_print(" ", item);
        } else if (wf_json_type(item) == WF_JSON_STRING) {
            print_text("    * ", item);
        } else {
            err = client_print("    * ", item);
        }
    }
    return err;
}

/* {"ok": value} and {"error": text} are how a worker says whether it did something. */
static const struct wf_json_value *only(const struct wf_json_value *node, const char *key)
{
    const bool alone = wf_json_type(node) == WF_JSON_OBJECT && wf_json_count(node) == 1;
    return alone ? wf_json_get(node, key) : NULL;
}

static int print_node(const struct wf_json_value *node)
{
    size_t len;
    const char *name = wf_json_key(node, &len);
    const struct wf_json_value *ok = only(node, "ok"), *error = only(node, "error");
    printf("->  %.*s: %s\n", (int)len, name, error ? "ERROR" : "OK");
    return print_reply(error ? error : ok ? ok : node);
}

/* Returns EXIT_DONE, or EXIT_FAILED after a line about who has not replied. */
static int look_at_replies(const struct option_list *asked, const struct wf_json_value *replies,
                           double timeout_s)
{
    int status = EXIT_DONE;
    if (!wf_json_count(replies)) {
        fprintf(stderr, "weft inspect: no worker replied within %g s\n", timeout_s);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < asked->count; i++)
        if (!wf_json_get(replies, asked->items[i])) {
            fprintf(stderr, "weft inspect: %s did not reply within %g s\n", asked->items[i],
                    timeout_s);
            status = EXIT_FAILED;
        }
    for (size_t i = 0; i < wf_json_count(replies); i++)
        if (only(wf_json_at(replies, i), "error"))
            status = EXIT_FAILED;
    return status;
}

static int print_replies(const struct wf_json_value *replies, bool json)
{
    const size_t count = wf_json_count(replies);
    int err = 0;
    if (json)
        return client_print("", replies);
    for (size_t i = 0; i < count && !err; i++)
        err = print_node(wf_json_at(replies, i));
    if (count && !err)
        printf("\n%zu worker%s replied\n", count, count == 1 ? "" : "s");
    return err;
}

static int ask(const struct values *values, const char *method, const char *arguments,
               double timeout_s)
{
    struct wf_celery_client *client;
    struct wf_json *replies = NULL;
    struct wf_error error = {0};
    const struct wf_celery_control control = {.method = method,
                                              .arguments = arguments,
                                              .destination = values->destinations.items,
                                              .destination_count = values->destinations.count,
                                              .wait_ns = WF_SECONDS(timeout_s)};
    int status = client_open(&inspect_command, &values->addresses, &client);
    if (status >= 0)
        return status;
    /* A worker that is told to shut down does not reply. */
    const bool silent = strcmp(method, "shutdown") == 0;
    int err = wf_celery_client_control(client, &control, silent ? NULL : &replies,
                                       wf_after(SEND_NS + WF_SECONDS(timeout_s)), &error);
    if (err) {
        status = client_failed(&inspect_command, &values->addresses, err, &error);
    } else if (silent) {
        if (values->json)
            puts("{}");
        status = client_end(&inspect_command, 0, EXIT_DONE);
    } else {
        const struct wf_json_value *all = wf_json_root(replies);
        status = look_at_replies(&values->destinations, all, timeout_s);
        status = client_end(&inspect_command, print_replies(all, values->json), status);
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

/* Celery's users name several with commas. The names stand behind the list, in one block. */
static int split_destinations(struct option_list *list)
{
    size_t room = 0, bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        room++;
        bytes += strlen(list->items[i]) + 1;
        for (const char *at = list->items[i]; (at = strchr(at, ',')); at++)
            room++;
    }
    if (!room)
        return -1;
    struct option_list split = {malloc(room * sizeof(split.items[0]) + bytes), 0};
    if (!split.items) {
        fprintf(stderr, "weft inspect: out of memory\n");
        return EXIT_FAILED;
    }
    char *name = (char *)(split.items + room);
    for (size_t i = 0; i < list->count; i++)
        for (const char *at = list->items[i]; *at; at += *at == ',') {
            const size_t len = strcspn(at, ",");
            if (len)
                split.items[split.count++] = memcpy(name, at, len);
            name[len] = 0;
            name += len + 1;
            at += len;
        }
    options_list_free(list);
    *list = split;
    return list->count ? -1 : options_wrong(&inspect_command, "--destination names nobody");
}

static int run(int argc, char **argv)
{
    struct values values = {0};
    int operands, status = options_parse(&inspect_command, argc, argv, &values, &operands);
    if (status < 0 && values.arguments && operands > 1)
        status = options_wrong(&inspect_command, "either ARG... or --arguments");
    if (status < 0)
        status = split_destinations(&values.destinations);
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
        "terminate ID [SIGNAL], rate_limit TASK RATE, time_limit TASK SOFT [HARD],\n"
        "pool_grow [N], pool_shrink [N], add_consumer QUEUE, cancel_consumer QUEUE,\n"
        "enable_events, disable_events, shutdown.\n",
    .run = run,
};
