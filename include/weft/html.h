/* SPDX-License-Identifier: MIT */
/*
 * HTML as a stream of events: bytes in, in any pieces; start tags, end tags, text, comments and
 * doctypes out, in UTF-8, by the rules of HTML's tokenizer. No tree is built and memory is bounded
 * whatever the page, so it fits inside a download callback.
 *
 *     static int print_link(void *arg, const struct wf_html_event *event) { ... return 0; }
 *
 *     struct wf_html *html;
 *     err = wf_html_create(&(struct wf_html_options){.on_event = print_link}, &html, &error);
 *     while (!err && (len = read_some(buf)) > 0)
 *         err = wf_html_feed(html, buf, len);
 *     if (!err)
 *         err = wf_html_finish(html);
 *     wf_html_destroy(html);
 *
 * The charset of a page is, first that there is: a byte order mark's; the one in `content_type`;
 * that of a <meta> that begins within the first 1,024 bytes; UTF-8. Bytes that are not of it become
 * U+FFFD. A charset that is not known here, or not to the system's iconv, counts as UTF-8. Until
 * the charset is decided, up to 1,024 bytes are held back.
 */
#ifndef WEFT_HTML_H
#define WEFT_HTML_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_html;

enum wf_html_event_kind {
    WF_HTML_START,   /* name, attrs, self_closing */
    WF_HTML_END,     /* name */
    WF_HTML_TEXT,    /* text; one text may come in several pieces */
    WF_HTML_COMMENT, /* text */
    WF_HTML_DOCTYPE, /* text: what stands between "<!doctype" and ">" */
};

/* Names are in lower case, references in values decoded; each is followed by a NUL. A value that is
 * missing is empty. */
struct wf_html_attr {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

struct wf_html_event {
    enum wf_html_event_kind kind;
    bool self_closing; /* the tag ends in "/>" */
    bool cut;          /* it was longer than token_bytes_max, or had more than 256 attributes */
    const char *name;
    size_t name_len;
    const char *text;
    size_t text_len;
    const struct wf_html_attr *attrs; /* of attributes given twice the first */
    size_t attr_count;
};

/*
 * Told of each event, in order. What `event` points to is valid until it returns. Returns 0 to go
 * on; any other number ends the parsing and is what wf_html_feed or wf_html_finish returns.
 */
typedef int (*wf_html_event_fn)(void *arg, const struct wf_html_event *event);

struct wf_html_options {
    wf_html_event_fn on_event; /* required */
    void *arg;                 /* its first argument */
    const char *content_type;  /* the header's value, such as "text/html; charset=gbk"; or NULL */
    size_t token_bytes_max;    /* longest tag or comment kept; 0 is 1 MiB, less than 128 is 128 */
    bool no_text, no_comments; /* leave these events out, which is faster */
};

/*
 * Makes a tokenizer, ready for the bytes of a page.
 *
 * options   read during the call only.
 * ret_html  receives the tokenizer, to be given to wf_html_destroy.
 *
 * Returns 0, or
 *   -EINVAL   no on_event
 *   -ENOMEM   out of memory
 * Context: any, never blocks.
 */
WF_API int wf_html_create(const struct wf_html_options *options, struct wf_html **ret_html,
                          struct wf_error *reterr);

/*
 * Takes the next `len` bytes of the page and tells of the events they complete.
 *
 * Returns 0, or
 *   -ENOMEM       out of memory
 *   WF_ESTATE     the page was finished
 *   what on_event returned, when not 0
 * After a failure it does nothing and returns the same until wf_html_reset.
 * Context: any, never blocks; one caller at a time.
 */
WF_API int wf_html_feed(struct wf_html *html, const void *bytes, size_t len);

/*
 * Says that the page is complete, and tells of what was held back. A tag that is not whole is
 * dropped.
 *
 * Returns what wf_html_feed does.
 * Context: any, never blocks; one caller at a time.
 */
WF_API int wf_html_finish(struct wf_html *html);

/*
 * Begins another page, keeping memory. `content_type` is as in the options.
 * Context: any, never blocks; one caller at a time, not from on_event.
 */
WF_API void wf_html_reset(struct wf_html *html, const char *content_type);

/*
 * The charset the page is read in, as "UTF-8" or "GB18030"; "UTF-8" as long as it is not decided.
 * The text is static.
 * Context: any, never blocks; one caller at a time.
 */
WF_API const char *wf_html_charset(const struct wf_html *html);

/*
 * Frees the tokenizer. NULL is allowed.
 * Context: any, never blocks; one caller at a time, not from on_event.
 */
WF_API void wf_html_destroy(struct wf_html *html);

WF_END_DECLS

#endif
