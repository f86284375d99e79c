/* SPDX-License-Identifier: MIT */
/*
 * A saved group is a tree. It is walked twice: for the ids of its leaves, whose results are then
 * read in one go, and to write them in the tree's form, in the same order.
 */
#include "celery/backend/group.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "celery/backend/chord_store.h"
#include "celery/message/message.h"
#include "celery/message/result.h"

/* Groups inside each other, as canvas.c has it for signatures. */
enum { DEPTH_MAX = 24 };

struct leaf {
    const char *id;
    struct wfi_result_in in;
    bool read;
};

struct group {
    struct wfi_buffer leaves; /* of struct leaf */
    size_t next;              /* to be written */
    struct wf_error *reterr;
};

const struct wfi_json_piece *wfi_group_pieces(const struct wfi_group_members *members)
{
    return (const void *)members->pieces.data;
}

size_t wfi_group_count(const struct wfi_group_members *members)
{
    return members->pieces.len / sizeof(struct wfi_json_piece);
}

void wfi_group_reset(struct wfi_group_members *members)
{
    for (size_t i = 0; i < wfi_group_count(members); i++)
        wfi_free((void *)(uintptr_t)wfi_group_pieces(members)[i].text);
    wfi_buffer_reset(&members->pieces);
}

int wfi_group_add(struct wfi_group_members *members, const char *text, size_t len,
                  struct wf_error *reterr)
{
    char *copy = wfi_alloc(len + 1);
    const struct wfi_json_piece piece = {.text = copy, .len = len};
    if (!copy || wfi_buffer_append(&members->pieces, &piece, sizeof piece)) {
        wfi_free(copy);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return 0;
}

static struct leaf *leaves_of(const struct group *g)
{
    return (struct leaf *)(void *)g->leaves.data;
}

static size_t count_of(const struct group *g)
{
    return g->leaves.len / sizeof(struct leaf);
}

/* [[id, parent], null or a list of such] */
static int find_leaves(struct group *g, const struct wf_json_value *node, unsigned depth)
{
    const struct wf_json_value *children = wf_json_at(node, 1);
    const struct leaf leaf = {.id = wfi_json_c_string(wf_json_at(wf_json_at(node, 0), 0))};
    int err = 0;
    if (depth > DEPTH_MAX)
        return wf_error_set(g->reterr, WF_ETOOBIG, "a saved group is nested too deep");
    if (!leaf.id)
        return wf_error_set(g->reterr, WF_EPARSE, "a saved group has a member without an id");
    if (wf_json_type(children) != WF_JSON_ARRAY)
        return wfi_buffer_append(&g->leaves, &leaf, sizeof leaf)
                   ? wf_error_set(g->reterr, -ENOMEM, NULL)
                   : 0;
    for (size_t i = 0; !err && i < wf_json_count(children); i++)
        err = find_leaves(g, wf_json_at(children, i), depth + 1);
    return err;
}

static bool is_final(const struct leaf *leaf)
{
    return leaf->read && wfi_state_is_final(leaf->in.result.state);
}

static bool are_final(const struct group *g)
{
    for (size_t i = 0; i < count_of(g); i++)
        if (!is_final(&leaves_of(g)[i]))
            return false;
    return true;
}

static int read_results(struct group *g, struct wfi_store *store)
{
    struct leaf *leaves = leaves_of(g);
    struct wfi_redis_answer answer = {0};
    const char **ids = wfi_alloc((count_of(g) + 1) * sizeof *ids);
    if (!ids)
        return wf_error_set(g->reterr, -ENOMEM, NULL);
    for (size_t i = 0; i < count_of(g); i++)
        ids[i] = leaves[i].id;
    int err = count_of(g) == 0
                  ? 0
                  : wfi_chord_read_results(store, ids, count_of(g), &answer, WF_FOREVER, g->reterr);
    const redisReply *metas = answer.count ? answer.replies[0] : NULL;
    for (size_t i = 0; !err && metas && i < metas->elements; i++) {
        const redisReply *meta = metas->element[i];
        if (meta->type != REDIS_REPLY_STRING || is_final(&leaves[i]))
            continue;
        wfi_result_in_reset(&leaves[i].in);
        err = wfi_result_read(meta->str, meta->len, &leaves[i].in, g->reterr);
        leaves[i].read = !err;
        if (err != -ENOMEM)
            err = 0;
    }
    wfi_redis_answer_fini(&answer);
    wfi_free(ids);
    return err;
}

/*
 * When Python's worker sends a group that ends a part of a chord, it sets the chord's size anew, to
 * that of the group: the chord is found to be complete too early, and what is missing comes soon.
 */
static int wait_for_results(struct group *g, struct wfi_store *store, wf_deadline deadline)
{
    int err = read_results(g, store);
    for (int64_t pause_ns = WF_MILLISECONDS(2); !err && !are_final(g);) {
        if (wf_remaining(deadline) == 0)
            break;
        if (wf_sleep(wf_earlier(deadline, wf_after(pause_ns))))
            return wf_error_set(g->reterr, -ECANCELED, NULL);
        pause_ns = pause_ns < WF_MILLISECONDS(100) ? pause_ns * 2 : pause_ns;
        err = read_results(g, store);
    }
    return err;
}

static bool has_succeeded(const struct leaf *leaf)
{
    return leaf->read && leaf->in.result.state == WFI_STATE_SUCCESS;
}

/* The values of a node, in its form. */
static void write_values(struct group *g, struct wf_json_writer *w,
                         const struct wf_json_value *node)
{
    const struct wf_json_value *children = wf_json_at(node, 1);
    if (wf_json_type(children) != WF_JSON_ARRAY) {
        wfi_json_write_piece(w, &leaves_of(g)[g->next++].in.result.result, "null");
        return;
    }
    wf_json_write_array(w);
    for (size_t i = 0; i < wf_json_count(children); i++)
        write_values(g, w, wf_json_at(children, i));
    wf_json_write_end(w);
}

static size_t count_leaves(const struct wf_json_value *node)
{
    const struct wf_json_value *children = wf_json_at(node, 1);
    size_t count = 0;
    if (wf_json_type(children) != WF_JSON_ARRAY)
        return 1;
    for (size_t i = 0; i < wf_json_count(children); i++)
        count += count_leaves(wf_json_at(children, i));
    return count;
}

static void write_member(struct group *g, struct wf_json_writer *w,
                         const struct wf_json_value *node)
{
    const size_t end = g->next + count_leaves(node);
    const struct leaf *failed = NULL;
    for (size_t i = g->next; i < end && !failed; i++)
        if (!has_succeeded(&leaves_of(g)[i]))
            failed = &leaves_of(g)[i];
    wf_json_write_array(w);
    wf_json_write_int(w, 1);
    if (!failed) {
        wf_json_write_value(w, wf_json_at(wf_json_at(node, 0), 0));
        wfi_json_write_text(w, wfi_state_name(WFI_STATE_SUCCESS));
        write_values(g, w, node);
    } else {
        wfi_json_write_text(w, failed->id);
        wfi_json_write_text(w, wfi_state_name(WFI_STATE_FAILURE));
        if (is_final(failed))
            wfi_json_write_piece(w, &failed->in.result.result, "null");
        else
            wfi_exception_write_text(w, "builtins", "TimeoutError", "The operation timed out.");
    }
    wf_json_write_end(w);
    g->next = end;
}

static int write_members(struct group *g, struct wfi_group_members *members,
                         const struct wf_json_value *children)
{
    struct wf_json_writer *w;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(g->reterr, err, NULL);
    for (size_t i = 0; !err && i < wf_json_count(children); i++) {
        const char *text;
        size_t len;
        wf_json_writer_clear(w);
        write_member(g, w, wf_json_at(children, i));
        err = wf_json_writer_text(w, &text, &len);
        if (err)
            wf_error_set(g->reterr, err, NULL);
        else
            err = wfi_group_add(members, text, len, g->reterr);
    }
    wf_json_writer_destroy(w);
    return err;
}

int wfi_group_read(struct wfi_group_members *members, struct wfi_store *store, const char *text,
                   size_t len, wf_deadline deadline, struct wf_error *reterr)
{
    struct group g = {.reterr = reterr};
    struct wf_json *tree = NULL;
    int err = wf_json_read(text, len, NULL, &tree, reterr);
    const struct wf_json_value *root = wf_json_get(err ? NULL : wf_json_root(tree), "result");
    const struct wf_json_value *children = wf_json_at(root, 1);
    if (!err && wf_json_type(children) != WF_JSON_ARRAY)
        err = wf_error_set(reterr, WF_EPARSE, "a saved group has no list of results");
    if (!err)
        err = find_leaves(&g, root, 0);
    if (!err)
        err = wait_for_results(&g, store, deadline);
    if (!err)
        err = write_members(&g, members, children);
    for (size_t i = 0; i < count_of(&g); i++)
        wfi_result_in_reset(&leaves_of(&g)[i].in);
    wfi_buffer_reset(&g.leaves);
    wf_json_destroy(tree);
    return err;
}
