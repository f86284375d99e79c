/* SPDX-License-Identifier: MIT */
#include "proc/parcel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/region.h"
#include "os/socket.h"
#include "proc/codec.h"
#include "proc/module.h"
#include "proc/result.h"
#include "sync/local.h"

/* Packing */

static size_t padded(size_t bytes)
{
    return (bytes + WFI_CODEC_ALIGN - 1) & ~(size_t)(WFI_CODEC_ALIGN - 1);
}

/* What goes in front of the arguments; bytes is 0 when nothing does. */
struct front {
    struct wfi_prefix head;
    struct wfi_module module;
    const char *task;
    struct wfi_locals *locals;
};

static void find_front(struct front *front, const struct wfi_parcel *parcel, struct wf_future *f)
{
    memset(&front->head, 0, sizeof front->head);
    front->task = NULL;
    front->locals = f->locals;
    const char *name = wf_future_name(f);
    if (strcmp(name, parcel->type->name) != 0 && !parcel->chunk)
        snprintf(front->head.name, sizeof front->head.name, "%s", name);
    if (wfi_module_is_late(parcel->type, &front->module)) {
        front->task = parcel->type->name;
        memcpy(front->head.module_id, front->module.id, sizeof front->head.module_id);
        front->head.module_bytes = (uint32_t)strlen(front->module.path) + 1;
        front->head.task_bytes = (uint32_t)strlen(front->task) + 1;
    }
    front->head.locals_bytes = (uint32_t)wfi_locals_bytes(front->locals);
    if (front->head.name[0] || front->task || front->head.locals_bytes)
        front->head.bytes = (uint32_t)(padded(sizeof front->head) +
                                       padded(front->head.module_bytes + front->head.task_bytes) +
                                       padded(front->head.locals_bytes));
}

static void write_front(const struct front *front, unsigned char *at)
{
    if (!front->head.bytes)
        return;
    memset(at, 0, front->head.bytes);
    memcpy(at, &front->head, sizeof front->head);
    at += padded(sizeof front->head);
    if (front->task) {
        memcpy(at, front->module.path, front->head.module_bytes);
        memcpy(at + front->head.module_bytes, front->task, front->head.task_bytes);
    }
    at += padded(front->head.module_bytes + front->head.task_bytes);
    if (front->head.locals_bytes)
        memcpy(at, wfi_locals_data(front->locals), front->head.locals_bytes);
}

/* As the codec's calls do: returns how many bytes there are, whatever the room. */
static ssize_t encode_all(const struct wfi_parcel *parcel, struct wf_future *f, unsigned char *at,
                          size_t room, struct wf_error *reterr)
{
    if (!parcel->chunk)
        return wfi_codec_encode_args(parcel->type, f->data, at, room, reterr);
    size_t len = 0;
    for (size_t i = 0; i < parcel->chunk->count; i++) {
        size_t left = len < room ? room - len : 0;
        ssize_t more =
            wfi_codec_encode_args(parcel->type, parcel->chunk->args + i * parcel->type->args_bytes,
                                  left ? at + len : NULL, left, reterr);
        if (more < 0)
            return more;
        len += (size_t)more;
    }
    return (ssize_t)len;
}

/* Memory of so many bytes: on the heap, or of its own where it is large and that can be had. */
static unsigned char *make_room(struct wfi_parcel *parcel, size_t bytes)
{
    parcel->len = bytes;
    if (bytes > WFI_RING_PAYLOAD_MAX) {
        parcel->fd = wfi_region_create(bytes);
        unsigned char *at = parcel->fd >= 0 ? wfi_region_map(parcel->fd, bytes, true) : NULL;
        if (at)
            return at;
        if (parcel->fd >= 0)
            wfi_fd_close(parcel->fd);
        parcel->fd = -1;
    }
    return parcel->bytes = wfi_alloc(bytes);
}

