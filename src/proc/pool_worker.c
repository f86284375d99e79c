/* SPDX-License-Identifier: MIT */
/*
 * A worker: its main thread runs the tasks of the ring, one after the other; its control thread
 * takes messages, so that a running task can be asked to stop and told of the ends of tasks that it
 * submitted itself; and sees the end of the socket, which is the end of the parent: then the
 * process ends at once.
 *
 *  1. A task runs as on any engine: it has a block (in this process), a frame, its context, and a
 *     level of cancellation around it, which the control thread reaches under `lock` while
 *     `current` is its slot. A request that came before that waits in `asked`.
 *  2. An outcome is whole before `done` says so, and what the task printed is written out before
 *     that.
 *  3. A descriptor of a payload is sent before the slot that speaks of it is published, in either
 *     direction: so who reads the slot finds it.
 *  4. A task block's type is a copy (`shadow`) that drops nothing: its arguments lie in the ring or
 *     are dropped here, its result is sent first.
 */
#include "proc/pool_worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "exec/chunk.h"
#include "exec/executor.h"
#include "exec/scope.h"
#include "os/ancillary.h"
#include "os/cpu.h"
#include "os/exit.h"
#include "os/lock.h"
#include "os/region.h"
#include "os/resident.h"
#include "os/sanitizer.h"
#include "os/socket.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "os/word.h"
#include "proc/codec.h"
#include "proc/control.h"
#include "proc/module.h"
#include "proc/parcel.h"
#include "proc/result.h"
#include "proc/ring.h"
#include "proc/slab.h"
#include "sched/cancel.h"
#include "sched/record.h"
#include "sync/local.h"

enum {
    /* How long a worker without work looks at the ring before it sleeps: about as long as a wake-up
     * from another CPU takes. */
    SPIN_NS = 50000,
    LOOKS_PER_YIELD = 64, /* a microsecond or two */
    ARGS_ON_STACK = 1024,
};

/* A task that the running one submitted. */
struct nested {
    uint64_t id;
    struct wf_future *f;
    struct wfi_parcel parcel;
};

/* One worker is all there is in this process. */
static struct {
    struct wfi_ring *ring;
    int control, payload, bell;
    const struct wfi_worker_start *start;
    bool spins;
    struct wfi_slab results;
    struct wf_task_type shadow;
    const struct wf_task_type *shadow_of;

    struct wf_executor proxy; /* what tasks see as their executor */
    struct wfi_lock lock;     /* guards what follows */
    struct wfi_cancel *level; /* of the running task, or NULL */
    uint32_t current;
    bool asked;
    uint32_t asked_number;
    struct wfi_map nested; /* struct nested by id */
    uint64_t nested_ids;
} worker;

/* Tasks of tasks: the proxy executor */

/* Waits where the socket is full; the pool takes what is in it. */
static int tell(struct wfi_control *head, const void *bytes, int fd)
{
    int err;
    while ((err = wfi_control_send(worker.control, head, bytes, fd)) == -EAGAIN)
        wfi_wakefd_poll(-1, worker.control, POLLOUT, WF_FOREVER);
    return err;
}

/* The deadline that holds for a task of a scope. */
static int64_t deadline_of(struct wf_future *f)
{
    int64_t earliest = INT64_MAX;
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED))
        return earliest;
    for (struct wfi_cancel *level = wfi_scope_level(f->scoped.scope); level;
         level = level->parent) {
        int64_t ns = wfi_load_relaxed(&level->deadline_ns);
        if (ns < earliest)
            earliest = ns;
        if (level->shield)
            break;
    }
    return earliest;
}

