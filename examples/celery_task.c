/* SPDX-License-Identifier: MIT */
/*
 * A module of tasks for Celery: any program that speaks to a Celery cluster calls them by name.
 *
 *     weft worker -A celery_task -b redis://localhost -l info
 *
 *     >>> app.send_task("add", [2, 3]).get()
 *     5
 */
#include <weft/celery_task.h>
#include <weft/json.h>

#include <errno.h>

WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))

int add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    if (__builtin_add_overflow(x, y, ret))
        return wf_task_fail(self, -ERANGE, "the sum is too large");
    return 0;
}
WF_TASK_DEFINE(add)

WF_TASK(bool, is_prime, (uint64_t, n))

int is_prime(struct wf_task *self, uint64_t n, bool *ret)
{
    *ret = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; *ret && i <= n / i; i += 2) {
        *ret = n % i != 0;
        if (i % 262144 == 1 && wf_checkpoint(self)) /* revoked, or beyond its soft limit */
            return -ECANCELED;
    }
    return 0;
}
WF_TASK_DEFINE(is_prime)

WF_TASK(double, sleeping, (double, seconds))

int sleeping(struct wf_task *self, double seconds, double *ret)
{
    if (!(seconds >= 0 && seconds < 1e9))
        return wf_task_fail(self, -EINVAL, "nobody can sleep %g seconds", seconds);
    *ret = seconds;
    return wf_sleep(wf_after(WF_SECONDS(seconds)));
}
WF_TASK_DEFINE(sleeping)

/* Python gets a ValueError. */
WF_TASK(wf_none, fail, (const char *, message))

int fail(struct wf_task *self, const char *message, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, -EINVAL, "%s", message);
}
WF_TASK_DEFINE(fail)

static void destroy(void *result)
{
    wf_json_destroy(*(struct wf_json **)result);
}

/* Any value, as it came: an argument does not outlive the call, so it is written and read again. */
WF_TASK(const struct wf_json *, echo, (const struct wf_json *, value))

int echo(struct wf_task *self, const struct wf_json *value, const struct wf_json **ret)
{
    struct wf_json_writer *w;
    struct wf_json *copy;
    const char *text;
    size_t len;
    (void)self;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, wf_json_root(value));
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wf_json_read(text, len, NULL, &copy, NULL);
    wf_json_writer_destroy(w);
    if (!err)
        *ret = copy;
    return err;
}
WF_TASK_DEFINE_WITH(echo, .drop_result = destroy)

/* Succeeds at the n-th attempt, and says how many there were; a tenth of a second between two. */
WF_TASK(int64_t, retry_until, (int64_t, n))

int retry_until(struct wf_task *self, int64_t n, int64_t *ret)
{
    const struct wf_celery_request *request = wf_celery_task_request(self);
    const int64_t attempt = request ? request->retries + 1 : n;
    if (attempt < n)
        return wf_task_retry(self, &(struct wf_celery_retry){.countdown_ns = WF_MILLISECONDS(100),
                                                             .max_retries = -1});
    *ret = attempt;
    return 0;
}
WF_TASK_DEFINE(retry_until)
