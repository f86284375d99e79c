/* SPDX-License-Identifier: MIT */
/* weft: finds the subcommand and runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "man.h"

static const struct command *const commands[] = {
    &crawl_command,  &get_command,  &race_command,    &run_command, &serve_command, &site_command,
#if WEFT_HAVE_CELERY
    &worker_command, &call_command, &inspect_command,
#endif
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void print_commands(FILE *out)
{
    fputs("usage: weft COMMAND [options] [arguments]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-8s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`weft COMMAND --help` says what a command takes.\n", out);
}

static int unknown(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    const char *nearest = options_nearest(name, names);
    if (nearest)
        fprintf(stderr, "weft: no command \"%s\" (did you mean %s?); see weft --help\n", name,
                nearest);
    else
        fprintf(stderr, "weft: no command \"%s\"; see weft --help\n", name);
    return EXIT_USAGE;
}

/*
 * A standard descriptor that was closed before the program started would become a socket or the
 * poller, and what is printed would go there. Opened for reading, writing to it is refused.
 */
static void occupy_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/* Celery's word order, `weft -A tasks worker -l info`: the subcommand goes to the front. */
static void put_command_first(int argc, char **argv)
{
    static const char *const with_value[] = {
        "-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--workdir", "--config",
    };
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        const char *option = argv[at++];
        for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
            if (strcmp(option, with_value[i]) == 0)
                at++;
    }
    if (at >= argc || at == 1)
        return;
    char *name = argv[at];
    memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(argv[0]));
    argv[1] = name;
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (name[0] == '-' && strcmp(name, "--help") != 0 && strcmp(name, "-h") != 0 &&
        strcmp(name, "--version") != 0) {
        put_command_first(argc, argv);
        name = argv[1];
    }
    if (strcmp(name, "--version") == 0) {
        puts("weft " WEFT_VERSION);
        return EXIT_DONE;
    }
    bool help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (help && argc < 3) {
        print_commands(stdout);
        return EXIT_DONE;
    }
    /* Not in any help: the build makes the man pages with it. */
    if (help && argc == 5 && strcmp(argv[2], "--man") == 0)
        return man_print(find_command(argv[3]), commands, COMMAND_COUNT, WEFT_VERSION, argv[4],
                         stdout);
    if (help)
        name = argv[2];
    const struct command *command = find_command(name);
    if (!command)
        return unknown(name);
    if (help) {
        char ask[] = "--help", *asking[] = {argv[2], ask, NULL};
        return command->run(2, asking);
    }
    return command->run(argc - 1, argv + 1);
}
