/* SPDX-License-Identifier: MIT */
/* What the commands that are clients of Celery, weft call and weft inspect, do in one way: a client
 * made, what fails said, JSON printed, and the end. */
#ifndef WEFT_CMD_WORKER_CLIENT_H
#define WEFT_CMD_WORKER_CLIENT_H

#include <weft/celery_client.h>

#include "worker/addresses.h"

/* Returns -1 to go on; or EXIT_USAGE, after a line about an address. */
int client_open(const struct command *command, const struct addresses *addresses,
                struct wf_celery_client **ret_client);

/* A line about what could not be sent. Returns the status to exit with. */
int client_failed(const struct command *command, const struct addresses *addresses, int err,
                  struct wf_error *error);

/* A line of standard output: `before`, and a value as JSON. Returns 0 or an error. */
int client_print(const char *before, const struct wf_json_value *value);

/* The same of what a writer holds. */
int client_print_written(const char *before, struct wf_json_writer *w);

/* Behind all that was printed: that nobody can have it is a line, and a failure. `err` is of
 * printing. Returns the status to exit with. */
int client_end(const struct command *command, int err, int status);

#endif
