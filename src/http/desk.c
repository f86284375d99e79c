/* SPDX-License-Identifier: MIT */
/*
 * Each worker keeps some of both, the last on top. Only its own fibers touch them, and nothing is
 * waited for in between; the order that one fiber's writes are in for the next is given by the
 * acquire and release of `top`.
 */
#include "http/desk.h"

#include <errno.h>

#include <weft/worker.h>

#include "base/alloc.h"
#include "base/assert.h"

/* More than these are rarely at requests at once without waiting. */
#define KEPT_MAX 32
/* A buffer that had to become larger than usual does not stay so. */
#define KEPT_BYTES_MAX 8192

struct store {
    WFI_ATOMIC(struct wfi_desk_kept *) desks;
    WFI_ATOMIC(struct wfi_desk_kept *)
    ins; /* buffers for reading, which begin so while they are kept */
};

static void destroy_desk(struct wfi_desk *desk)
{
    wfi_request_parser_destroy(desk->parser);
    wfi_buffer_reset(&desk->out);
    wfi_buffer_reset(&desk->texts);
    wfi_free(desk);
}

static struct wfi_desk_kept *pop(WFI_ATOMIC(struct wfi_desk_kept *) * stack)
{
    struct wfi_desk_kept *top =
        wfi_load_acquire(stack); /* acquire: see the top; pairs with the releases */
    if (top)
        wfi_store_release(stack, top->below);
    return top;
}

/* Returns false when there are enough. */
static bool push(WFI_ATOMIC(struct wfi_desk_kept *) * stack, struct wfi_desk_kept *kept)
{
    struct wfi_desk_kept *top = wfi_load_acquire(stack); /* acquire: pairs with the releases */
    int height = top ? top->height + 1 : 1;
    if (height > KEPT_MAX) {
        wfi_store_release(stack, top); /* what was read of it was so before others write there */
        return false;
    }
    *kept = (struct wfi_desk_kept){top, height};
    wfi_store_release(stack, kept);
    return true;
}

static void destroy_store(void *value)
{
    struct store *store = value;
    struct wfi_desk_kept *kept;
    while ((kept = pop(&store->desks)))
        destroy_desk(wfi_container_of(kept, struct wfi_desk, kept));
    while ((kept = pop(&store->ins)))
        wfi_free(kept);
    wfi_free(store);
}

/* The calling worker's; NULL on a plain thread, and without memory. */
static struct store *store_here(void)
{
    static struct wf_worker_key key = {.destroy = destroy_store};
    struct store *store = wf_worker_get(&key);
    if (store || !wf_on_fiber())
        return store;
    store = wfi_zalloc(sizeof *store);
    if (store && wf_worker_set(&key, store)) {
        wfi_free(store);
        store = NULL;
    }
    return store;
}

static struct wfi_desk *make_desk(void)
{
    struct wfi_desk *desk = wfi_zalloc(sizeof *desk);
    if (desk && wfi_request_parser_create(NULL, &desk->parser, NULL)) {
        wfi_free(desk);
        desk = NULL;
    }
    if (desk)
        desk->date_second = -1;
    return desk;
}

int wfi_desk_take(struct wfi_connection *c)
{
    if (c->desk)
        return 0;
    struct store *store = store_here();
    struct wfi_desk_kept *kept = store ? pop(&store->desks) : NULL;
    struct wfi_desk *desk = kept ? wfi_container_of(kept, struct wfi_desk, kept) : make_desk();
    if (!desk)
        return -ENOMEM;
    const struct wf_server_options *options = &c->server->options;
    wfi_request_set_limits(desk->parser,
                           &(struct wfi_request_limits){.head_bytes_max = options->head_bytes_max,
                                                        .body_bytes_max = options->body_bytes_max});
    c->desk = desk;
    c->parser = desk->parser;
    c->out = desk->out;
    c->request.match = &desk->match;
    c->response.texts = desk->texts;
    c->response.fields = desk->fields;
    return 0;
}

static struct wfi_buffer emptied(struct wfi_buffer *buffer)
{
    if (buffer->size > KEPT_BYTES_MAX)
        wfi_buffer_reset(buffer);
    struct wfi_buffer kept = *buffer;
    kept.len = 0;
    *buffer = (struct wfi_buffer){0};
    return kept;
}

void wfi_desk_leave(struct wfi_connection *c)
{
    struct wfi_desk *desk = c->desk;
    wfi_desk_leave_in(c);
    if (!desk)
        return;
    desk->out = emptied(&c->out);
    desk->texts = emptied(&c->response.texts);
    c->desk = NULL;
    c->parser = NULL;
    wfi_request_reset(desk->parser);
    struct store *store = store_here();
    if (!store || !push(&store->desks, &desk->kept))
        destroy_desk(desk);
}

int wfi_desk_take_in(struct wfi_connection *c)
{
    if (c->in)
        return 0;
    struct store *store = store_here();
    struct wfi_desk_kept *kept = store ? pop(&store->ins) : NULL;
    c->in = kept ? (void *)kept : wfi_alloc(WFI_IN_BYTES);
    return c->in ? 0 : -ENOMEM;
}

void wfi_desk_leave_in(struct wfi_connection *c)
{
    if (!c->in)
        return;
    struct wfi_desk_kept *kept = (void *)c->in;
    struct store *store = store_here();
    c->in = NULL;
    c->at = c->len = 0;
    if (!store || !push(&store->ins, kept))
        wfi_free(kept);
}
