/* SPDX-License-Identifier: MIT */
/*
 * A connection is freed when it has been replaced and its last user has let go of it. Whoever finds
 * none that works opens one, one caller at a time.
 *
 * Where a server goes without a word, behind a network that loses everything, say, a connection
 * looks whole for a quarter of an hour. So one on which somebody waited in vain is used no more;
 * those who wait on it still may have more luck.
 */
#include "celery/client/client_line.h"

#include <errno.h>

#include "base/alloc.h"

/* As Celery's own client: three times more, after no pause and then 0.2 s more each time. */
#define RETRIES_MAX 3
#define PAUSE_STEP_NS WF_MILLISECONDS(200)
/* Servers answer in milliseconds. One that is merely slow costs a connection more. */
#define SILENCE_NS WF_SECONDS(1)

struct wfi_line_connection {
    void *connection;
    uint64_t number;
    int users;   /* and one for the line; under its lock */
    bool silent; /* under the lock */
};

void wfi_line_init(struct wfi_line *line, const struct wfi_line_kind *kind,
                   const struct wfi_celery_url *url, const void *options, bool once)
{
    *line = (struct wfi_line){
        .kind = kind, .url = *url, .options = options, .once = once, .silence_ns = SILENCE_NS};
    wf_mutex_init(&line->opening);
    wf_mutex_init(&line->lock);
}

static void let_go(struct wfi_line *line, struct wfi_line_connection *c)
{
    bool last = false;
    if (!c)
        return;
    WF_LOCKED(&line->lock) {
        last = --c->users == 0;
    }
    if (last) {
        line->kind->close(c->connection, c->silent);
        wfi_free(c);
    }
}

void wfi_line_fini(struct wfi_line *line)
{
    if (!line->kind)
        return;
    let_go(line, line->current);
    wf_mutex_fini(&line->opening);
    wf_mutex_fini(&line->lock);
    line->kind = NULL;
}

/* Nobody else takes it. */
static void retire(struct wfi_line *line, struct wfi_line_connection *c)
{
    bool current = false;
    WF_LOCKED(&line->lock) {
        c->silent = true;
        current = line->current == c;
        if (current)
            line->current = NULL;
    }
    if (current)
        let_go(line, c);
}

/* NULL where none is open. */
static struct wfi_line_connection *take(struct wfi_line *line)
{
    struct wfi_line_connection *c = NULL;
    WF_LOCKED(&line->lock) {
        if (line->current && line->kind->is_open(line->current->connection)) {
            c = line->current;
            c->users++;
        }
    }
    return c;
}

/* With line->opening held. */
static int open_line(struct wfi_line *line, struct wfi_line_connection **ret, wf_deadline deadline,
                     struct wf_error *reterr)
{
    struct wfi_line_connection *old = NULL, *c = wfi_zalloc(sizeof *c);
    if (!c)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = line->kind->open(&line->url, line->options, &c->connection, deadline, reterr);
    if (err) {
        wfi_free(c);
        return err;
    }
    c->users = 2;
    WF_LOCKED(&line->lock) {
        c->number = ++line->opened;
        old = line->current;
        line->current = c;
    }
    let_go(line, old);
    *ret = c;
    return 0;
}

static int hold(struct wfi_line *line, struct wfi_line_connection **ret, wf_deadline deadline,
                struct wf_error *reterr)
{
    *ret = take(line);
    if (*ret)
        return 0;
    int err = wf_mutex_lock(&line->opening, deadline);
    if (err)
        return wf_error_set(reterr, err, NULL);
    *ret = take(line);
    if (!*ret)
        err = open_line(line, ret, deadline, reterr);
    wf_mutex_unlock(&line->opening);
    return err;
}

/* What may be different another time, on another connection. -ENOENT: of a Unix socket. */
static bool is_passing(int err, bool connected)
{
    return err == WF_ESHORT || err == -ECONNRESET || err == -EPIPE || err == -ECONNREFUSED ||
           err == -ECONNABORTED || err == -EAGAIN || err == -EHOSTUNREACH ||
           (err == -ENOENT && !connected);
}

int wfi_line_do(struct wfi_line *line, wfi_line_act act, void *arg, wf_deadline deadline,
                struct wf_error *reterr)
{
    for (int tries = 0;; tries++) {
        struct wfi_line_connection *c = NULL;
        int err = hold(line, &c, deadline, reterr);
        const bool connected = c != NULL;
        const int64_t begun = wf_now();
        if (!err)
            err = act(arg, c->connection, c->number, deadline, reterr);
        if (connected && err == -ETIMEDOUT && wf_now() - begun >= line->silence_ns)
            retire(line, c);
        let_go(line, c);
        if (!is_passing(err, connected) || line->once || tries == RETRIES_MAX)
            return err;
        wf_deadline next = wf_after(tries * PAUSE_STEP_NS);
        int stop = wf_sleep(wf_earlier(next, deadline));
        if (stop)
            return wf_error_set(reterr, stop, NULL);
        if (deadline.ns < next.ns)
            return err;
    }
}
