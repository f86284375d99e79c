/* SPDX-License-Identifier: MIT */
/*
 * The command line. Each subcommand describes itself in one `struct command`: its options as a
 * table, from which arguments are read and --help is printed, so that what is said and what is
 * understood cannot part.
 *
 * An option's value goes to the field of the subcommand's own struct that the table names by
 * offset; the struct is filled with the defaults before.
 */
#ifndef WEFT_CMD_OPTIONS_H
#define WEFT_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What every subcommand exits with. */
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INTERRUPTED = 130,
};

enum option_type {
    OPTION_FLAG,   /* bool: given or not */
    OPTION_TEXT,   /* const char *: pointer into argv */
    OPTION_NUMBER, /* int64_t, between min and max */
    OPTION_CHOICE, /* int: index into `choices` */
    OPTION_LIST,   /* struct option_list: may be given many times */
};

struct option_list {
    const char **items; /* into argv; freed by options_list_free */
    size_t count;
};

struct option_spec {
    const char *name; /* without the dashes */
    char letter;      /* the short form, or 0 */
    bool hidden;      /* understood, but not shown */
    enum option_type type;
    size_t field;         /* offsetof(struct of the subcommand, field) */
    const char *argument; /* how --help calls the value; NULL with a flag */
    const char *help;     /* one line or two, "\n" between them */
    int64_t min, max;     /* OPTION_NUMBER */
    const char *const
        *choices; /* OPTION_CHOICE: names, NULL at the end; a "-" in front hides one */
};

struct command {
    const char *name;
    const char *summary;  /* one line, for the list of subcommands */
    const char *operands; /* "URL...", or "" when there are none */
    int operands_min;
    int operands_max;                        /* -1: any number */
    bool operands_end_options;               /* the first one: what follows is not this command's */
    const struct option_spec *options;       /* ended by one without a name */
    const struct option_spec *(*list)(void); /* or they are had here, by who prints them */
    const char *notes;                       /* what --help says after the options, or NULL */
    int (*run)(int argc, char **argv);
};

/*
 * Reads the arguments after the subcommand's name (argv[0]) into `values`; operands are moved to
 * argv[1] .. argv[*ret_operands]. `--` ends the options; -h and --help print the help.
 *
 * Returns -1 to go on, or the status to exit with: EXIT_DONE after --help, EXIT_USAGE after one
 * line on standard error that says what is wrong.
 */
int options_parse(const struct command *command, int argc, char **argv, void *values,
                  int *ret_operands);

/* One line on standard error: "weft NAME: ...; see weft NAME --help". Returns EXIT_USAGE. */
int options_wrong(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void options_print_help(const struct command *command, FILE *out);
void options_list_free(struct option_list *list);

/* The name of `names` (NULL at the end) nearest to what was typed, or NULL when none is near. */
const char *options_nearest(const char *typed, const char *const *names);

#endif
