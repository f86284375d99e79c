/* SPDX-License-Identifier: MIT */
/*
 * Calls the tasks of test/celery/client_python.py as that test's part in C:
 *
 *     client_calls BROKER BACKEND NAME ARGS [KWARGS [OPTION VALUE]...]
 *
 * prints what came of it: "value JSON", "error CODE TEXT", or "nothing" when there is no result
 * within the time of option wait (seconds). Options: countdown, expires (seconds), ignore, revoke
 * (1: before it is sent).
 *
 * In place of a name: @canvas, ARGS a signature, whose results are collected; @control, ARGS the
 * method of a request to the workers; @engine, by which typed tasks are called.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/celery_canvas.h>
#include <weft/celery_executor.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "celery/client/client.h"
#include "celery/message/message.h"

WF_TASK_AS("t.add", int64_t, add, (int64_t, x), (int64_t, y))
WF_TASK_AS("t.back", char *, back, (const char *, value))
WF_TASK_AS("t.back", struct wf_json *, back_json, (const struct wf_json *, value))
WF_TASK_AS("t.fail", wf_none, fail, (const char *, text))
WF_TASK_AS("t.sleep", wf_none, slow, (double, seconds))

enum { PATIENCE_S = 120 }; /* only a test that has failed already gets there */

struct settings {
    double wait_s;
    bool revoke;
};

static int64_t nanoseconds(const char *seconds)
{
    return WF_SECONDS(strtod(seconds, NULL));
}

static bool set_option(struct wfi_client_task *task, struct settings *settings, const char *name,
                       const char *value)
{
    if (strcmp(name, "countdown") == 0)
        task->countdown_ns = nanoseconds(value);
    else if (strcmp(name, "expires") == 0)
        task->expires_in_ns = nanoseconds(value);
    else if (strcmp(name, "wait") == 0)
        settings->wait_s = strtod(value, NULL);
    else if (strcmp(name, "ignore") == 0)
        task->ignore_result = true;
    else if (strcmp(name, "revoke") == 0)
        settings->revoke = true;
    else
        return false;
    return true;
}

static int print_error(const struct wf_error *error)
{
    printf("error %s %s\n", wf_error_name(error->code), error->text);
    return 0;
}

static int print_value(const struct wf_json_value *value)
{
    struct wf_json_writer *w;
    const char *text;
    if (wfi_message_writer_create(&w))
        return 1;
    wf_json_write_value(w, value);
    const int err = wf_json_writer_text(w, &text, NULL);
    if (!err)
        printf("value %s\n", text);
    wf_json_writer_destroy(w);
    return err ? 1 : 0;
}

/* When the answer to the second request comes, the first has been heard, too. */
static int revoke(struct wf_celery_client *client, const char *id, struct wf_error *reterr)
{
    const struct wf_celery_control ping = {
        .method = "ping", .replies_max = 1, .wait_ns = WF_SECONDS(PATIENCE_S)};
    struct wf_json *replies = NULL;
    int err = wf_celery_client_revoke(client, id, false, WF_FOREVER, reterr);
    if (!err)
        err = wf_celery_client_control(client, &ping, &replies, WF_FOREVER, reterr);
    wf_json_destroy(replies);
    return err;
}

static int call(struct wf_celery_client *client, const struct wfi_client_task *task,
                const struct settings *settings)
{
    char id[WFI_UUID_BYTES];
    struct wfi_result_watch watch;
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    struct wf_error error = {0};
    wf_deadline limit = wf_after(WF_SECONDS(PATIENCE_S));
    if ((settings->revoke && revoke(client, task->id, &error)) ||
        wfi_client_send(client, task, id, &watch, limit, &error))
        return print_error(&error), 1;
    int err = wfi_results_wait(&watch, &in, wf_after(WF_SECONDS(settings->wait_s)), &error);
    wfi_results_unwatch(&watch);
    if (err == -ETIMEDOUT)
        return puts("nothing"), 0;
    if (err)
        return print_error(&error), 1;
    int status = wfi_result_value(&in, &value, &error) ? print_error(&error) : print_value(value);
    wfi_result_in_reset(&in);
    return wf_celery_client_forget(client, task->id ? task->id : id, limit, NULL) ? 1 : status;
}

static int print_tree(struct wf_json *tree)
{
    const int status = print_value(wf_json_root(tree));
    wf_json_destroy(tree);
    return status;
}

static int canvas(struct wf_celery_client *client, const char *text)
{
    const wf_deadline limit = wf_after(WF_SECONDS(PATIENCE_S));
    struct wf_celery_signature *signature = wf_celery_signature_read(text);
    struct wf_json *sent = NULL, *values = NULL;
    struct wf_error error = {0};
    int err = wf_celery_client_apply(client, signature, &sent, limit, &error);
    if (!err)
        err = wf_celery_client_collect(client, wf_json_root(sent), &values, limit, &error);
    wf_celery_signature_destroy(signature);
    wf_json_destroy(sent);
    return err ? print_error(&error) : print_tree(values);
}

