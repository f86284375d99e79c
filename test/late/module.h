/* SPDX-License-Identifier: MIT */
/* The task of a module, as the program that loads it knows it. */
#ifndef TEST_LATE_MODULE_H
#define TEST_LATE_MODULE_H

#include <weft/task.h>

WF_TASK(int64_t, late_task, (const char *, text), (int64_t, n))

#endif
