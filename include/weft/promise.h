/* SPDX-License-Identifier: MIT */
/*
 * Promises: a future whose outcome the program sets itself, once.
 *
 *     WF_PROMISE(int, answer)                        (declares answer_promise and answer_future)
 *
 *     answer_promise p;
 *     answer_future f;
 *     err = answer_promise_create(&p, &f, &error);
 *     ...
 *     answer_resolve(p, 42);                         or answer_reject(p, -EIO, "no line");
 *     answer_promise_destroy(&p);
 *     ...
 *     err = answer_result(&f, &value, deadline, &error);
 *
 * The future is one like any other (weft/future.h): it can be waited for, dropped, cancelled, given
 * callbacks. A promise destroyed unkept fails its future with WF_EBROKEN.
 */
#ifndef WEFT_PROMISE_H
#define WEFT_PROMISE_H

#include <weft/future.h>
#include <weft/task.h>

WF_BEGIN_DECLS

struct wf_promise;

/*
 * Makes a promise and its future, for a type that WF_PROMISE describes.
 *
 * ret_promise   receives the promise; the caller destroys it
 * ret_future    receives the future; its owner takes or drops it
 *
 * Returns 0, or
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_promise_create(const struct wf_task_type *type, struct wf_promise **ret_promise,
                             struct wf_future **ret_future, struct wf_error *reterr);

/*
 * Keeps the promise: the future is DONE with a copy of *value.
 *
 * Returns 0, or
 *   WF_ESTATE   it was resolved, rejected or cancelled before; that outcome stays
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_promise_resolve(struct wf_promise *promise, const void *value);

/*
 * Breaks the promise: the future has FAILED.
 *
 * code   negative; 0 and above is taken as WF_ETASKFAILED
 *
 * Returns 0, or
 *   WF_ESTATE   it was resolved, rejected or cancelled before; that outcome stays
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_promise_reject(struct wf_promise *promise, int code, const char *format, ...)
    WF_PRINTF(3, 4);

/*
 * Gives the promise up and sets it to NULL. Unkept, its future fails with WF_EBROKEN. Harmless on
 * NULL.
 * Context: thread or fiber; by the owner, after everybody else's last call has returned.
 */
WF_API void wf_promise_destroy(struct wf_promise **promise);

WF_END_DECLS

#define WF_PROMISE_FN_ static inline __attribute__((unused))

/* Declares promises NAME of values of type T; see the head of this file. */
#define WF_PROMISE(T, NAME)                                                                      \
    typedef struct {                                                                             \
        struct wf_promise *promise;                                                              \
    } NAME##_promise;                                                                            \
    typedef struct {                                                                             \
        struct wf_future *future;                                                                \
    } NAME##_future;                                                                             \
    static const struct wf_task_type NAME##_promised __attribute__((unused)) = {                 \
        .name = #NAME,                                                                           \
        .file = __FILE__,                                                                        \
        .line = __LINE__,                                                                        \
        .abi = WF_TASK_ABI,                                                                      \
        .result_bytes = (uint32_t)sizeof(T),                                                     \
        .align = (uint32_t) _Alignof(T),                                                         \
        .result_type = #T,                                                                       \
    };                                                                                           \
    WF_PROMISE_FN_ int NAME##_promise_create(NAME##_promise *ret_promise,                        \
                                             NAME##_future *ret_future, struct wf_error *reterr) \
    {                                                                                            \
        return wf_promise_create(&NAME##_promised, &ret_promise->promise, &ret_future->future,   \
                                 reterr);                                                        \
    }                                                                                            \
    WF_PROMISE_FN_ int NAME##_resolve(NAME##_promise promise, T value)                           \
    {                                                                                            \
        return wf_promise_resolve(promise.promise, &value);                                      \
    }                                                                                            \
    WF_PROMISE_FN_ int NAME##_reject(NAME##_promise promise, int code, const char *text)         \
    {                                                                                            \
        return wf_promise_reject(promise.promise, code, "%s", text);                             \
    }                                                                                            \
    WF_PROMISE_FN_ void NAME##_promise_destroy(NAME##_promise *promise)                          \
    {                                                                                            \
        wf_promise_destroy(&promise->promise);                                                   \
    }                                                                                            \
    WF_PROMISE_FN_ int NAME##_result(NAME##_future *future, T *ret, wf_deadline deadline,        \
                                     struct wf_error *reterr)                                    \
    {                                                                                            \
        return wf_future_result(&future->future, ret, deadline, reterr);                         \
    }                                                                                            \
    WF_PROMISE_FN_ void NAME##_drop(NAME##_future *future)                                       \
    {                                                                                            \
        wf_future_drop(&future->future);                                                         \
    }

#endif
