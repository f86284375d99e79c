/* SPDX-License-Identifier: MIT */
/* Reading arguments by a table, and printing the table; see options.h. */
#include "options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int options_wrong(const struct command *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "weft %s: ", command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see weft %s --help\n", command->name);
    return EXIT_USAGE;
}

/* ---- suggestions ---- */

#define NAME_MAX_LEN 32

/* Levenshtein's distance, by rows. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_LEN + 1];
    size_t b_len = strlen(b);
    if (b_len > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (unsigned i = 1; *a; a++, i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = corner + (*a != b[j - 1]);
            unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[b_len];
}

const char *options_nearest(const char *typed, const char *const *names)
{
    /* More than two changes, or more than a third of the word, is another word. */
    unsigned best = strlen(typed) < 6 ? 1 : 2;
    const char *nearest = NULL;
    for (; *names; names++) {
        unsigned changes = distance(typed, *names);
        if (changes <= best) {
            nearest = *names;
            best = changes ? changes - 1 : 0;
        }
    }
    return nearest;
}

static const char *nearest_option(const struct command *command, const char *typed)
{
    const char *names[64];
    size_t count = 0;
    for (const struct option_spec *spec = command->options; spec->name; spec++)
        if (!spec->hidden && count + 2 < sizeof(names) / sizeof(names[0]))
            names[count++] = spec->name;
    names[count++] = "help";
    names[count] = NULL;
    return options_nearest(typed, names);
}

/* ---- values ---- */

static const char *shown_choice(const char *choice)
{
    return choice[0] == '-' ? choice + 1 : choice;
}

static void put_choices(char *out, size_t size, const char *const *choices)
{
    size_t len = 0;
    out[0] = 0;
    for (; *choices; choices++) {
        if ((*choices)[0] == '-')
            continue;
        int more = snprintf(out + len, size - len, "%s%s", len ? ", " : "", *choices);
        if (more < 0 || (size_t)more >= size - len)
            return;
        len += (size_t)more;
    }
}

/* `given` is the option as it was typed, for messages. */
static int take_value(const struct command *command, const struct option_spec *spec,
                      const char *given, const char *text, void *values)
{
    void *field = (char *)values + spec->field;
    char choices[256], *end;
    switch (spec->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return -1;
    case OPTION_TEXT:
        *(const char **)field = text;
        return -1;
    case OPTION_NUMBER: {
        /* Digits only: strtoll would also take spaces, a plus, and what does not fit. */
        size_t digits = strspn(text + (text[0] == '-'), "0123456789");
        long long number = strtoll(text, &end, 10);
        if (digits == 0 || digits > 18 || *end || number < spec->min || number > spec->max)
            return options_wrong(command, "%s wants a number from %lld to %lld, not \"%s\"", given,
                                 (long long)spec->min, (long long)spec->max, text);
        *(int64_t *)field = number;
        return -1;
    }
    case OPTION_CHOICE:
        for (int i = 0; spec->choices[i]; i++) {
            if (strcmp(shown_choice(spec->choices[i]), text) == 0) {
                *(int *)field = i;
                return -1;
            }
        }
        put_choices(choices, sizeof(choices), spec->choices);
        return options_wrong(command, "%s wants one of %s, not \"%s\"", given, choices, text);
    case OPTION_LIST: {
        struct option_list *list = field;
        const char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
        if (!grown) {
            fprintf(stderr, "weft %s: out of memory\n", command->name);
            return EXIT_FAILED;
        }
        list->items = grown;
        list->items[list->count++] = text;
        return -1;
    }
    }
    return -1;
}

void options_list_free(struct option_list *list)
{
    free(list->items);
    *list = (struct option_list){0};
}

/* ---- arguments ---- */

struct reader {
    const struct command *command;
    int argc, at; /* argv[at] is the argument being read */
    char **argv;
    void *values;
};