static int nested_submit(struct wf_executor *on, struct wf_future *f,
                         const struct wf_submit_options *options, struct wf_error *reterr)
{
    (void)on;
    struct nested *nested = wfi_alloc(sizeof *nested);
    if (!nested)
        return wf_error_set(reterr, -ENOMEM, NULL);
    nested->f = f;
    if (!wfi_future_hold(f)) {
        wfi_free(nested);
        wfi_future_release(f, WFI_FUTURE_ENGINE);
        return 0;
    }
    int err = wfi_parcel_pack(&nested->parcel, f, reterr);
    bool wanted = wfi_future_release_hold(f);
    if (err || !wanted || !wfi_future_claim(f)) {
        if (!err)
            wfi_parcel_fini(&nested->parcel);
        wfi_free(nested);
        if (!err || !wanted)
            wfi_future_release(f, WFI_FUTURE_ENGINE);
        return wanted ? err : 0;
    }
    /* RUNNING from here on: how far it is, only the pool knows. */
    struct wfi_locals *locals = f->locals;
    struct wfi_control head = {
        .kind = WFI_CONTROL_SUBMIT,
        .type = nested->parcel.type,
        .flags = nested->parcel.flags,
        .items = nested->parcel.items,
        .bytes = nested->parcel.len,
        .priority = options->priority,
        .retries = options->retries_on_death,
        .deadline_ns = deadline_of(f),
    };
    wfi_lock_lock(&worker.lock);
    uint64_t id = head.id = nested->id = ++worker.nested_ids;
    err = wfi_map_put_u64(&worker.nested, id, nested);
    wfi_lock_unlock(&worker.lock);
    wfi_locals_release(locals);
    if (!err)
        err = tell(&head, wfi_parcel_bytes(&nested->parcel, f), nested->parcel.fd);
    if (!err)
        return 0;
    wfi_lock_lock(&worker.lock);
    wfi_map_remove_u64(&worker.nested, id);
    wfi_lock_unlock(&worker.lock);
    struct wfi_answer answer = {.outcome = WFI_OUTCOME_FAILED, .code = err, .fd = -1};
    wfi_parcel_end(&nested->parcel, f, &answer);
    wfi_free(nested);
    return 0;
}

static enum wf_cancel_result nested_cancel(struct wf_executor *on, struct wf_future *f)
{
    (void)on;
    struct wfi_control head = {.kind = WFI_CONTROL_WITHDRAW};
    struct nested *nested;
    size_t cursor = 0;
    wfi_lock_lock(&worker.lock);
    while (!head.id && (nested = wfi_map_next(&worker.nested, &cursor)))
        if (nested->f == f)
            head.id = nested->id;
    wfi_lock_unlock(&worker.lock);
    if (head.id)
        tell(&head, NULL, -1);
    return WF_CANCEL_ASKED;
}

static int nested_shutdown(struct wf_executor *on, enum wf_shutdown mode, wf_deadline deadline)
{
    (void)on;
    (void)mode;
    (void)deadline;
    return 0; /* the pool is its owner's to close, not a worker's */
}

static void nested_destroy(struct wf_executor *on)
{
    (void)on;
}

static unsigned nested_workers(const struct wf_executor *on)
{
    (void)on;
    return worker.start->workers;
}

static const struct wfi_executor_ops proxy_ops = {
    .engine = "processes",
    .submit = nested_submit,
    .cancel = nested_cancel,
    .shutdown = nested_shutdown,
    .destroy = nested_destroy,
    .workers = nested_workers,
};

/* The control thread */

static void take_answer(const struct wfi_control_message *message, int fd)
{
    const struct wfi_control *head = &message->head;
    wfi_lock_lock(&worker.lock);
    struct nested *nested = wfi_map_remove_u64(&worker.nested, head->id);
    wfi_lock_unlock(&worker.lock);
    struct wfi_answer answer = {.outcome = (enum wfi_outcome)head->outcome,
                                .code = head->code,
                                .len = head->bytes,
                                .fd = fd};
    if (fd < 0 && head->bytes) {
        answer.bytes = wfi_alloc(head->bytes);
        if (answer.bytes)
            memcpy(answer.bytes, message->payload, head->bytes);
        else
            answer = (struct wfi_answer){.outcome = WFI_OUTCOME_FAILED, .code = -ENOMEM, .fd = -1};
    }
    if (!nested) {
        wfi_answer_fini(&answer);
        return;
    }
    wfi_parcel_end(&nested->parcel, nested->f, &answer);
    wfi_free(nested);
}

