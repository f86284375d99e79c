/* SPDX-License-Identifier: MIT */
/*
 * Context locals of requests: what a request sets is its own, on whatever its handler runs, and is
 * what the tasks start with that it starts, on whatever they run. All handlers of a wave are made
 * to stand between setting and reading at the same time, by a barrier.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/barrier.h>
#include <weft/fibers.h>
#include <weft/inline.h>
#include <weft/local.h>
#include <weft/processes.h>
#include <weft/scope.h>
#include <weft/server.h>
#include <weft/threads.h>

/* At once, and one behind the other on each connection. */
enum { CLIENTS = 8, ROUNDS = 6 };

enum engine { INLINE, THREADS, FIBERS, PROCESSES, ENGINES };
static struct wf_executor *on[ENGINES];

static struct wf_barrier wave;
static int64_t at_start = -1; /* what its owner had set when the server started */

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

struct visit {
    int64_t user, page;
};

WF_LOCAL(int64_t, visitor)
WF_LOCAL_DEFINE(int64_t, visitor, -1)
WF_LOCAL(struct visit, visit)
WF_LOCAL_DEFINE(struct visit, visit, {-1, -1})

WF_TASK(int64_t, see_visitor)
WF_TASK(int64_t, change_visitor, (int64_t, by))

int see_visitor(struct wf_task *self, int64_t *ret)
{
    (void)self;
    *ret = visitor_get();
    return wf_yield();
}
WF_TASK_DEFINE(see_visitor)

/* What a task sets, its own tasks see; returns what they saw. */
int change_visitor(struct wf_task *self, int64_t by, int64_t *ret)
{
    int err = visitor_set(visitor_get() + by);
    if (err)
        return err;
    see_visitor_future seen = see_visitor_submit(wf_task_executor(self));
    return see_visitor_result(&seen, ret, soon(), NULL);
}
WF_TASK_DEFINE(change_visitor)

/* Returns whether tasks on `engine` see what they should; says on standard error what they saw. */
static bool tasks_see(enum engine engine, int64_t user)
{
    int64_t seen = -2, spawned = -2, changed = -2;
    see_visitor_future f = see_visitor_submit(on[engine]);
    change_visitor_future g = change_visitor_submit(on[engine], 1000);
    int err = see_visitor_result(&f, &seen, soon(), NULL);
    int err2 = change_visitor_result(&g, &changed, soon(), NULL), err3 = 0;
    WF_SCOPE(scope, on[engine], WF_FOREVER) {
        see_visitor_future h = see_visitor_spawn(scope);
        err3 = see_visitor_result(&h, &spawned, soon(), NULL);
    }
    bool good = !err && !err2 && !err3 && seen == user && spawned == user &&
                changed == user + 1000 && visitor_get() == user;
    if (!good)
        fprintf(stderr,
                "%s: user %lld: seen %lld, spawned %lld, changed %lld, own %lld (%d %d %d)\n",
                wf_executor_engine(on[engine]), (long long)user, (long long)seen,
                (long long)spawned, (long long)changed, (long long)visitor_get(), err, err2, err3);
    return good;
}

static bool visit_is(int64_t user, int64_t page)
{
    struct visit visit = visit_get();
    return visit.user == user && visit.page == page;
}

/* Answers 200 when all is as it should be, with 500 otherwise. */
static int visited(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    int64_t user = 0, page = 0;
    bool good = visitor_get() == at_start && visit_is(-1, -1);
    int err = wf_request_param_int(request, "user", &user);
    if (!err)
        err = wf_request_param_int(request, "page", &page);
    if (!err)
        err = visitor_set(user);
    if (!err)
        err = visit_set((struct visit){user, page});
    if (!err && wf_barrier_wait(&wave, soon()) < 0)
        err = -ECANCELED;
    if (err)
        return err;
    good = good && visitor_get() == user && visit_is(user, page);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        good = tasks_see(engine, user) && good;
    good = good && visit_is(user, page);
    return wf_response_text(response, good ? 200 : 500, good ? "good" : "wrong");
}

WF_TASK(int, make_visits, (struct wf_server *, server), (int64_t, user))

