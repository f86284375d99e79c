/* SPDX-License-Identifier: MIT */
/*
 * Who drives a transfer.
 *
 * On a fiber: the worker's engine, one multi handle for all clients, told of descriptors and time
 * by a watch. All of libcurl runs on the worker's own stack: adding and removing in wf_worker_call,
 * the rest in the watch's calls. The fiber only waits for its transfer's event; when it gives up
 * (deadline, cancel) it removes the handle first, so that nothing points to its frame any more.
 *
 * On a plain thread: a multi handle from the client's idle list, which keeps its connections from
 * call to call, driven by the thread itself. libcurl sleeps there, in slices, for weft cannot wake
 * it; between slices the thread looks whether it was cancelled.
 *
 * The engine is the worker's, so it needs no lock. Its easy handles are kept for reuse, newest
 * first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/mutex.h>
#include <weft/once.h>
#include <weft/worker.h>

#include "base/alloc.h"
#include "http/transfer.h"

#define WEFT_AGENT "weft/0.1.0"

enum {
    KEPT_HANDLES = 256, /* idle easy handles a worker keeps: about 10 KiB each */
    SLICE_MS = 50,      /* longest sleep of a thread that may be cancelled */
    BODY_BYTES_MAX = 64 << 20,
    IDLE_CONNECTIONS = 1024, /* kept open by a worker */
};

/* Fibers: the worker's engine */

struct engine {
    CURLM *multi;
    struct wf_watch *watch;
    CURL *kept[KEPT_HANDLES];
    int kept_count;
};

static void engine_destroy(void *value)
{
    struct engine *engine = value;
    if (engine->multi) {
        while (engine->kept_count)
            curl_easy_cleanup(engine->kept[--engine->kept_count]);
        curl_multi_cleanup(engine->multi); /* forgets its descriptors through the watch */
    }
    wf_watch_close(engine->watch);
    wfi_free(engine);
}

static struct wf_worker_key engine_key = {.destroy = engine_destroy};

/* Wakes the fibers whose transfers have ended. */
static void reap(struct engine *engine)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(engine->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *t = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        t->result = message->data.result;
        curl_multi_remove_handle(engine->multi, t->easy);
        wf_event_set(&t->done); /* the transfer is its fiber's again */
    }
}

static void descriptor_ready(void *arg, int fd, unsigned ready)
{
    struct engine *engine = arg;
    int bits = (ready & WF_WATCH_READ ? CURL_CSELECT_IN : 0) |
               (ready & WF_WATCH_WRITE ? CURL_CSELECT_OUT : 0) |
               (ready & WF_WATCH_ERROR ? CURL_CSELECT_ERR : 0);
    int running;
    curl_multi_socket_action(engine->multi, fd, bits, &running);
    reap(engine);
}

static void time_expired(void *arg)
{
    struct engine *engine = arg;
    int running;
    curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(engine);
}

static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    (void)easy, (void)unused;
    struct engine *engine = arg;
    unsigned interest = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        interest |= WF_WATCH_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        interest |= WF_WATCH_WRITE;
    return wf_watch_set(engine->watch, fd, interest) ? -1 : 0;
}

static int curl_wants_time(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct engine *engine = arg;
    wf_watch_expire_at(engine->watch, ms < 0 ? WF_FOREVER : wf_after(WF_MILLISECONDS(ms)));
    return 0;
}

static struct engine *engine_create(struct wf_error *reterr)
{
    struct engine *engine = wfi_zalloc(sizeof *engine);
    if (!engine) {
        wf_error_set(reterr, -ENOMEM, NULL);
        return NULL;
    }
    struct wf_watch_options options = {descriptor_ready, time_expired, engine};
    int err = wf_watch_open(&options, &engine->watch, reterr);
    if (err) {
        wfi_free(engine);
        return NULL;
    }
    engine->multi = curl_multi_init();
    CURLM *multi = engine->multi;
    if (!multi || curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket) ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, engine) ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, curl_wants_time) ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, engine) ||
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS))
        err = wf_error_set(reterr, -ENOMEM, NULL);
    if (!err)
        err = wf_worker_set(&engine_key, engine);
    if (err) {
        engine_destroy(engine);
        return NULL;
    }
    return engine;
}

