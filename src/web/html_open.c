/* SPDX-License-Identifier: MIT */
/*
 * The rules of web/html_open.h, an element at a time. Each walk goes down the path once and the
 * path is bounded, so none of them can be made slow.
 */
#include "web/html_open.h"

#include <string.h>

#include "base/assert.h"

static uint32_t *other_count(struct wfi_open *o, const struct wfi_tag_name *type)
{
    return &o->other[((type->key ^ type->tail) * 0x9e3779b97f4a7c15u) >> 58];
}

static void count(struct wfi_open *o, const struct wfi_open_element *e, uint32_t change)
{
    if (e->foreign)
        return; /* found by their own walk */
    o->open[e->type.id] += change;
    if (e->type.id == WFI_TAG_OTHER)
        *other_count(o, &e->type) += change;
}

static void close_element(struct wfi_open *o, struct wfi_open_element *e)
{
    if (e->dead)
        return;
    e->dead = true;
    count(o, e, (uint32_t)-1);
    if (e->count)
        o->closed(o->arg, e);
}

/* Shortens the path to `depth`, and by what was dead already and has nothing left in it. */
static void pop_to(struct wfi_open *o, uint32_t depth)
{
    while (o->depth > depth || (o->depth && o->path[o->depth - 1].dead)) {
        close_element(o, &o->path[o->depth - 1]);
        o->depth--;
    }
}

static unsigned top_id(const struct wfi_open *o)
{
    if (!o->depth || o->path[o->depth - 1].foreign || o->path[o->depth - 1].dead)
        return WFI_TAG_OTHER;
    return o->path[o->depth - 1].type.id;
}

static bool is_in(unsigned id, unsigned a, unsigned b, unsigned c)
{
    return id == a || id == b || id == c;
}

/* What an end tag of `id` does not reach through. */
static bool stops(unsigned id, const struct wfi_open_element *e)
{
    unsigned at = e->type.id;
    switch (id) {
    case WFI_TAG_TABLE:
        return at == WFI_TAG_TEMPLATE || at == WFI_TAG_HTML;
    case WFI_TAG_TBODY:
    case WFI_TAG_THEAD:
    case WFI_TAG_TFOOT:
    case WFI_TAG_TR:
    case WFI_TAG_TD:
    case WFI_TAG_TH:
    case WFI_TAG_CAPTION:
    case WFI_TAG_COLGROUP:
        return is_in(at, WFI_TAG_TABLE, WFI_TAG_TEMPLATE, WFI_TAG_HTML);
    case WFI_TAG_LI:
        if (at == WFI_TAG_OL || at == WFI_TAG_UL)
            return true;
        break;
    case WFI_TAG_P:
        if (at == WFI_TAG_BUTTON)
            return true;
        break;
    default:
        break;
    }
    return wfi_tag_flags[at] & F_SCOPE;
}

/* The place of the innermost open `id` that an end tag reaches, or -1. */
static int find(struct wfi_open *o, unsigned id)
{
    if (!o->open[id])
        return -1;
    for (int i = (int)o->depth - 1; i >= 0; i--) {
        struct wfi_open_element *e = &o->path[i];
        if (e->foreign || e->dead)
            continue;
        if (e->type.id == id)
            return i;
        if (stops(id, e))
            break;
    }
    return -1;
}

static void end_reaching(struct wfi_open *o, unsigned id)
{
    int i = find(o, id);
    if (i >= 0)
        pop_to(o, (uint32_t)i);
}

/* The end of a formatting element: blocks opened inside it stay. */
static void end_format(struct wfi_open *o, unsigned id)
{
    int at = find(o, id);
    if (at < 0)
        return;
    bool blocks = false;
    for (uint32_t i = (uint32_t)at + 1; i < o->depth; i++)
        blocks |= !o->path[i].dead && wfi_tag_flags[o->path[i].type.id] & F_SPECIAL;
    if (blocks)
        close_element(o, &o->path[at]);
    else
        pop_to(o, (uint32_t)at);
}

