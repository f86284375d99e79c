/* SPDX-License-Identifier: MIT */
/*
 * The command line of a Celery worker, and how a module of tasks says what it belongs to.
 *
 * A module may declare its broker, its result backend and all else that a worker's options are:
 *
 *     WF_CELERY_APP(.broker = "redis://localhost/0", .backend = "redis://localhost/1");
 *
 * `weft worker -A ./tasks.so` then needs no -b. A program can be its own worker as well:
 *
 *     int main(int argc, char **argv)
 *     {
 *         return wf_celery_worker_main(argc, argv, NULL);
 *     }
 */
#ifndef WEFT_CELERY_APP_H
#define WEFT_CELERY_APP_H

#include <weft/celery.h>
#include <weft/module.h>

WF_BEGIN_DECLS

/* What WF_CELERY_APP defines in a module. */
struct wf_celery_app {
    size_t options_bytes; /* of the headers that the module was compiled with */
    struct wf_celery_worker_options options;
};

/* At file scope, once in a module: what its workers' options are where the command line and the
 * environment say nothing. */
#define WF_CELERY_APP(...)                                                               \
    WF_API extern const struct wf_celery_app wf_celery_app;                              \
    const struct wf_celery_app wf_celery_app = {sizeof(struct wf_celery_worker_options), \
                                                {__VA_ARGS__}}

/*
 * What a module has declared with WF_CELERY_APP.
 *
 * ret_options   receives it, or NULL when the module declares nothing; lives as long as the module
 *
 * Returns 0, or
 *   -ESTALE   it was compiled with headers of another version of weft
 * Context: any, never blocks for long; any number of callers.
 */
WF_API int wf_celery_module_options(const struct wf_module *module,
                                    const struct wf_celery_worker_options **ret_options,
                                    struct wf_error *reterr);

/*
 * A worker as a program: reads Celery's options, loads the modules that -A names, prints a banner
 * and takes messages until a signal ends it, within wf_main. To be called by main, which has not
 * called wf_main, with its arguments; `PROGRAM --help` says what they are. What the options leave
 * open the environment says (CELERY_BROKER_URL, CELERY_RESULT_BACKEND), then `defaults`, then the
 * first module with a WF_CELERY_APP.
 *
 * TERM and the first INT end it when the tasks that run are done; QUIT and the second INT at once.
 * What goes wrong is one line on standard error. Without --logfile that is where the log goes, too.
 *
 * argv       argv[0] is shown in messages
 * defaults   may be NULL
 *
 * Returns the status to exit with: 0 after a shutdown that was asked for, 1 when it failed or was
 * ended at once, 2 when the arguments are wrong.
 * Context: thread or fiber; by the main thread, once. Prints; may leave the process by _exit.
 */
WF_API int wf_celery_worker_main(int argc, char **argv,
                                 const struct wf_celery_worker_options *defaults);

/* An option of wf_celery_worker_main, for whoever prints a page about it. */
struct wf_celery_worker_option {
    const char *name;     /* without the dashes; NULL: the list has ended */
    char letter;          /* the short form, or 0 */
    const char *argument; /* NULL with one that has none */
    const char *help;     /* one line or two, "\n" between them */
};

/*
 * The i-th of the options that --help shows; behind the last one without a name.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_worker_option wf_celery_worker_option_at(size_t i);

WF_END_DECLS

#endif