static int pack_bytes(struct wfi_parcel *parcel, struct wf_future *f, bool flat,
                      const struct front *front, struct wf_error *reterr)
{
    ssize_t len = (ssize_t)parcel->len;
    if (!flat)
        len = encode_all(parcel, f, NULL, 0, reterr);
    if (len < 0)
        return (int)len;
    size_t bytes = front->head.bytes + (size_t)len;
    unsigned char *at = make_room(parcel, bytes);
    if (!at)
        return wf_error_set(reterr, -ENOMEM, NULL);
    write_front(front, at);
    unsigned char *args = at + front->head.bytes;
    if (flat)
        memcpy(args, parcel->chunk ? (void *)parcel->chunk->args : f->data, (size_t)len);
    else
        len = encode_all(parcel, f, args, (size_t)len, reterr);
    if (parcel->fd >= 0)
        wfi_region_unmap(at, bytes);
    if (len >= 0 && (size_t)len + front->head.bytes <= bytes)
        return 0;
    wfi_parcel_fini(parcel);
    return len < 0 ? (int)len
                   : wf_error_set(reterr, -EAGAIN,
                                  "task %s: its arguments changed while they "
                                  "were copied",
                                  parcel->type->name);
}

int wfi_parcel_pack(struct wfi_parcel *parcel, struct wf_future *f, struct wf_error *reterr)
{
    *parcel = (struct wfi_parcel){.type = wfi_future_type(f), .items = 1, .fd = -1};
    if (parcel->type == &wfi_chunk_type) {
        parcel->chunk = ((struct wfi_chunk_args *)f->data)->chunk;
        parcel->type = parcel->chunk->type;
        parcel->flags = WFI_SLOT_CHUNK;
        parcel->items = (uint32_t)parcel->chunk->count;
    }
    bool flat = wfi_codec_flat_args(parcel->type);
    int err = flat ? 0 : wfi_codec_check_args(parcel->type, reterr);
    if (!err && !wfi_codec_flat_result(parcel->type))
        err = wfi_codec_check_result(parcel->type, reterr);
    if (err)
        return err;
    parcel->len = (size_t)parcel->items * parcel->type->args_bytes;
    struct front front;
    find_front(&front, parcel, f);
    if (front.head.bytes)
        parcel->flags |= WFI_SLOT_PREFIX;
    if (flat && !front.head.bytes && parcel->len <= WFI_RING_PAYLOAD_MAX)
        return 0;
    return pack_bytes(parcel, f, flat, &front, reterr);
}

const void *wfi_parcel_bytes(const struct wfi_parcel *parcel, const struct wf_future *f)
{
    if (parcel->fd >= 0)
        return NULL;
    if (parcel->bytes)
        return parcel->bytes;
    return parcel->chunk ? parcel->chunk->args : f->data;
}

void wfi_parcel_fini(struct wfi_parcel *parcel)
{
    wfi_free(parcel->bytes);
    if (parcel->fd >= 0)
        wfi_fd_close(parcel->fd);
    parcel->bytes = NULL;
    parcel->fd = -1;
}

/* Answers */

void wfi_answer_fini(struct wfi_answer *answer)
{
    wfi_free(answer->bytes);
    wfi_free(answer->error);
    if (answer->fd >= 0)
        wfi_fd_close(answer->fd);
    *answer = (struct wfi_answer){.fd = -1};
}

/* A piece of an answer, read in order. */
struct reader {
    const unsigned char *at;
    size_t left;
};

static const void *read_piece(struct reader *in, size_t bytes)
{
    if (padded(bytes) > in->left || bytes > in->left)
        return NULL;
    const void *piece = in->at;
    in->at += padded(bytes);
    in->left -= padded(bytes);
    return piece;
}

static struct wf_error *read_error(struct reader *in)
{
    const struct wf_error *from = read_piece(in, sizeof *from);
    struct wf_error *error = from ? wfi_alloc(sizeof *error) : NULL;
    if (!error)
        return NULL;
    memcpy(error, from, sizeof *error);
    error->task[sizeof error->task - 1] = '\0';
    error->origin[sizeof error->origin - 1] = '\0';
    error->text[sizeof error->text - 1] = '\0';
    return error;
}

