/* SPDX-License-Identifier: MIT */
/*
 * Tasks that know that a worker runs them, for call_python.py; the rest of the program is
 * worker_program.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/celery_task.h>
#include <weft/time.h>

/* Tries again until it was retried n times, and says how often that was. */
WF_TASK(int64_t, attempts, (int64_t, n))
int attempts(struct wf_task *self, int64_t n, int64_t *ret)
{
    *ret = wf_celery_task_request(self)->retries;
    if (*ret >= n)
        return 0;
    return wf_task_retry(
        self, &(struct wf_celery_retry){.countdown_ns = WF_MILLISECONDS(20), .max_retries = -1});
}
WF_TASK_DEFINE(attempts)

/* Goes on with other arguments. */
WF_TASK(int64_t, halve, (int64_t, n), (int64_t, steps))
int halve(struct wf_task *self, int64_t n, int64_t steps, int64_t *ret)
{
    char args[40], kwargs[40];
    *ret = steps;
    if (n <= 1)
        return 0;
    snprintf(args, sizeof args, "[%d]", (int)(n / 2));
    snprintf(kwargs, sizeof kwargs, "{\"steps\": %d}", (int)(steps + 1));
    return wf_task_retry(
        self, &(struct wf_celery_retry){.countdown_ns = -1, .args = args, .kwargs = kwargs});
}
static const struct wf_celery_task halve_celery = {.defaults = "{\"steps\": 0}", .max_retries = 9};
WF_TASK_DEFINE_WITH(halve, .celery = &halve_celery)

WF_TASK(wf_none, hopeless, (const char *, why))
int hopeless(struct wf_task *self, const char *why, wf_none *ret)
{
    struct wf_error error;
    (void)ret;
    if (!why)
        return wf_task_retry(self, NULL);
    wf_error_set(&error, -ETIMEDOUT, "%s", why);
    return wf_task_retry(self, &(struct wf_celery_retry){.error = &error});
}
static const struct wf_celery_task hopeless_celery = {.max_retries = 2,
                                                      .retry_delay_ns = WF_MILLISECONDS(20)};
WF_TASK_DEFINE_WITH(hopeless, .celery = &hopeless_celery)

/* Fails n times with this code. */
WF_TASK(int64_t, flaky, (int64_t, n), (int, code))
int flaky(struct wf_task *self, int64_t n, int code, int64_t *ret)
{
    *ret = wf_celery_task_request(self)->retries;
    return *ret < n ? wf_task_fail(self, -code, "not yet") : 0;
}
static const int flaky_codes[] = {-EAGAIN, 0};
static const struct wf_celery_task flaky_celery = {.autoretry_for = flaky_codes,
                                                   .retry_backoff_ns = WF_MILLISECONDS(10)};
WF_TASK_DEFINE_WITH(flaky, .celery = &flaky_celery)

WF_TASK(wf_none, progress, (int, steps))
int progress(struct wf_task *self, int steps, wf_none *ret)
{
    int err = 0;
    (void)ret;
    for (int i = 1; i <= steps && !err; i++) {
        char meta[40];
        snprintf(meta, sizeof meta, "{\"done\": %d}", i);
        err = wf_celery_update_state(self, "PROGRESS", meta);
    }
    return err;
}
WF_TASK_DEFINE(progress)

WF_TASK(int, process_id, (int, unused))
int process_id(struct wf_task *self, int unused, int *ret)
{
    (void)self, (void)unused;
    *ret = getpid();
    return 0;
}
WF_TASK_DEFINE(process_id)

/* Kills its process, the first time. */
WF_TASK(int, lost_once, (int, value))
int lost_once(struct wf_task *self, int value, int *ret)
{
    *ret = value;
    if (!wf_celery_task_request(self)->redelivered)
        _Exit(3);
    return 0;
}
static const struct wf_celery_task lost_once_celery = {.acks_late = WF_CELERY_YES,
                                                       .reject_on_worker_lost = true};
