/* SPDX-License-Identifier: MIT */
/* weft worker: a Celery worker for the tasks of modules; libweft-celery reads its arguments. */
#include <stdint.h>

#include <weft/celery_app.h>

#include "worker/own_tasks.h"
#include "commands.h"

/* The library's table, as the man page reads it. */
static const struct option_spec *list(void)
{
    static struct option_spec specs[64];
    for (size_t i = 0; i + 1 < sizeof(specs) / sizeof(specs[0]); i++) {
        const struct wf_celery_worker_option option = wf_celery_worker_option_at(i);
        specs[i] = (struct option_spec){.name = option.name,
                                        .letter = option.letter,
                                        .argument = option.argument,
                                        .help = option.help};
        if (!option.name)
            break;
    }
    return specs;
}

static int run(int argc, char **argv)
{
    static char name[] = "weft worker";
    argv[0] = name;
    own_tasks_forget();
    return wf_celery_worker_main(argc, argv, NULL);
}

const struct command worker_command = {
    .name = "worker",
    .summary = "Runs tasks that a Celery cluster sends",
    .operands = "",
    .list = list,
    .run = run,
};