static void ask(uint32_t number)
{
    wfi_lock_lock(&worker.lock);
    if (worker.level && worker.current == number) {
        wfi_cancel_ask(worker.level);
    } else {
        worker.asked = true;
        worker.asked_number = number;
    }
    wfi_lock_unlock(&worker.lock);
}

static void *hear(void *arg)
{
    wfi_record_adopt(arg, "weft_control");
    for (;;) {
        struct wfi_control_message message;
        int fd;
        int got = wfi_control_receive(worker.control, &message, &fd);
        if (got == -EAGAIN)
            wfi_wakefd_poll(-1, worker.control, POLLIN, WF_FOREVER);
        else if (got != 1)
            wfi_exit_now(0); /* the parent is gone */
        else if (message.head.kind == WFI_CONTROL_CANCEL)
            ask(message.head.number);
        else if (message.head.kind == WFI_CONTROL_ANSWER)
            take_answer(&message, fd);
    }
}

/* Payloads in */

struct payload {
    unsigned char *at;
    size_t len;
    void *mapping; /* or NULL */
    size_t mapped;
};

/* The next descriptor of the payload socket: sent before the slot was published. */
static int next_memory(void)
{
    int fds[WFI_ANCILLARY_MAX];
    size_t count = 0;
    unsigned char none;
    ssize_t len;
    while ((len = wfi_ancillary_receive(worker.payload, &none, 1, fds, &count)) == -EAGAIN)
        wfi_wakefd_poll(-1, worker.payload, POLLIN, WF_FOREVER);
    if (len == 0)
        wfi_exit_now(0); /* the parent is gone */
    return len < 0 ? (int)len : count == 1 ? fds[0] : -EMFILE;
}

static int take_payload(const struct wfi_slot *slot, struct payload *ret)
{
    *ret = (struct payload){.len = slot->args_bytes};
    if (slot->args_place == WFI_PLACE_INLINE) {
        ret->at = (unsigned char *)(uintptr_t)slot->args;
    } else if (slot->args_place == WFI_PLACE_SLAB) {
        ret->at = worker.ring->args + slot->args_offset;
    } else {
        int fd = next_memory();
        if (fd < 0)
            return fd;
        ret->mapping = wfi_region_map(fd, ret->len, false);
        ret->mapped = ret->len;
        ret->at = ret->mapping;
        wfi_fd_close(fd);
        if (!ret->at)
            return -ENOMEM;
    }
    return 0;
}

/* What stands before the arguments: a name, a module, locals. */
struct front {
    const struct wf_task_type *type;
    struct wf_submit_options options;
    struct wfi_locals *locals;
};

static int take_front(const struct wfi_slot *slot, struct payload *in, struct front *ret,
                      struct wf_error *reterr)
{
    *ret = (struct front){.type = slot->type};
    if (!(slot->flags & WFI_SLOT_PREFIX))
        return 0;
    const struct wfi_prefix *prefix = (const struct wfi_prefix *)(void *)in->at;
    const unsigned char *texts = in->at + ((sizeof *prefix + 7) & ~(size_t)7);
    if (prefix->name[0])
        ret->options.name = prefix->name;
    if (prefix->module_bytes)
        ret->type = wfi_module_task((const char *)texts, prefix->module_id,
                                    (const char *)texts + prefix->module_bytes, reterr);
    if (!ret->type)
        return WF_ENOTWIRE;
    texts += (prefix->module_bytes + prefix->task_bytes + 7) & ~7u;
    if (prefix->locals_bytes) {
        ret->locals = wfi_locals_make(texts, prefix->locals_bytes);
        if (!ret->locals)
            return wf_error_set(reterr, -ENOMEM, NULL);
    }
    in->at += prefix->bytes;
    in->len -= prefix->bytes;
    return 0;
}