/* Ends an open li, or dd or dt, that nothing but address, div and p stands in. */
static void end_item(struct wfi_open *o, unsigned a, unsigned b)
{
    if (!o->open[a] && !o->open[b])
        return;
    for (uint32_t i = o->depth; i-- > 0;) {
        struct wfi_open_element *e = &o->path[i];
        if (e->dead)
            continue;
        unsigned id = e->foreign ? WFI_TAG_OTHER : e->type.id;
        if (id == a || id == b) {
            pop_to(o, i);
            return;
        }
        if (wfi_tag_flags[id] & F_SPECIAL && !is_in(id, WFI_TAG_ADDRESS, WFI_TAG_DIV, WFI_TAG_P))
            return;
    }
}

/* The parts of tables, outermost first; a part ends all that stand in its own rank or deeper. */
static int table_rank(unsigned id)
{
    switch (id) {
    case WFI_TAG_TABLE:
        return 1;
    case WFI_TAG_TBODY:
    case WFI_TAG_THEAD:
    case WFI_TAG_TFOOT:
    case WFI_TAG_CAPTION:
    case WFI_TAG_COLGROUP:
        return 2;
    case WFI_TAG_TR:
    case WFI_TAG_COL:
        return 3;
    case WFI_TAG_TD:
    case WFI_TAG_TH:
        return 4;
    default:
        return 0;
    }
}

/* Goes back to the part of the table that the part `id` stands in. Outside tables parts are
 * ignored, but for templates, which may hold them; then this returns false. */
static bool clear_table(struct wfi_open *o, unsigned id)
{
    int rank = table_rank(id);
    if (find(o, WFI_TAG_TABLE) < 0)
        return o->open[WFI_TAG_TEMPLATE] > 0;
    for (uint32_t i = o->depth; i-- > 0;) {
        struct wfi_open_element *e = &o->path[i];
        int at = e->foreign || e->dead ? 0 : table_rank(e->type.id);
        bool holds = at && at < rank;
        /* A caption holds no rows, a colgroup only columns. */
        if (rank > 2 && (e->type.id == WFI_TAG_CAPTION ||
                         (e->type.id == WFI_TAG_COLGROUP && id != WFI_TAG_COL)))
            holds = false;
        if (holds) {
            pop_to(o, i + 1);
            return true;
        }
    }
    return true;
}

bool wfi_open_before(struct wfi_open *o, const struct wfi_html_tag *tag)
{
    unsigned id = tag->type.id, flags = wfi_tag_flags[id];
    if (tag->foreign && !(id == WFI_TAG_SVG || id == WFI_TAG_MATH))
        return true;
    if (!tag->foreign)
        while (o->depth && o->path[o->depth - 1].foreign)
            pop_to(o, o->depth - 1);
    if (flags & F_CLOSES_P && o->open[WFI_TAG_P])
        end_reaching(o, WFI_TAG_P);
    if (flags & F_HEADING && wfi_tag_flags[top_id(o)] & F_HEADING)
        pop_to(o, o->depth - 1);
    switch (id) {
    case WFI_TAG_HTML:
        return o->depth == 0;
    case WFI_TAG_HEAD:
        if (o->head_seen || o->body_seen)
            return false;
        o->head_seen = true;
        return true;
    case WFI_TAG_BODY:
    case WFI_TAG_FRAMESET:
        if (o->body_seen)
            return false;
        o->body_seen = true;
        if (o->depth)
            pop_to(o, 1);
        return true;
    case WFI_TAG_FORM:
        return !o->open[WFI_TAG_FORM] || o->open[WFI_TAG_TEMPLATE];
    case WFI_TAG_LI:
        end_item(o, WFI_TAG_LI, WFI_TAG_LI);
        break;
    case WFI_TAG_DD:
    case WFI_TAG_DT:
        end_item(o, WFI_TAG_DD, WFI_TAG_DT);
        break;
    case WFI_TAG_A:
    case WFI_TAG_NOBR:
        end_format(o, id);
        break;
    case WFI_TAG_BUTTON:
        end_reaching(o, WFI_TAG_BUTTON);
        break;
    case WFI_TAG_OPTGROUP:
        if (top_id(o) == WFI_TAG_OPTION)
            pop_to(o, o->depth - 1);
        if (top_id(o) == WFI_TAG_OPTGROUP)
            pop_to(o, o->depth - 1);
        break;
    case WFI_TAG_OPTION:
        if (top_id(o) == WFI_TAG_OPTION)
            pop_to(o, o->depth - 1);
        break;
    case WFI_TAG_RB:
    case WFI_TAG_RP:
    case WFI_TAG_RT:
    case WFI_TAG_RTC:
        if (is_in(top_id(o), WFI_TAG_RB, WFI_TAG_RP, WFI_TAG_RT))
            pop_to(o, o->depth - 1);
        break;
    case WFI_TAG_TABLE:
        break;
    default:
        return !table_rank(id) || clear_table(o, id);
    }
    return true;
}

