/* SPDX-License-Identifier: MIT */
/*
 * A client of Redis for questions whose answer is a number. It needs no memory, and none of what is
 * tested.
 */
#ifndef TEST_REDIS_NUMBER_H
#define TEST_REDIS_NUMBER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "redis_server.h"

/* A connection, to be closed. */
static inline int redis_connect(const struct redis_server *server)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", server->socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Sends a command, and gives its reply as a number. */
static inline long redis_number(int fd, const char *command, size_t len)
{
    char reply[64];
    size_t got = 0;
    assert_int_equal(write(fd, command, len), len);
    do {
        const ssize_t n = read(fd, reply + got, sizeof reply - got - 1);
        assert_true(n > 0);
        got += (size_t)n;
        reply[got] = '\0';
    } while (!strchr(reply, '\n') && got + 1 < sizeof reply);
    if (reply[0] == '-')
        fail_msg("%s", reply);
    return strtol(reply + 1, NULL, 10);
}

#endif
