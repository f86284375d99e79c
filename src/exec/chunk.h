/* SPDX-License-Identifier: MIT */
/*
 * A chunk of a map: several items that one job works on. The job runs a task type of its own,
 * wfi_chunk_type, whose one argument is the chunk.
 *
 * A chunk belongs to its job and to the map's place in the ring, and goes with the last of them: a
 * map that is closed leaves running chunks to themselves.
 */
#ifndef WFI_EXEC_CHUNK_H
#define WFI_EXEC_CHUNK_H

#include <weft/task.h>

#include "base/atomic.h"

struct wfi_chunk {
    WFI_ATOMIC(uint32_t) owners; /* 2 when new */
    const struct wf_task_type *type;
    size_t count; /* items pulled */
    size_t begun; /* items whose arguments have been used up; the job's, then the reader's */
    size_t read;  /* results handed out; the reader's */
    unsigned char *args, *results;
    struct wfi_chunk_outcome {
        int code;
        struct wf_error *error; /* may be NULL */
    } * outcomes;
};

struct wfi_chunk_args {
    struct wfi_chunk *chunk;
};

extern const struct wf_task_type wfi_chunk_type;

/* A chunk with room for so many items, all zero; NULL without memory. */
struct wfi_chunk *wfi_chunk_make(const struct wf_task_type *type, size_t items);

/* One owner less; the last one drops what nobody used or took. */
void wfi_chunk_release(struct wfi_chunk *chunk);

#endif