unsigned wfi_open_missing(struct wfi_open *o, const struct wfi_html_tag *tag)
{
    unsigned id = tag->type.id;
    if (id == WFI_TAG_HTML)
        return WFI_TAG_OTHER;
    if (o->depth == 0)
        return WFI_TAG_HTML;
    if (!o->body_seen && id != WFI_TAG_HEAD && !o->open[WFI_TAG_TEMPLATE]) {
        if (!(wfi_tag_flags[id] & F_HEAD)) {
            pop_to(o, 1);
            o->body_seen = true;
            return WFI_TAG_BODY;
        }
        if (!o->head_seen) {
            o->head_seen = true;
            return WFI_TAG_HEAD;
        }
    }
    unsigned top = top_id(o);
    if ((id == WFI_TAG_TR || id == WFI_TAG_TD || id == WFI_TAG_TH) && top == WFI_TAG_TABLE)
        return WFI_TAG_TBODY;
    if ((id == WFI_TAG_TD || id == WFI_TAG_TH) &&
        is_in(top, WFI_TAG_TBODY, WFI_TAG_THEAD, WFI_TAG_TFOOT))
        return WFI_TAG_TR;
    return WFI_TAG_OTHER;
}

struct wfi_open_element *wfi_open_push(struct wfi_open *o, struct wfi_tag_name type, bool foreign)
{
    if (o->depth == WFI_OPEN_MAX)
        pop_to(o, WFI_OPEN_MAX - 1);
    struct wfi_open_element *e = &o->path[o->depth++];
    *e = (struct wfi_open_element){.type = type, .foreign = foreign};
    count(o, e, 1);
    return e;
}

/* Any other end tag: it does not reach out of a block. */
static void end_ordinary(struct wfi_open *o, const struct wfi_tag_name *type)
{
    if (type->id == WFI_TAG_OTHER ? !*other_count(o, type) : !o->open[type->id])
        return;
    for (uint32_t i = o->depth; i-- > 0;) {
        struct wfi_open_element *e = &o->path[i];
        if (e->dead || e->foreign)
            continue;
        if (wfi_tag_same(&e->type, type)) {
            pop_to(o, i);
            return;
        }
        if (wfi_tag_flags[e->type.id] & F_SPECIAL)
            return;
    }
}

static void end_foreign(struct wfi_open *o, const struct wfi_tag_name *type)
{
    for (uint32_t i = o->depth; i-- > 0 && o->path[i].foreign;) {
        if (wfi_tag_same(&o->path[i].type, type)) {
            pop_to(o, i);
            return;
        }
    }
}

void wfi_open_end(struct wfi_open *o, const struct wfi_html_tag *tag)
{
    unsigned id = tag->type.id, flags = wfi_tag_flags[id];
    if (tag->foreign) {
        end_foreign(o, &tag->type);
        return;
    }
    while (o->depth && o->path[o->depth - 1].foreign)
        pop_to(o, o->depth - 1);
    if (id == WFI_TAG_HTML || id == WFI_TAG_BODY)
        return; /* what follows still counts as inside */
    if (id == WFI_TAG_HEAD) {
        if (!o->body_seen)
            end_reaching(o, id);
        return;
    }
    if (flags & F_HEADING) {
        /* Any heading's end tag ends whichever is open. */
        int at = -1;
        for (unsigned h = WFI_TAG_H1; h <= WFI_TAG_H6; h++) {
            int i = find(o, h);
            at = i > at ? i : at;
        }
        if (at >= 0)
            pop_to(o, (uint32_t)at);
        return;
    }
    if (flags & F_FORMAT)
        end_format(o, id);
    else if (flags & F_SPECIAL)
        end_reaching(o, id);
    else
        end_ordinary(o, &tag->type);
}

void wfi_open_reset(struct wfi_open *o)
{
    o->depth = 0;
    o->head_seen = o->body_seen = false;
    memset(o->open, 0, sizeof o->open);
    memset(o->other, 0, sizeof o->other);
}

void wfi_open_finish(struct wfi_open *o)
{
    pop_to(o, 0);
}
