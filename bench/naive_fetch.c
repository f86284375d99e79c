/* SPDX-License-Identifier: MIT */
/*
 * The least a client can do: 64 connections on one epoll, the next path sent when an answer has
 * come in whole, no look at what came. It is the limit of a crawl, not a crawl.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "figure.h"

#define CONNECTIONS 64
#define HEAD_MAX 8192

struct connection {
    int fd;
    size_t head_len;  /* bytes of the head so far */
    size_t body_left; /* of the answer being read */
    int in_body;
    char head[HEAD_MAX];
};

static char **paths;
static size_t path_count, next_path, pages;
static char host[64];

static void fail(const char *what)
{
    fprintf(stderr, "naive_fetch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_paths(const char *name)
{
    char line[4096];
    FILE *file = fopen(name, "r");
    if (!file)
        fail(name);
    while (fscanf(file, "%4095s", line) == 1) {
        if ((path_count & (path_count - 1)) == 0)
            paths = realloc(paths, (path_count ? path_count * 2 : 1) * sizeof(*paths));
        paths[path_count++] = strdup(line);
    }
    fclose(file);
}

/* Returns 0 when there is nothing left to ask for. */
static int ask(struct connection *c)
{
    char request[5000];
    if (next_path == path_count)
        return 0;
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                       paths[next_path++], host);
    if (write(c->fd, request, (size_t)len) != len)
        fail("write");
    c->head_len = 0;
    c->in_body = 0;
    return 1;
}

/* Takes the bytes read; returns 1 when the answer is whole. */
static int take(struct connection *c, const char *data, size_t len)
{
    if (!c->in_body) {
        size_t room = HEAD_MAX - 1 - c->head_len, part = len < room ? len : room;
        memcpy(c->head + c->head_len, data, part);
        c->head_len += part;
        c->head[c->head_len] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) {
            if (part < len)
                fail("head too long");
            return 0;
        }
        char *length = strcasestr(c->head, "\r\nContent-Length:");
        if (!length || length > end)
            fail("no length");
        size_t head = (size_t)(end - c->head) + 4, before = c->head_len - part;
        c->body_left = strtoul(length + 17, NULL, 10);
        c->in_body = 1;
        data += head - before;
        len -= head - before;
    }
    if (len > c->body_left)
        fail("more than was announced");
    c->body_left -= len;
    return c->body_left == 0;
}

static void fetch_all(const char *name, int argc, char **argv)
{
    static struct connection connections[CONNECTIONS];
    static char buffer[65536];
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned port = 0;
    char ip[32], line[16];
    if (argc < 3 || sscanf(argv[1], "http://%31[0-9.]:%u", ip, &port) != 2)
        fail("usage: naive_fetch K1|K2 http://IP:PORT/ PATHS");
    read_paths(argv[2]);
    snprintf(host, sizeof(host), "%s:%u", ip, port);
    inet_pton(AF_INET, ip, &address.sin_addr);
    address.sin_port = htons((uint16_t)port);
    int poller = epoll_create1(0), open = 0, one = 1;
    int64_t start = clock_ns();
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)))
            fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
        open += ask(c);
    }
    while (open > 0) {
        struct epoll_event events[CONNECTIONS];
        int count = epoll_wait(poller, events, CONNECTIONS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t got = read(c->fd, buffer, sizeof(buffer));
            if (got <= 0)
                fail("read");
            if (take(c, buffer, (size_t)got)) {
                pages++;
                if (!ask(c)) {
                    close(c->fd);
                    open--;
                }
            }
        }
    }
    snprintf(line, sizeof(line), "%s.fetch", name);
    figure_rate(line, (double)pages, start, "pages/s");
}

static void run_k1(int argc, char **argv)
{
    fetch_all("K1", argc, argv);
}

static void run_k2(int argc, char **argv)
{
    fetch_all("K2", argc, argv);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"K1", run_k1}, {"K2", run_k2}, {0}};
    return run_workloads(workloads, argc, argv);
}
