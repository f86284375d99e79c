/* SPDX-License-Identifier: MIT */
/*
 * A program that is a Celery worker, for worker_python.py:
 *
 *     worker_program BROKER [BACKEND] [late] [started] [fibers] [processes] [visibility=SECONDS]
 *                    [concurrency=N] [prefetch=N] [queue=NAME] [child_tasks=N] [name=NAME]
 *                    [events] [no-mingle] [no-heartbeat]
 *
 * What it logs goes to standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/celery.h>
#include <weft/json.h>
#include <weft/main.h>

WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))

int add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    return __builtin_add_overflow(x, y, ret) ? wf_task_fail(self, -ERANGE, "the sum is too large")
                                             : 0;
}
WF_TASK_DEFINE(add)

WF_TASK(bool, is_prime, (uint64_t, n))

int is_prime(struct wf_task *self, uint64_t n, bool *ret)
{
    (void)self;
    *ret = n >= 2;
    for (uint64_t d = 2; *ret && d <= n / d; d++)
        *ret = n % d != 0;
    return 0;
}
WF_TASK_DEFINE(is_prime)

WF_TASK(wf_none, fail, (const char *, message))

int fail(struct wf_task *self, const char *message, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, -EINVAL, "%s", message);
}
WF_TASK_DEFINE(fail)

WF_TASK(double, sleeping, (double, seconds))

int sleeping(struct wf_task *self, double seconds, double *ret)
{
    (void)self;
    *ret = seconds;
    return wf_sleep(wf_after(WF_SECONDS(seconds)));
}
WF_TASK_DEFINE(sleeping)

/* Until somebody makes the file. */
WF_TASK(wf_none, gate, (const char *, path))

int gate(struct wf_task *self, const char *path, wf_none *ret)
{
    int err = 0;
    (void)self, (void)ret;
    while (!err && access(path, F_OK) != 0)
        err = wf_sleep(wf_after(WF_MILLISECONDS(5)));
    return err;
}
WF_TASK_DEFINE(gate)

/* Leaves a line in a file for each run; gives n. */
WF_TASK(int64_t, note, (const char *, path), (int64_t, n), (double, seconds))

int note(struct wf_task *self, const char *path, int64_t n, double seconds, int64_t *ret)
{
    char line[32];
    const int len = snprintf(line, sizeof line, "%lld\n", (long long)n);
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)len) != len)
        return wf_task_fail(self, -EIO, "%s cannot be written", path);
    close(fd);
    *ret = n;
    return wf_sleep(wf_after(WF_SECONDS(seconds)));
}
WF_TASK_DEFINE(note)

/* It does not listen to anybody. */
WF_TASK(double, deaf, (double, seconds))

int deaf(struct wf_task *self, double seconds, double *ret)
{
    const wf_deadline end = wf_after(WF_SECONDS(seconds));
    (void)self;
    *ret = seconds;
    while (wf_now() < end.ns)
        ;
    return 0;
}
WF_TASK_DEFINE(deaf)

WF_TASK(wf_none, die, (int, status))

int die(struct wf_task *self, int status, wf_none *ret)
{
    (void)self, (void)ret;
    _Exit(status);
}
WF_TASK_DEFINE(die)

static void free_text(void *result)
{
    free((void *)(uintptr_t)((wf_bytes *)result)->ptr);
}

/* Fails the first time, and is retried; or refuses its message. */
WF_TASK(wf_none, unwilling, (bool, rejects))

int unwilling(struct wf_task *self, bool rejects, wf_none *ret)
{
    const struct wf_celery_request *request = wf_celery_task_request(self);
    (void)ret;
    if (rejects)
        return wf_celery_reject(self, false);
    if (request && request->retries > 0)
        return 0;
    struct wf_error error;
    wf_error_set(&error, -EINVAL, "not yet");
    return wf_task_retry(self, &(struct wf_celery_retry){.countdown_ns = -1, .error = &error});
}
WF_TASK_DEFINE_WITH(unwilling, .celery = &(const struct wf_celery_task){.acks_late = WF_CELERY_YES})

