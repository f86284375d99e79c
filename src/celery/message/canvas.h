/* SPDX-License-Identifier: MIT */
/*
 * What follows from a task's end, or from a signature that is to be run: which messages are sent,
 * which results stored, which chords counted. Pure: it makes a list of steps, and the worker or
 * client carries them out, in their order.
 *
 * The rules are those of Celery 5.2.6 as seen on the wire, and for what it leaves hanging those of
 * 5.6.2. In short:
 *
 *   - A chain travels in the message of its first task; the next is the last of the list.
 *   - A chord's body travels in the message of each of its parts. Redis counts the parts that are
 *     done; whoever finds that all are sends the body.
 *   - Of a part that is a chain the last task is counted, of one that is a chord its body.
 *   - When a task fails, all that would have followed it have failed with it.
 *
 * Differing from Celery 5.2: what is sent from here goes on answering to the `reply_to` of the task
 * it comes from, since else nobody hears of it over rpc://; and when a chord fails whose body was a
 * part of another chord, that one is told.
 */
#ifndef WFI_CELERY_CANVAS_H
#define WFI_CELERY_CANVAS_H

#include "celery/message/message.h"
#include "celery/message/result.h"
#include "celery/message/signature.h"

/* "xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx" with its NUL. */
enum { WFI_ID_BYTES = 37 };

/* What comes from outside. */
struct wfi_canvas_context {
    const struct wfi_message *request; /* the task that ran; NULL for a client */
    const char *origin;                /* of what is sent */
    const char *reply_to;              /* of a client's tasks; else it is the request's */
    int64_t now_us;                    /* since 1970 */
    void (*new_id)(void *arg, char ret_id[WFI_ID_BYTES]);
    void *arg;
};

/* A part of a chord that is done. */
struct wfi_chord_part {
    const char *task_id, *group_id;
    bool has_group_index; /* else it has no place among the others, and comes last */
    int64_t group_index;
    const struct wf_json_value *body; /* a signature */
    const char *root_id;              /* of the task that ended */
};

enum wfi_canvas_step_kind {
    WFI_STEP_SEND,        /* send `message`, to where the route says */
    WFI_STEP_CHORD_SIZE,  /* set .s of `group_id` to `count`, before its parts are sent */
    WFI_STEP_CHORD_GROWN, /* add `count` to .t of `group_id` */
    WFI_STEP_STORE,       /* store `result` */
    WFI_STEP_CHORD_PART,  /* count `part`, which ended with `result` */
};

/* The texts belong to the canvas, or to what it was made from. */
struct wfi_canvas_step {
    enum wfi_canvas_step_kind kind;
    struct wfi_message message;
    /* Where the signature wants to be sent; NULL: where the sender sends tasks of that name. */
    const char *queue, *exchange, *routing_key;
    bool has_priority; /* else the sender's default */
    const char *group_id;
    size_t count;
    struct wfi_chord_part part;
    struct wfi_result result;
};

struct wfi_canvas;

/* Makes an empty list. Returns 0 or -ENOMEM. */
int wfi_canvas_create(struct wfi_canvas **ret);
void wfi_canvas_destroy(struct wfi_canvas *canvas);

/* The steps so far. */
size_t wfi_canvas_count(const struct wfi_canvas *canvas);
const struct wfi_canvas_step *wfi_canvas_step(const struct wfi_canvas *canvas, size_t index);

/* The children that the task gets by them: an array, for its result. Returns 0 or -ENOMEM. */
int wfi_canvas_children(struct wfi_canvas *canvas, struct wfi_json_piece *ret);

/* The id of the task, or group, at the end of what was applied last; NULL when nothing was sent. */
const char *wfi_canvas_id(const struct wfi_canvas *canvas);

/*
 * Each of the following adds steps. What it is given has to live as long as the canvas. Returns 0,
 * or
 *   WF_EPARSE    a signature has not the form of one
 *   WF_ETOOBIG   signatures are nested too deep
 *   -ENOMEM
 */

/* The task has succeeded: callbacks, then the next of the chain. To be carried out before the
 * result is stored, as it belongs to it. `result` is its value. */
int wfi_canvas_succeeded(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                         const struct wfi_json_piece *result, struct wf_error *reterr);

/*
 * The task has failed, or was revoked, and that is stored: the chord it is a part of, all that
 * would have followed in its chain, errbacks. `failure` has state, result, which is the exception,
 * and traceback.
 */
int wfi_canvas_failed(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                      const struct wfi_result *failure, struct wf_error *reterr);

/* The part of a chord that the task is. False: it is none. */
bool wfi_chord_part_of(const struct wfi_message *request, struct wfi_chord_part *ret);

/*
 * The chord is complete: sends the body with the results, or, when a part failed, stores a
 * ChordError and what follows from it. `members` are those of .j in their order, as texts; a
 * group that was saved has to be made into such. Then .j, .t and .s are to be deleted.
 */
int wfi_canvas_chord_complete(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                              const struct wfi_chord_part *part,
                              const struct wfi_json_piece *members, size_t count,
                              struct wf_error *reterr);

/* Sends a signature: from a client, or as a child of the request. `args` (an array, or nothing) go
 * in front of its own. */
int wfi_canvas_apply(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                     const struct wf_json_value *signature, const struct wfi_json_piece *args,
                     struct wf_error *reterr);

/* The task is replaced: sends the signature with the task's id and all that follows from it. The
 * task ends without a result. */
int wfi_canvas_replace(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                       const struct wf_json_value *signature, struct wf_error *reterr);

/* Adds a part to the chord that the task is a part of. Returns -EINVAL when it is none. */
int wfi_canvas_add_to_chord(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                            const struct wf_json_value *signature, struct wf_error *reterr);

/* Sends the request once more, to be run at `eta_us`. */
int wfi_canvas_retry(struct wfi_canvas *canvas, const struct wfi_canvas_context *context,
                     int64_t eta_us, struct wf_error *reterr);

#endif
