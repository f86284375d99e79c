/* SPDX-License-Identifier: MIT */
#include "addresses.h"

#include <stdlib.h>

#include <weft/celery_app.h>

#include "worker/own_tasks.h"

#define DEFAULT_BROKER "amqp://guest@localhost:5672//"

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

int addresses_find(const struct command *command, struct addresses *addresses)
{
    const struct wf_celery_worker_options *declared = NULL;
    struct wf_module *module;
    struct wf_error error = {0};
    if (addresses->app) {
        own_tasks_forget();
        int err = wf_module_load(addresses->app, &module, &error);
        if (!err)
            err = wf_celery_module_options(module, &declared, &error);
        if (err) {
            fprintf(stderr, "weft %s: %s\n", command->name, error.text);
            return EXIT_USAGE;
        }
    }
    if (!addresses->broker)
        addresses->broker = from_environment("CELERY_BROKER_URL");
    if (!addresses->broker && declared)
        addresses->broker = declared->broker;
    if (!addresses->backend)
        addresses->backend = from_environment("CELERY_RESULT_BACKEND");
    if (!addresses->backend && declared)
        addresses->backend = declared->backend;
    addresses->is_default = !addresses->broker;
    if (!addresses->broker)
        addresses->broker = DEFAULT_BROKER;
    return -1;
}

bool seconds_are(const char *text, double *ret)
{
    char *end;
    const double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds > 0 && seconds < 9e9))
        return false;
    *ret = seconds;
    return true;
}

int seconds_read(const struct command *command, const char *option, const char *text, double *ret)
{
    if (!text || seconds_are(text, ret))
        return -1;
    return options_wrong(command, "%s wants seconds above 0, not \"%s\"", option, text);
}
