/* SPDX-License-Identifier: MIT */
/*
 * Typed tasks. WF_TASK declares a function that can run on any executor, under one name:
 *
 *     WF_TASK(bool, is_prime, (uint64_t, n))                   in a header, or before its use
 *
 *     int is_prime(struct wf_task *self, uint64_t n, bool *ret)
 *     {
 *         ...
 *         *ret = true;
 *         return 0;
 *     }
 *     WF_TASK_DEFINE(is_prime)                                 in one source file
 *
 *     is_prime_future f = is_prime_submit(on, 97);
 *     bool prime;
 *     err = is_prime_result(&f, &prime, WF_FOREVER, &error);
 *
 * WF_TASK(R, NAME, (T, n)...) takes the type of the result, the name, and zero to eight parameters
 * as pairs of type and name. A task without a result has R = wf_none. It declares
 *
 *   struct NAME_args      the parameters, one member each
 *   NAME_future           the handle of one call: { struct wf_future *future; }
 *   int NAME(struct wf_task *self, T n..., R *ret)      yours to define
 *   NAME_future NAME_submit(struct wf_executor *on, T n...)
 *   NAME_future NAME_spawn(struct wf_scope *scope, T n...)
 *   int NAME_go(struct wf_scope *scope, T n...)         a child nobody asks for its result
 *   NAME_future NAME_submit_with(struct wf_executor *on, const struct wf_submit_options *, T n...)
 *   NAME_future NAME_spawn_with(struct wf_scope *scope, const struct wf_submit_options *, T n...)
 *   int NAME_result(NAME_future *f, R *ret, wf_deadline deadline, struct wf_error *reterr)
 *   void NAME_drop(NAME_future *f)
 *   NAME_stream, NAME_map, NAME_map_next, NAME_map_close, NAME_each     see weft/map.h
 *
 * The wrong type, number or order of arguments does not compile (compile with
 * -Werror=int-conversion -Werror=incompatible-pointer-types, as weft.pc says).
 *
 * The function returns 0 with *ret set, or a negative code; `return wf_task_fail(self, code,
 * "...")` says more. It returns -ECANCELED when it gives up because it was asked to. Arguments are
 * copied at submit; what pointers and strings point to is not, on local engines, and must live
 * until the task has ended.
 */
#ifndef WEFT_TASK_H
#define WEFT_TASK_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_task;     /* a running task, as its own function sees it */
struct wf_future;   /* a submitted task, as others see it: weft/future.h */
struct wf_executor; /* where tasks run: weft/executor.h */
struct wf_scope;    /* what owns tasks: weft/scope.h */
struct wf_map;
struct wf_map_options;

/* The result of a task that has none. */
typedef struct {
    char unused;
} wf_none;

/* A run of bytes, neither owned nor terminated; as a parameter it can cross a process border. */
typedef struct wf_bytes {
    const void *ptr;
    size_t len;
} wf_bytes;

struct wf_json;         /* a JSON document: weft/json.h */
struct wf_celery_task;  /* how a Celery worker runs a task: weft/celery_task.h */
struct wf_celery_apply; /* how a task is sent to one: weft/celery_client.h */

enum wf_param_kind {
    WF_PARAM_OPAQUE, /* no codec is known: local engines only, or WF_WIRE */
    WF_PARAM_BOOL,
    WF_PARAM_INT,
    WF_PARAM_UINT,
    WF_PARAM_DOUBLE,
    WF_PARAM_STRING, /* const char *, terminated by zero */
    WF_PARAM_BYTES,
    WF_PARAM_JSON,
};

struct wf_param {
    const char *name;
    const char *type; /* as the compiler saw it after macros: bool reads _Bool */
    enum wf_param_kind kind;
    uint32_t size, offset; /* in struct NAME_args */
};

/* What a task is. Written by the macros only. */
struct wf_task_type {
    const char *name;
    const char *file;
    int line;
    uint32_t abi;
    const struct wf_param *params;
    uint32_t param_count;
    uint32_t args_bytes, result_offset, result_bytes, align;
    const char *result_type;
    enum wf_param_kind result_kind;
    int (*call)(struct wf_task *self, void *args, void *ret); /* NULL: defined elsewhere */
    /* Options of WF_TASK_DEFINE_WITH. */
    void (*drop_args)(void *args);     /* called once, when the arguments are needed no more */
    void (*drop_result)(void *result); /* called for a result that nobody took */
    const struct wf_celery_task *celery;
};

