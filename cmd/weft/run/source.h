/* SPDX-License-Identifier: MIT */
/*
 * Where arguments come from: lists on the command line, of which every combination is taken, the
 * last list changing fastest; or a descriptor, read as it is needed and no further than one block
 * ahead.
 */
#ifndef WEFT_CMD_RUN_SOURCE_H
#define WEFT_CMD_RUN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/error.h>

#include "run/words.h"

/* The longest argument that the system passes to a program. */
#define SOURCE_ARG_MAX 131071

struct source {
    /* Lists: `words` cut in pieces. */
    char *const *words;
    struct source_list {
        size_t first, count;
    } * lists;
    size_t list_count;
    uint64_t at, total; /* combinations */

    /* A descriptor. */
    int fd; /* -1: none */
    char delimiter;
    char *buf;
    size_t start, seen, len, size; /* unread from start; no end of an argument in start..seen */
    size_t found;                  /* ends of arguments in start..seen, counted by take */
    uint64_t taken;
    bool ended;
};

/* Whether a word begins a list; also those of parallel's that mean nothing here. */
bool source_is_mark(const char *word);

/*
 * Lists: words, with ":::" between them and in front of the first.
 * Returns 0, -EINVAL for a mark of parallel's that has no meaning here, or -ENOMEM.
 */
int source_open_lists(struct source *source, char *const *words, size_t count,
                      struct wf_error *reterr);

/* The descriptor stays the caller's. */
void source_open_fd(struct source *source, int fd, char delimiter);
void source_fini(struct source *source);

/* Arguments that a record has when nothing else is asked for. */
size_t source_args(const struct source *source);

enum source_got {
    SOURCE_RECORD = 1, /* in `ret` */
    SOURCE_MORE,       /* source_fill has to be called first */
    SOURCE_END,
};

/*
 * Takes the next `count` arguments, fewer at the end; of lists one combination, or `count` of the
 * only list.
 *
 * Returns an enum source_got, or, with a text
 *   WF_ETOOBIG   an argument longer than any program can be given
 *   WF_EPARSE    a line with a NUL in it
 *   -ENOMEM
 */
int source_take(struct source *source, size_t count, struct words *ret, struct wf_error *reterr);

/*
 * Reads a block, waiting for it; returns early when `stop_fd` (-1: none) can be read.
 * Returns 0, -ECANCELED, or why the descriptor cannot be read. Blocks the thread.
 */
int source_fill(struct source *source, int stop_fd);

#endif
