/* SPDX-License-Identifier: MIT */
/*
 * Signatures: calls of tasks as JSON, alone or put together to groups, chains and chords. Pure.
 *
 * The form is that of Celery 5.2.6 and 5.6.2:
 *
 *   {"task": name, "args": [], "kwargs": {}, "options": {}, "subtask_type": null,
 *    "immutable": false}
 *
 * A group has the name celery.group and its members as kwargs.tasks, a chain celery.chain likewise,
 * a chord celery.chord with kwargs.header, a group, and kwargs.body.
 */
#ifndef WFI_CELERY_SIGNATURE_H
#define WFI_CELERY_SIGNATURE_H

#include "celery/message/envelope.h"

enum wfi_signature_kind {
    WFI_SIGNATURE_TASK,
    WFI_SIGNATURE_GROUP,
    WFI_SIGNATURE_CHAIN,
    WFI_SIGNATURE_CHORD,
};

/* Texts and pieces that are missing are NULL and nothing. */
struct wfi_signature {
    enum wfi_signature_kind kind; /* read only; it follows from the task's name */
    const char *task;
    struct wfi_json_piece args, kwargs, options;
    const char *subtask_type;
    bool immutable; /* takes no result of what ran before it */
};

/* Reads a signature. Returns 0, or WF_EPARSE with the reason in reterr. */
int wfi_signature_read(const struct wf_json_value *value, struct wfi_signature *ret,
                       struct wf_error *reterr);

/* Writes one. */
void wfi_signature_write(struct wf_json_writer *w, const struct wfi_signature *s);

/* Writes a group or a chain of signatures. */
void wfi_signature_write_group(struct wf_json_writer *w, const struct wfi_json_piece *tasks,
                               size_t count, const struct wfi_json_piece *options);
void wfi_signature_write_chain(struct wf_json_writer *w, const struct wfi_json_piece *tasks,
                               size_t count, const struct wfi_json_piece *options);

/* Writes a chord: the header's signatures, and the one that gets the list of their results. */
void wfi_signature_write_chord(struct wf_json_writer *w, const struct wfi_json_piece *header,
                               size_t count, const struct wfi_json_piece *body,
                               const struct wfi_json_piece *options);

/* An option to be set anew. */
struct wfi_signature_option {
    const char *name;
    struct wfi_json_piece value;
};

/* Writes a signature that was read with some of its options set anew, and all else as it is. */
void wfi_signature_write_with(struct wf_json_writer *w, const struct wf_json_value *signature,
                              const struct wfi_signature_option *options, size_t count);

/* One option of a signature that was read; NULL when it is missing or null. */
const struct wf_json_value *wfi_signature_option(const struct wf_json_value *signature,
                                                 const char *name);

#endif