struct wf_task_entry {
    const struct wf_task_type *type;
    struct wf_task_entry *next;
};

enum { WF_TASK_ABI = 3 };

/* A task as a parameter of another, which may then look at it, and call it: it is found in another
 * process, too, whose copy of its module is loaded when it is needed. */
typedef const struct wf_task_type *wf_task_ref;

/* Per call; zeroed is the default. */
struct wf_submit_options {
    const char *name; /* shown instead of the task's own, copied, cut to 47 bytes */
    int priority;     /* -3 to 3, higher first; for executors that have priorities */
    /* How often the task may be run again after the worker process that ran it died. 0: it fails
     * with WF_EWORKERDIED, since nobody knows how far it came. For the processes engine. */
    int retries_on_death;
    /* Where it starts, and so stays: 1 for the first of the executor's workers (as many as
     * wf_executor_workers says), and so on; counted round from the last to the first. 0: where
     * there is time for it. For the fibers engine. */
    unsigned worker;
    const struct wf_celery_apply *celery; /* queue, time and so on; for the celery engine */
};

/*
 * Fails the running task: `return wf_task_fail(self, -EINVAL, "no such page: %d", page);`. Code and
 * text arrive at whoever asks for the result. Only the last failure of a task counts.
 *
 * code   negative; 0 and above is taken as WF_ETASKFAILED
 *
 * Returns the code.
 * Context: thread or fiber; by the task itself.
 */
WF_API int wf_task_fail(struct wf_task *self, int code, const char *format, ...) WF_PRINTF(3, 4);

/*
 * Fails the running task with an error that something else reported.
 *
 * Returns its code.
 * Context: thread or fiber; by the task itself.
 */
WF_API int wf_task_fail_with(struct wf_task *self, const struct wf_error *error);

/*
 * For a task that calls the functions of others, and has to know why they failed: the error that
 * the running task ends with if it returns `code` now.
 *
 * ret_error   receives it: what wf_task_fail was told last, or no more than the code
 *
 * Returns the code.
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_task_failure(const struct wf_task *self, int code, struct wf_error *ret_error);

/*
 * For such a task, too: what it notes at itself, functions that get its `self` can find. One note
 * at a time.
 *
 * key    who knows what the note is: an address that nobody else has
 * note   NULL takes it away
 *
 * Context: any, never blocks; by the task itself.
 */
WF_API void wf_task_set_note(struct wf_task *self, const void *key, void *note);

/*
 * The running task's note, if it was made under this key; else NULL.
 * Context: any, never blocks; by the task itself.
 */
WF_API void *wf_task_note(const struct wf_task *self, const void *key);

/*
 * For tasks that compute: has this task been asked to stop? Costs a load per level of scope around
 * the caller, and a look at the clock where one of them has a deadline.
 *
 * self   the running task, or NULL for whatever the caller runs in
 *
 * Returns 0, or
 *   -ECANCELED   the task was cancelled, or the deadline of a scope it is in has passed
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_checkpoint(struct wf_task *self);

/*
 * Lets others run: other fibers of the worker, or other threads.
 *
 * Returns 0, or
 *   -ECANCELED   as wf_checkpoint
 * Context: thread or fiber.
 */
WF_API int wf_yield(void);

/*
 * The task that the caller runs in, innermost first; NULL outside all.
 * Context: any, never blocks.
 */
WF_API struct wf_task *wf_task_self(void);

/*
 * The name of a running task: that of its submit options, else its type's. Valid while it runs.
 * Context: any, never blocks.
 */
WF_API const char *wf_task_name(const struct wf_task *self);

/*
 * The executor that a running task was submitted to.
 * Context: any, never blocks.
 */
WF_API struct wf_executor *wf_task_executor(const struct wf_task *self);

