/* SPDX-License-Identifier: MIT */
/*
 * A group of tests that share a Redis. To be included after cmocka.h.
 *
 *     static struct redis_server server;
 *     ...
 *     return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
 */
#ifndef TEST_REDIS_GROUP_H
#define TEST_REDIS_GROUP_H

#include "redis_server.h"

/* Runs the tests while the server does; `start` and `stop` of the group may be NULL. Returns what
 * main does: 77, with which a program is skipped, when there is no Redis. */
static int redis_group_run(struct redis_server *server, const struct CMUnitTest *tests,
                           size_t count, CMFixtureFunction start, CMFixtureFunction stop)
{
    int failed = 77;
    if (redis_server_start(server, NULL))
        failed = _cmocka_run_group_tests("tests", tests, count, start, stop);
    redis_server_stop(server);
    return failed;
}

#endif
