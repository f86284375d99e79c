/* SPDX-License-Identifier: MIT */
/* weft call: sends a task to a Celery cluster, and waits for its result where that is asked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weft/celery_client.h>

#include "commands.h"
#include "worker/addresses.h"

/* What cannot be reached is told within five seconds. */
#define SEND_NS WF_SECONDS(4)

struct values {
    struct addresses addresses;
    const char *args, *kwargs, *queue, *id, *countdown, *eta, *expires, *timeout;
    int64_t priority;
    bool wait, json;
};

#define FIELD(name) offsetof(struct values, name)

static const struct option_spec specs[] = {
    {.name = "wait",
     .letter = 'w',
     .type = OPTION_FLAG,
     .field = FIELD(wait),
     .help = "wait for the result and print it, instead of the task's id"},
    {.name = "timeout",
     .letter = 't',
     .type = OPTION_TEXT,
     .field = FIELD(timeout),
     .argument = "S",
     .help = "with --wait, at most so many seconds"},
    {.name = "args",
     .letter = 'a',
     .type = OPTION_TEXT,
     .field = FIELD(args),
     .argument = "JSON",
     .help = "all arguments as one array, in place of ARG..."},
    {.name = "kwargs",
     .letter = 'k',
     .type = OPTION_TEXT,
     .field = FIELD(kwargs),
     .argument = "JSON",
     .help = "arguments by name: an object"},
    {.name = "queue",
     .letter = 'Q',
     .type = OPTION_TEXT,
     .field = FIELD(queue),
     .argument = "QUEUE",
     .help = "where to (default celery)"},
    {.name = "countdown",
     .type = OPTION_TEXT,
     .field = FIELD(countdown),
     .argument = "S",
     .help = "run it so many seconds from now"},
    {.name = "eta",
     .type = OPTION_TEXT,
     .field = FIELD(eta),
     .argument = "TIME",
     .help = "run it then: 2030-12-31T23:59:59, with Z or +01:00 behind; without, in UTC"},
    {.name = "expires",
     .type = OPTION_TEXT,
     .field = FIELD(expires),
     .argument = "S|TIME",
     .help = "do not run it later than so many seconds from now, or than this time"},
    {.name = "priority",
     .type = OPTION_NUMBER,
     .field = FIELD(priority),
     .argument = "N",
     .min = 0,
     .max = 9,
     .help = "0 to 9; on Redis 0 is the first to be taken, on RabbitMQ the last"},
    {.name = "id",
     .type = OPTION_TEXT,
     .field = FIELD(id),
     .argument = "ID",
     .help = "the task's id (default: a new one)"},
    {.name = "app",
     .letter = 'A',
     .type = OPTION_TEXT,
     .field = FIELD(addresses.app),
     .argument = "MODULE",
     .help = "a module that declares the addresses"},
    {.name = "broker",
     .letter = 'b',
     .type = OPTION_TEXT,
     .field = FIELD(addresses.broker),
     .argument = "URL",
     .help = "redis://, redis+socket:// or amqp:// (default: CELERY_BROKER_URL, the\n"
             "module's, amqp://guest@localhost:5672//)"},
    {.name = "result-backend",
     .type = OPTION_TEXT,
     .field = FIELD(addresses.backend),
     .argument = "URL",
     .help = "where results are (default: CELERY_RESULT_BACKEND, the module's, and with\n"
             "RabbitMQ rpc://)"},
    {.name = "json",
     .type = OPTION_FLAG,
     .field = FIELD(json),
     .help = "print an object: the id, or with --wait all that is stored of the result"},
    {0},
};

/* ---- arguments ---- */

/* What is JSON is that value, all else a string. */
static void write_argument(struct wf_json_writer *w, const char *text)
{
    struct wf_json *json;
    if (wf_json_read(text, strlen(text), NULL, &json, NULL)) {
        wf_json_write_string(w, text, strlen(text));
        return;
    }
    wf_json_write_value(w, wf_json_root(json));
    wf_json_destroy(json);
}

