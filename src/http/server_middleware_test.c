/* SPDX-License-Identifier: MIT */
/* Middlewares and groups of routes: who is called around whom, for what, and what they may do. */
#include "http/server_test.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/limit.h>
#include <weft/local.h>
#include <weft/middleware.h>
#include <weft/worker.h>

#include "base/alloc.h"
#include "base/atomic.h"

static struct wf_server *make(void)
{
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    if (wf_server_create(NULL, &server, &error) ||
        wf_server_listen(server, "127.0.0.1:0", NULL, &error))
        fail_msg("%s", error.text);
    return server;
}

static void use(struct wf_server *server, const char *path, wf_layer layer, void *arg)
{
    struct wf_middleware middleware = {.path = path, .layer = layer, .arg = arg};
    assert_int_equal(wf_server_use(server, &middleware, NULL), 0);
}

static void route(struct wf_server *server, const char *path, wf_handler handler)
{
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){.path = path, .handler = handler}, NULL), 0);
}

static void run(struct wf_server *server)
{
    assert_int_equal(wf_server_start(server, fibers, NULL), 0);
}

/* One request at a time is asked, so what the layers write down has an order. */
static char trace[512];

static void note(const char *what, int number)
{
    size_t len = strlen(trace);
    if (number)
        snprintf(trace + len, sizeof trace - len, "%s%d ", what, number);
    else
        snprintf(trace + len, sizeof trace - len, "%s ", what);
}

static int noting(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                  void *arg)
{
    (void)request;
    note(arg, 0);
    int err = wf_response_header(response, "X-Layer", arg);
    if (err)
        return err;
    int code = wf_next_run(next);
    note(arg, wf_response_status(response, code));
    return code;
}

static int noted(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    note("handler", 0);
    return wf_response_text(response, 201, "made");
}

static int failing(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = wf_response_header(response, "X-Handler", "gone");
    return err ? err : -EACCES;
}

static const char *traced(struct wf_server *server, const char *request)
{
    trace[0] = '\0';
    (void)ask(server, request);
    return trace;
}