static int control(struct wf_celery_client *client, const char *method)
{
    const struct wf_celery_control request = {
        .method = method, .replies_max = 1, .wait_ns = WF_SECONDS(PATIENCE_S)};
    struct wf_json *replies = NULL;
    struct wf_error error = {0};
    int err = wf_celery_client_control(client, &request, &replies, WF_FOREVER, &error);
    return err ? print_error(&error) : print_tree(replies);
}

static int take_values(struct wf_executor *on, struct wf_error *reterr)
{
    enum { COUNT = 100 };
    struct add_args items[COUNT];
    int64_t sums[COUNT];
    const wf_deadline limit = wf_after(WF_SECONDS(PATIENCE_S));
    for (int i = 0; i < COUNT; i++)
        items[i] = (struct add_args){.x = i, .y = INT64_C(1) << 40};
    int err =
        add_each(on, &(struct wf_map_options){.look_ahead = 32}, items, COUNT, sums, limit, reterr);
    for (int i = 0; !err && i < COUNT; i++)
        if (sums[i] != i + (INT64_C(1) << 40))
            err = wf_error_set(reterr, -EBADMSG, "sum %d is %lld", i, (long long)sums[i]);
    if (err)
        return err;
    char *text = NULL;
    back_future f = back_submit(on, "h\xc3\xa9");
    err = back_result(&f, &text, limit, reterr);
    if (!err && strcmp(text, "h\xc3\xa9") != 0)
        err = wf_error_set(reterr, -EBADMSG, "the text is %s", text);
    wf_result_free(err ? NULL : text);
    struct wf_json *tree = NULL;
    back_json_future g = back_json_submit(on, NULL);
    if (!err)
        err = back_json_result(&g, &tree, limit, reterr);
    else
        back_json_drop(&g);
    if (!err && wf_json_type(wf_json_root(tree)) != WF_JSON_NULL)
        err = wf_error_set(reterr, -EBADMSG, "the JSON is not null");
    wf_json_destroy(tree);
    return err;
}

/* What takes long is left in time, and what one fails with ends the others. */
static int leave_scopes(struct wf_executor *on, struct wf_error *reterr)
{
    struct wf_scope storage;
    struct wf_scope *scope = wf_scope_open(&storage, on, wf_after(WF_SECONDS(1)));
    slow_spawn(scope, 30);
    int err = wf_scope_close(scope, reterr);
    if (err != -ETIMEDOUT)
        return err ? err : wf_error_set(reterr, -EBADMSG, "it slept too little");
    scope = wf_scope_open(&storage, on, WF_FOREVER);
    slow_spawn(scope, 30);
    fail_spawn(scope, "boom");
    err = wf_scope_close(scope, reterr);
    return err == -EINVAL ? 0 : err ? err : wf_error_set(reterr, -EBADMSG, "nothing failed");
}

static int engine(const struct wf_celery_client_options *from)
{
    const struct wf_celery_options options = {.broker = from->broker, .backend = from->backend};
    struct wf_executor *on;
    struct wf_error error = {0};
    int err = wf_celery_create(&options, &on, &error);
    if (err)
        return print_error(&error), 1;
    err = take_values(on, &error);
    if (!err)
        err = leave_scopes(on, &error);
    wf_executor_destroy(on);
    if (err)
        return print_error(&error);
    puts("value \"done\"");
    return 0;
}

int main(int argc, char **argv)
{
    struct wfi_client_task task = {0};
    struct settings settings = {.wait_s = PATIENCE_S};
    struct wf_celery_client *client;
    struct wf_error error = {0};
    struct wf_celery_client_options options = {0};
    if (argc < 5) {
        fputs("usage: client_calls BROKER BACKEND NAME ARGS [KWARGS [OPTION VALUE]...]\n", stderr);
        return 2;
    }
    options.broker = argv[1];
    options.backend = argv[2];
    task.name = argv[3];
    task.args = (struct wfi_json_piece){.text = argv[4], .len = strlen(argv[4])};
    if (argc > 5)
        task.kwargs = (struct wfi_json_piece){.text = argv[5], .len = strlen(argv[5])};
    for (int i = 6; i + 1 < argc; i += 2)
        if (!set_option(&task, &settings, argv[i], argv[i + 1]))
            return 2;
    if (settings.revoke)
        task.id = "revoked-before";
    if (wf_celery_client_create(&options, &client, &error))
        return print_error(&error), 1;
    int status;
    if (strcmp(task.name, "@canvas") == 0)
        status = canvas(client, argv[4]);
    else if (strcmp(task.name, "@control") == 0)
        status = control(client, argv[4]);
    else if (strcmp(task.name, "@engine") == 0)
        status = engine(&options);
    else
        status = call(client, &task, &settings);
    wf_celery_client_destroy(client);
    return status;
}