/*
 * The task type registered under `name` by WF_TASK_DEFINE, or NULL.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API const struct wf_task_type *wf_task_find(const char *name);

/*
 * The task types that are registered, one after another, in no order: the first for NULL, then the
 * one after `type`; NULL at the end. One that is not registered any more has none after it.
 *
 *     for (const struct wf_task_type *t = NULL; (t = wf_task_next(t));)
 *
 * Context: any, never blocks for long; any number of callers.
 */
WF_API const struct wf_task_type *wf_task_next(const struct wf_task_type *type);

/*
 * How a type with no kind of its own crosses a process border: WF_WIRE(struct point, encode,
 * decode) in one source file. Parameters are matched by the text of their type.
 *
 * encode   writes up to `capacity` bytes; returns how many there are (more than fit: called again)
 * decode   fills *value; returns 0 or a negative code
 */
struct wf_wire {
    const char *type;
    size_t size;
    ssize_t (*encode)(const void *value, void *buf, size_t capacity);
    int (*decode)(void *value, const void *buf, size_t len);
    struct wf_wire *next;
};

/*
 * The codec of a type, by its text; NULL when none was declared.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API const struct wf_wire *wf_wire_find(const char *type);

/*
 * What the macros below stand on; a program calls the typed functions that WF_TASK makes.
 *
 * wf_submit and wf_spawn copy the arguments and always return a future: a refusal is one that has
 * FAILED already. wf_go returns 0 or the code of the refusal, which also fails the scope.
 * Context: thread or fiber; any number of callers. May wait where the executor's submission queue
 * is bounded and its options say so.
 */
WF_API struct wf_future *wf_submit(struct wf_executor *on, const struct wf_task_type *type,
                                   const struct wf_submit_options *options, const void *args);
WF_API struct wf_future *wf_spawn(struct wf_scope *scope, const struct wf_task_type *type,
                                  const struct wf_submit_options *options, const void *args);
WF_API int wf_go(struct wf_scope *scope, const struct wf_task_type *type,
                 const struct wf_submit_options *options, const void *args);

/*
 * Called by constructors and destructors: puts an entry into the registry, takes that of the same
 * type out. A second definition of one name, or one for another WF_TASK_ABI, ends the program with
 * a message that names the places; in a module that wf_module_load loads, it is that call's error.
 * Context: any, never blocks for long.
 */
WF_API void wf_task_register(struct wf_task_entry *entry);
WF_API void wf_task_unregister(struct wf_task_entry *entry);
WF_API void wf_wire_register(struct wf_wire *wire);
WF_API void wf_wire_unregister(struct wf_wire *wire);

WF_END_DECLS

/* For the functions that WF_TASK makes: NAME_result, NAME_map and their like. */
#include <weft/future.h>
#include <weft/map.h>
#include <weft/process.h>
#include <weft/processes.h>

#ifndef __cplusplus

#define WF_TASK(...) \
    WF_TASK_JOIN_(WF_TASK_, WF_TASK_COUNT_(__VA_ARGS__))(WF_TASK_EXTERN_, 0, __VA_ARGS__)

/*
 * A task that is defined elsewhere, under a name that need not be a C identifier:
 * WF_TASK_AS("tasks.add", int64_t, add, (int64_t, x), (int64_t, y)). Engines that run tasks in this
 * program refuse it. A result that is a string, bytes or JSON is the taker's, to be given to
 * wf_result_free or wf_json_destroy.
 */
#define WF_TASK_AS(FOREIGN, ...) \
    WF_TASK_JOIN_(WF_TASK_, WF_TASK_COUNT_(__VA_ARGS__))(WF_TASK_FOREIGN_, FOREIGN, __VA_ARGS__)

/* Defines the descriptor NAME_task and registers it when the program or module is loaded. */
#define WF_TASK_DEFINE(NAME) WF_TASK_DEFINE_(NAME, .drop_args = NULL)

/* The same with options: WF_TASK_DEFINE_WITH(fetch, .drop_result = page_free_result) */
#define WF_TASK_DEFINE_WITH(NAME, ...) WF_TASK_DEFINE_(NAME, __VA_ARGS__)

#define WF_WIRE(T, ENCODE, DECODE) WF_WIRE_(T, ENCODE, DECODE, __LINE__)

#include <weft/task_macros.h>

#endif

#endif
