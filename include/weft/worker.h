/* SPDX-License-Identifier: MIT */
/*
 * Where fibers run, for code that has to deal with it: blocking calls that know no fibers, and
 * libraries with an event loop of their own.
 *
 * A fiber stays on the worker it was started on. So what belongs to a worker (a libcurl multi
 * handle, a connection cache) can be used by all of its fibers without a lock, as long as no wait
 * comes in between.
 */
#ifndef WEFT_WORKER_H
#define WEFT_WORKER_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

/*
 * Whether the caller runs on a fiber, and not on a plain thread.
 * Context: any, never blocks.
 */
WF_API bool wf_on_fiber(void);

/*
 * Runs fn(arg), a function that blocks its thread (a file system call, a library that knows no
 * fibers), on a thread of the offload pool, and waits for it; meanwhile other fibers run. The pool
 * grows on demand, up to 64 threads for this class of calls, and its idle threads end.
 *
 * Returns 0 when fn has returned, or -EAGAIN when no thread could be started and none is there;
 * then fn was not called. Not cancelable, because fn is not: what it works on stays the caller's.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_block(void (*fn)(void *), void *arg);

/*
 * Runs fn(arg) on the calling worker's own stack, which is as large as any thread's, and returns
 * when it has. fn must not block or call anything of weft's that waits. On a plain thread it is
 * just called.
 * Context: thread or fiber.
 */
WF_API void wf_worker_call(void (*fn)(void *), void *arg);

/*
 * A value per worker, by key; the key is a static variable of the user's, zero at first. The
 * destructor, if any, is called on the worker's own stack when its runtime ends, for values that
 * are not NULL; keys' in reverse order of their first use. At most 8 keys a process.
 */
struct wf_worker_key {
    void (*destroy)(void *value); /* set statically; may be NULL */
    uintptr_t state;              /* weft's */
};

/*
 * The calling worker's value for `key`, NULL before the first set and on plain threads.
 * Context: any, never blocks.
 */
WF_API void *wf_worker_get(struct wf_worker_key *key);

/*
 * Sets it; the worker owns `value` from then on. The value before is not destroyed.
 *
 * Returns 0, WF_ESTATE on a plain thread, or -ENOSPC when there are too many keys.
 * Context: any, never blocks.
 */
WF_API int wf_worker_set(struct wf_worker_key *key, void *value);

/* Bits of what a descriptor is watched for, and is ready for. */
enum wf_watch_bits {
    WF_WATCH_READ = 1,
    WF_WATCH_WRITE = 2,
    WF_WATCH_ERROR = 4, /* hung up or in error; only in `ready`, with the other two */
};

/*
 * What a library with an event loop of its own needs of a worker: calls when any of its descriptors
 * is ready (level-triggered), and when its one timer expires. Both are made on the worker's own
 * stack and must not block.
 */
struct wf_watch;
struct wf_watch_options {
    void (*ready)(void *arg, int fd, unsigned ready);
    void (*expired)(void *arg);
    void *arg;
};

/*
 * Opens a watch on the calling worker. Everything about it is done on that worker: from its fibers,
 * from wf_worker_call, from the watch's own calls.
 *
 * ret_watch   receives the watch, to be closed with wf_watch_close before its worker ends (the
 *             destructor of a worker key is a good place).
 *
 * Returns 0, WF_ESTATE on a plain thread, -ENOMEM, -EMFILE or -ENFILE.
 * Context: fiber only.
 */
WF_API int wf_watch_open(const struct wf_watch_options *options, struct wf_watch **ret_watch,
                         struct wf_error *reterr);

/*
 * From now on reports while `fd` is ready for what `interest` names; 0 forgets it. A descriptor is
 * forgotten before it is closed.
 *
 * Returns 0, or -ENOMEM, -ENOSPC, -EBADF, -EPERM (a file that is always ready).
 * Context: fiber only, or a call on the worker's own stack.
 */
WF_API int wf_watch_set(struct wf_watch *watch, int fd, unsigned interest);

/*
 * Has `expired` called once, at `deadline`, in place of what was asked before; WF_FOREVER for not
 * at all.
 * Context: fiber only, or a call on the worker's own stack.
 */
WF_API void wf_watch_expire_at(struct wf_watch *watch, wf_deadline deadline);

/*
 * Forgets all descriptors and the timer; no call is made any more, and the memory goes. NULL is
 * fine.
 * Context: fiber only, or a call on the worker's own stack.
 */
WF_API void wf_watch_close(struct wf_watch *watch);

WF_END_DECLS

#endif
