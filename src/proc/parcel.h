/* SPDX-License-Identifier: MIT */
/*
 * A task on its way to another process, and the answer on its way back, whatever carries them.
 *
 * Packing copies everything a task needs, once: what its arguments point to, its name and its
 * context locals; above WFI_RING_PAYLOAD_MAX into memory of its own, which is then handed over by
 * its descriptor. A task of numbers only needs no packing: its arguments are sent as they stand in
 * the task's block.
 *
 * The answer to a task is its encoded result (codec.h) or its error. That to a chunk is a struct
 * wfi_chunk_answer, then, if any item failed, a code for each item; then the results; then, for
 * each item that failed, a word that says whether a struct wf_error follows, and that.
 */
#ifndef WFI_PROC_PARCEL_H
#define WFI_PROC_PARCEL_H

#include "exec/chunk.h"
#include "exec/future.h"
#include "proc/ring.h"

struct wfi_parcel {
    const struct wf_task_type *type; /* of the task, or of a chunk's items */
    struct wfi_chunk *chunk;         /* or NULL */
    uint32_t flags, items;           /* enum wfi_slot_flag */
    void *bytes;                     /* on the heap, or NULL */
    size_t len;                      /* of what is sent, wherever it stands */
    int fd;                          /* of memory of its own, or -1 */
};

struct wfi_chunk_answer {
    uint32_t begun, failures;
};

/* An answer: at most one of `bytes` (on the heap) and `fd`, both the answer's. */
struct wfi_answer {
    enum wfi_outcome outcome;
    int code;
    bool taken; /* the result is in the future */
    void *bytes;
    int fd;
    size_t len;
    struct wf_error *error; /* of the engine's own, on the heap; then there is nothing else */
};

/* In memory of its own an answer begins here, so that what a result points to is at a distance of
 * 64 from a page's begin. */
enum { WFI_ANSWER_OFFSET = 56, WFI_ANSWER_CONTENTS = 64 };

/*
 * Packs the task of a PENDING future. Returns 0, or WF_ENOTWIRE, -ENOMEM, or what a codec of
 * WF_WIRE returned; then there is nothing to end.
 */
int wfi_parcel_pack(struct wfi_parcel *parcel, struct wf_future *f, struct wf_error *reterr);

/* Where the bytes are that are to be sent; NULL when they are in memory of their own. */
const void *wfi_parcel_bytes(const struct wfi_parcel *parcel, const struct wf_future *f);

void wfi_parcel_fini(struct wfi_parcel *parcel);

/*
 * Takes the answer to a task that is done from where it stands, if that takes no more than a copy.
 * The other side may write there meanwhile. Returns true when it was taken: answer->taken.
 */
bool wfi_parcel_take(struct wfi_parcel *parcel, struct wf_future *f, const void *bytes, size_t len);

/*
 * Ends the future with the answer: decodes, drops the arguments, tells who waits, and gives up
 * ENGINE. Ends the answer and the parcel too.
 */
void wfi_parcel_end(struct wfi_parcel *parcel, struct wf_future *f, struct wfi_answer *answer);

void wfi_answer_fini(struct wfi_answer *answer);

#endif
