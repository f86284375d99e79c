/* SPDX-License-Identifier: MIT */
/*
 * Carries out what follows from a task's end (celery/message/canvas.h): sends messages, stores
 * results, counts the parts of chords, and, for whoever counts the last of them, sends the body.
 *
 *     wfi_follow_begin(&follow, &worker's, &request, &end);
 *     err = wfi_follow_add_parts(...)          what the task has added to its chord
 *     err = wfi_follow_succeeded(...)          before its result is stored, which has children
 *     err = wfi_follow_store(...)
 *     err = wfi_follow_counted(...)            after it
 *     wfi_follow_end(&end)
 *
 * Every step can be done twice without harm, and all of them are done before the message is
 * acknowledged (where it is acknowledged late): a worker that is killed in the middle of them
 * leaves a message behind with which another begins them anew. So that those who wait then still
 * wait for the right thing, ids that are made here are made from the request's: a task that runs
 * again sends what follows under the ids that it had the first time.
 */
#ifndef WFI_CELERY_FOLLOW_H
#define WFI_CELERY_FOLLOW_H

#include "celery/backend/store.h"
#include "celery/message/canvas.h"

/* What is the same for all of a worker's tasks. */
struct wfi_follow_with {
    struct wfi_store *store; /* NULL: results are not stored, and chords not counted */
    /* Sends a message: with no exchange in its properties to the queue that their routing key
     * names. Waits, shielded, for a connection. Returns 0 or an error of wfi_broker_send. */
    int (*send)(void *arg, const struct wfi_message *message, struct wf_error *reterr);
    void *arg;
    const char *origin;
    const char *queue; /* where tasks go that name none */
};

/* One task's end. */
struct wfi_follow {
    const struct wfi_follow_with *with;
    struct wfi_canvas *canvas;
    struct wfi_canvas_context context;
    size_t done; /* steps of the canvas that have been carried out */
    uint64_t seed[2], made;
};

/*
 * Begins. The request, whose body has been read, has to live until the end.
 * Returns 0 or -ENOMEM; `follow` is to be given to wfi_follow_end in any case.
 */
int wfi_follow_begin(struct wfi_follow *follow, const struct wfi_follow_with *with,
                     const struct wfi_message *request);
void wfi_follow_end(struct wfi_follow *follow);

/* Is there anything that can follow from a request's success, or must something be counted? */
bool wfi_follow_is_needed(const struct wfi_message *request);

/*
 * The following carry out what their namesakes in celery/message/canvas.h give. Each returns 0, or,
 * with some of it done,
 *   WF_EPARSE, WF_ETOOBIG   a signature is none
 *   -EINVAL, -EREMOTEIO     a server does not take something
 *   -ENOTSUP                a chord, and nothing to count it in
 *   -ENOMEM, -EPIPE, -ECONNREFUSED, ...   it may be done later, or elsewhere
 * Context: fiber, shielded.
 */
int wfi_follow_add_parts(struct wfi_follow *follow, const struct wfi_json_piece *parts,
                         size_t count, struct wf_error *reterr);
int wfi_follow_succeeded(struct wfi_follow *follow, const struct wfi_json_piece *result,
                         struct wf_error *reterr);
int wfi_follow_failed(struct wfi_follow *follow, const struct wfi_result *failure,
                      struct wf_error *reterr);
int wfi_follow_replaced(struct wfi_follow *follow, const struct wf_json_value *signature,
                        struct wf_error *reterr);

/* Sends the task once more, when what is prepared here is carried on: its state is to be stored
 * before. What is nothing or NULL is as in the request; `came_from` is the queue if that does not
 * say it. */
struct wfi_follow_again {
    int64_t eta_us;
    struct wfi_json_piece args, kwargs;
    const char *queue, *came_from;
};
int wfi_follow_retry(struct wfi_follow *follow, const struct wfi_follow_again *again,
                     struct wf_error *reterr);
int wfi_follow_carry_on(struct wfi_follow *follow, struct wf_error *reterr);

/* Counts the task among the parts of its chord, if it is one, with a value. */
int wfi_follow_counted(struct wfi_follow *follow, const struct wfi_json_piece *result,
                       struct wf_error *reterr);

/* The children that the task has by all this, for its result. */
int wfi_follow_children(struct wfi_follow *follow, struct wfi_json_piece *ret);

/* Stores a result, with the time of now where it is final. Without a store it does nothing. Returns
 * 0 or an error of wfi_store_put. */
int wfi_follow_store(const struct wfi_follow_with *with, const struct wfi_result *result,
                     struct wf_error *reterr);

/* True for an error that will come again, however often it is tried. */
bool wfi_follow_is_hopeless(int err);

#endif