/* Answers out */

/* Something that can be encoded into a buffer, as the codec's calls do it. */
struct source {
    ssize_t (*encode)(const struct source *source, void *buf, size_t room, struct wf_error *reterr);
    const struct wf_task_type *type;
    const void *value;
};

static ssize_t encode_result(const struct source *source, void *buf, size_t room,
                             struct wf_error *reterr)
{
    return wfi_codec_encode_result(source->type, source->value, buf, room, reterr);
}

static ssize_t encode_error(const struct source *source, void *buf, size_t room,
                            struct wf_error *reterr)
{
    (void)reterr;
    if (room >= sizeof(struct wf_error))
        memcpy(buf, source->value, sizeof(struct wf_error));
    return sizeof(struct wf_error);
}

static void put(unsigned char *buf, size_t room, size_t *len, const void *from, size_t bytes)
{
    size_t padded = (bytes + WFI_CODEC_ALIGN - 1) & ~(size_t)(WFI_CODEC_ALIGN - 1);
    if (*len + padded <= room && bytes)
        memcpy(buf + *len, from, bytes);
    *len += padded;
}

static ssize_t encode_chunk(const struct source *source, void *buf, size_t room,
                            struct wf_error *reterr)
{
    const struct wfi_chunk *chunk = source->value;
    const struct wf_task_type *type = source->type;
    struct wfi_chunk_answer head = {.begun = (uint32_t)chunk->begun};
    size_t len = 0;
    for (size_t i = 0; i < chunk->begun; i++)
        head.failures += chunk->outcomes[i].code != 0;
    put(buf, room, &len, &head, sizeof head);
    if (head.failures) {
        size_t bytes = chunk->begun * sizeof(int32_t);
        for (size_t i = 0; i < chunk->begun && len + bytes <= room; i++) {
            int32_t code = chunk->outcomes[i].code;
            memcpy((unsigned char *)buf + len + i * sizeof code, &code, sizeof code);
        }
        len += (bytes + 7) & ~(size_t)7;
    }
    if (wfi_codec_flat_result(type))
        put(buf, room, &len, chunk->results, chunk->begun * type->result_bytes);
    for (size_t i = 0; !wfi_codec_flat_result(type) && i < chunk->begun; i++) {
        if (chunk->outcomes[i].code)
            continue;
        size_t left = len < room ? room - len : 0;
        ssize_t more =
            wfi_codec_encode_result(type, chunk->results + i * type->result_bytes,
                                    left ? (unsigned char *)buf + len : NULL, left, reterr);
        if (more < 0)
            return more;
        len += (size_t)more;
    }
    for (size_t i = 0; head.failures && i < chunk->begun; i++) {
        if (!chunk->outcomes[i].code)
            continue;
        uint64_t has_error = chunk->outcomes[i].error != NULL;
        put(buf, room, &len, &has_error, sizeof has_error);
        if (has_error)
            put(buf, room, &len, chunk->outcomes[i].error, sizeof(struct wf_error));
    }
    return (ssize_t)len;
}

static int send_memory(int fd)
{
    int err;
    while ((err = wfi_ancillary_send(worker.payload, "", 1, &fd, 1)) == -EAGAIN)
        wfi_wakefd_poll(-1, worker.payload, POLLOUT, WF_FOREVER);
    return err;
}