/* A call on the worker's stack: the arguments, and what came of it. */
struct on_worker {
    const struct wf_http *http;
    const struct wf_http_request *request;
    struct wf_http_response *response;
    struct transfer *t;
    struct wf_error *reterr;
    int err;
};

static CURL *take_handle(struct engine *engine)
{
    return engine->kept_count ? engine->kept[--engine->kept_count] : curl_easy_init();
}

static void start_transfer(void *arg)
{
    struct on_worker *call = arg;
    struct engine *engine = wf_worker_get(&engine_key);
    if (!engine)
        engine = engine_create(call->reterr);
    CURL *easy = engine ? take_handle(engine) : NULL;
    if (!easy) {
        call->err = engine ? wf_error_set(call->reterr, -ENOMEM, NULL) : -ENOMEM;
        *call->t = (struct transfer){.easy = NULL};
        wf_event_init(&call->t->done);
        return;
    }
    call->err =
        wfi_transfer_init(call->t, easy, call->http, call->request, call->response, call->reterr);
    if (!call->err && curl_multi_add_handle(engine->multi, easy))
        call->err = wf_error_set(call->reterr, -ENOMEM, NULL);
}

/* Ends a transfer that was started; call->err says how it was left. */
static void end_transfer(void *arg)
{
    struct on_worker *call = arg;
    struct transfer *t = call->t;
    struct engine *engine = wf_worker_get(&engine_key);
    if (call->err) {
        curl_multi_remove_handle(engine->multi, t->easy);
        call->err = wfi_transfer_abandon(t, call->err, call->reterr);
    } else {
        call->err = wfi_transfer_finish(t, call->reterr);
    }
}

static void drop_transfer(void *arg)
{
    struct on_worker *call = arg;
    struct transfer *t = call->t;
    struct engine *engine = wf_worker_get(&engine_key);
    if (t->easy) {
        curl_easy_reset(t->easy);
        if (engine->kept_count < KEPT_HANDLES)
            engine->kept[engine->kept_count++] = t->easy;
        else
            curl_easy_cleanup(t->easy);
    }
    wfi_transfer_fini(t);
}

/* Last call of a fetch: the end and the clean-up in one visit to the worker's stack. */
static void end_and_drop(void *arg)
{
    end_transfer(arg);
    drop_transfer(arg);
}

static int fetch_on_fiber(struct on_worker *call, wf_deadline deadline)
{
    wf_worker_call(start_transfer, call);
    if (call->err) {
        wf_worker_call(drop_transfer, call);
        return call->err;
    }
    call->err = wf_event_wait(&call->t->done, deadline);
    if (call->err && wf_event_is_set(&call->t->done))
        call->err = 0; /* it ended while the wait gave up: the answer counts */
    wf_worker_call(end_and_drop, call);
    return call->err;
}

/* Plain threads */

struct thread_engine {
    CURLM *multi;
    CURL *easy;
    struct thread_engine *next;
};

static void thread_engine_destroy(struct thread_engine *engine)
{
    curl_easy_cleanup(engine->easy);
    curl_multi_cleanup(engine->multi);
    wfi_free(engine);
}

/* Returns 0, -ECANCELED or -ENOMEM. */
static int thread_engine_take(struct wf_http *http, struct thread_engine **ret_engine)
{
    int err = wf_mutex_lock(&http->lock, WF_FOREVER);
    if (err)
        return err;
    struct thread_engine *engine = http->idle;
    if (engine)
        http->idle = engine->next;
    wf_mutex_unlock(&http->lock);
    if (!engine) {
        engine = wfi_zalloc(sizeof *engine);
        if (!engine)
            return -ENOMEM;
        engine->multi = curl_multi_init();
        engine->easy = curl_easy_init();
        if (!engine->multi || !engine->easy) {
            thread_engine_destroy(engine);
            return -ENOMEM;
        }
    }
    *ret_engine = engine;
    return 0;
}

static void thread_engine_put(struct wf_http *http, struct thread_engine *engine)
{
    curl_easy_reset(engine->easy);
    if (wf_mutex_lock(&http->lock, WF_FOREVER)) { /* cancelled: its connections are the price */
        thread_engine_destroy(engine);
        return;
    }
    engine->next = http->idle;
    http->idle = engine;
    wf_mutex_unlock(&http->lock);
}