static void layers_stand_around_the_handler_in_their_order(void **state)
{
    (void)state;
    struct wf_server *server = make();
    use(server, NULL, noting, "all");
    use(server, "/api", noting, "api");
    use(server, "/api/v1/", noting, "v1");
    route(server, "/api/v1/thing", noted);
    route(server, "/api/fail", failing);
    route(server, "/apix", noted);
    run(server);
    assert_string_equal(traced(server, "GET /api/v1/thing HTTP/1.1\r\n" CLOSE),
                        "all api v1 handler v1201 api201 all201 ");
    /* By segments, and as the path is decoded. */
    assert_string_equal(traced(server, "GET /apix HTTP/1.1\r\n" CLOSE), "all handler all201 ");
    assert_string_equal(traced(server, "GET /%61pi/fail HTTP/1.1\r\n" CLOSE),
                        "all api api403 all403 ");
    /* Where there is no route, or none for the method, and where a path is no path. */
    assert_string_equal(traced(server, "GET /api HTTP/1.1\r\n" CLOSE), "all api api404 all404 ");
    assert_string_equal(traced(server, "OPTIONS * HTTP/1.1\r\n" CLOSE), "all all204 ");
    assert_string_equal(traced(server, "GET /api/%zz HTTP/1.1\r\n" CLOSE), "");
    /* What a layer has put on the answer stays on one that the server makes. */
    const char *text = ask(server, "GET /api/fail HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "HTTP/1.1 403 "));
    assert_non_null(strstr(text, "X-Layer: all\r\nX-Layer: api\r\n"));
    assert_null(strstr(text, "X-Handler"));
    wf_server_destroy(server);
}

static int refusing(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                    void *arg)
{
    (void)arg;
    if (!wf_request_header(request, "Authorization"))
        return wf_response_error(response, 401, "members only");
    int code = wf_next_run(next);
    return wf_next_run(next) == WF_ESTATE ? code : -EIO;
}

static void a_layer_may_answer_by_itself(void **state)
{
    (void)state;
    struct wf_server *server = make();
    use(server, "/in", refusing, NULL);
    route(server, "/in/{name}", hello);
    route(server, "/out", hello);
    run(server);
    answers(server, "GET /out HTTP/1.1\r\n" CLOSE, "\r\n\r\nhello");
    answers(server, "GET /in/a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 401 ");
    answers(server, "GET /in/a/b HTTP/1.1\r\n" CLOSE, "HTTP/1.1 401 "); /* 404 would tell */
    answers(server, "GET /in/a HTTP/1.1\r\nAuthorization: x\r\n" CLOSE, "\r\n\r\nhello");
    answers(server, "GET /in/a/b HTTP/1.1\r\nAuthorization: x\r\n" CLOSE, "HTTP/1.1 404 ");
    wf_server_destroy(server);
}

WF_LOCAL(int, test_name)
WF_LOCAL_DEFINE(int, test_name, -1)

static int naming(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                  void *arg)
{
    (void)response, (void)arg;
    const char *number = wf_request_header(request, "X-User");
    int err = number ? test_name_set(atoi(number)) : 0;
    return err ? err : wf_next_run(next);
}

static int show_user(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    char text[80];
    snprintf(text, sizeof text, "%d on %s at %s", test_name_get(),
             wf_on_fiber() ? "fiber" : "thread", wf_request_route(request));
    return wf_response_text(response, 200, text);
}

static void groups_hand_down_path_layers_and_executor(void **state)
{
    (void)state;
    struct wf_server *server = make();
    struct wf_error error;
    const struct wf_group api = {.path = "/api/", .on = threads};
    const struct wf_group admin = {.in = &api, .path = "/admin"};
    const struct wf_group wrong = {.handler_ns = -1};
    const struct wf_middleware layers[] = {{.group = &api, .layer = naming},
                                           {.group = &admin, .path = "/", .layer = refusing}};
    const struct wf_route routes[] = {
        {.group = &api, .path = "/user", .handler = show_user},
        {.group = &admin, .path = "/{name}", .handler = show_user, .on = fibers},
        {.group = &admin, .path = "", .handler = show_user},
        {.path = "/user", .handler = show_user},
    };
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(wf_server_use(server, &layers[i], NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wf_server_route(server, &routes[i], NULL), 0);
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){&wrong, .path = "/w", .handler = hello}, NULL),
        -EINVAL);
    struct wf_middleware bad[] = {
        {.path = "/"}, {.path = "x", .layer = naming}, {.path = "/{id}", .layer = naming}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(wf_server_use(server, &bad[i], &error), -EINVAL);
    run(server);
    assert_int_equal(wf_server_use(server, &layers[0], &error), WF_ESTATE);
    answers(server, "GET /api/user HTTP/1.1\r\nX-User: 7\r\n" CLOSE, "7 on thread at /api/user");
    answers(server, "GET /user HTTP/1.1\r\nX-User: 8\r\n" CLOSE, "-1 on fiber at /user");
    answers(server, "GET /api/admin HTTP/1.1\r\nX-User: 8\r\n" CLOSE, "HTTP/1.1 401 ");
    answers(server, "GET /api/admin HTTP/1.1\r\nAuthorization: x\r\nX-User: 9\r\n" CLOSE,
            "9 on thread at /api/admin");
    answers(server, "GET /api/admin/x HTTP/1.1\r\nAuthorization: x\r\n" CLOSE,
            "-1 on fiber at /api/admin/{name}");
    wf_server_destroy(server);
}

struct holding {
    struct wf_event begun, go;
};

static int hold(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request;
    struct holding *holding = arg;
    wf_event_set(&holding->begun);
    int err = wf_event_wait(&holding->go, soon());
    return err ? err : wf_response_text(response, 200, "held");
}