static int place_in_memory(struct wfi_slot *slot, const struct source *source, size_t len,
                           struct wf_error *reterr)
{
    size_t whole = WFI_ANSWER_OFFSET + len;
    if (whole < WFI_ANSWER_CONTENTS)
        whole = WFI_ANSWER_CONTENTS;
    int fd = wfi_region_create(whole);
    unsigned char *at = fd >= 0 ? wfi_region_map(fd, whole, true) : NULL;
    int err = fd < 0 ? fd : at ? 0 : -ENOMEM;
    if (!err) {
        ssize_t wrote = source->encode(source, at + WFI_ANSWER_OFFSET, len, reterr);
        err = wrote < 0 ? (int)wrote : (size_t)wrote > len ? -EAGAIN : 0;
        wfi_region_unmap(at, whole);
    }
    if (!err)
        err = wfi_region_freeze(fd);
    if (!err)
        err = send_memory(fd);
    if (fd >= 0)
        wfi_fd_close(fd);
    if (err)
        return wf_error_set(reterr, err, "task %s: no memory for its result of %zu bytes: %s",
                            source->type->name, len, wf_strerror(err));
    slot->result_place = WFI_PLACE_MEMORY;
    slot->result_bytes = whole;
    return 0;
}

/* Puts it where it fits. */
static int place(struct wfi_slot *slot, const struct source *source, struct wf_error *reterr)
{
    ssize_t len = source->encode(source, slot->result, sizeof slot->result, reterr);
    if (len < 0)
        return (int)len;
    slot->result_place = WFI_PLACE_INLINE;
    slot->result_bytes = (uint64_t)len;
    if ((size_t)len <= sizeof slot->result)
        return 0;
    /* acquire: pairs with the pool's release, which has read what was there before */
    uint64_t freed = wfi_load_acquire(&worker.ring->freed);
    size_t offset;
    if ((size_t)len > WFI_RING_PAYLOAD_MAX ||
        !wfi_slab_take(&worker.results, freed, (size_t)len, &offset))
        return place_in_memory(slot, source, (size_t)len, reterr);
    ssize_t wrote = source->encode(source, worker.ring->results + offset, (size_t)len, reterr);
    slot->result_place = WFI_PLACE_SLAB;
    slot->result_offset = offset;
    slot->result_end = worker.results.taken;
    return wrote < 0 ? (int)wrote : wrote > len ? -EAGAIN : 0;
}

static void answer_failure(struct wfi_slot *slot, const struct wf_task_type *type, int code,
                           struct wf_error *error)
{
    slot->outcome = WFI_OUTCOME_FAILED;
    slot->code = code;
    slot->result_bytes = 0;
    slot->result_place = WFI_PLACE_INLINE;
    error->code = code;
    if (!error->pid)
        error->pid = wfi_process_id();
    if (!error->origin[0])
        snprintf(error->origin, sizeof error->origin, "%s_%u, process %d", worker.start->name,
                 worker.start->index, wfi_process_id());
    struct source source = {encode_error, type, error};
    struct wf_error lost;
    if (place(slot, &source, &lost)) { /* the code alone arrives */
        slot->result_bytes = 0;
        slot->result_place = WFI_PLACE_INLINE;
    }
}

/* A large result of wf_result_alloc goes as it is. */
static bool hand_over(struct wfi_slot *slot, const struct wf_task_type *type, const void *result)
{
    if (!wfi_result_is_ours(type))
        return false;
    const void *ptr = *(void *const *)result;
    unsigned char *mapping = wfi_result_mapping(ptr);
    if (!mapping)
        return false;
    uint64_t len =
        type->result_kind == WF_PARAM_STRING ? strlen(ptr) + 1 : ((const wf_bytes *)result)->len;
    memcpy(mapping + WFI_ANSWER_OFFSET, &len, sizeof len);
    size_t bytes = 0;
    int fd = wfi_result_hand_over(ptr, &bytes);
    int err = wfi_region_freeze(fd);
    if (!err)
        err = send_memory(fd);
    wfi_fd_close(fd);
    slot->result_place = WFI_PLACE_MEMORY;
    slot->result_bytes = bytes;
    if (err) {
        struct wf_error error;
        wf_error_set(&error, err, "task %s: its result cannot be sent: %s", type->name,
                     wf_strerror(err));
        answer_failure(slot, type, err, &error);
    }
    return true;
}

/* Running */