/* How long libcurl may sleep at a time: until the deadline, and not longer than a slice. */
static int slice_ms(wf_deadline deadline)
{
    int64_t left_ns = wf_remaining(deadline);
    return left_ns < WF_MILLISECONDS(SLICE_MS) ? (int)(left_ns / 1000000) + 1 : SLICE_MS;
}

static int drive(struct transfer *t, CURLM *multi, wf_deadline deadline)
{
    for (;;) {
        int running = 0, left;
        if (curl_multi_perform(multi, &running))
            return -ENOMEM;
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left)))
            if (message->msg == CURLMSG_DONE) {
                t->result = message->data.result;
                return 0;
            }
        if (wf_remaining(deadline) == 0)
            return -ETIMEDOUT;
        /* The look for a cancellation: a sleep that is over at once, or refused. */
        if (wf_sleep(WF_NOW) == -ECANCELED)
            return -ECANCELED;
        if (curl_multi_poll(multi, NULL, 0, slice_ms(deadline), NULL))
            return -ENOMEM;
    }
}

static int fetch_on_thread(struct wf_http *http, struct on_worker *call, wf_deadline deadline)
{
    struct thread_engine *engine = NULL;
    int err = thread_engine_take(http, &engine);
    if (err)
        return wf_error_set(call->reterr, err, "%s: %s", call->request->url, wf_strerror(err));
    struct transfer *t = call->t;
    err = wfi_transfer_init(t, engine->easy, http, call->request, call->response, call->reterr);
    if (!err && curl_multi_add_handle(engine->multi, engine->easy))
        err = wf_error_set(call->reterr, -ENOMEM, NULL);
    if (!err) {
        err = drive(t, engine->multi, deadline);
        curl_multi_remove_handle(engine->multi, engine->easy);
        err =
            err ? wfi_transfer_abandon(t, err, call->reterr) : wfi_transfer_finish(t, call->reterr);
    }
    wfi_transfer_fini(t);
    thread_engine_put(http, engine);
    return err;
}

/* The client */

static struct wf_once curl_once = WF_ONCE_INIT;

static int start_curl(void *unused)
{
    (void)unused;
    return curl_global_init(CURL_GLOBAL_DEFAULT) ? -ENOMEM : 0;
}

int wf_http_create(const struct wf_http_options *options, struct wf_http **ret_http,
                   struct wf_error *reterr)
{
    static const struct wf_http_options defaults;
    int err = wf_once_call(&curl_once, start_curl, NULL, WF_FOREVER);
    if (err)
        return wf_error_set(reterr, err, NULL);
    struct wf_http *http = wfi_zalloc(sizeof *http);
    if (!http)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&http->lock);
    http->options = options ? *options : defaults;
    snprintf(http->user_agent, sizeof http->user_agent, "%s",
             http->options.user_agent ? http->options.user_agent : WEFT_AGENT);
    if (!http->options.body_bytes_max)
        http->options.body_bytes_max = BODY_BYTES_MAX;
    if (!http->options.connect_ns_max)
        http->options.connect_ns_max = WF_SECONDS(10);
    *ret_http = http;
    return 0;
}

void wf_http_destroy(struct wf_http *http)
{
    if (!http)
        return;
    for (struct thread_engine *engine = http->idle, *next; engine; engine = next) {
        next = engine->next;
        thread_engine_destroy(engine);
    }
    wf_mutex_fini(&http->lock);
    wfi_free(http);
}

int wf_http_fetch(struct wf_http *http, const struct wf_http_request *request,
                  struct wf_http_response *ret_response, wf_deadline deadline,
                  struct wf_error *reterr)
{
    int64_t start = wf_now();
    memset(ret_response, 0, sizeof *ret_response);
    if (!request->url)
        return wf_error_set(reterr, WF_EPARSE, "a request needs a URL");
    struct transfer t;
    struct on_worker call = {
        .http = http, .request = request, .response = ret_response, .t = &t, .reterr = reterr};
    int err =
        wf_on_fiber() ? fetch_on_fiber(&call, deadline) : fetch_on_thread(http, &call, deadline);
    ret_response->elapsed_ns = wf_now() - start;
    return err;
}
