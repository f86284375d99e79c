/* SPDX-License-Identifier: MIT */
/*
 * The floor of V1: epoll by hand, one thread, level-triggered; a read that ends with an empty line
 * is a request, and gets the same bytes whatever it asks for. Prints its port and serves until it
 * is killed.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: 14\r\n\r\n"
                             "Hello, world!\n";

static int must(int value, const char *what)
{
    if (value < 0) {
        perror(what);
        exit(1);
    }
    return value;
}

static void serve(int fd)
{
    char head[8192];
    ssize_t n = recv(fd, head, sizeof head, 0);
    if (n <= 0) {
        close(fd);
        return;
    }
    if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0 &&
        send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) != sizeof answer - 1)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return 0;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_len = sizeof at;
    int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;
    must(bind(listener, (struct sockaddr *)&at, sizeof at), "bind");
    must(listen(listener, 4096), "listen");
    must(getsockname(listener, (struct sockaddr *)&at, &at_len), "getsockname");
    int poller = must(epoll_create1(0), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    must(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            event.data.fd = fd;
            must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
        }
    }
}
