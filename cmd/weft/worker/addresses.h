/* SPDX-License-Identifier: MIT */
/* Where a client of Celery finds its broker and its results. */
#ifndef WEFT_CMD_WORKER_ADDRESSES_H
#define WEFT_CMD_WORKER_ADDRESSES_H

#include "options.h"

/* As given on the command line; NULL: not. */
struct addresses {
    const char *app, *broker, *backend;
    bool is_default; /* nobody has named a broker */
};

/* Rows of a table of options, for a `struct addresses` at this offset. */
#define ADDRESS_OPTIONS(OFFSET)                                                           \
    {.name = "app",                                                                       \
     .letter = 'A',                                                                       \
     .type = OPTION_TEXT,                                                                 \
     .field = (OFFSET) + offsetof(struct addresses, app),                                 \
     .argument = "MODULE",                                                                \
     .help = "a module that declares the addresses"},                                     \
    {                                                                                     \
        .name = "broker", .letter = 'b', .type = OPTION_TEXT,                             \
        .field = (OFFSET) + offsetof(struct addresses, broker), .argument = "URL",        \
        .help = "redis://, redis+socket:// or amqp:// (default: CELERY_BROKER_URL, the\n" \
                "module's, amqp://guest@localhost:5672//)"                                \
    }

/*
 * Fills in what was not given: from the environment, from the module that `app` names, Celery's
 * default. Returns -1 to go on; or EXIT_USAGE, after a line about a module that cannot be used.
 */
int addresses_find(const struct command *command, struct addresses *addresses);

/* A time in seconds, above 0, as a text. Returns false when it is none. */
bool seconds_are(const char *text, double *ret);

/* The same of an option, which may not have been given: `ret` is then left as it is. Returns -1, or
 * EXIT_USAGE after a line. */
int seconds_read(const struct command *command, const char *option, const char *text, double *ret);

#endif
