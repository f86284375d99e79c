/* SPDX-License-Identifier: MIT */
/*
 * Context locals: a small table, copied when it is written while somebody else holds it too.
 *
 * Invariants
 *   1. A table with more than one reference does not change. A party that holds the only one may
 *      change it in place: nobody can get another but from that party.
 *   2. A value keeps its size and place for the life of a table; a new one goes to the end.
 *
 * Tables are searched in order: a program has a handful of context locals, and a copy is one
 * memcpy. Rejected: a chain of set values, which grows with every set of a long-lived party.
 *
 * Object locals: a list per party, the youngest first, which is the order they end in.
 */
#include "sync/local.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "sched/park.h"

/* Values stand on this boundary, as malloc's do. */
#define ALIGNMENT _Alignof(max_align_t)

struct value {
    const struct wf_local *local;
    size_t bytes; /* of this struct and the value, rounded up */
    _Alignas(max_align_t) char data[];
};

struct wfi_locals {
    WFI_ATOMIC(uint32_t) refs;
    size_t bytes; /* of all values */
    _Alignas(max_align_t) char values[];
};

struct wfi_object {
    struct wfi_object *older;
    const struct wf_object *type;
    _Alignas(max_align_t) char data[];
};

static void end_objects(struct wfi_waiter *self)
{
    /* One that ends may ask for another, even for a new one of its own kind: until none is left. */
    for (struct wfi_object *object; (object = self->objects);) {
        self->objects = object->older;
        if (object->type->fini)
            object->type->fini(object->data);
        wfi_free(object);
    }
}

static void party_ends(struct wfi_waiter *self)
{
    end_objects(self);
    wfi_locals_release(self->locals);
    self->locals = NULL;
}

static void watch_party_end(void)
{
    /* release: pairs with the acquire in wfi_party_end */
    if (!wfi_load_relaxed(&wfi_party_end_hook))
        wfi_store_release(&wfi_party_end_hook, party_ends);
}

/* Context locals */

struct wfi_locals *wfi_locals_capture(void)
{
    struct wfi_locals *locals = wfi_self()->locals;
    if (locals)
        wfi_count(&locals->refs, 1); /* relaxed: the caller's own reference keeps it alive */
    return locals;
}

void wfi_locals_release(struct wfi_locals *locals)
{
    /* all orders: the last one to leave frees what the others have read */
    if (locals && wfi_fetch_sub(&locals->refs, 1) == 1)
        wfi_free(locals);
}

struct wfi_locals *wfi_locals_enter(struct wfi_locals *locals)
{
    struct wfi_waiter *self = wfi_self();
    struct wfi_locals *outer = self->locals;
    self->locals = locals;
    return outer;
}

void wfi_locals_leave(struct wfi_locals *outer)
{
    struct wfi_waiter *self = wfi_self();
    wfi_locals_release(self->locals);
    self->locals = outer;
}

static struct value *find(struct wfi_locals *locals, const struct wf_local *local)
{
    if (!locals)
        return NULL;
    for (size_t at = 0; at < locals->bytes;) {
        struct value *value = (struct value *)(void *)(locals->values + at);
        if (value->local == local)
            return value;
        at += value->bytes;
    }
    return NULL;
}

const void *wf_local_get(const struct wf_local *local)
{
    struct value *value = find(wfi_self()->locals, local);
    return value ? value->data : local->initial;
}

/* A table with the values of `old`, which may be NULL, and one more if `added` is not NULL. */
static struct wfi_locals *copy(const struct wfi_locals *old, const struct wf_local *added)
{
    size_t old_bytes = old ? old->bytes : 0;
    size_t more =
        added ? (sizeof(struct value) + added->bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : 0;
    struct wfi_locals *locals = wfi_alloc(sizeof *locals + old_bytes + more);
    if (!locals)
        return NULL;
    wfi_store_relaxed(&locals->refs, 1);
    locals->bytes = old_bytes + more;
    if (old)
        memcpy(locals->values, old->values, old_bytes);
    if (added) {
        struct value *value = (struct value *)(void *)(locals->values + old_bytes);
        value->local = added;
        value->bytes = more;
    }
    return locals;
}

int wf_local_set(const struct wf_local *local, const void *value)
{
    struct wfi_waiter *self = wfi_self();
    struct wfi_locals *locals = self->locals;
    struct value *place = find(locals, local);
    /* acquire: pairs with the releases of others, whose reads are over then */
    if (!place || wfi_load_acquire(&locals->refs) > 1) {
        struct wfi_locals *mine = copy(locals, place ? NULL : local);
        if (!mine)
            return -ENOMEM;
        watch_party_end();
        place = find(mine, local);
        self->locals = mine;
        /* `value` may point into the old table: it goes last. */
        memcpy(place->data, value, local->bytes);
        wfi_locals_release(locals);
    } else {
        memmove(place->data, value, local->bytes);
    }
    return 0;
}

/* Between processes of one image a table travels as it is: values lie behind each other, each with
 * the address of its local. */

size_t wfi_locals_bytes(const struct wfi_locals *locals)
{
    return locals ? locals->bytes : 0;
}

const void *wfi_locals_data(const struct wfi_locals *locals)
{
    return locals->values;
}

struct wfi_locals *wfi_locals_make(const void *data, size_t bytes)
{
    struct wfi_locals *locals = wfi_alloc(sizeof *locals + bytes);
    if (!locals)
        return NULL;
    watch_party_end();
    wfi_store_relaxed(&locals->refs, 1);
    locals->bytes = bytes;
    memcpy(locals->values, data, bytes);
    return locals;
}

void wf_local_enter(struct wf_local_stretch *stretch)
{
    stretch->outer = wfi_locals_enter(wfi_locals_capture());
}

void wf_local_leave(struct wf_local_stretch *stretch)
{
    wfi_locals_leave(stretch->outer);
}

/* Object locals */

int wf_object_get(const struct wf_object *type, void **ret_object)
{
    struct wfi_waiter *self = wfi_self();
    for (struct wfi_object *object = self->objects; object; object = object->older)
        if (object->type == type) {
            *ret_object = object->data;
            return 0;
        }
    struct wfi_object *object = wfi_zalloc(sizeof *object + type->bytes);
    if (!object)
        return -ENOMEM;
    object->type = type;
    int err = type->init ? type->init(object->data) : 0;
    if (err < 0) {
        wfi_free(object);
        return err;
    }
    watch_party_end();
    object->older = self->objects;
    self->objects = object;
    *ret_object = object->data;
    return 0;
}