static const struct wf_task_type *shadow(const struct wf_task_type *type)
{
    if (worker.shadow_of != type) {
        worker.shadow = *type;
        worker.shadow.drop_args = NULL;
        worker.shadow.drop_result = NULL;
        worker.shadow_of = type;
    }
    return &worker.shadow;
}

/* Runs a future of this process inside the slot's level of cancellation. */
static void run_future(struct wf_future *f, uint32_t number, int64_t deadline_ns)
{
    struct wfi_cancel level;
    wfi_cancel_enter(&level, NULL, false, (wf_deadline){deadline_ns});
    wfi_lock_lock(&worker.lock);
    worker.level = &level;
    worker.current = number;
    bool asked = worker.asked && worker.asked_number == number;
    if (asked)
        worker.asked = false;
    wfi_lock_unlock(&worker.lock);
    if (asked)
        wfi_cancel_ask(&level);
    if (deadline_ns != INT64_MAX && wfi_cancel_check(NULL)) {
        wfi_future_cancel_pending(f);
    } else if (wfi_future_claim(f)) {
        wfi_future_run(f, true);
    }
    wfi_lock_lock(&worker.lock);
    worker.level = NULL;
    wfi_lock_unlock(&worker.lock);
    wfi_cancel_leave(&level);
}

static struct wf_future *make_future(const struct wf_task_type *type, struct front *front,
                                     const void *args)
{
    struct wfi_locals *outer = wfi_locals_enter(front->locals);
    struct wf_future *f = wfi_future_create(&worker.proxy, type, &front->options, args, false);
    wfi_locals_leave(outer);
    front->locals = NULL;
    return f == wfi_future_no_memory() ? NULL : f;
}

static void run_single(struct wfi_slot *slot, uint32_t number, struct payload *in,
                       struct front *front, struct wf_error *error)
{
    const struct wf_task_type *type = front->type;
    _Alignas(64) unsigned char buf[ARGS_ON_STACK];
    void *args = type->args_bytes <= sizeof buf && type->align <= 64
                     ? buf
                     : wfi_zalloc_aligned(type->align < 16 ? 16 : type->align, type->args_bytes);
    ssize_t used = args ? 0 : -ENOMEM;
    if (args && wfi_codec_flat_args(type))
        memcpy(args, in->at, type->args_bytes);
    else if (args)
        used = wfi_codec_decode_args(type, in->at, in->len, args, error);
    struct wf_future *f = NULL;
    if (used >= 0) {
        f = make_future(shadow(type), front, args);
        if (!f) {
            wfi_codec_drop_args(type, args);
            used = -ENOMEM;
        }
    }
    if (!f) {
        if (!error->text[0])
            wf_error_set(error, (int)used, NULL);
        answer_failure(slot, type, (int)used, error);
        if (args != buf)
            wfi_free(args);
        return;
    }
    run_future(f, number, slot->deadline_ns);
    int err = wfi_future_describe(f, error);
    void *result = wfi_future_result_ptr(f);
    if (wf_future_state(f) == WF_FUTURE_CANCELED) {
        slot->outcome = WFI_OUTCOME_CANCELED;
        slot->code = -ECANCELED;
        slot->result_bytes = 0;
    } else if (err) {
        answer_failure(slot, type, err, error);
    } else {
        slot->outcome = WFI_OUTCOME_DONE;
        slot->code = 0;
        if (!hand_over(slot, type, result)) {
            struct source source = {encode_result, type, result};
            err = place(slot, &source, error);
            if (err)
                answer_failure(slot, type, err, error);
            if (type->drop_result)
                type->drop_result(result);
        }
    }
    wfi_codec_drop_args(type, f->data);
    wfi_future_release(f, WFI_FUTURE_HANDLE | WFI_FUTURE_ENGINE);
    if (args != buf)
        wfi_free(args);
}

