/* SPDX-License-Identifier: MIT */
/*
 * CSS selectors, compiled for matching against a page as it streams (see weft/extract.h): no part
 * of a selector may need what comes after an element's start tag.
 *
 *     a   *   .class   #id   [attr]   [attr=value]   [attr~=word]   [attr|=lang]
 *     [attr^=start]   [attr$=end]   [attr*=part]        values bare or in ' or " quotes
 *     a.class[attr]      all of them on one element
 *     A B                B anywhere inside A
 *     A > B              B directly inside A
 *     A, B               either
 *
 * Element and attribute names match in any case, classes, ids and values only as written. A
 * backslash takes the next character as it is, or up to six hexadecimal digits as a code point.
 *
 * A selector may end in `@name`, as in `a.title@href`: then it stands for that attribute of the
 * elements it matches, instead of their text.
 */
#ifndef WEFT_CSS_H
#define WEFT_CSS_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

/* A compiled selector. It never changes, so any number of threads may use it at once. */
struct wf_css;

/*
 * Compiles a selector.
 *
 * text       UTF-8, read during the call only.
 * ret_css    receives the selector, to be given to wf_css_destroy.
 * reterr_at  receives, when the text does not parse, the byte in it that cannot stay, where a caret
 *            belongs; may be NULL.
 *
 * Returns 0, or
 *   WF_EPARSE   it is not a selector, or not one of those above; reterr says by which rule
 *   -ENOMEM     out of memory
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_css_compile(const char *text, struct wf_css **ret_css, size_t *reterr_at,
                          struct wf_error *reterr);

/*
 * The attribute named behind '@', in lower case, or NULL when the selector stands for text. It
 * lives as long as the selector.
 * Context: any, never blocks; any number of callers.
 */
WF_API const char *wf_css_attr(const struct wf_css *css);

/*
 * Frees a selector. NULL is allowed. Nothing that was made with it may be used afterwards.
 * Context: any, never blocks; one caller.
 */
WF_API void wf_css_destroy(struct wf_css *css);

WF_END_DECLS

#endif
