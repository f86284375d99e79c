/* SPDX-License-Identifier: MIT */
/*
 * What weft race runs on each engine: tasks that can travel to another process, and that check what
 * came of them themselves.
 */
#ifndef WEFT_CMD_RACE_WORK_H
#define WEFT_CMD_RACE_WORK_H

#include <weft/map.h>
#include <weft/task.h>

/* The number that the texts test, a prime. */
#define RACE_PRIME UINT64_C(112272535095293)

/* What a task of the sleep race does. */
#define RACE_SLEEP_NS WF_MILLISECONDS(10)

/* Whether n is prime, by trial division. */
WF_TASK(bool, race_prime, (uint64_t, n))

/* Whether page `page` of the latency site with so many pages at `site` came whole. */
WF_TASK(bool, race_page, (const char *, site), (uint32_t, page), (uint32_t, pages))

/* Sleeps; true. */
WF_TASK(bool, race_sleep, (int64_t, sleep_ns))

/* Closes what race_page keeps open in this process. */
void race_work_fini(void);

#endif
