/* SPDX-License-Identifier: MIT */
/*
 * What a crawler wants of a page, taken out of it as it streams: the title, the links, and the
 * values of CSS selectors.
 *
 *     struct wf_css *posts;
 *     err = wf_css_compile("a.post-item-title@href", &posts, &at, &error);
 *
 *     const struct wf_css *const selectors[] = {posts};
 *     struct wf_extract_options options = {.selectors = selectors, .selector_count = 1};
 *     struct wf_extract *extract;
 *     err = wf_extract_create(&options, &extract, &error);
 *
 *     for (each page) {
 *         wf_extract_reset(extract, content_type);
 *         while (!err && (len = read_some(buf)) > 0)
 *             err = wf_extract_feed(extract, buf, len);
 *         if (!err)
 *             err = wf_extract_finish(extract);
 *         for (size_t i = 0; i < wf_extract_link_count(extract); i++)
 *             puts(wf_extract_link(extract, i, NULL));
 *     }
 *
 * Text is UTF-8, from whatever charset the page is in (see weft/html.h), references decoded.
 *
 * The title and an element's text: all text inside it, descendants' too, put together without
 * separators; then runs of space, tab, line feed, form feed and carriage return become one space,
 * and those at both ends go. Text inside script, style, iframe, noembed and noframes counts only
 * when such an element itself is selected. Values of attributes, links among them, are as written,
 * spaces too.
 *
 * Elements nest as HTML has it, as far as ancestors go: end tags that were left out are put in,
 * stray ones ignored, html, head, body, tbody and tr assumed. Nesting deeper than 512 is flattened.
 */
#ifndef WEFT_EXTRACT_H
#define WEFT_EXTRACT_H

#include <weft/api.h>
#include <weft/css.h>
#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_extract;

enum wf_extract_kind {
    WF_EXTRACT_TITLE, /* of the first title element, told at its end */
    WF_EXTRACT_BASE,  /* the first <base href> */
    WF_EXTRACT_LINK,  /* href of an a or area */
    WF_EXTRACT_VALUE, /* of the selector `field` */
};

struct wf_extract_item {
    enum wf_extract_kind kind;
    size_t field;     /* WF_EXTRACT_VALUE: index of the selector */
    const char *text; /* not followed by a NUL; valid until on_item returns */
    size_t len;
};

/*
 * Told of each item as soon as it is complete: text at the end of its element, so inner elements
 * before outer ones. Returns 0 to go on; any other number ends the parsing and is what
 * wf_extract_feed or wf_extract_finish returns.
 */
typedef int (*wf_extract_fn)(void *arg, const struct wf_extract_item *item);

struct wf_extract_options {
    const struct wf_css *const *selectors; /* must outlive the object; the array need not */
    size_t selector_count;
    bool no_links;          /* do not collect links */
    wf_extract_fn on_item;  /* when set, items are told and not kept */
    void *arg;              /* its first argument */
    size_t token_bytes_max; /* longest tag, and longest title, that is kept; 0 is 1 MiB */
};

/*
 * Makes an extractor, ready for a page of undeclared charset.
 *
 * options      read during the call only; NULL for the title and links alone.
 * ret_extract  receives the extractor, to be given to wf_extract_destroy.
 *
 * Returns 0, or
 *   -EINVAL   the selectors have more than 65,535 compounds together
 *   -ENOMEM   out of memory
 * Context: any, never blocks.
 */
WF_API int wf_extract_create(const struct wf_extract_options *options,
                             struct wf_extract **ret_extract, struct wf_error *reterr);

/*
 * Begins another page, forgetting the last one's items but keeping memory: pages like those before
 * need no allocation. `content_type` is the header's value, such as "text/html; charset=gbk", or
 * NULL.
 * Context: any, never blocks; one caller at a time, not from on_item.
 */
WF_API void wf_extract_reset(struct wf_extract *extract, const char *content_type);

/*
 * Takes the next `len` bytes of the page.
 *
 * Returns 0, or
 *   -ENOMEM      out of memory
 *   WF_ESTATE    the page was finished
 *   what on_item returned, when not 0
 * After a failure it does nothing and returns the same until wf_extract_reset.
 * Context: any, never blocks; one caller at a time.
 */
WF_API int wf_extract_feed(struct wf_extract *extract, const void *bytes, size_t len);

/*
 * Says that the page ends here, whole or not, which ends all elements.
 *
 * Returns what wf_extract_feed does.
 * Context: any, never blocks; one caller at a time.
 */
WF_API int wf_extract_finish(struct wf_extract *extract);

/*
 * The title, "" when there is none. It and the texts below are there after wf_extract_finish, and
 * without on_item, only; they are valid until the next reset. ret_len may be NULL; it leaves out
 * the NUL at the end.
 * Context: any, never blocks; one caller at a time.
 */
WF_API const char *wf_extract_title(const struct wf_extract *extract, size_t *ret_len);

/*
 * The href of the first <base> that has one, which links are relative to, or NULL.
 * Context: any, never blocks; one caller at a time.
 */
WF_API const char *wf_extract_base(const struct wf_extract *extract, size_t *ret_len);

/*
 * How many links were found, and the i-th of them, in the order of the page, as written; NULL for
 * an i there is not.
 * Context: any, never blocks; one caller at a time.
 */
WF_API size_t wf_extract_link_count(const struct wf_extract *extract);
WF_API const char *wf_extract_link(const struct wf_extract *extract, size_t i, size_t *ret_len);

/*
 * How many values selector `field` has, and the i-th of them, in the order in which their elements
 * begin; NULL for an i there is not. An element without the attribute asked for gives no value. A
 * value is not followed by a NUL, for it may be a part of another one's text: ret_len is required.
 * Context: any, never blocks; one caller at a time.
 */
WF_API size_t wf_extract_value_count(const struct wf_extract *extract, size_t field);
WF_API const char *wf_extract_value(const struct wf_extract *extract, size_t field, size_t i,
                                    size_t *ret_len);

/*
 * The charset the page is read in; as wf_html_charset.
 * Context: any, never blocks; one caller at a time.
 */
WF_API const char *wf_extract_charset(const struct wf_extract *extract);

/*
 * Frees the extractor; the selectors remain the caller's. NULL is allowed.
 * Context: any, never blocks; one caller at a time, not from on_item.
 */
WF_API void wf_extract_destroy(struct wf_extract *extract);

WF_END_DECLS

#endif
