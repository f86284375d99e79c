/* SPDX-License-Identifier: MIT */
/*
 * One call of a task for a message, on any engine, and how it ended.
 *
 *     struct wfi_call call = {.on = pool, .type = type, .in = &job->in, .worker = name};
 *     struct wf_future *f = wfi_call_submit(&call);
 *     ... wf_future_wait(f, ...), wf_future_cancel(f) ...
 *     wfi_call_end(&call, &f, &outcome);
 *     ... what follows from the outcome ...
 *     wfi_outcome_fini(&outcome);
 *
 * What is submitted is a task of this file's, which binds the arguments, makes the request known to
 * the task (weft/celery_task.h), calls the task's function and writes its result as JSON. On
 * engines of this process it is given pointers; to another process bytes go, and bytes come back.
 *
 * Nothing is stored, sent or acknowledged here: the outcome says what is to be done.
 */
#ifndef WFI_CELERY_CALL_H
#define WFI_CELERY_CALL_H

#include <weft/celery_task.h>
#include <weft/executor.h>

#include "celery/message/message.h"
#include "celery/worker/states.h"

enum wfi_call_ending {
    WFI_CALL_SUCCEEDED, /* result is the value */
    WFI_CALL_FAILED,    /* result is the exception, as it is stored */
    WFI_CALL_RETRIED,   /* the message goes out again for eta_us; result is the cause's exception */
    WFI_CALL_REPLACED,  /* result is the signature that takes its place; nothing is stored */
    WFI_CALL_IGNORED,   /* nothing is stored, and nothing follows */
    WFI_CALL_REJECTED,  /* the same, and the message is rejected: requeue says how */
    WFI_CALL_CANCELED,  /* it was asked to give up, and did; result is TaskRevokedError */
    WFI_CALL_LOST,      /* the process that ran it died; result is WorkerLostError */
};

struct wfi_outcome {
    enum wfi_call_ending ending;
    struct wfi_json_piece result; /* a text, where there is one; of REPLACED a value, too */
    const char *traceback;        /* of FAILED and RETRIED; NULL: none */
    struct wf_error error;        /* of FAILED, RETRIED, CANCELED and LOST: for the log */

    /* RETRIED: when it is to run, and what is to be other than in the message that ran. Nothing:
     * as it was. */
    int64_t eta_us;
    struct wfi_json_piece args, kwargs; /* values */
    const char *queue;

    bool requeue; /* REJECTED */

    /* Signatures that the task has added to the chord that it is a part of, whatever its end:
     * values. To be carried out first, before the part is counted. */
    struct wfi_json_piece *parts;
    size_t part_count;

    /* What the above points into. */
    struct wf_json_writer *writer;
    void *bytes;
    struct wfi_kept *kept;
};

/* What a call is made from; it has to live, with all it points to, until wfi_call_end. */
struct wfi_call {
    struct wf_executor *on;
    const struct wf_task_type *type;
    const struct wfi_message_in *in; /* its body has been read */
    const char *worker;              /* the worker's name */
    const char *queue;               /* that the message came from */
    double soft_s, hard_s;           /* the limits that hold; 0: none */
    /* Stores a state of the task's own, PROGRESS or the like, with its meta, a JSON value. By the
     * task, on whatever thread it runs; NULL: there is no store. */
    int (*update)(void *arg, const char *state, const struct wfi_json_piece *meta);
    void *arg;

    struct wfi_states *states; /* for update from other processes; NULL: there it does nothing */

    /* call.c's own */
    struct wfi_states_user user;
    bool across;                /* it runs in another process */
    struct wfi_outcome outcome; /* else: filled in by the task */
};

/* Starts it. A refusal is a future that has failed; NULL: no memory, for wfi_call_end to tell. */
struct wf_future *wfi_call_submit(struct wfi_call *call);

/*
 * Waits for the end, and consumes the future. It always gives an outcome: without memory that of a
 * MemoryError, which needs none. The outcome may point into the call's message.
 */
void wfi_call_end(struct wfi_call *call, struct wf_future **f, struct wfi_outcome *ret);

void wfi_outcome_fini(struct wfi_outcome *outcome);

#endif
