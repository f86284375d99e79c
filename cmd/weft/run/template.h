/* SPDX-License-Identifier: MIT */
/*
 * The command as it was typed, with its marks, and the command line of one job made of it. Pure.
 *
 *     {}    the argument            {.}   without its extension
 *     {/}   its last component      {//}  its directory        {/.}  last component, no extension
 *     {#}   the job's number        {%}   the slot it runs in
 *     {2}   the second argument of a job that has several; {2.} {2/} {2//} {2/.} as above
 *
 * A word of the template gives one word of the command line, whatever is in the arguments: nothing
 * is split or expanded again. Only a word that is nothing but {} gives as many as the job has
 * arguments, and one that is nothing but {2} none when the job has no second. Braces around
 * anything else are left as they are. A template without any mark has {} behind it.
 *
 * For a shell the words are put together with blanks, and arguments are quoted for it.
 */
#ifndef WEFT_CMD_RUN_TEMPLATE_H
#define WEFT_CMD_RUN_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/error.h>

#include "run/words.h"

struct template_options {
    const char *mark; /* the one mark, instead of all those above; NULL */
    size_t args;      /* arguments of a job, at most */
    bool shell;
};

struct template;

/*
 * `words` have to live as long as the template.
 *
 * Returns 0, or
 *   -EINVAL   a mark asks for an argument that no job has; no words, and no shell
 *   -ENOMEM
 */
int template_create(char *const *words, size_t count, const struct template_options *options,
                    struct template **ret_template, struct wf_error *reterr);
void template_destroy(struct template *t);

/* The program, where it does not depend on the arguments; NULL. */
const char *template_program(const struct template *t);

struct template_job {
    char *const *args;
    size_t count;
    uint64_t number;
    unsigned slot;
};

/* Puts the command line behind what is in `out`; a failure is remembered there. */
void template_expand(const struct template *t, const struct template_job *job, struct words *out);

/* Puts the command line as one text, as a shell would read it, into the word being made. */
void template_put_text(const struct template *t, char *const *argv, struct words *out);

#endif
