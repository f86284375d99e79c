/* SPDX-License-Identifier: MIT */
/*
 * Three threads and three fibers, the fibers on one thread. Each has an object of its own under one
 * and the same name: it writes its name into it, waits until all have done so, and finds what it
 * wrote itself, not what another did.
 *
 *     thread_isolation
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <weft/barrier.h>
#include <weft/fibers.h>
#include <weft/local.h>
#include <weft/threads.h>

enum { THREADS = 3, FIBERS = 3 };

struct object {
    char owner[8];
};

static atomic_int objects_made;

static int object_make(struct object *object)
{
    (void)object;
    atomic_fetch_add(&objects_made, 1);
    return 0;
}

static void object_end(struct object *object)
{
    memset(object, 0, sizeof *object);
}

WF_OBJECT(struct object, my)
WF_OBJECT_DEFINE(struct object, my, object_make, object_end)

WF_TASK(bool, look, (struct wf_barrier *, all))

/* The result: whether it found its own object. */
int look(struct wf_task *self, struct wf_barrier *all, bool *ret)
{
    const char *name = wf_task_name(self);
    struct object *mine, *again;
    int err = my_object(&mine);
    if (err) {
        wf_barrier_abort(all); /* nobody is to wait for this one */
        return err;
    }
    snprintf(mine->owner, sizeof mine->owner, "%s", name);
    err = wf_barrier_wait(all, WF_FOREVER);
    if (err < 0)
        return err;
    err = my_object(&again);
    if (err)
        return err;
    printf("%s sees the object of %s\n", name, again->owner);
    *ret = again == mine && strcmp(again->owner, name) == 0;
    return 0;
}
WF_TASK_DEFINE(look)

/* Returns how many parties saw their own object, or a negative code. */
static int run(struct wf_executor *threads, struct wf_executor *fibers, struct wf_error *reterr)
{
    struct wf_barrier all;
    look_future parties[THREADS + FIBERS];
    int own = 0, err = wf_barrier_init(&all, THREADS + FIBERS, NULL, NULL);
    if (err)
        return wf_error_set(reterr, err, NULL);
    for (int i = 0; i < THREADS + FIBERS; i++) {
        bool fiber = i >= THREADS;
        char name[8];
        snprintf(name, sizeof name, "%s%d", fiber ? "fiber" : "t", fiber ? i - THREADS : i);
        parties[i] = look_submit_with(fiber ? fibers : threads,
                                      &(struct wf_submit_options){.name = name}, &all);
    }
    for (int i = 0; i < THREADS + FIBERS; i++) {
        bool saw_own = false;
        int failed = look_result(&parties[i], &saw_own, WF_FOREVER, reterr);
        err = err ? err : failed;
        own += saw_own;
    }
    wf_barrier_fini(&all);
    return err ? err : own;
}

int main(void)
{
    struct wf_executor *threads = NULL, *fibers = NULL;
    struct wf_error error = {0};
    int own = wf_threads_create(&(struct wf_threads_options){.workers = THREADS}, &threads, &error);
    if (!own)
        own = wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &fibers, &error);
    if (!own)
        own = run(threads, fibers, &error);
    if (own < 0)
        fprintf(stderr, "thread_isolation: %s\n", error.text);
    else
        printf("%d objects, %d of %d see their own\n", atomic_load(&objects_made), own,
               THREADS + FIBERS);
    wf_executor_destroy(fibers);
    wf_executor_destroy(threads);
    return own == THREADS + FIBERS ? 0 : 1;
}