/* --name, --name=value, --name value */
static int read_long(struct reader *r)
{
    char *argument = r->argv[r->at];
    const char *name = argument + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    const struct option_spec *spec = r->command->options;
    char given[80];
    snprintf(given, sizeof(given), "--%.*s", (int)(len < 60 ? len : 60), name);
    while (spec->name && (strlen(spec->name) != len || memcmp(spec->name, name, len) != 0))
        spec++;
    if (!spec->name) {
        const char *nearest = nearest_option(r->command, given + 2);
        if (nearest)
            return options_wrong(r->command, "unknown option %s (did you mean --%s?)", given,
                                 nearest);
        return options_wrong(r->command, "unknown option %s", given);
    }
    if (!spec->argument && value)
        return options_wrong(r->command, "%s takes no value", given);
    if (spec->argument && !value) {
        if (r->at + 1 >= r->argc)
            return options_wrong(r->command, "%s wants a value: %s", given, spec->argument);
        value = r->argv[++r->at];
    }
    return take_value(r->command, spec, given, value, r->values);
}

/* -q, -qv, -o value, -ovalue */
static int read_short(struct reader *r)
{
    const char *letter = r->argv[r->at] + 1;
    for (; *letter; letter++) {
        const struct option_spec *spec = r->command->options;
        char given[3] = {'-', *letter, 0};
        if (*letter == 'h') {
            options_print_help(r->command, stdout);
            return EXIT_DONE;
        }
        while (spec->name && spec->letter != *letter)
            spec++;
        if (!spec->name)
            return options_wrong(r->command, "unknown option %s", given);
        if (!spec->argument) {
            int status = take_value(r->command, spec, given, NULL, r->values);
            if (status >= 0)
                return status;
            continue;
        }
        const char *value = letter + 1;
        if (!*value) {
            if (r->at + 1 >= r->argc)
                return options_wrong(r->command, "%s wants a value: %s", given, spec->argument);
            value = r->argv[++r->at];
        }
        return take_value(r->command, spec, given, value, r->values);
    }
    return -1;
}

int options_parse(const struct command *command, int argc, char **argv, void *values,
                  int *ret_operands)
{
    struct reader r = {command, argc, 1, argv, values};
    int operands = 0;
    bool ended = false;
    for (; r.at < argc; r.at++) {
        char *argument = argv[r.at];
        int status = -1;
        if (ended || argument[0] != '-' || argument[1] == 0) {
            argv[++operands] = argument;
            ended = ended || command->operands_end_options;
        } else if (strcmp(argument, "--") == 0) {
            ended = true;
        } else if (strcmp(argument, "--help") == 0) {
            options_print_help(command, stdout);
            status = EXIT_DONE;
        } else {
            status = argument[1] == '-' ? read_long(&r) : read_short(&r);
        }
        if (status >= 0)
            return status;
    }
    if (operands < command->operands_min)
        return options_wrong(command, "missing %s", command->operands);
    if (command->operands_max >= 0 && operands > command->operands_max)
        return options_wrong(command, "unexpected argument \"%s\"",
                             argv[command->operands_max + 1]);
    *ret_operands = operands;
    return -1;
}

/* ---- help ---- */

#define HELP_COLUMN 26

static void print_option(const char *left, const char *help, FILE *out)
{
    int width = fprintf(out, "  %s", left);
    if (width >= HELP_COLUMN) {
        fputc('\n', out);
        width = 0;
    }
    for (;;) {
        size_t len = strcspn(help, "\n");
        fprintf(out, "%*s%.*s\n", HELP_COLUMN - width, "", (int)len, help);
        if (!help[len])
            return;
        help += len + 1;
        width = 0;
    }
}

void options_print_help(const struct command *command, FILE *out)
{
    bool operands = command->operands[0] != 0;
    fprintf(out, "usage: weft %s [options]%s%s\n%s.\n\n", command->name, operands ? " " : "",
            command->operands, command->summary);
    for (const struct option_spec *spec = command->options; spec->name; spec++) {
        char left[96], choices[256], help[512];
        if (spec->hidden)
            continue;
        char letter[5] = "    ";
        if (spec->letter)
            snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, spec->name, spec->argument ? " " : "",
                 spec->argument ? spec->argument : "");
        snprintf(help, sizeof(help), "%s", spec->help);
        if (spec->type == OPTION_CHOICE) {
            put_choices(choices, sizeof(choices), spec->choices);
            snprintf(help, sizeof(help), "%s: %s", spec->help, choices);
        }
        print_option(left, help, out);
    }
    print_option("-h, --help", "print this and exit", out);
    if (command->notes)
        fprintf(out, "\n%s", command->notes);
}
