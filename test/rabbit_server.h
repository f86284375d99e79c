/* SPDX-License-Identifier: MIT */
/*
 * A RabbitMQ of the test's own: Debian's rabbitmq-server with its files in a temporary folder, on
 * free ports of the loopback address, with a port mapper of its own. It takes some seconds to
 * start.
 */
#ifndef TEST_RABBIT_SERVER_H
#define TEST_RABBIT_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/child.h>
#include <weft/listener.h>
#include <weft/scope.h>
#include <weft/stream.h>

struct rabbit_server {
    char folder[64], url[128], variables[12][200];
    int ports[3]; /* AMQP, the nodes' own, the port mapper's */
    struct wf_child *mapper, *child;
};

/* Ports that were free a moment ago. */
static void rabbit_find_ports(struct rabbit_server *server)
{
    struct wf_listener *listeners[3] = {0};
    for (int i = 0; i < 3; i++) {
        struct wf_address at;
        if (wf_listener_open("127.0.0.1:0", NULL, &listeners[i], NULL) == 0) {
            wf_listener_address(listeners[i], &at);
            server->ports[i] = wf_address_port(&at);
        }
    }
    for (int i = 0; i < 3; i++)
        wf_listener_close(listeners[i]);
}

/* Reads what the child prints until `text` comes. */
static bool rabbit_says(struct wf_child *child, const char *text, char *out, size_t size)
{
    wf_deadline limit = wf_after(WF_SECONDS(120));
    size_t len = 0;
    out[0] = '\0';
    while (len + 1 < size && !strstr(out, text)) {
        ssize_t n = wf_stream_read(wf_child_out(child), out + len, size - len - 1, limit);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
    }
    return strstr(out, text) != NULL;
}

/* Else the server would start another, which stays. */
static bool rabbit_mapper_listens(const struct rabbit_server *server)
{
    const wf_deadline limit = wf_after(WF_SECONDS(30));
    struct wf_stream *stream = NULL;
    char at[32];
    snprintf(at, sizeof at, "127.0.0.1:%d", server->ports[2]);
    while (wf_dial(at, NULL, &stream, limit, NULL))
        if (wf_sleep(wf_after(WF_MILLISECONDS(10))) || wf_remaining(limit) == 0)
            return false;
    wf_stream_close(stream);
    return true;
}

static bool rabbit_start_once(struct rabbit_server *server)
{
    static const char *const forms[] = {"HOME=%s",
                                        "RABBITMQ_BASE=%s",
                                        "RABBITMQ_MNESIA_BASE=%s/m",
                                        "RABBITMQ_LOG_BASE=%s/l",
                                        "RABBITMQ_LOGS=%s/log",
                                        "RABBITMQ_ENABLED_PLUGINS_FILE=%s/plugins",
                                        "RABBITMQ_CONF_ENV_FILE=%s/none",
                                        "RABBITMQ_CONFIG_FILE=%s/none"};
    static const char *erlang = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="
                                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1";
    /* "Under systemd" the script becomes the server, and dies as it. */
    const char *env[17] = {"RABBITMQ_NODENAME=weft@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
                           "RUNNING_UNDER_SYSTEMD=1", erlang};
    size_t count = 4;
    char mapper_port[16], said[8000];
    struct wf_error error = {0};
    for (size_t i = 0; i < 8; i++) {
        const char *percent = strstr(forms[i], "%s");
        snprintf(server->variables[i], sizeof server->variables[i], "%.*s%s%s",
                 (int)(percent - forms[i]), forms[i], server->folder, percent + 2);
        env[count++] = server->variables[i];
    }
    static const char *const ports[] = {"RABBITMQ_NODE_PORT", "RABBITMQ_DIST_PORT",
                                        "ERL_EPMD_PORT"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(server->variables[8 + i], sizeof server->variables[0], "%s=%d", ports[i],
                 server->ports[i]);
        env[count++] = server->variables[8 + i];
    }
    snprintf(mapper_port, sizeof mapper_port, "%d", server->ports[2]);
    snprintf(server->url, sizeof server->url, "amqp://127.0.0.1:%d//", server->ports[0]);
    /* setpriv: they are killed when the thread that started them ends, however that comes. */
    const char *mapper[] = {"setpriv",   "--pdeathsig", "KILL",      "epmd", "-address",
                            "127.0.0.1", "-port",       mapper_port, NULL};
    const char *argv[] = {"setpriv", "--pdeathsig", "KILL", "/usr/lib/rabbitmq/bin/rabbitmq-server",
                          NULL};
    if (wf_child_spawn(&(struct wf_child_options){.argv = mapper}, &server->mapper, &error) ||
        !rabbit_mapper_listens(server) ||
        wf_child_spawn(&(struct wf_child_options){.argv = argv,
                                                  .env = env,
                                                  .out = {.kind = WF_STDIO_PIPE},
                                                  .err = {.kind = WF_STDIO_JOIN}},
                       &server->child, &error)) {
        printf("RabbitMQ (Debian: rabbitmq-server) does not start: %s\n", error.text);
        return false;
    }
    if (rabbit_says(server->child, "completed with", said, sizeof said))
        return true;
    printf("RabbitMQ did not become ready:\n%s\n", said);
    return false;
}

static void rabbit_server_kill(struct rabbit_server *server)
{
    wf_child_close(server->child);
    wf_child_close(server->mapper);
    server->child = server->mapper = NULL;
}

/* Returns false, having said why, when there is none. One that was killed is started again on its
 * ports, with what it had kept. */
static bool rabbit_server_start(struct rabbit_server *server)
{
    bool again = server->folder[0] != '\0';
    if (access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK)) {
        printf("there is no RabbitMQ (Debian: rabbitmq-server)\n");
        return false;
    }
    if (!again) {
        snprintf(server->folder, sizeof server->folder, "/tmp/weft-rabbit-XXXXXX");
        if (!mkdtemp(server->folder)) {
            server->folder[0] = '\0';
            return false;
        }
    }
    for (int tries = 0; tries < 3; tries++) {
        if (!again)
            rabbit_find_ports(server); /* somebody else may take one meanwhile */
        if (rabbit_start_once(server))
            return true;
        rabbit_server_kill(server);
    }
    return false;
}

static void rabbit_server_stop(struct rabbit_server *server)
{
    struct wf_run_result result;
    const char *argv[] = {"rm", "-rf", server->folder, NULL};
    rabbit_server_kill(server);
    if (server->folder[0] &&
        wf_run(&(struct wf_run_options){.child = {.argv = argv}}, &result, WF_FOREVER, NULL) == 0)
        wf_run_result_fini(&result);
}

#endif
