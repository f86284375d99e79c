/* SPDX-License-Identifier: MIT */
/*
 * Calls the tasks of test/celery/client_python.py as that test's part in C:
 *
 *     client_calls URL NAME ARGS [KWARGS [OPTION VALUE]...]
 *
 * prints what came of it: "value JSON", "error CODE TEXT", or "nothing" when there is no result
 * within the time of option wait (seconds; 8 without). Options: countdown, expires (seconds),
 * ignore, revoke (1: before it can begin).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "celery/client.h"
#include "celery/message.h"

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

static int call(struct wf_celery_client *client, const struct wfi_client_task *task,
                const struct settings *settings)
{
    char id[WFI_UUID_BYTES];
    struct wfi_result_watch watch;
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    struct wf_error error = {0};
    wf_deadline limit = wf_after(WF_SECONDS(8));
    if (wfi_client_send(client, task, id, &watch, limit, &error))
        return print_error(&error), 1;
    int err = settings->revoke ? wf_celery_client_revoke(client, id, false, limit, &error) : 0;
    if (!err)
        err = wfi_results_wait(&watch, &in, wf_after(WF_SECONDS(settings->wait_s)), &error);
    wfi_results_unwatch(&watch);
    if (err == -ETIMEDOUT)
        return puts("nothing"), 0;
    if (err)
        return print_error(&error), 1;
    int status = wfi_result_value(&in, &value, &error) ? print_error(&error) : print_value(value);
    wfi_result_in_reset(&in);
    return wf_celery_client_forget(client, id, limit, NULL) ? 1 : status;
}

int main(int argc, char **argv)
{
    struct wfi_client_task task = {0};
    struct settings settings = {.wait_s = 8};
    struct wf_celery_client *client;
    struct wf_error error = {0};
    struct wf_celery_client_options options = {0};
    if (argc < 4) {
        fputs("usage: client_calls URL NAME ARGS [KWARGS [OPTION VALUE]...]\n", stderr);
        return 2;
    }
    options.broker = options.backend = argv[1];
    task.name = argv[2];
    task.args = (struct wfi_json_piece){.text = argv[3], .len = strlen(argv[3])};
    if (argc > 4)
        task.kwargs = (struct wfi_json_piece){.text = argv[4], .len = strlen(argv[4])};
    for (int i = 5; i + 1 < argc; i += 2)
        if (!set_option(&task, &settings, argv[i], argv[i + 1]))
            return 2;
    if (wf_celery_client_create(&options, &client, &error))
        return print_error(&error), 1;
    const int status = call(client, &task, &settings);
    wf_celery_client_destroy(client);
    return status;
}