/* A client on a connection of its own. Returns how many of its answers were good. */
int make_visits(struct wf_task *self, struct wf_server *server, int64_t user, int *ret)
{
    (void)self;
    struct wf_address at;
    struct wf_stream *stream;
    char text[1024];
    int good = 0;
    int err = wf_server_address(server, 0, &at);
    if (!err)
        err = wf_dial_address(&at, NULL, &stream, soon(), NULL);
    if (err)
        return err;
    for (int page = 0; page < ROUNDS && !err; page++) {
        size_t len = 0;
        int asked = snprintf(text, sizeof text, "GET /%lld/%d HTTP/1.1\r\nHost: h\r\n\r\n",
                             (long long)user, page);
        err = wf_stream_write(stream, text, (size_t)asked, soon());
        do {
            ssize_t n = wf_stream_read(stream, text + len, sizeof text - 1 - len, soon());
            err = n < 0 ? (int)n : n == 0 ? WF_ESHORT : 0;
            len += err ? 0 : (size_t)n;
            text[len] = '\0';
        } while (!err && !strstr(text, "good") && !strstr(text, "wrong"));
        good += !err && strncmp(text, "HTTP/1.1 200 ", 13) == 0;
    }
    wf_stream_close(stream);
    *ret = good;
    return err;
}
WF_TASK_DEFINE(make_visits)

/* Serves visits with handlers on `handlers`, NULL for the connection's fiber. */
static void visits_are_apart(struct wf_executor *handlers)
{
    struct wf_server *server = NULL;
    const struct wf_route route = {
        .path = "/{user:int}/{page:int}", .handler = visited, .on = handlers};
    make_visits_future clients[CLIENTS];
    assert_int_equal(wf_barrier_init(&wave, CLIENTS, NULL, NULL), 0);
    assert_int_equal(wf_server_create(NULL, &server, NULL), 0);
    assert_int_equal(wf_server_route(server, &route, NULL), 0);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, NULL), 0);
    assert_int_equal(visitor_set(at_start), 0);
    assert_int_equal(wf_server_start(server, on[FIBERS], NULL), 0);
    assert_int_equal(visitor_set(-2), 0); /* the owner's from here on, and nobody else's */
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = make_visits_submit(on[FIBERS], server, i + 1);
    for (int i = 0; i < CLIENTS; i++) {
        int good = 0;
        struct wf_error error = {0};
        if (make_visits_result(&clients[i], &good, WF_FOREVER, &error))
            fail_msg("%s", error.text);
        assert_int_equal(good, ROUNDS);
    }
    wf_server_destroy(server);
    wf_barrier_fini(&wave);
}

static void handlers_on_the_connections_fibers(void **state)
{
    (void)state;
    visits_are_apart(NULL);
}

static void handlers_on_threads(void **state)
{
    (void)state;
    visits_are_apart(on[THREADS]);
}

/* As with any task: requests begin with what was set where the server was started. */
static void what_the_owner_set_before(void **state)
{
    (void)state;
    at_start = 77;
    visits_are_apart(NULL);
    visits_are_apart(on[THREADS]);
    at_start = -1;
}

static int start_engines(void **state)
{
    (void)state;
    struct wf_error error = {0};
    int err = wf_inline_create(&on[INLINE], &error);
    if (!err) /* a thread for each handler that stands at the barrier, and some for tasks */
        err = wf_threads_create(&(struct wf_threads_options){.workers = CLIENTS + 4}, &on[THREADS],
                                &error);
    if (!err)
        err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on[FIBERS], &error);
    if (!err)
        err = wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on[PROCESSES],
                                  &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    return err;
}

static int stop_engines(void **state)
{
    (void)state;
    for (enum engine engine = 0; engine < ENGINES; engine++)
        wf_executor_destroy(on[engine]);
    return 0;
}

int main(void)
{
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_on_the_connections_fibers),
        cmocka_unit_test(handlers_on_threads),
        cmocka_unit_test(what_the_owner_set_before),
    };
    return cmocka_run_group_tests(tests, start_engines, stop_engines);
}
