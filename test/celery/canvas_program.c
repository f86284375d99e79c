/* SPDX-License-Identifier: MIT */
/*
 * A program that is a Celery worker with the tasks of canvas_python.py, which has the same in
 * Python:
 *
 *     canvas_program BROKER BACKEND QUEUE [late] [visibility=SECONDS]
 *
 * What it logs goes to standard error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/celery.h>
#include <weft/json.h>
#include <weft/main.h>

static void free_json(void *result)
{
    wf_json_destroy(*(struct wf_json **)result);
}

/* A value as a tree of its own. */
static int copy(struct wf_task *self, const struct wf_json_value *value, const struct wf_json **ret)
{
    struct wf_json_writer *w;
    struct wf_json *json = NULL;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, value);
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wf_json_read(text, len, NULL, &json, NULL);
    wf_json_writer_destroy(w);
    *ret = json;
    return err ? wf_task_fail(self, err, "no copy") : 0;
}

WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))

int add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    return __builtin_add_overflow(x, y, ret) ? wf_task_fail(self, -ERANGE, "the sum is too large")
                                             : 0;
}
WF_TASK_DEFINE(add)

/* The same, slowly enough to be killed at it. */
WF_TASK(int64_t, slow_add, (int64_t, x), (int64_t, y))

int slow_add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    int err = wf_sleep(wf_after(WF_MILLISECONDS(10)));
    return err ? err : add(self, x, y, ret);
}
WF_TASK_DEFINE(slow_add)

WF_TASK(int64_t, xsum, (const struct wf_json *, numbers))

static int add_up(struct wf_task *self, const struct wf_json_value *value, int64_t *sum)
{
    int64_t number = 0;
    int err = 0;
    if (wf_json_type(value) != WF_JSON_ARRAY) {
        err = wf_json_int(value, &number);
        *sum += number;
        return err ? wf_task_fail(self, -EINVAL, "that is no number") : 0;
    }
    for (size_t i = 0; !err && i < wf_json_count(value); i++)
        err = add_up(self, wf_json_at(value, i), sum);
    return err;
}

int xsum(struct wf_task *self, const struct wf_json *numbers, int64_t *ret)
{
    *ret = 0;
    return add_up(self, wf_json_root(numbers), ret);
}
WF_TASK_DEFINE(xsum)

WF_TASK(const struct wf_json *, identity, (const struct wf_json *, value))

int identity(struct wf_task *self, const struct wf_json *value, const struct wf_json **ret)
{
    return copy(self, wf_json_root(value), ret);
}
WF_TASK_DEFINE_WITH(identity, .drop_result = free_json)

/* Anything, and what it was given. */
WF_TASK(const struct wf_json *, given, (const struct wf_json *, args),
        (const struct wf_json *, kwargs))

int given(struct wf_task *self, const struct wf_json *args, const struct wf_json *kwargs,
          const struct wf_json **ret)
{
    (void)kwargs;
    return copy(self, wf_json_root(args), ret);
}
WF_TASK_DEFINE_WITH(given, .drop_result = free_json,
                    .celery = &(const struct wf_celery_task){.rest_args = "args",
                                                             .rest_kwargs = "kwargs"})

WF_TASK(wf_none, fail, (const char *, message))

int fail(struct wf_task *self, const char *message, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, -EINVAL, "%s", message);
}
WF_TASK_DEFINE(fail)

/* Succeeds at the n-th retry. */
WF_TASK(int64_t, retry_until, (int64_t, n))

int retry_until(struct wf_task *self, int64_t n, int64_t *ret)
{
    struct wf_error error;
    *ret = wf_celery_task_request(self)->retries;
    wf_error_set(&error, -EINVAL, "not yet");
    return *ret >= n ? 0
                     : wf_task_retry(
                           self, &(struct wf_celery_retry){.countdown_ns = -1, .error = &error});
}
WF_TASK_DEFINE(retry_until)

static int with_text(struct wf_task *self, const struct wf_json_value *signature,
                     int (*call)(struct wf_task *self, const char *signature))
{
    struct wf_json_writer *w;
    const char *text;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, signature);
    err = wf_json_writer_text(w, &text, NULL);
    if (!err)
        err = call(self, text);
    wf_json_writer_destroy(w);
    return err;
}

WF_TASK(wf_none, become, (const struct wf_json *, signature))

int become(struct wf_task *self, const struct wf_json *signature, wf_none *ret)
{
    (void)ret;
    return with_text(self, wf_json_root(signature), wf_celery_replace);
}
WF_TASK_DEFINE(become)

WF_TASK(int64_t, more, (const struct wf_json *, signatures))

int more(struct wf_task *self, const struct wf_json *signatures, int64_t *ret)
{
    const struct wf_json_value *list = wf_json_root(signatures);
    int err = 0;
    *ret = 0;
    for (size_t i = 0; !err && i < wf_json_count(list); i++)
        err = with_text(self, wf_json_at(list, i), wf_celery_add_to_chord);
    return err;
}
WF_TASK_DEFINE(more)

static void print(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    fprintf(stderr, "%c %s\n", "IWE"[level], line);
}

struct words {
    int count;
    char **words;
};

static int root(void *arg)
{
    const struct words *given_words = arg;
    const char *queue = given_words->words[3];
    struct wf_error error = {0};
    struct wf_celery_worker_options options = {.broker = given_words->words[1],
                                               .backend = given_words->words[2],
                                               .queues = &queue,
                                               .queue_count = 1,
                                               .default_queue = queue,
                                               .log = print,
                                               .restore_ns = WF_MILLISECONDS(200),
                                               .pool = wf_main_executor(),
                                               .concurrency = 4};
    for (int i = 4; i < given_words->count; i++) {
        const char *word = given_words->words[i];
        if (strcmp(word, "late") == 0)
            options.acks_late = true;
        else if (strncmp(word, "visibility=", 11) == 0)
            options.visibility_ns = WF_SECONDS(atof(word + 11));
    }
    int err = wf_celery_worker_run(&options, &error);
    if (err == -ECANCELED)
        return 0;
    fprintf(stderr, "E %s\n", error.text);
    return 1;
}

int main(int argc, char **argv)
{
    struct words words = {argc, argv};
    struct wf_error error = {0};
    if (argc < 4)
        return 2;
    int status =
        wf_main(&(struct wf_main_options){.drain_ns = WF_SECONDS(60)}, root, &words, &error);
    if (status < 0)
        fprintf(stderr, "E %s\n", error.text);
    return status < 0 ? 1 : status;
}
