/* SPDX-License-Identifier: MIT */
#include "exec/chunk.h"

#include <errno.h>

#include "base/alloc.h"
#include "exec/future.h"

void wfi_chunk_release(struct wfi_chunk *chunk)
{
    if (wfi_fetch_sub(&chunk->owners, 1) != 1)
        return;
    const struct wf_task_type *type = chunk->type;
    for (size_t i = 0; i < chunk->count; i++) {
        if (i >= chunk->begun && type->drop_args)
            type->drop_args(chunk->args + i * type->args_bytes);
        if (i >= chunk->read && i < chunk->begun && !chunk->outcomes[i].code && type->drop_result)
            type->drop_result(chunk->results + i * type->result_bytes);
        wfi_free(chunk->outcomes[i].error);
    }
    wfi_free(chunk);
}

static void drop_args(void *args)
{
    wfi_chunk_release(((struct wfi_chunk_args *)args)->chunk);
}

static int call(struct wf_task *self, void *args, void *ret)
{
    (void)ret;
    struct wfi_chunk *chunk = ((struct wfi_chunk_args *)args)->chunk;
    const struct wf_task_type *type = chunk->type;
    while (chunk->begun < chunk->count) {
        size_t i = chunk->begun;
        if (i > 0 && wf_checkpoint(self))
            return -ECANCELED;
        void *item = chunk->args + i * type->args_bytes;
        int code = type->call(self, item, chunk->results + i * type->result_bytes);
        chunk->begun++;
        if (type->drop_args)
            type->drop_args(item);
        chunk->outcomes[i] = (struct wfi_chunk_outcome){code < 0 ? code : 0, self->error};
        self->error = NULL;
    }
    return 0;
}

const struct wf_task_type wfi_chunk_type = {
    .name = "chunk",
    .file = __FILE__,
    .line = __LINE__,
    .abi = WF_TASK_ABI,
    .args_bytes = sizeof(struct wfi_chunk_args),
    .result_offset = sizeof(struct wfi_chunk_args),
    .align = _Alignof(struct wfi_chunk_args),
    .call = call,
    .drop_args = drop_args,
};

static size_t round_up(size_t bytes, size_t align)
{
    return (bytes + align - 1) / align * align;
}

struct wfi_chunk *wfi_chunk_make(const struct wf_task_type *type, size_t items)
{
    struct wfi_chunk *chunk;
    size_t align = type->align > _Alignof(max_align_t) ? type->align : _Alignof(max_align_t);
    size_t head = round_up(sizeof *chunk, align);
    size_t args = round_up(items * type->args_bytes, align);
    size_t results = round_up(items * type->result_bytes, align);
    chunk = wfi_zalloc_aligned(align, head + args + results + items * sizeof *chunk->outcomes);
    if (!chunk)
        return NULL;
    chunk->type = type;
    chunk->owners = 2;
    chunk->args = (unsigned char *)chunk + head;
    chunk->results = chunk->args + args;
    chunk->outcomes = (struct wfi_chunk_outcome *)(void *)(chunk->results + results);
    return chunk;
}