WF_TASK_DEFINE_WITH(lost_once, .celery = &lost_once_celery)

WF_TASK(wf_none, lost, (int, unused))
int lost(struct wf_task *self, int unused, wf_none *ret)
{
    (void)self, (void)unused, (void)ret;
    _Exit(3);
}
static const struct wf_celery_task lost_celery = {.acks_late = WF_CELERY_YES};
WF_TASK_DEFINE_WITH(lost, .celery = &lost_celery)

static int spin(double seconds)
{
    const wf_deadline end = wf_after(WF_SECONDS(seconds));
    while (wf_now() < end.ns)
        ;
    return 0;
}

/* A hard limit of its own, and not to be stopped otherwise. */
WF_TASK(wf_none, limited, (double, seconds))
int limited(struct wf_task *self, double seconds, wf_none *ret)
{
    (void)self, (void)ret;
    return spin(seconds);
}
static const struct wf_celery_task limited_celery = {.time_limit_s = 0.3};
WF_TASK_DEFINE_WITH(limited, .celery = &limited_celery)

WF_TASK(int, rejected_once, (int, value))
int rejected_once(struct wf_task *self, int value, int *ret)
{
    *ret = value;
    return wf_celery_task_request(self)->redelivered ? 0 : wf_celery_reject(self, true);
}
static const struct wf_celery_task late_celery = {.acks_late = WF_CELERY_YES};
WF_TASK_DEFINE_WITH(rejected_once, .celery = &late_celery)

WF_TASK(wf_none, ends_quietly, (const char *, how))
int ends_quietly(struct wf_task *self, const char *how, wf_none *ret)
{
    (void)ret;
    if (strcmp(how, "ignore") == 0)
        return wf_celery_ignore(self);
    if (strcmp(how, "reject") == 0)
        return wf_celery_reject(self, false);
    return strcmp(how, "fail") == 0 ? wf_celery_raise(self, "my.errors", "Odd", "how odd") : 0;
}
static const struct wf_celery_task quiet_celery = {
    .ignore_result = true, .store_errors = true, .acks_late = WF_CELERY_YES};
WF_TASK_DEFINE_WITH(ends_quietly, .celery = &quiet_celery)

WF_TASK(wf_none, silent)
int silent(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE_WITH(silent, .celery = &(const struct wf_celery_task){.ignore_result = true})

/* Runs until it is killed, the first time; says so when it is run again. */
WF_TASK(int, endless, (int, value))
int endless(struct wf_task *self, int value, int *ret)
{
    *ret = value;
    return wf_celery_task_request(self)->redelivered ? 0 : spin(3600);
}
WF_TASK_DEFINE_WITH(endless, .celery = &late_celery)

WF_TASK(int, endless_early, (int, value))
int endless_early(struct wf_task *self, int value, int *ret)
{
    (void)self;
    *ret = value;
    return spin(3600);
}
WF_TASK_DEFINE(endless_early)

static void free_text(void *result)
{
    free((void *)(uintptr_t)((wf_bytes *)result)->ptr);
}

/* What a task knows of its request. */
WF_TASK(wf_bytes, who, (int, unused))
int who(struct wf_task *self, int unused, wf_bytes *ret)
{
    const struct wf_celery_request *request = wf_celery_task_request(self);
    const struct wf_json_value *own = wf_celery_header(self, "my-header");
    char *text = malloc(1000);
    (void)unused;
    if (!text)
        return -ENOMEM;
    snprintf(text, 1000, "%s|%s|%s|%s|%s|%g|%g", request->id, request->root_id,
             request->routing_key, request->worker, own ? wf_json_text(own, NULL) : "-",
             request->soft_time_limit_s, request->time_limit_s);
    *ret = (wf_bytes){text, strlen(text)};
    return 0;
}
WF_TASK_DEFINE_WITH(who, .drop_result = free_text)
