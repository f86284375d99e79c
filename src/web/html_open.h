/* SPDX-License-Identifier: MIT */
/*
 * The elements open at a point of a page: the path from <html> to where the stream stands. No tree
 * is built; this is what remains of HTML's rules for building one when only ancestors matter:
 *
 *   - elements that end by themselves (p, li, dt, dd, option, table parts, headings, a in a);
 *   - elements that are there without a tag (html, head, body, tbody, tr);
 *   - end tags that find nothing to end, or would reach out of a table cell, are ignored;
 *   - </b> before </p>: b ends, p stays open (its place is marked `dead`, nothing moves).
 *
 * Known departures: formatting elements are not opened again behind a block that ended them, nor
 * are blocks moved out of them; what stands between a table and its cells stays there; a select may
 * hold anything; html inside svg's foreignObject ends the svg.
 *
 * The path is at most WFI_OPEN_MAX deep: an element deeper than that takes the place of the
 * deepest, as browsers do it, so that a hostile page costs neither memory nor quadratic time.
 */
#ifndef WFI_WEB_HTML_OPEN_H
#define WFI_WEB_HTML_OPEN_H

#include "web/html_token.h"

enum { WFI_OPEN_MAX = 512, WFI_OPEN_BUCKETS = 64 };

struct wfi_open_element {
    struct wfi_tag_name type;
    bool foreign;          /* svg, math or in one */
    bool dead;             /* ended, but what is in it is not */
    uint32_t first, count; /* the owner's: its captures */
};

struct wfi_open {
    uint32_t depth;
    bool head_seen, body_seen;
    /* Told of each element that ends and has a count. */
    void (*closed)(void *arg, struct wfi_open_element *element);
    void *arg;
    uint32_t open[WFI_TAG_COUNT];     /* live elements by id, those of other names in [0] */
    uint32_t other[WFI_OPEN_BUCKETS]; /* live elements of other names, by hash */
    struct wfi_open_element path[WFI_OPEN_MAX];
};

void wfi_open_reset(struct wfi_open *o);

/* False for most tags of a page's body: they end nothing and lack nothing, and the next two need
 * not be called. */
static inline bool wfi_open_has_rules(const struct wfi_open *o, const struct wfi_html_tag *tag)
{
    const unsigned flags = wfi_tag_flags[tag->type.id];
    return !o->body_seen || !o->depth || tag->foreign || o->path[o->depth - 1].foreign ||
           flags & F_RULES || (flags & F_CLOSES_P && o->open[WFI_TAG_P]);
}

/* Ends what the start tag ends. Returns false when the tag itself is to be ignored. */
bool wfi_open_before(struct wfi_open *o, const struct wfi_html_tag *tag);

/* The element to be opened before `tag` because its tag was left out: an id, or WFI_TAG_OTHER. To
 * be asked until there is none, after wfi_open_before. */
unsigned wfi_open_missing(struct wfi_open *o, const struct wfi_html_tag *tag);

/* True when the element has content and must be pushed. */
static inline bool wfi_open_has_content(const struct wfi_html_tag *tag)
{
    return tag->foreign ? !tag->self_closing : !(wfi_tag_flags[tag->type.id] & F_VOID);
}

struct wfi_open_element *wfi_open_push(struct wfi_open *o, struct wfi_tag_name type, bool foreign);

void wfi_open_end(struct wfi_open *o, const struct wfi_html_tag *tag);

/* Ends all. */
void wfi_open_finish(struct wfi_open *o);

#endif
