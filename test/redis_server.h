/* SPDX-License-Identifier: MIT */
/*
 * A Redis of the test's own: Debian's redis-server on a Unix socket in a temporary folder, keeping
 * nothing on disk. Nothing listens on the network, and it dies with the test.
 */
#ifndef TEST_REDIS_SERVER_H
#define TEST_REDIS_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/child.h>
#include <weft/stream.h>

struct redis_server {
    char folder[64], socket[96], url[128];
    struct wf_child *child;
};

/* With extra words behind the options, ended by NULL; may be NULL. Returns false, having said why,
 * when there is none. A server that was stopped is started again in its folder. */
static bool redis_server_start(struct redis_server *server, const char *const *extra)
{
    /* setpriv: Redis is killed when the thread that started it ends, however that comes. */
    const char *argv[32] = {"setpriv",      "--pdeathsig", "KILL",   "redis-server",
                            "--port",       "0",           "--save", "",
                            "--appendonly", "no",          "--dir"};
    char text[2000];
    size_t count = 11, len = 0;
    struct wf_error error = {0};
    if (!server->folder[0]) {
        snprintf(server->folder, sizeof server->folder, "/tmp/weft-redis-XXXXXX");
        if (!mkdtemp(server->folder)) {
            server->folder[0] = '\0';
            return false;
        }
        snprintf(server->socket, sizeof server->socket, "%s/s", server->folder);
        snprintf(server->url, sizeof server->url, "redis+socket://%s", server->socket);
    }
    argv[count++] = server->folder;
    argv[count++] = "--unixsocket";
    argv[count++] = server->socket;
    while (extra && *extra && count + 1 < sizeof argv / sizeof *argv)
        argv[count++] = *extra++;
    struct wf_child_options options = {.argv = argv, .out = {.kind = WF_STDIO_PIPE}};
    if (wf_child_spawn(&options, &server->child, &error)) {
        printf("redis-server (Debian: redis-server) does not start: %s\n", error.text);
        return false;
    }
    wf_deadline limit = wf_after(WF_SECONDS(60));
    while (len + 1 < sizeof text) {
        ssize_t n =
            wf_stream_read(wf_child_out(server->child), text + len, sizeof text - len - 1, limit);
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "eady to accept connections"))
            return true;
    }
    printf("redis-server did not become ready:\n%.*s\n", (int)len, text);
    wf_child_close(server->child);
    server->child = NULL;
    return false;
}

/* Kills it; what it held is lost. */
static void redis_server_kill(struct redis_server *server)
{
    wf_child_close(server->child);
    server->child = NULL;
}

static void redis_server_stop(struct redis_server *server)
{
    struct wf_run_result result;
    const char *argv[] = {"rm", "-rf", server->folder, NULL};
    redis_server_kill(server);
    if (server->folder[0] &&
        wf_run(&(struct wf_run_options){.child = {.argv = argv}}, &result, WF_FOREVER, NULL) == 0)
        wf_run_result_fini(&result);
}

#endif