static const char *write_arguments(struct wf_json_writer *w, char **texts, int count)
{
    const char *text;
    size_t len;
    wf_json_write_array(w);
    for (int i = 0; i < count; i++)
        write_argument(w, texts[i]);
    wf_json_write_end(w);
    return wf_json_writer_text(w, &text, &len) ? NULL : text;
}

/* 2030-12-31T23:59:59.5+01:00 as microseconds since 1970. Returns false for anything else. */
static bool read_moment(const char *text, int64_t *ret_us)
{
    struct tm tm = {0};
    int n = 0, hours, minutes;
    double seconds;
    if (sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &n) < 5 ||
        !n || text[n] < '0' || text[n] > '9')
        return false;
    char *end;
    seconds = strtod(text + n, &end);
    if (seconds >= 61)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t offset_s = 0;
    if ((*end == '+' || *end == '-') && sscanf(end + 1, "%2d:%2d%n", &hours, &minutes, &n) == 2) {
        offset_s = (hours * 60 + minutes) * (*end == '-' ? -60 : 60);
        end += 1 + n;
    } else if (*end == 'Z') {
        end++;
    }
    if (*end)
        return false;
    *ret_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + (int64_t)(seconds * 1e6);
    return true;
}

static int read_times(const struct values *values, struct wf_celery_apply *apply)
{
    double countdown_s = 0, expires_s = 0;
    int status = seconds_read(&call_command, "--countdown", values->countdown, &countdown_s);
    if (status < 0 && values->eta && !read_moment(values->eta, &apply->eta_us))
        status = options_wrong(&call_command, "--eta wants a time, not \"%s\"", values->eta);
    if (status < 0 && values->expires && !read_moment(values->expires, &apply->expires_at_us))
        status = seconds_read(&call_command, "--expires", values->expires, &expires_s);
    apply->countdown_ns = countdown_s > 0 ? WF_SECONDS(countdown_s) : 0;
    apply->expires_ns = expires_s > 0 ? WF_SECONDS(expires_s) : 0;
    return status;
}

/* ---- results ---- */

static int print_value(const struct wf_json_value *value, bool bare)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    if (bare && wf_json_type(value) == WF_JSON_STRING) {
        text = wf_json_text(value, &len);
        printf("%.*s\n", (int)len, text);
        return EXIT_DONE;
    }
    int err = wf_json_writer_create(NULL, &w);
    if (!err) {
        wf_json_write_value(w, value);
        err = wf_json_writer_text(w, &text, &len);
        if (!err)
            printf("%.*s\n", (int)len, text);
        wf_json_writer_destroy(w);
    }
    if (err)
        fprintf(stderr, "weft call: %s\n", wf_strerror(err));
    return err ? EXIT_FAILED : EXIT_DONE;
}

static int print_id(const char *id)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return EXIT_FAILED;
    wf_json_write_object(w);
    wf_json_write_key(w, "id");
    wf_json_write_string(w, id, strlen(id));
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        printf("%.*s\n", (int)len, text);
    wf_json_writer_destroy(w);
    return err ? EXIT_FAILED : EXIT_DONE;
}

static int failed(const char *name, const char *id, const struct wf_error *error)
{
    fprintf(stderr, "weft call: %s%s%s%s: %s\n", name, id ? "[" : "", id ? id : "", id ? "]" : "",
            error->text[0] ? error->text : wf_strerror(error->code));
    return EXIT_FAILED;
}

static int wait_for_it(struct wf_celery_client *client, const struct values *values,
                       const char *name, const char *id, double timeout_s)
{
    struct wf_celery_result *result;
    const struct wf_json_value *value;
    struct wf_error error = {0};
    const wf_deadline until = timeout_s > 0 ? wf_after(WF_SECONDS(timeout_s)) : WF_FOREVER;
    int err = wf_celery_client_wait(client, id, &result, until, &error);
    if (err) {
        if (err == -ETIMEDOUT)
            wf_error_set(&error, err, "no result within %g s", timeout_s);
        return failed(name, id, &error);
    }
    int status;
    err = wf_celery_result_value(result, &value, &error);
    if (values->json) {
        status = print_value(wf_celery_result_document(result), false);
        status = err ? EXIT_FAILED : status;
    } else {
        status = err ? failed(name, id, &error) : print_value(value, true);
    }
    wf_celery_result_destroy(result);
    return status;
}