static ssize_t decode_items(struct wfi_chunk *chunk, const struct wf_task_type *type,
                            struct payload *in, uint32_t items, struct wf_error *reterr)
{
    if (wfi_codec_flat_args(type)) {
        memcpy(chunk->args, in->at, (size_t)items * type->args_bytes);
        chunk->count = items;
        return 0;
    }
    for (; chunk->count < items; chunk->count++) {
        ssize_t used = wfi_codec_decode_args(type, in->at, in->len,
                                             chunk->args + chunk->count * type->args_bytes, reterr);
        if (used < 0)
            return used;
        in->at += used;
        in->len -= (size_t)used;
    }
    return 0;
}

static void run_chunk(struct wfi_slot *slot, uint32_t number, struct payload *in,
                      struct front *front, struct wf_error *error)
{
    const struct wf_task_type *type = front->type;
    struct wfi_chunk *chunk = wfi_chunk_make(shadow(type), slot->items);
    ssize_t err = chunk ? decode_items(chunk, type, in, slot->items, error) : -ENOMEM;
    struct wf_future *f = NULL;
    bool chunk_is_mine = false; /* alone: the future has let go of it */
    if (!err) {
        front->options.name = type->name;
        struct wfi_chunk_args args = {chunk};
        chunk_is_mine = true;
        f = make_future(&wfi_chunk_type, front, &args);
        err = f ? 0 : -ENOMEM;
    }
    if (f) {
        run_future(f, number, slot->deadline_ns);
        err = wfi_future_describe(f, error);
        bool canceled = wf_future_state(f) == WF_FUTURE_CANCELED;
        slot->outcome = canceled ? WFI_OUTCOME_CANCELED : WFI_OUTCOME_DONE;
        slot->code = canceled ? -ECANCELED : 0;
        if (canceled)
            err = 0;
        struct source source = {encode_chunk, type, chunk};
        if (!err)
            err = place(slot, &source, error);
        for (size_t i = 0; type->drop_result && i < chunk->begun; i++)
            if (!chunk->outcomes[i].code)
                type->drop_result(chunk->results + i * type->result_bytes);
        wfi_future_release(f, WFI_FUTURE_HANDLE | WFI_FUTURE_ENGINE);
    }
    if (err) {
        if (!error->text[0])
            wf_error_set(error, (int)err, NULL);
        answer_failure(slot, type, (int)err, error);
    }
    if (!chunk)
        return;
    for (size_t i = 0; i < chunk->count; i++)
        wfi_codec_drop_args(type, chunk->args + i * type->args_bytes);
    chunk->begun = chunk->count = 0;
    for (uint32_t i = 0; i < slot->items; i++)
        wfi_free(chunk->outcomes[i].error);
    if (!chunk_is_mine)
        wfi_chunk_release(chunk);
    wfi_chunk_release(chunk);
}

static void run(struct wfi_slot *slot, uint32_t number)
{
    struct payload in;
    struct front front;
    struct wf_error error = {0};
    int64_t begun = wf_now();
    wfi_store_relaxed(&slot->started_ns, begun);
    int err = take_payload(slot, &in);
    if (err)
        wf_error_set(&error, err, "the arguments did not arrive: %s", wf_strerror(err));
    else
        err = take_front(slot, &in, &front, &error);
    if (err)
        answer_failure(slot, slot->type, err, &error);
    else if (slot->flags & WFI_SLOT_CHUNK)
        run_chunk(slot, number, &in, &front, &error);
    else
        run_single(slot, number, &in, &front, &error);
    wfi_region_unmap(in.mapping, in.mapped);
    if (__fpending(stdout))
        fflush(stdout);
    slot->ran_ns = wf_now() - begun;
}

/* The ring */

static bool spin(uint32_t number)
{
    int64_t until = 0;
    for (unsigned i = 1;; i++) {
        if (wfi_ring_has(worker.ring, number))
            return true;
        if (i % LOOKS_PER_YIELD) {
            wfi_cpu_relax();
            continue;
        }
        int64_t now = wf_now();
        if (!until)
            until = now + SPIN_NS;
        else if (now >= until)
            return false;
        wfi_thread_yield(); /* what would bring work may wait for this CPU */
    }
}