static int read_chunk_results(struct reader *in, struct wfi_chunk *chunk, const int32_t *codes,
                              size_t begun, struct wf_error *reterr)
{
    const struct wf_task_type *type = chunk->type;
    if (wfi_codec_flat_result(type)) {
        const void *results = read_piece(in, begun * type->result_bytes);
        if (!results)
            return WF_EPROTOCOL;
        memcpy(chunk->results, results, begun * type->result_bytes);
        if (type->result_kind == WF_PARAM_BOOL)
            for (size_t i = 0; i < begun; i++)
                chunk->results[i] = chunk->results[i] != 0;
        chunk->begun = begun;
        return 0;
    }
    for (size_t i = 0; i < begun; i++) {
        chunk->begun = i + 1;
        chunk->outcomes[i].code = codes ? codes[i] : 0;
        if (chunk->outcomes[i].code)
            continue;
        ssize_t used = wfi_codec_decode_result(type, in->at, in->left,
                                               chunk->results + i * type->result_bytes, reterr);
        if (used < 0) {
            chunk->outcomes[i].code = (int)used; /* and where the others are, nobody knows */
            return (int)used;
        }
        in->at += used;
        in->left -= (size_t)used;
    }
    return 0;
}

static int read_chunk(struct wfi_chunk *chunk, const void *bytes, size_t len,
                      struct wf_error *reterr)
{
    struct reader in = {bytes, len};
    const struct wfi_chunk_answer *from = read_piece(&in, sizeof *from);
    if (!from)
        return WF_EPROTOCOL;
    struct wfi_chunk_answer head = *from;
    if (head.begun > chunk->count || head.failures > head.begun)
        return WF_EPROTOCOL;
    const int32_t *codes = NULL;
    if (head.failures && !(codes = read_piece(&in, head.begun * sizeof *codes)))
        return WF_EPROTOCOL;
    int err = read_chunk_results(&in, chunk, codes, head.begun, reterr);
    for (size_t i = 0; !err && codes && i < head.begun; i++) {
        int code = codes[i];
        if (code >= 0)
            continue;
        chunk->outcomes[i].code = code;
        const uint64_t *has_error = read_piece(&in, sizeof *has_error);
        if (!has_error)
            return WF_EPROTOCOL;
        if (*has_error)
            chunk->outcomes[i].error = read_error(&in);
    }
    return err;
}

/* In memory that the worker has frozen, or copied from there. */
static int read_single(const struct wf_task_type *type, struct wf_future *f,
                       const struct wfi_answer *answer, void **ret_mapping, struct wf_error *reterr)
{
    void *result = wfi_future_result_ptr(f);
    if (answer->fd < 0) {
        ssize_t used = wfi_codec_decode_result(type, answer->bytes, answer->len, result, reterr);
        return used < 0 ? (int)used : 0;
    }
    unsigned char *mapping = *ret_mapping, *at = mapping + WFI_ANSWER_OFFSET;
    size_t len = answer->len - WFI_ANSWER_OFFSET;
    ssize_t used;
    if (wfi_result_is_ours(type)) {
        used = wfi_codec_decode_result_in_place(type, at, len, result);
        if (used < 0)
            return wf_error_set(reterr, (int)used, "task %s: its result does not decode",
                                type->name);
        if (!wfi_result_adopt(mapping + WFI_ANSWER_CONTENTS, mapping, answer->len, -1)) {
            *ret_mapping = NULL;
            return 0;
        }
    }
    used = wfi_codec_decode_result(type, at, len, result, reterr);
    return used < 0 ? (int)used : 0;
}

