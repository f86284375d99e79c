/* SPDX-License-Identifier: MIT */
/*
 * The client of V2 and V.idle: connections that ask again as soon as they are answered, opened over
 * a second so that they do not ask in step; what was asked in the first two seconds does not count.
 * wrk counts it, and with as many connections as here it is more than the hundredth part.
 *
 *     load_http PORT PATH CONNECTIONS SECONDS    prints answers a second, and the latency in ms
 *                                                that 50 and 99 of 100 answers did not exceed
 *     load_http PORT PATH CONNECTIONS hold       asks once on each, prints "ready", and keeps them
 *                                                open until its input ends
 *
 * Anything but whole answers with status 200 ends it with an error.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "figure.h"

#define RAMP_NS 1000000000
#define WARM_UP_NS 2000000000
#define BUCKET_NS 100000
#define BUCKETS 100000 /* ten seconds; what takes longer is in the last */
#define ANSWER_MAX 2048
#define EVENTS 256

struct client {
    int fd;
    int64_t asked_ns;
    size_t len;
    char answer[ANSWER_MAX];
};

static struct client *clients;
static int poller;
static char request[512];
static uint32_t buckets[BUCKETS];
static uint64_t counted;

static int check(int value, const char *what)
{
    if (value < 0) {
        fprintf(stderr, "load_http: %s: %s\n", what, strerror(errno));
        exit(1);
    }
    return value;
}

static void ask(struct client *client)
{
    client->len = 0;
    client->asked_ns = clock_ns();
    check((int)send(client->fd, request, strlen(request), MSG_NOSIGNAL), "send");
}

static void connect_one(struct client *client, const struct sockaddr_in *at)
{
    int on = 1;
    client->fd = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(connect(client->fd, (const struct sockaddr *)at, sizeof *at), "connect");
    check(fcntl(client->fd, F_SETFL, O_NONBLOCK), "fcntl");
    check(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    check(epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event), "epoll_ctl");
    ask(client);
}

/* Whether the answer is whole. */
static int is_whole(struct client *client)
{
    client->answer[client->len] = '\0';
    char *body = strstr(client->answer, "\r\n\r\n"),
         *length = strcasestr(client->answer, "\r\ncontent-length:");
    if (!body)
        return 0;
    if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0 || !length || length > body) {
        fprintf(stderr, "load_http: not an answer: %.60s\n", client->answer);
        exit(1);
    }
    return client->len >= (size_t)(body + 4 - client->answer) + strtoul(length + 17, NULL, 10);
}

/* Returns whether it brought a whole answer. */
static int take(struct client *client, int64_t counts_from_ns)
{
    ssize_t n = recv(client->fd, client->answer + client->len, ANSWER_MAX - 1 - client->len, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0) {
        fprintf(stderr, "load_http: a connection was closed\n");
        exit(1);
    }
    client->len += (size_t)n;
    if (!is_whole(client))
        return 0;
    if (client->asked_ns >= counts_from_ns) {
        int64_t bucket = (clock_ns() - client->asked_ns) / BUCKET_NS;
        buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        counted++;
    }
    return 1;
}

static double percentile_ms(double share)
{
    uint64_t sum = 0;
    size_t i = 0;
    while (i < BUCKETS - 1 && (sum += buckets[i]) < (uint64_t)(share * (double)counted))
        i++;
    return (double)(i + 1) * BUCKET_NS / 1e6;
}

static void hold(int count, const struct sockaddr_in *at)
{
    struct epoll_event event;
    for (int i = 0; i < count; i++) {
        connect_one(&clients[i], at);
        do
            check(epoll_wait(poller, &event, 1, -1), "epoll_wait");
        while (!take(&clients[i], INT64_MAX));
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

static void load(int count, const struct sockaddr_in *at, double seconds)
{
    struct epoll_event events[EVENTS];
    int64_t start = clock_ns(), now = start, counts_from = start + WARM_UP_NS;
    int64_t end = counts_from + (int64_t)(seconds * 1e9);
    uint64_t answers = 0;
    for (int open = 0; now < end; now = clock_ns()) {
        int64_t due = now - start < RAMP_NS ? (now - start) * count / RAMP_NS + 1 : count;
        while (open < due && open < count)
            connect_one(&clients[open++], at);
        int n = epoll_wait(poller, events, EVENTS, open < count ? 1 : 100);
        for (int i = 0; i < n; i++)
            if (take(events[i].data.ptr, counts_from)) {
                answers += clock_ns() >= counts_from;
                ask(events[i].data.ptr);
            }
    }
    printf("%g %g %g\n", (double)answers / seconds, percentile_ms(0.5), percentile_ms(0.99));
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: load_http PORT PATH CONNECTIONS SECONDS|hold\n");
        return 2;
    }
    int count = atoi(argv[3]);
    struct rlimit limit;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)atoi(argv[1]))};
    check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[2],
             argv[1]);
    poller = check(epoll_create1(0), "epoll_create1");
    clients = calloc((size_t)count, sizeof *clients);
    if (!clients)
        return 1;
    if (strcmp(argv[4], "hold") == 0)
        hold(count, &at);
    else
        load(count, &at, atof(argv[4]));
    return 0;
}
