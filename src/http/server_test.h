/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the server share: a client on loopback, byte by byte where it matters, and
 * servers on a fibers executor with two workers. Handlers that are to wait wait for an event the
 * test holds, so nothing here depends on how long a thing takes.
 */
#ifndef WFI_HTTP_SERVER_TEST_H
#define WFI_HTTP_SERVER_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weft/fibers.h>
#include <weft/server.h>
#include <weft/threads.h>

static struct wf_executor *fibers, *threads;

static inline wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* ---- a client ---- */

struct client {
    struct wf_stream *stream;
    char text[70000];
    size_t len;
};

static inline void dial(struct client *client, struct wf_server *server)
{
    struct wf_address at;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    client->len = 0;
    client->text[0] = '\0';
    assert_int_equal(wf_dial_address(&at, NULL, &client->stream, soon(), NULL), 0);
}

static inline void say(struct client *client, const char *text)
{
    assert_int_equal(wf_stream_write(client->stream, text, strlen(text), soon()), 0);
}

/* Reads until `text` has come, or the end; what came is in client->text. */
static inline bool hears(struct client *client, const char *text)
{
    while (!text || !strstr(client->text, text)) {
        ssize_t n = wf_stream_read(client->stream, client->text + client->len,
                                   sizeof client->text - client->len - 1, soon());
        if (n <= 0)
            return !text && n == 0;
        client->len += (size_t)n;
        client->text[client->len] = '\0';
    }
    return true;
}

static inline void expect(struct client *client, const char *text)
{
    if (!hears(client, text))
        fail_msg("expected \"%s\", got \"%s\"", text, client->text);
}

/* The connection ends in good order. */
static inline void expect_end(struct client *client)
{
    if (!hears(client, NULL))
        fail_msg("the connection did not end behind \"%s\"", client->text);
}

static inline void forget(struct client *client)
{
    client->len = 0;
    client->text[0] = '\0';
}

static inline void hang_up(struct client *client)
{
    wf_stream_close(client->stream);
}

/* Sends `request` on a connection of its own, reads all until its end. */
static inline const char *ask(struct wf_server *server, const char *request)
{
    static struct client client;
    dial(&client, server);
    say(&client, request);
    expect_end(&client);
    hang_up(&client);
    return client.text;
}

#define CLOSE "Host: h\r\nConnection: close\r\n\r\n"

static inline void answers(struct wf_server *server, const char *request, const char *part)
{
    const char *text = ask(server, request);
    if (!strstr(text, part))
        fail_msg("to \"%s\" expected \"%s\", got \"%s\"", request, part, text);
}

static inline int hello(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "hello");
}

static inline struct wf_server *start(const struct wf_server_options *options,
                                      const struct wf_route *routes, size_t count)
{
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    int err = wf_server_create(options, &server, &error);
    for (size_t i = 0; i < count && !err; i++)
        err = wf_server_route(server, &routes[i], &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (err)
        fail_msg("%s", error.text);
    return server;
}

static inline struct wf_server *start_one(const struct wf_server_options *options,
                                          wf_handler handler, void *arg)
{
    return start(options, &(struct wf_route){.path = "/", .handler = handler, .arg = arg}, 1);
}

static inline int set_up(void **state)
{
    (void)state;
    int err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL);
    return err ? err
               : wf_threads_create(&(struct wf_threads_options){.workers = 4}, &threads, NULL);
}

static inline int tear_down(void **state)
{
    (void)state;
    /* A test that has failed leaves its server behind, for which destroy would wait. */
    if (wf_executor_shutdown(fibers, WF_SHUTDOWN_CANCEL, wf_after(WF_SECONDS(5)))) {
        printf("something of a test that failed still runs\n");
        fflush(stdout);
        _exit(1);
    }
    wf_executor_destroy(threads);
    wf_executor_destroy(fibers);
    return 0;
}

#endif
