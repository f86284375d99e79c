/* SPDX-License-Identifier: MIT */
/* roff out of the option tables; see man.h. */
#include "man.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <weft/error.h>

/* Text as roff takes it literally: no escapes, hyphens that can be copied, no request by accident.
 */
static void put_text(const char *text, FILE *out)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        line_start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void put_upper(const char *text, FILE *out)
{
    for (; *text; text++)
        fputc(toupper((unsigned char)*text), out);
}

/* "URL..." or "[URL...]": a name in italics, what is around it as it is. */
static void put_argument(const char *text, FILE *out)
{
    fputs("\\fI", out);
    put_text(text, out);
    fputs("\\fR", out);
}

static void put_option(const struct option_spec *spec, FILE *out)
{
    fputs(".TP\n", out);
    if (spec->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", spec->letter);
    fputs("\\fB\\-\\-", out);
    put_text(spec->name, out);
    fputs("\\fR", out);
    if (spec->argument) {
        fputs(" ", out);
        put_argument(spec->argument, out);
    }
    fputs("\n", out);
    put_text(spec->help, out);
    if (spec->type == OPTION_CHOICE) {
        const char *before = ": ";
        for (const char *const *choice = spec->choices; *choice; choice++) {
            if ((*choice)[0] == '-')
                continue;
            fputs(before, out);
            put_text(*choice, out);
            before = ", ";
        }
    }
    fputs(".\n", out);
}

static void put_options(const struct command *command, FILE *out)
{
    fputs(".SH OPTIONS\n", out);
    const struct option_spec *spec = command->list ? command->list() : command->options;
    for (; spec->name; spec++)
        if (!spec->hidden)
            put_option(spec, out);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint a summary of the options and exit.\n", out);
}

static void put_commands(const struct command *const *commands, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        fprintf(out, ".TP\n\\fBweft\\-%s\\fR(1)\n", commands[i]->name);
        put_text(commands[i]->summary, out);
        fputs(".\n", out);
    }
}

static void put_head(const struct command *command, const char *version, FILE *out)
{
    fputs(".\\\" Printed by weft help \\-\\-man from the option tables; man/ has the rest.\n", out);
    fputs(".TH WEFT", out);
    if (command) {
        fputs("\\-", out);
        put_upper(command->name, out);
    }
    fprintf(out, " 1 \"\" \"weft %s\" \"weft\"\n.SH NAME\n", version);
    if (!command) {
        fputs("weft \\- crawl, get and serve with weft's concurrency\n.SH SYNOPSIS\n"
              ".B weft\n\\fICOMMAND\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n",
              out);
        return;
    }
    fprintf(out, "weft\\-%s \\- ", command->name);
    put_text(command->summary, out);
    fprintf(out, "\n.SH SYNOPSIS\n.B weft %s\n[\\fIoptions\\fR]", command->name);
    if (command->operands[0]) {
        fputs(" ", out);
        put_argument(command->operands, out);
    }
    fputs("\n", out);
}

int man_print(const struct command *command, const struct command *const *commands, size_t count,
              const char *version, const char *path, FILE *out)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "weft help: cannot read %s: %s\n", path, wf_strerror(-errno));
        return EXIT_FAILED;
    }
    put_head(command, version, out);
    while (fgets(line, sizeof(line), file)) {
        if (command && strcmp(line, "@OPTIONS@\n") == 0)
            put_options(command, out);
        else if (strcmp(line, "@COMMANDS@\n") == 0)
            put_commands(commands, count, out);
        else
            fputs(line, out);
    }
    fclose(file);
    if (fflush(out) || ferror(out)) {
        fprintf(stderr, "weft help: cannot write: %s\n", wf_strerror(-errno));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