static void a_limit_turns_away_what_is_too_much(void **state)
{
    (void)state;
    struct wf_server *server = make();
    struct wf_limit *limit = NULL;
    struct holding holding;
    struct client first;
    wf_event_init(&holding.begun);
    wf_event_init(&holding.go);
    assert_int_equal(wf_limit_create(&(struct wf_limit_options){.per_key = 1}, &limit, NULL), 0);
    use(server, "/", wf_layer_limit, limit);
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){.path = "/", .handler = hold, .arg = &holding},
                        NULL),
        0);
    run(server);
    dial(&first, server);
    say(&first, "GET / HTTP/1.1\r\n" CLOSE);
    assert_int_equal(wf_event_wait(&holding.begun, soon()), 0);
    const char *text = ask(server, "GET / HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_non_null(strstr(text, "Retry-After: 1\r\n"));
    wf_event_set(&holding.go);
    expect(&first, "held");
    expect_end(&first);
    answers(server, "GET / HTTP/1.1\r\n" CLOSE, "held");
    hang_up(&first);
    wf_server_destroy(server);
    wf_limit_destroy(limit);
    wf_event_fini(&holding.begun);
    wf_event_fini(&holding.go);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *folder, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void files_stand_in_front_of_routes(void **state)
{
    (void)state;
    char folder[] = "/tmp/weft-layer-XXXXXX", sub[64];
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a.txt", "file a");
    write_file(folder, ".secret", "of nobody");
    snprintf(sub, sizeof sub, "%s/XXXXXX", folder);
    assert_non_null(mkdtemp(sub));
    write_file(sub, "index.html", "index of sub");
    char request[200], moved[200];
    struct wf_server *server = make();
    use(server, "/www", wf_layer_static, folder);
    route(server, "/www/{rest:path}", noted);
    run(server);
    answers(server, "GET /www/a.txt HTTP/1.1\r\n" CLOSE, "\r\n\r\nfile a");
    answers(server, "GET /www/b.txt HTTP/1.1\r\n" CLOSE, "made");
    answers(server, "POST /www/a.txt HTTP/1.1\r\n" CLOSE, "made");
    answers(server, "GET /www HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 ");
    answers(server, "GET /www/ HTTP/1.1\r\n" CLOSE, "made");
    snprintf(request, sizeof request, "GET /www%s/ HTTP/1.1\r\n" CLOSE, sub + strlen(folder));
    answers(server, request, "\r\n\r\nindex of sub");
    snprintf(request, sizeof request, "GET /www%s HTTP/1.1\r\n" CLOSE, sub + strlen(folder));
    snprintf(moved, sizeof moved, "Location: /www%s/\r\n", sub + strlen(folder));
    answers(server, request, moved);
    snprintf(request, sizeof request, "GET /www%s?a=b HTTP/1.1\r\n" CLOSE, sub + strlen(folder));
    snprintf(moved, sizeof moved, "Location: /www%s/?a=b\r\n", sub + strlen(folder));
    answers(server, request, moved);
    answers(server, "GET /www/.secret HTTP/1.1\r\n" CLOSE, "made");
    /* A slash that is none, and none at all: {rest:path} does not take them either. */
    snprintf(request, sizeof request, "GET /www/%s%%2findex.html HTTP/1.1\r\n" CLOSE,
             sub + strlen(folder) + 1);
    answers(server, request, "HTTP/1.1 404 ");
    answers(server, "GET /www/x%2f..%2fa.txt HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 ");
    answers(server, "GET /www//a.txt HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 ");
    wf_server_destroy(server);
    remove_file(sub, "index.html");
    remove_file(folder, "a.txt");
    remove_file(folder, ".secret");
    assert_int_equal(rmdir(sub), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void memory_runs_out_before_serving(void **state)
{
    (void)state;
    const struct wf_group group = {.path = "/api"};
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_server *server = NULL;
        struct wf_middleware middleware = {.group = &group, .path = "/a", .layer = noting};
        struct wf_route in = {.group = &group, .path = "/{a}/b", .handler = hello};
        wfi_alloc_watch(n);
        int err = wf_server_create(NULL, &server, NULL);
        if (!err)
            err = wf_server_use(server, &middleware, NULL);
        if (!err)
            err = wf_server_route(server, &in, NULL);
        wf_server_destroy(server);
        assert_int_equal(wfi_alloc_live(), 0);
        done = !wfi_alloc_unwatch();
        assert_int_equal(err, done ? 0 : -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_stand_around_the_handler_in_their_order),
        cmocka_unit_test(a_layer_may_answer_by_itself),
        cmocka_unit_test(groups_hand_down_path_layers_and_executor),
        cmocka_unit_test(a_limit_turns_away_what_is_too_much),
        cmocka_unit_test(files_stand_in_front_of_routes),
        cmocka_unit_test(memory_runs_out_before_serving),
    };
    return cmocka_run_group_tests_name("server middleware", tests, set_up, tear_down);
}