static int read_answer(struct wfi_parcel *parcel, struct wf_future *f,
                       const struct wfi_answer *answer, struct wf_error *reterr)
{
    void *mapping = NULL;
    if (answer->fd >= 0) {
        ssize_t bytes = wfi_region_frozen_bytes(answer->fd);
        if (bytes < 0 || (size_t)bytes != answer->len || answer->len < WFI_ANSWER_CONTENTS)
            return WF_EPROTOCOL;
        mapping = wfi_region_map(answer->fd, answer->len, false);
        if (!mapping)
            return -ENOMEM;
    }
    int err;
    if (!parcel->chunk)
        err = read_single(parcel->type, f, answer, &mapping, reterr);
    else if (mapping)
        err = read_chunk(parcel->chunk, (unsigned char *)mapping + WFI_ANSWER_OFFSET,
                         answer->len - WFI_ANSWER_OFFSET, reterr);
    else
        err = read_chunk(parcel->chunk, answer->bytes, answer->len, reterr);
    wfi_region_unmap(mapping, answer->len);
    return err;
}

bool wfi_parcel_take(struct wfi_parcel *parcel, struct wf_future *f, const void *bytes, size_t len)
{
    const struct wf_task_type *type = parcel->type;
    if (!wfi_codec_flat_result(type))
        return false;
    if (!parcel->chunk)
        return wfi_codec_decode_result(type, bytes, len, wfi_future_result_ptr(f), NULL) >= 0;
    struct wfi_chunk *chunk = parcel->chunk;
    struct reader in = {bytes, len};
    const struct wfi_chunk_answer *from = read_piece(&in, sizeof *from);
    struct wfi_chunk_answer head;
    if (!from)
        return false;
    memcpy(&head, from, sizeof head);
    return head.begun <= chunk->count && !head.failures &&
           read_chunk_results(&in, chunk, NULL, head.begun, NULL) == 0;
}

/* A failure as it came, or the engine's own. */
static struct wf_error *error_of(struct wf_future *f, struct wfi_answer *answer)
{
    struct wf_error *error = answer->error;
    answer->error = NULL;
    if (!error && answer->bytes) {
        struct reader in = {answer->bytes, answer->len};
        error = read_error(&in);
    }
    if (error) {
        error->code = answer->code;
        if (!error->task[0])
            snprintf(error->task, sizeof error->task, "%s", wf_future_name(f));
    }
    return error;
}

void wfi_parcel_end(struct wfi_parcel *parcel, struct wf_future *f, struct wfi_answer *answer)
{
    const struct wf_task_type *type = wfi_future_type(f);
    enum wf_future_state state = WF_FUTURE_CANCELED;
    struct wf_error *failure = NULL;
    bool has_results = answer->taken || answer->bytes || answer->fd >= 0;
    if (answer->outcome == WFI_OUTCOME_DONE ||
        (answer->outcome == WFI_OUTCOME_CANCELED && parcel->chunk && has_results)) {
        struct wf_error error = {0};
        int err = answer->taken ? 0 : read_answer(parcel, f, answer, &error);
        state = answer->outcome == WFI_OUTCOME_DONE ? WF_FUTURE_DONE : WF_FUTURE_CANCELED;
        if (err) {
            if (!error.code)
                wf_error_set(&error, err, "task %s: its result does not decode: %s",
                             parcel->type->name, wf_strerror(err));
            wfi_free(answer->bytes);
            answer->bytes = NULL;
            answer->outcome = WFI_OUTCOME_FAILED;
            answer->code = err;
            answer->error = wfi_alloc(sizeof error);
            if (answer->error)
                *answer->error = error;
        }
        struct wfi_chunk *chunk = parcel->chunk;
        for (size_t i = 0; chunk && chunk->type->drop_args && i < chunk->begun; i++)
            chunk->type->drop_args(chunk->args + i * chunk->type->args_bytes);
    }
    if (answer->outcome == WFI_OUTCOME_FAILED) {
        state = WF_FUTURE_FAILED;
        failure = error_of(f, answer);
    }
    if (type->drop_args)
        type->drop_args(f->data);
    int code = answer->code;
    wfi_answer_fini(answer);
    wfi_parcel_fini(parcel);
    wfi_future_end(f, state, code, failure);
    wfi_future_release(f, WFI_FUTURE_ENGINE);
}
