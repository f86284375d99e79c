/* SPDX-License-Identifier: MIT */
/*
 * What test/http/serve_clients.py has real clients talk to: files, uploads that are summed up, and
 * events that wait until somebody asks for the next one.
 *
 *     clients_server FOLDER SOCKET [CHAIN KEY]
 *
 * Prints the URL of each TCP listener and serves until SIGTERM.
 */
#include <stdio.h>
#include <string.h>

#include <weft/event.h>
#include <weft/json.h>
#include <weft/main.h>
#include <weft/server.h>

struct arguments {
    int count;
    char **texts;
};

static struct wf_event next;

/* What came: the method, how many bytes, their checksum, who sent them. */
static int sum_up(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    char buf[16384];
    uint64_t bytes = 0;
    uint32_t sum = 2166136261u; /* FNV-1a */
    ssize_t n;
    while ((n = wf_request_read(request, buf, sizeof buf)) > 0) {
        bytes += (uint64_t)n;
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ (unsigned char)buf[i]) * 16777619u;
    }
    if (n < 0)
        return (int)n;
    const char *method = wf_request_method(request), *client = wf_request_client(request);
    struct wf_json_writer *w;
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_object(w);
    wf_json_write_key(w, "method");
    wf_json_write_string(w, method, strlen(method));
    wf_json_write_key(w, "bytes");
    wf_json_write_uint(w, bytes);
    wf_json_write_key(w, "sum");
    wf_json_write_uint(w, sum);
    wf_json_write_key(w, "client");
    wf_json_write_string(w, client, strlen(client));
    wf_json_write_end(w);
    err = wf_response_json(response, 200, w);
    wf_json_writer_destroy(w);
    return err;
}

/* Three events; before the second and third somebody has to ask for /next. */
static int events(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = 0;
    for (int i = 1; i <= 3 && !err; i++) {
        char data[16];
        snprintf(data, sizeof data, "event %d", i);
        err = wf_response_event(response, &(struct wf_sse){.data = data});
        if (!err && i < 3)
            err = wf_event_wait(&next, WF_FOREVER);
        wf_event_clear(&next);
    }
    return err;
}

static int go_on(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    wf_event_set(&next);
    return wf_response_send(response, 204, NULL, NULL, 0);
}

static int elsewhere(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_redirect(response, 307, "/sum");
}

static int listen_at(struct wf_server *server, char **texts, bool tls, struct wf_error *reterr)
{
    char at[200];
    snprintf(at, sizeof at, "unix:%s", texts[2]);
    int err = wf_server_listen(server, "127.0.0.1:0", NULL, reterr);
    if (!err)
        err = wf_server_listen(server, at, NULL, reterr);
    if (!err && tls)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, reterr);
    return err;
}

static void print_addresses(const struct wf_server *server)
{
    struct wf_address at;
    char text[WF_ADDRESS_TEXT_BYTES];
    for (size_t i = 0; wf_server_address(server, i, &at) == 0; i++) {
        wf_address_format(&at, text, sizeof text);
        if (i != 1)
            printf("%s://%s\n", i ? "https" : "http", text);
    }
    fflush(stdout);
}

static int serve(void *arg)
{
    const struct arguments *arguments = arg;
    char **texts = arguments->texts;
    bool secure = arguments->count > 4;
    struct wf_error error = {0};
    struct wf_tls *tls = NULL;
    struct wf_server *server = NULL;
    struct wf_folder folder = {.path = texts[1], .list = true, .packed = true};
    const struct wf_route routes[] = {
        {.method = "GET", .path = "/{path:path}", .handler = wf_serve_folder_with, .arg = &folder},
        {.path = "/sum", .handler = sum_up, .body_bytes_max = UINT64_MAX},
        {.path = "/sum/{name}", .handler = sum_up, .body_bytes_max = UINT64_MAX},
        {.method = "GET", .path = "/events", .handler = events},
        {.method = "GET", .path = "/next", .handler = go_on},
        {.path = "/elsewhere", .handler = elsewhere},
    };
    wf_event_init(&next);
    static const char *const trusted[] = {"127.0.0.1"};
    int err = wf_server_create(&(struct wf_server_options){.trusted = trusted, .trusted_count = 1},
                               &server, &error);
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !err; i++)
        err = wf_server_route(server, &routes[i], &error);
    if (!err)
        err = listen_at(server, texts, secure, &error);
    if (!err && secure)
        err = wf_tls_create(&(struct wf_tls_options){.chain_file = texts[3], .key_file = texts[4]},
                            &tls, &error);
    if (!err && secure)
        err = wf_server_secure(server, 2, tls, &error);
    if (!err) {
        print_addresses(server);
        err = wf_server_run(server, wf_main_executor(), &error);
    }
    wf_server_destroy(server);
    wf_tls_destroy(tls);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {argc, argv};
    struct wf_error error = {0};
    if (argc < 3)
        return 2;
    int status =
        wf_main(&(struct wf_main_options){.no_processes = true}, serve, &arguments, &error);
    return status > 128 ? 0 : status;
}
