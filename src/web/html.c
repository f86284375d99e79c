/* SPDX-License-Identifier: MIT */
/*
 * The public tokenizer: raw tokens to events. Names and values of one event are decoded into one
 * buffer, by offsets first, since it moves as it grows.
 */
#include <weft/html.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "web/html_charset.h"
#include "web/html_text.h"
#include "web/html_token.h"

enum { DECODED_KEEP = 256 * 1024 }; /* a larger buffer is not kept for the next page */

struct wf_html {
    wf_html_event_fn on_event;
    void *arg;
    bool finished;
    struct wfi_buffer decoded;
    struct wf_html_attr attrs[WFI_HTML_ATTRS_MAX];
    struct wfi_html_input input;
    struct wfi_html_token token;
};

/* Appends a decoded text and a NUL; *ret_len is without it. */
static int decode(struct wf_html *html, const uint8_t *p, size_t len, unsigned flags,
                  size_t *ret_len)
{
    size_t at = html->decoded.len;
    int err = wfi_html_text(&html->decoded, p, len, flags);
    if (!err)
        err = wfi_buffer_append_byte(&html->decoded, '\0');
    if (!err)
        *ret_len = html->decoded.len - at - 1;
    return err;
}

static bool seen(const struct wf_html *html, size_t count, const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        const struct wf_html_attr *a = &html->attrs[i];
        if (a->name_len == len && memcmp(html->decoded.data + (size_t)a->name, name, len) == 0)
            return true;
    }
    return false;
}

static int tell_tag(struct wf_html *html, enum wf_html_event_kind kind,
                    const struct wfi_html_tag *tag)
{
    struct wf_html_event event = {.kind = kind, .cut = tag->cut};
    size_t count = 0;
    wfi_buffer_clear(&html->decoded);
    int err = decode(html, tag->name, tag->name_len, WFI_TEXT_LOWER, &event.name_len);
    for (size_t i = 0; kind == WF_HTML_START && !err && i < tag->attr_count; i++) {
        const struct wfi_html_attr *raw = &tag->attrs[i];
        struct wf_html_attr *a = &html->attrs[count];
        size_t at = html->decoded.len;
        err = decode(html, raw->name, raw->name_len, WFI_TEXT_LOWER, &a->name_len);
        if (err || seen(html, count, html->decoded.data + at, a->name_len)) {
            html->decoded.len = at;
            continue;
        }
        a->name = (const char *)at; /* an offset, until the buffer moves no more */
        a->value = (const char *)html->decoded.len;
        err =
            decode(html, raw->value, raw->value_len, WFI_TEXT_REFS | WFI_TEXT_ATTR, &a->value_len);
        count++;
    }
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        html->attrs[i].name = html->decoded.data + (size_t)html->attrs[i].name;
        html->attrs[i].value = html->decoded.data + (size_t)html->attrs[i].value;
    }
    event.name = html->decoded.data;
    event.self_closing = tag->self_closing;
    event.attrs = html->attrs;
    event.attr_count = count;
    return html->on_event(html->arg, &event);
}

static int on_start(void *arg, const struct wfi_html_tag *tag)
{
    return tell_tag(arg, WF_HTML_START, tag);
}

static int on_end(void *arg, const struct wfi_html_tag *tag)
{
    return tell_tag(arg, WF_HTML_END, tag);
}

static int tell_text(struct wf_html *html, enum wf_html_event_kind kind, const uint8_t *text,
                     size_t len, unsigned flags, bool cut)
{
    struct wf_html_event event = {.kind = kind, .cut = cut};
    wfi_buffer_clear(&html->decoded);
    int err = decode(html, text, len, flags, &event.text_len);
    event.text = html->decoded.data;
    return err ? err : html->on_event(html->arg, &event);
}

static int on_text(void *arg, const uint8_t *text, size_t len, unsigned flags, unsigned inside)
{
    (void)inside;
    return tell_text(arg, WF_HTML_TEXT, text, len, flags, false);
}

static int on_comment(void *arg, const uint8_t *text, size_t len, bool cut)
{
    return tell_text(arg, WF_HTML_COMMENT, text, len, 0, cut);
}

static int on_doctype(void *arg, const uint8_t *text, size_t len, bool cut)
{
    while (len && (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r')) {
        text++;
        len--;
    }
    return tell_text(arg, WF_HTML_DOCTYPE, text, len, 0, cut);
}

static const struct wfi_html_listener listener = {
    .start = on_start,
    .end = on_end,
    .text = on_text,
    .comment = on_comment,
    .doctype = on_doctype,
};

int wf_html_create(const struct wf_html_options *options, struct wf_html **ret_html,
                   struct wf_error *reterr)
{
    if (!options || !options->on_event)
        return wf_error_set(reterr, -EINVAL, "html: on_event is missing");
    struct wf_html *html = wfi_zalloc(sizeof *html);
    if (!html)
        return wf_error_set(reterr, -ENOMEM, NULL);
    html->on_event = options->on_event;
    html->arg = options->arg;
    size_t max = options->token_bytes_max ? options->token_bytes_max : WFI_HTML_TOKEN_BYTES;
    html->token.token_bytes_max = max < WFI_HTML_TOKEN_BYTES_MIN ? WFI_HTML_TOKEN_BYTES_MIN : max;
    html->token.on = &listener;
    html->token.arg = html;
    html->token.want_text = !options->no_text;
    html->token.want_comments = !options->no_comments;
    memset(html->token.want, WFI_WANT_START | WFI_WANT_ATTRS | WFI_WANT_END,
           sizeof html->token.want);
    html->input.to = &html->token;
    wfi_html_input_reset(&html->input, options->content_type);
    *ret_html = html;
    return 0;
}

int wf_html_feed(struct wf_html *html, const void *bytes, size_t len)
{
    if (html->finished)
        return html->token.err ? html->token.err : WF_ESTATE;
    return wfi_html_input_feed(&html->input, bytes, len);
}

int wf_html_finish(struct wf_html *html)
{
    if (html->finished || html->token.err)
        return html->token.err ? html->token.err : WF_ESTATE;
    html->finished = true;
    return wfi_html_input_finish(&html->input);
}

void wf_html_reset(struct wf_html *html, const char *content_type)
{
    html->finished = false;
    if (html->decoded.size > DECODED_KEEP)
        wfi_buffer_reset(&html->decoded);
    wfi_html_input_reset(&html->input, content_type);
}

const char *wf_html_charset(const struct wf_html *html)
{
    return wfi_html_input_charset(&html->input);
}

void wf_html_destroy(struct wf_html *html)
{
    if (!html)
        return;
    wfi_html_input_fini(&html->input);
    wfi_html_token_fini(&html->token);
    wfi_buffer_reset(&html->decoded);
    wfi_free(html);
}
