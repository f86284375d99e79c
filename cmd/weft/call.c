/* SPDX-License-Identifier: MIT */
/* weft call: sends a task to a Celery cluster, and waits for its result where that is asked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "worker/client.h"

/* What cannot be reached is told within five seconds. */
#define REACH_NS WF_SECONDS(4)

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
    ADDRESS_OPTIONS(FIELD(addresses)),
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

/* What is not UTF-8 JSON cannot say; it would arrive as something else. Returns 0, -EILSEQ or
 * -ENOMEM. */
static int look_at_text(const char *text)
{
    struct wf_json_writer *w;
    struct wf_json *json = NULL;
    const char *written, *read;
    size_t len;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_string(w, text, strlen(text));
    err = wf_json_writer_text(w, &written, &len);
    if (!err)
        err = wf_json_read(written, len, NULL, &json, NULL);
    if (!err) {
        read = wf_json_text(wf_json_root(json), &len);
        err = len == strlen(text) && memcmp(read, text, len) == 0 ? 0 : -EILSEQ;
    }
    wf_json_destroy(json);
    wf_json_writer_destroy(w);
    return err;
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

/* Whether the text begins with digits where the form has 0, and else with what the form has. */
static bool begins_as(const char *text, const char *form)
{
    for (; *form; text++, form++)
        if (*form == '0' ? *text < '0' || *text > '9' : *text != *form)
            return false;
    return true;
}

/* +01:00, -00:30, Z or nothing, as seconds. */
static bool read_offset(const char *text, int *ret_s)
{
    *ret_s = 0;
    if (text[0] != '+' && text[0] != '-')
        return strcmp(text, "Z") == 0 || !text[0];
    if (!begins_as(text + 1, "00:00") || text[6])
        return false;
    const int hours = atoi(text + 1), minutes = atoi(text + 4);
    *ret_s = (hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
    return hours < 24 && minutes < 60;
}

/* 2030-12-31T23:59:59.5+01:00 as microseconds since 1970. Returns false for anything else. */
static bool read_moment(const char *text, int64_t *ret_us)
{
    if (!begins_as(text, "0000-00-00T00:00:00") && !begins_as(text, "0000-00-00 00:00:00"))
        return false;
    struct tm there, tm = {.tm_year = atoi(text) - 1900,
                           .tm_mon = atoi(text + 5) - 1,
                           .tm_mday = atoi(text + 8),
                           .tm_hour = atoi(text + 11),
                           .tm_min = atoi(text + 14),
                           .tm_sec = atoi(text + 17)};
    const struct tm given = tm;
    const char *at = text + 19;
    int offset_s;
    int64_t us = 0;
    if (*at == '.') {
        const size_t digits = strspn(++at, "0123456789");
        if (!digits)
            return false;
        for (size_t i = 0, unit = 100000; i < digits; i++, unit /= 10)
            us += (at[i] - '0') * (int64_t)unit;
        at += digits;
    }
    const time_t seconds = timegm(&tm);
    /* A day that its month has not would be one of the next. */
    if (!gmtime_r(&seconds, &there) || there.tm_mday != given.tm_mday ||
        there.tm_mon != given.tm_mon || there.tm_hour != given.tm_hour ||
        there.tm_min != given.tm_min || there.tm_sec != given.tm_sec || !read_offset(at, &offset_s))
        return false;
    *ret_us = ((int64_t)seconds - offset_s) * 1000000 + us;
    return *ret_us > 0;
}

static int read_times(const struct values *values, struct wf_celery_apply *apply)
{
    static const char form[] = "a time as 2030-12-31T23:59:59";
    double countdown_s = 0, expires_s = 0;
    if (values->countdown && values->eta)
        return options_wrong(&call_command, "either --countdown or --eta");
    int status = seconds_read(&call_command, "--countdown", values->countdown, &countdown_s);
    if (status < 0 && values->eta && !read_moment(values->eta, &apply->eta_us))
        status = options_wrong(&call_command, "--eta wants %s, not \"%s\"", form, values->eta);
    if (status < 0 && values->expires && !read_moment(values->expires, &apply->expires_at_us) &&
        !seconds_are(values->expires, &expires_s))
        status = options_wrong(&call_command, "--expires wants seconds above 0, or %s, not \"%s\"",
                               form, values->expires);
    apply->countdown_ns = countdown_s > 0 ? WF_SECONDS(countdown_s) : 0;
    apply->expires_ns = expires_s > 0 ? WF_SECONDS(expires_s) : 0;
    return status;
}

/* ---- results ---- */

/* A string as it is, all else as JSON. */
static int print_value(const struct wf_json_value *value)
{
    size_t len;
    if (wf_json_type(value) != WF_JSON_STRING)
        return client_print("", value);
    const char *text = wf_json_text(value, &len);
    fwrite(text, 1, len, stdout);
    putchar('\n');
    return 0;
}

static int print_id(const char *id, bool json)
{
    struct wf_json_writer *w;
    if (!json) {
        puts(id);
        return 0;
    }
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_object(w);
    wf_json_write_key(w, "id");
    wf_json_write_string(w, id, strlen(id));
    wf_json_write_end(w);
    err = client_print_written("", w);
    wf_json_writer_destroy(w);
    return err;
}

static int failed(const char *name, const char *id, const struct wf_error *error)
{
    fprintf(stderr, "weft call: %s[%s]: %s\n", name, id,
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
    int print_err = 0, status = EXIT_DONE;
    err = wf_celery_result_value(result, &value, &error);
    if (values->json)
        print_err = client_print("", wf_celery_result_document(result));
    else if (!err)
        print_err = print_value(value);
    if (err)
        status = values->json ? EXIT_FAILED : failed(name, id, &error);
    wf_celery_result_destroy(result);
    return client_end(&call_command, print_err, status);
}

/* Also says, before anything is sent, that the backend cannot be reached: it is asked to forget
 * what is stored under the id, lest that be taken for the result. */
static int forget_old(struct wf_celery_client *client, const char *id, wf_deadline until)
{
    struct wf_error error = {0};
    int err = wf_celery_client_forget(client, id ? id : "", until, &error);
    if (!err)
        return -1;
    fprintf(stderr, "weft call: the result backend: %s\n",
            error.text[0] ? error.text : wf_strerror(err));
    return EXIT_FAILED;
}

static int send_it(struct wf_celery_client *client, const struct values *values, const char *name,
                   const struct wf_celery_apply *apply, const char *args, double timeout_s)
{
    char new_id[WF_CELERY_ID_BYTES];
    struct wf_error error = {0};
    const wf_deadline until = wf_after(REACH_NS);
    int status = values->wait ? forget_old(client, apply->id, until) : -1;
    if (status >= 0)
        return status;
    int err =
        wf_celery_client_send(client, name, args, values->kwargs, apply, new_id, until, &error);
    if (err)
        return client_failed(&call_command, &values->addresses, err, &error);
    const char *id = apply->id ? apply->id : new_id;
    if (values->wait)
        return wait_for_it(client, values, name, id, timeout_s);
    return client_end(&call_command, print_id(id, values->json), EXIT_DONE);
}

static int call(const struct values *values, char **operands, int count)
{
    struct wf_celery_apply apply = {
        .id = values->id, .queue = values->queue, .priority = (int)values->priority};
    struct wf_celery_client *client;
    struct wf_json_writer *w;
    double timeout_s = 0;
    int status = read_times(values, &apply);
    if (status < 0)
        status = seconds_read(&call_command, "--timeout", values->timeout, &timeout_s);
    if (status < 0 && timeout_s > 0 && !values->wait)
        status = options_wrong(&call_command, "--timeout is for --wait");
    if (status < 0)
        status = client_open(&call_command, &values->addresses, &client);
    if (status >= 0)
        return status;
    int err = wf_json_writer_create(NULL, &w);
    if (!err) {
        const char *args =
            values->args ? values->args : write_arguments(w, operands + 1, count - 1);
        status = args ? send_it(client, values, operands[0], &apply, args, timeout_s) : -1;
        wf_json_writer_destroy(w);
    }
    wf_celery_client_destroy(client);
    if (status >= 0)
        return status;
    fprintf(stderr, "weft call: out of memory\n");
    return EXIT_FAILED;
}

static int look_at_words(const struct values *values, char **operands, int count)
{
    if (!operands[0][0])
        return options_wrong(&call_command, "NAME is empty");
    for (int i = 0; i < count; i++)
        if (look_at_text(operands[i]) == -EILSEQ)
            return options_wrong(&call_command, "%s is not UTF-8: \"%s\"", i ? "an ARG" : "NAME",
                                 operands[i]);
    if ((values->queue && !values->queue[0]) || (values->id && !values->id[0]))
        return options_wrong(&call_command, "%s is empty", values->id ? "--id" : "--queue");
    return -1;
}

static int run(int argc, char **argv)
{
    struct values values = {0};
    int operands, status = options_parse(&call_command, argc, argv, &values, &operands);
    if (status < 0 && values.args && operands > 1)
        status = options_wrong(&call_command, "either ARG... or --args");
    if (status < 0)
        status = look_at_words(&values, argv + 1, operands);
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