/* Waits for the slot with this number; false: there will be none. */
static bool wait_for(uint32_t number)
{
    if (wfi_ring_has(worker.ring, number) || (worker.spins && spin(number)))
        return true;
    while (!wfi_ring_has(worker.ring, number)) {
        if (wfi_load(&worker.ring->stop))
            return false;
        if (wfi_ring_announce(worker.ring, number))
            wfi_word_wait(&worker.ring->asleep, 1, WF_FOREVER);
    }
    return true;
}

static void wait_for_stop(void)
{
    while (!wfi_load(&worker.ring->stop)) {
        wfi_store(&worker.ring->asleep, 1);
        if (!wfi_load(&worker.ring->stop))
            wfi_word_wait(&worker.ring->asleep, 1, WF_FOREVER);
    }
}

static void ring_bell(void)
{
    wfi_wakefd_set(worker.bell);
}

static void serve(void)
{
    for (uint32_t number = 0; wait_for(number); number++) {
        struct wfi_slot *slot = wfi_ring_slot(worker.ring, number);
        if (wfi_ring_start(slot)) {
            run(slot, number);
            if (worker.start->memory_max_bytes &&
                wfi_resident_bytes(0) > worker.start->memory_max_bytes)
                wfi_store(&worker.ring->retiring, 1);
        } else {
            slot->outcome = WFI_OUTCOME_REVOKED;
            if (slot->args_place == WFI_PLACE_MEMORY) {
                int fd = next_memory();
                if (fd >= 0)
                    wfi_fd_close(fd);
            }
        }
        if (wfi_ring_finish(worker.ring, number + 1))
            ring_bell();
        if (wfi_load_relaxed(&worker.ring->retiring)) {
            wait_for_stop();
            return;
        }
    }
}

static int prepare(const struct wfi_worker_start *start, const int *fds, struct wf_error *reterr)
{
    worker.start = start;
    worker.control = fds[WFI_WORKER_CONTROL];
    worker.payload = fds[WFI_WORKER_PAYLOAD];
    worker.bell = fds[WFI_WORKER_BELL];
    worker.spins = !wfi_cpu_alone() && !wfi_under_valgrind();
    worker.results.bytes = WFI_RING_SLAB;
    wfi_result_hand_over_from(WFI_RING_PAYLOAD_MAX);
    wfi_executor_init(&worker.proxy, &proxy_ops, start->name);
    struct wfi_record *record = wfi_record_take();
    struct wfi_thread thread;
    int err = record ? wfi_thread_start(&thread, "weft_control", 0, hear, record) : -ENOMEM;
    if (err)
        return wf_error_set(reterr, err, "a worker's control thread: %s", wf_strerror(err));
    err = start->start ? start->start(start->arg_bytes ? start->arg : NULL, reterr) : 0;
    return err < 0 ? err : 0;
}

int wfi_pool_worker_main(const void *blob, size_t blob_bytes, const int *fds, size_t fd_count)
{
    (void)blob_bytes;
    (void)fd_count;
    const struct wfi_worker_start *start = blob;
    struct wfi_ring *ring = wfi_region_map(fds[WFI_WORKER_RING], sizeof *ring, true);
    if (!ring)
        return 1;
    wfi_fd_close(fds[WFI_WORKER_RING]);
    worker.ring = ring;
    struct wf_error error = {0};
    int err = prepare(start, fds, &error);
    if (err) {
        if (!error.text[0])
            wf_error_set(&error, err, NULL);
        error.code = err;
        ring->failure = error;
    }
    /* release: pairs with the acquire in the pool, for the failure */
    wfi_store_release(&ring->ready, err ? WFI_WORKER_FAILED : WFI_WORKER_READY);
    if (err)
        return 1;
    serve();
    if (start->stop)
        start->stop(start->arg_bytes ? start->arg : NULL);
    return 0;
}
