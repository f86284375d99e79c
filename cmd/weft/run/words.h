/* SPDX-License-Identifier: MIT */
/*
 * Words in one block of memory, made one after another: a command line, a job's arguments, a line
 * of text. Cleared and used again, so that a job costs no allocation once the block is large
 * enough.
 *
 * A failure (only memory can run out) is remembered and told by words_argv, so that the calls in
 * between need no checks.
 */
#ifndef WEFT_CMD_RUN_WORDS_H
#define WEFT_CMD_RUN_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is empty. */
struct words {
    char *bytes; /* the words, each with its NUL; the one being made without */
    size_t len, size;
    size_t count; /* words ended */
    char **argv;  /* room for argv_size pointers */
    size_t argv_size;
    bool failed;
};

void words_clear(struct words *w);
void words_fini(struct words *w);

/* Puts bytes behind the word being made. They may lie in no block of `w`. */
void words_put(struct words *w, const char *bytes, size_t len);
void words_puts(struct words *w, const char *text);
void words_printf(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts `text` so that a shell reads it as one word again, bare where it can be. */
void words_quote(struct words *w, const char *text, size_t len);

/* Ends the word being made, which may be empty. */
void words_end(struct words *w);

/* A word of its own. */
void words_add(struct words *w, const char *bytes, size_t len);

/*
 * All words, NULL behind the last; valid until the next call on `w`. Returns NULL when memory ran
 * out.
 */
char **words_argv(struct words *w);

#endif