/* Any value as a text, as what is passed in does not outlive the call. */
WF_TASK(wf_bytes, echo, (const struct wf_json *, value))

int echo(struct wf_task *self, const struct wf_json *value, wf_bytes *ret)
{
    struct wf_json_writer *w;
    const char *text;
    char *copy = NULL;
    size_t len;
    (void)self;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_value(w, wf_json_root(value));
    err = wf_json_writer_text(w, &text, &len);
    if (!err && !(copy = malloc(len)))
        err = -ENOMEM;
    if (!err) {
        memcpy(copy, text, len);
        *ret = (wf_bytes){copy, len};
    }
    wf_json_writer_destroy(w);
    return err;
}
WF_TASK_DEFINE_WITH(echo, .drop_result = free_text)

static void print(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    fprintf(stderr, "%c %s\n", "IWE"[level], line);
}

struct words {
    int count;
    char **words;
    struct wf_event quit;
};

static enum wf_main_signal on_signal(void *arg, int signo)
{
    struct words *words = arg;
    if (signo != SIGQUIT)
        return WF_MAIN_CANCEL;
    wf_event_set(&words->quit);
    return WF_MAIN_PASS;
}

static void quitted(void *arg)
{
    (void)arg;
    _Exit(1);
}

static int root(void *arg)
{
    struct words *given = arg;
    struct wf_celery_worker_options options = {.broker = given->words[1],
                                               .log = print,
                                               .restore_ns = WF_MILLISECONDS(200),
                                               .quit = &given->quit,
                                               .quitted = quitted};
    const char *queue = NULL;
    bool fibers = false;
    struct wf_error error = {0};
    for (int i = 2; i < given->count; i++) {
        const char *word = given->words[i], *value = strchr(word, '=');
        if (strstr(word, "://"))
            options.backend = word;
        else if (strcmp(word, "late") == 0)
            options.acks_late = true;
        else if (strcmp(word, "started") == 0)
            options.track_started = true;
        else if (strcmp(word, "processes") == 0)
            options.engine = WF_CELERY_PROCESSES;
        else if (strcmp(word, "fibers") == 0)
            fibers = true;
        else if (strcmp(word, "events") == 0)
            options.events = true;
        else if (strcmp(word, "no-mingle") == 0)
            options.no_mingle = true;
        else if (strcmp(word, "no-heartbeat") == 0)
            options.no_heartbeat = true;
        else if (value && strncmp(word, "name", 4) == 0)
            options.name = value + 1;
        else if (value && strncmp(word, "visibility", 10) == 0)
            options.visibility_ns = WF_SECONDS(atof(value + 1));
        else if (value && strncmp(word, "concurrency", 11) == 0)
            options.concurrency = atoi(value + 1);
        else if (value && strncmp(word, "prefetch", 8) == 0)
            options.prefetch_multiplier = atoi(value + 1);
        else if (value && strncmp(word, "child_tasks", 11) == 0)
            options.tasks_per_child_max = (unsigned)atoi(value + 1);
        else if (value && strncmp(word, "queue", 5) == 0)
            queue = value + 1;
    }
    options.queues = &queue;
    options.queue_count = queue ? 1 : 0;
    options.pool = fibers ? wf_main_executor() : NULL;
    int err = wf_celery_worker_run(&options, &error);
    if (!err || err == -ECANCELED)
        return 0;
    fprintf(stderr, "E %s\n", error.text);
    return 1;
}

int main(int argc, char **argv)
{
    struct words words = {.count = argc, .words = argv};
    struct wf_error error = {0};
    if (argc < 2)
        return 2;
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20); /* as wf_celery_worker_main does it */
    wf_event_init(&words.quit);
    int status = wf_main(&(struct wf_main_options){.drain_ns = WF_SECONDS(60), .signal = on_signal},
                         root, &words, &error);
    wf_event_fini(&words.quit);
    if (status < 0)
        fprintf(stderr, "E %s\n", error.text);
    return status < 0 ? 1 : status;
}