static int send_it(struct wf_celery_client *client, const struct values *values, const char *name,
                   const struct wf_celery_apply *apply, const char *args, double timeout_s)
{
    char new_id[WF_CELERY_ID_BYTES];
    struct wf_error error = {0};
    int err = wf_celery_client_send(client, name, args, values->kwargs, apply, new_id,
                                    wf_after(SEND_NS), &error);
    if (err) {
        if (values->addresses.is_default)
            wf_error_prefix(&error, "no broker is named (-b, CELERY_BROKER_URL), so %s",
                            values->addresses.broker);
        fprintf(stderr, "weft call: %s\n", error.text[0] ? error.text : wf_strerror(err));
        return err == -EINVAL || err == -ERANGE ? EXIT_USAGE : EXIT_FAILED;
    }
    const char *id = apply->id ? apply->id : new_id;
    if (values->wait)
        return wait_for_it(client, values, name, id, timeout_s);
    if (!values->json)
        return printf("%s\n", id) < 0 ? EXIT_FAILED : EXIT_DONE;
    return print_id(id);
}

static int call(const struct values *values, char **operands, int count)
{
    struct wf_celery_apply apply = {
        .id = values->id, .queue = values->queue, .priority = (int)values->priority};
    struct wf_celery_client *client;
    struct wf_json_writer *w;
    struct wf_error error = {0};
    double timeout_s = 0;
    int status = read_times(values, &apply);
    if (status < 0)
        status = seconds_read(&call_command, "--timeout", values->timeout, &timeout_s);
    if (status >= 0)
        return status;
    int err = wf_celery_client_create(
        &(struct wf_celery_client_options){.broker = values->addresses.broker,
                                           .backend = values->addresses.backend},
        &client, &error);
    if (err) {
        fprintf(stderr, "weft call: %s\n", error.text[0] ? error.text : wf_strerror(err));
        return EXIT_USAGE;
    }
    err = wf_json_writer_create(NULL, &w);
    if (!err) {
        const char *args =
            values->args ? values->args : write_arguments(w, operands + 1, count - 1);
        status = send_it(client, values, operands[0], &apply, args, timeout_s);
        wf_json_writer_destroy(w);
    }
    wf_celery_client_destroy(client);
    return err ? EXIT_FAILED : status;
}

static int run(int argc, char **argv)
{
    struct values values = {0};
    int operands, status = options_parse(&call_command, argc, argv, &values, &operands);
    if (status < 0 && values.args && operands > 1)
        status = options_wrong(&call_command, "either ARG... or --args");
    if (status < 0)
        status = addresses_find(&call_command, &values.addresses);
    if (status >= 0)
        return status;
    if (!values.addresses.backend && strncmp(values.addresses.broker, "redis", 5) != 0)
        values.addresses.backend = values.wait ? "rpc://" : NULL;
    if (values.wait && !values.addresses.backend)
        return options_wrong(&call_command, "--wait wants --result-backend or "
                                            "CELERY_RESULT_BACKEND: where results are");
    return call(&values, argv + 1, operands);
}

const struct command call_command = {
    .name = "call",
    .summary = "Sends a task to a Celery cluster",
    .operands = "NAME [ARG...]",
    .operands_min = 1,
    .operands_max = -1,
    .options = specs,
    .notes = "An ARG that is JSON is that value, all else a string: 2 is a number, two and \"2\"\n"
             "are strings. Prints the task's id, or with --wait its result: a string as it is,\n"
             "all else as JSON. A task that fails is a line and status 1.\n",
    .run = run,
};
