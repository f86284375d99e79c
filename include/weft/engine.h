/* SPDX-License-Identifier: MIT */
/*
 * For whoever brings an engine of his own: an executor whose tasks run somewhere else, over there.
 * The engine is a table of functions; what is here does what all engines owe their users: futures,
 * cancelling, shutting down.
 *
 *     static int prepare(void *arg, struct wf_engine_call *call, ..., struct wf_error *reterr)
 *     {
 *         struct mine *mine = wf_engine_call_data(call);
 *         return encode(mine, wf_engine_call_type(call), wf_engine_call_args(call), reterr);
 *     }
 *     static void start(void *arg, struct wf_engine_call *call) { ... hands it over ... }
 *
 *     static const struct wf_engine engine = {.name = "mine", .call_bytes = sizeof(struct mine),
 *                                             .prepare = prepare, .start = start, ...};
 *     err = wf_engine_create(&engine, NULL, arg, &on, &error);
 *
 *     ... an answer has come: *(int *)wf_engine_call_result(call) = 5;
 *         wf_engine_call_end(call, 0, NULL);
 */
#ifndef WEFT_ENGINE_H
#define WEFT_ENGINE_H

#include <weft/executor.h>

WF_BEGIN_DECLS

/* One task that was submitted, as its engine sees it: from prepare on, and until it is ended. */
struct wf_engine_call;

/* All of it is needed, unless it says otherwise. */
struct wf_engine {
    const char *name;
    size_t call_bytes; /* of the engine's own, with each call; see wf_engine_call_data */

    /* Makes what is to be sent: only now arguments may be read, and what they point to. Returns 0,
     * or an error, with which the submit is refused; finish is called then, too. Called by the
     * submitter; must not wait. */
    int (*prepare)(void *arg, struct wf_engine_call *call, const struct wf_submit_options *options,
                   struct wf_error *reterr);
    /* From here on the call runs, and is the engine's to end. Called by the submitter. Another may
     * have asked it to stop by now: wf_engine_next_asked gives calls that are about to start,
     * too. */
    void (*start)(void *arg, struct wf_engine_call *call);
    /* Calls were asked to stop: wf_engine_next_asked has them. Called by anybody, with locks held:
     * it sets an event, say, and never waits. */
    void (*asked)(void *arg);
    /* The call is over: frees what wf_engine_call_data holds. May be NULL. */
    void (*finish)(void *arg, struct wf_engine_call *call);
    /* The executor is destroyed; no call is left. On return nobody has one of next_asked. */
    void (*destroy)(void *arg);
    unsigned workers; /* see wf_executor_workers */
};

/*
 * Makes an executor of an engine. It is destroyed with wf_executor_destroy; shutting it down with
 * WF_SHUTDOWN_CANCEL asks all calls that run.
 *
 * engine   copied, but for the name
 * name     of the executor; NULL: one of its own
 * arg      given to the engine's functions
 *
 * Returns 0 or -ENOMEM; then the engine's destroy is not called.
 * Context: thread or fiber.
 */
WF_API int wf_engine_create(const struct wf_engine *engine, const char *name, void *arg,
                            struct wf_executor **ret_on, struct wf_error *reterr);

/*
 * What wf_engine_create was given as `arg`, when the executor's engine has this destroy; else NULL.
 * Context: any, never blocks.
 */
WF_API void *wf_engine_arg(const struct wf_executor *on, void (*destroy)(void *arg));

/*
 * The task's type, its name as submitted, and its arguments (these in prepare only).
 * Context: any, never blocks.
 */
WF_API const struct wf_task_type *wf_engine_call_type(const struct wf_engine_call *call);
WF_API const char *wf_engine_call_name(const struct wf_engine_call *call);
WF_API const void *wf_engine_call_args(const struct wf_engine_call *call);

/*
 * By when it is wanted: the earliest deadline of the scopes it was started in. In prepare only.
 * Context: any, never blocks.
 */
WF_API wf_deadline wf_engine_call_deadline(const struct wf_engine_call *call);

/*
 * The engine's own bytes of the call, zeroed at first, aligned for anything.
 * Context: any, never blocks.
 */
WF_API void *wf_engine_call_data(struct wf_engine_call *call);

/*
 * Where the result goes, as many bytes as the type says, before the call is ended with 0.
 * Context: any, never blocks.
 */
WF_API void *wf_engine_call_result(struct wf_engine_call *call);

/*
 * Whether it was asked to stop.
 * Context: any, never blocks.
 */
WF_API bool wf_engine_call_is_asked(const struct wf_engine_call *call);

/*
 * Ends the call, once: its future is DONE with the result for 0, CANCELED for -ECANCELED if it was
 * asked to stop, and FAILED with another code. Runs callbacks of the program's. The call is not to
 * be used any more, unless it came from wf_engine_next_asked.
 *
 * error   more than the code; may be NULL
 *
 * Context: thread or fiber.
 */
WF_API void wf_engine_call_end(struct wf_engine_call *call, int code, const struct wf_error *error);

/*
 * The next of the calls that were asked to stop and have not been told here; it may be over by now,
 * but its data are there until wf_engine_call_unref. NULL when there is none.
 * Context: any, never blocks for long.
 */
WF_API struct wf_engine_call *wf_engine_next_asked(struct wf_executor *on);
WF_API void wf_engine_call_unref(struct wf_engine_call *call);

WF_END_DECLS

#endif
