/* SPDX-License-Identifier: MIT */
/*
 * Members of the objects that Celery sends and stores: a name and its value, in one call. As with
 * all writers of JSON, an error is told at the end.
 */
#ifndef WFI_CELERY_MEMBER_H
#define WFI_CELERY_MEMBER_H

#include "celery/message/envelope.h"

/* null for NULL. */
static inline void wfi_member_text(struct wf_json_writer *w, const char *key, const char *text)
{
    wf_json_write_key(w, key);
    wfi_json_write_text(w, text);
}

static inline void wfi_member_int(struct wf_json_writer *w, const char *key, int64_t number)
{
    wf_json_write_key(w, key);
    wf_json_write_int(w, number);
}

static inline void wfi_member_double(struct wf_json_writer *w, const char *key, double number)
{
    wf_json_write_key(w, key);
    wf_json_write_double(w, number);
}

static inline void wfi_member_bool(struct wf_json_writer *w, const char *key, bool truth)
{
    wf_json_write_key(w, key);
    wf_json_write_bool(w, truth);
}

/* `absent`, the text of a value, for nothing. */
static inline void wfi_member_piece(struct wf_json_writer *w, const char *key,
                                    const struct wfi_json_piece *piece, const char *absent)
{
    wf_json_write_key(w, key);
    wfi_json_write_piece(w, piece, absent);
}

#endif
