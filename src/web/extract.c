/* SPDX-License-Identifier: MIT */
/*
 * The extractor. It asks the tokenizer for no more than its job needs, which is what makes it fast:
 * without selectors the tags of a, area, base and title; with selectors that are one compound each
 * and stand for attributes, their tags too; else, because it must know where elements begin and
 * end, all tags, on the path of open elements. Attributes only of elements that something tests;
 * text only while a title or a selected element is open.
 *
 * The text of selected elements is written once, collapsed, into a log (`text`), however many of
 * them are open; a value is a part of it, from where its element began to where it ended, trimmed.
 * Text of script and the like goes to a log of its own (`hidden`), which only their own values are
 * part of.
 */
#include <weft/extract.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "web/css.h"
#include "web/html_charset.h"
#include "web/html_open.h"
#include "web/html_text.h"
#include "web/html_token.h"

enum { KEEP = 1024 * 1024 }; /* a buffer that grew beyond is not kept for the next page */

struct span {
    struct wfi_buffer *in;
    size_t at, len;
};

/* A selected element that is open. */
struct capture {
    size_t field, slot; /* where the value goes */
    struct wfi_buffer *in;
    size_t at; /* where in it the text begins */
    bool live;
};

struct field {
    struct wfi_buffer values; /* of struct span */
    const char *attr;         /* or NULL: text */
    size_t attr_len;
    uint64_t seen; /* the element that selected it last */
};

enum title_state { NO_TITLE, IN_TITLE, TITLE_DONE };

struct wf_extract {
    wf_extract_fn on_item;
    void *arg;
    bool links, finished;
    bool path; /* the path of open elements is kept */
    enum title_state title_state;
    bool base_seen;
    struct wfi_buffer title, base;
    struct wfi_buffer link_spans, link_text;
    struct wfi_buffer text, hidden; /* the logs */
    struct wfi_buffer attr_text;    /* values of attributes */
    struct wfi_buffer scratch;
    struct wfi_buffer captures; /* of struct capture: those of open elements, outermost first */
    size_t live;                /* of these */
    size_t field_count;
    struct field *fields;
    uint64_t element; /* counts elements, for field.seen */
    struct wfi_css_set set;
    uint64_t *rows;                 /* per place on the path: self, inside */
    int err;                        /* of a callback that cannot return one */
    const struct wfi_html_tag *tag; /* the one being matched */
    struct wfi_open open;
    struct wfi_html_input input;
    struct wfi_html_token token;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

/* Appends text with its runs of spaces made one, also where it meets what is there already. */
static int append_collapsed(struct wfi_buffer *to, const uint8_t *p, size_t len)
{
    int err = wfi_buffer_reserve(to, len);
    if (err)
        return err;
    char *out = to->data + to->len;
    bool space = to->len == 0 || out[-1] == ' ';
    for (const uint8_t *end = p + len; p < end; p++) {
        if (wfi_likely(*p > ' ')) {
            *out++ = (char)*p;
            space = false;
        } else if (!is_space(*p)) {
            *out++ = (char)*p;
            space = false;
        } else if (!space) {
            *out++ = ' ';
            space = true;
        }
    }
    to->len = (size_t)(out - to->data);
    return 0;
}

static int tell(struct wf_extract *x, enum wf_extract_kind kind, size_t field, const char *text,
                size_t len)
{
    struct wf_extract_item item = {.kind = kind, .field = field, .text = text, .len = len};
    return x->on_item(x->arg, &item);
}

static void want_text(struct wf_extract *x)
{
    x->token.want_text = x->live > 0 || x->title_state == IN_TITLE;
}

/* Decodes an attribute's value to the end of `to`, with a NUL behind it. */
static int decode_value(struct wfi_buffer *to, const struct wfi_html_attr *attr, size_t *ret_at,
                        size_t *ret_len)
{
    size_t at = to->len;
    int err = wfi_html_text(to, attr->value, attr->value_len, WFI_TEXT_REFS | WFI_TEXT_ATTR);
    if (!err)
        err = wfi_buffer_append_byte(to, '\0');
    if (err)
        return err;
    *ret_at = at;
    *ret_len = to->len - at - 1;
    return 0;
}

/* Decodes and tells; or keeps the value in `to` and its place in `spans`. */
static int add_value(struct wf_extract *x, enum wf_extract_kind kind, size_t field,
                     const struct wfi_html_attr *attr, struct wfi_buffer *to,
                     struct wfi_buffer *spans)
{
    struct span span = {.in = to};
    if (x->on_item) {
        wfi_buffer_clear(&x->scratch);
        int err = decode_value(&x->scratch, attr, &span.at, &span.len);
        return err ? err : tell(x, kind, field, x->scratch.data, span.len);
    }
    int err = decode_value(to, attr, &span.at, &span.len);
    return err || !spans ? err : wfi_buffer_append(spans, &span, sizeof span);
}

/* Ends a capture: the value is what the log has since, without spaces at its ends. */
static int end_capture(struct wf_extract *x, struct capture *c)
{
    struct span span = {.in = c->in, .at = c->at, .len = c->in->len - c->at};
    const char *p = c->in->data ? c->in->data + c->at : "";
    if (span.len && p[0] == ' ') {
        span.at++;
        span.len--;
        p++;
    }
    if (span.len && p[span.len - 1] == ' ')
        span.len--;
    c->live = false;
    if (--x->live == 0)
        want_text(x);
    if (x->on_item)
        return tell(x, WF_EXTRACT_VALUE, c->field, p, span.len);
    memcpy(x->fields[c->field].values.data + c->slot * sizeof span, &span, sizeof span);
    return 0;
}

static void on_closed(void *arg, struct wfi_open_element *element)
{
    struct wf_extract *x = arg;
    if (!element->count)
        return;
    struct capture *captures = (struct capture *)(void *)x->captures.data;
    for (uint32_t i = 0; i < element->count; i++) {
        int err = x->err ? x->err : end_capture(x, &captures[element->first + i]);
        if (err)
            x->err = err;
    }
    size_t n = x->captures.len / sizeof *captures;
    while (n && !captures[n - 1].live)
        n--;
    x->captures.len = n * sizeof *captures;
    if (x->live == 0 && x->on_item) {
        wfi_buffer_clear(&x->text);
        wfi_buffer_clear(&x->hidden);
    }
}

static int on_selected(void *arg, uint32_t index)
{
    struct wf_extract *x = arg;
    struct field *field = &x->fields[index];
    const struct wfi_html_tag *tag = x->tag;
    if (field->seen == x->element)
        return 0;
    field->seen = x->element;
    if (field->attr) {
        const struct wfi_html_attr *attr = wfi_html_attr_find(tag, field->attr, field->attr_len);
        return attr ? add_value(x, WF_EXTRACT_VALUE, index, attr, &x->attr_text, &field->values)
                    : 0;
    }
    bool hidden = !tag->foreign && wfi_tag_flags[tag->type.id] & F_HIDDEN;
    struct capture c = {.field = index, .in = hidden ? &x->hidden : &x->text, .live = true};
    c.at = c.in->len;
    c.slot = field->values.len / sizeof(struct span);
    if (!x->on_item) {
        struct span none = {.in = c.in};
        int err = wfi_buffer_append(&field->values, &none, sizeof none);
        if (err)
            return err;
    }
    int err = wfi_buffer_append(&x->captures, &c, sizeof c);
    if (err)
        return err;
    x->live++;
    return 0;
}

/* Matches an element and, when it has content, puts it on the path. */
static int enter(struct wf_extract *x, const struct wfi_html_tag *tag)
{
    const uint32_t words = x->set.words;
    struct wfi_css_bits parent = {NULL, NULL};
    uint64_t *self = NULL;
    struct wfi_open_element *element = NULL;
    size_t first = x->captures.len / sizeof(struct capture);
    bool content = x->path && wfi_open_has_content(tag);
    if (content) {
        /* First, for at the path's full depth this ends an element, and captures with it. */
        element = wfi_open_push(&x->open, tag->type, tag->foreign);
        first = x->captures.len / sizeof(struct capture);
    }
    if (words) {
        size_t depth = x->open.depth - (content ? 1 : 0);
        self = x->rows + 2 * words * (content ? depth : WFI_OPEN_MAX);
        memset(self, 0, words * sizeof *self);
        if (depth) {
            parent.self = x->rows + 2 * words * (depth - 1);
            parent.inside = parent.self + words;
        }
    }
    x->element++;
    x->tag = tag;
    int err = x->set.start[tag->type.id] == x->set.start[tag->type.id + 1]
                  ? 0
                  : wfi_css_match(&x->set, tag, parent, self, &x->scratch, on_selected, x);
    size_t count = x->captures.len / sizeof(struct capture) - first;
    if (content) {
        for (uint32_t i = 0; i < words; i++)
            self[words + i] = self[i] | (parent.inside ? parent.inside[i] : 0);
        element->first = (uint32_t)first;
        element->count = (uint32_t)count;
        if (count)
            want_text(x);
    } else if (count && !err) {
        /* Nothing can be in it: its text is empty. */
        struct wfi_open_element nothing = {.first = (uint32_t)first, .count = (uint32_t)count};
        on_closed(x, &nothing);
    }
    return err ? err : x->err;
}

static int on_start(void *arg, const struct wfi_html_tag *tag)
{
    struct wf_extract *x = arg;
    unsigned id = tag->type.id;
    if ((id == WFI_TAG_A || id == WFI_TAG_AREA) && x->links) {
        const struct wfi_html_attr *href = wfi_html_attr_find(tag, "href", 4);
        int err = href ? add_value(x, WF_EXTRACT_LINK, 0, href, &x->link_text, &x->link_spans) : 0;
        if (err)
            return err;
    } else if (id == WFI_TAG_BASE && !x->base_seen) {
        const struct wfi_html_attr *href = wfi_html_attr_find(tag, "href", 4);
        x->base_seen = href != NULL;
        int err = href ? add_value(x, WF_EXTRACT_BASE, 0, href, &x->base, NULL) : 0;
        if (err)
            return err;
    } else if (id == WFI_TAG_TITLE && x->title_state == NO_TITLE && !tag->foreign) {
        x->title_state = IN_TITLE;
        want_text(x);
    }
    if (!x->path)
        return x->set.count ? enter(x, tag) : 0;
    if (!wfi_open_has_rules(&x->open, tag))
        return enter(x, tag);
    if (!wfi_open_before(&x->open, tag))
        return x->err;
    unsigned missing;
    while (!x->err && (missing = wfi_open_missing(&x->open, tag)) != WFI_TAG_OTHER) {
        struct wfi_tag_name type = {wfi_tag_keys[missing], 0, missing};
        type.tail = (uint32_t)strnlen((const char *)&type.key, sizeof type.key);
        struct wfi_html_tag assumed = {.type = type};
        int err = enter(x, &assumed);
        if (err)
            return err;
    }
    return x->err ? x->err : enter(x, tag);
}

static int end_title(struct wf_extract *x)
{
    x->title_state = TITLE_DONE;
    want_text(x);
    if (x->title.len && x->title.data[x->title.len - 1] == ' ')
        x->title.len--;
    if (x->on_item)
        return tell(x, WF_EXTRACT_TITLE, 0, x->title.len ? x->title.data : "", x->title.len);
    return wfi_buffer_text(&x->title) ? 0 : -ENOMEM;
}

static int on_end(void *arg, const struct wfi_html_tag *tag)
{
    struct wf_extract *x = arg;
    if (tag->type.id == WFI_TAG_TITLE && x->title_state == IN_TITLE) {
        int err = end_title(x);
        if (err)
            return err;
    }
    if (x->path)
        wfi_open_end(&x->open, tag);
    return x->err;
}

static int on_text(void *arg, const uint8_t *p, size_t len, unsigned flags, unsigned inside)
{
    struct wf_extract *x = arg;
    bool hidden = wfi_tag_flags[inside] & F_HIDDEN;
    if (hidden) {
        /* Wanted only if its own element is selected, and then that is the innermost. */
        const struct capture *captures = (const struct capture *)(const void *)x->captures.data;
        size_t n = x->captures.len / sizeof *captures;
        if (!n || captures[n - 1].in != &x->hidden)
            return 0;
    }
    if (!wfi_html_plain(p, len, flags)) {
        wfi_buffer_clear(&x->scratch);
        int err = wfi_html_text(&x->scratch, p, len, flags);
        if (err)
            return err;
        p = (const uint8_t *)x->scratch.data;
        len = x->scratch.len;
    }
    if (inside == WFI_TAG_TITLE && x->title_state == IN_TITLE &&
        x->title.len < x->token.token_bytes_max) {
        int err = append_collapsed(&x->title, p, len);
        if (err)
            return err;
        if (x->title.len > x->token.token_bytes_max) {
            size_t cut = x->token.token_bytes_max;
            while (((uint8_t)x->title.data[cut] & 0xc0) == 0x80)
                cut--;
            x->title.len = cut;
            err = end_title(x);
            if (err)
                return err;
        }
    }
    return x->live ? append_collapsed(hidden ? &x->hidden : &x->text, p, len) : 0;
}

static const struct wfi_html_listener listener = {
    .start = on_start,
    .end = on_end,
    .text = on_text,
};

/* Says to the tokenizer what is wanted of each element. */
static void set_wants(struct wf_extract *x)
{
    uint8_t *want = x->token.want;
    for (unsigned id = 0; id < WFI_TAG_COUNT; id++) {
        want[id] = x->path ? WFI_WANT_START | WFI_WANT_END : 0;
        for (uint32_t i = x->set.start[id]; i < x->set.start[id + 1]; i++) {
            const struct wfi_css_place *place = &x->set.places[x->set.order[i]];
            bool attrs = place->compound->test_count || (place->compound->last && place->css->attr);
            want[id] |= WFI_WANT_START | (attrs ? WFI_WANT_ATTRS : 0);
        }
    }
    if (x->links)
        want[WFI_TAG_A] |= WFI_WANT_START | WFI_WANT_ATTRS;
    if (x->links)
        want[WFI_TAG_AREA] |= WFI_WANT_START | WFI_WANT_ATTRS;
    want[WFI_TAG_BASE] |= WFI_WANT_START | WFI_WANT_ATTRS;
    want[WFI_TAG_TITLE] |= WFI_WANT_START | WFI_WANT_END;
}

int wf_extract_create(const struct wf_extract_options *options, struct wf_extract **ret_extract,
                      struct wf_error *reterr)
{
    static const struct wf_extract_options none;
    if (!options)
        options = &none;
    struct wf_extract *x = wfi_zalloc(sizeof *x);
    if (!x)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_css_set_init(&x->set, options->selectors, options->selector_count);
    if (err)
        goto fail;
    x->field_count = options->selector_count;
    x->fields = wfi_zalloc(x->field_count * sizeof *x->fields);
    if (x->set.words) /* one pair of rows more, for elements without content */
        x->rows = wfi_zalloc(2 * x->set.words * sizeof *x->rows * (WFI_OPEN_MAX + 1));
    if (!x->fields || (x->set.words && !x->rows)) {
        err = -ENOMEM;
        goto fail;
    }
    x->path = x->set.words > 0;
    for (size_t i = 0; i < x->field_count; i++) {
        x->fields[i].attr = wf_css_attr(options->selectors[i]);
        x->fields[i].attr_len = x->fields[i].attr ? strlen(x->fields[i].attr) : 0;
        x->path |= !x->fields[i].attr;
    }
    x->links = !options->no_links;
    x->on_item = options->on_item;
    x->arg = options->arg;
    x->open.closed = on_closed;
    x->open.arg = x;
    size_t max = options->token_bytes_max ? options->token_bytes_max : WFI_HTML_TOKEN_BYTES;
    x->token.token_bytes_max = max < WFI_HTML_TOKEN_BYTES_MIN ? WFI_HTML_TOKEN_BYTES_MIN : max;
    x->token.on = &listener;
    x->token.arg = x;
    set_wants(x);
    x->input.to = &x->token;
    wf_extract_reset(x, NULL);
    *ret_extract = x;
    return 0;
fail:
    wf_extract_destroy(x);
    return wf_error_set(reterr, err, err == -EINVAL ? "extract: the selectors are too long" : NULL);
}

static void empty(struct wfi_buffer *buffer)
{
    if (buffer->size > KEEP)
        wfi_buffer_reset(buffer);
    else
        wfi_buffer_clear(buffer);
}

/* All buffers but those of the fields. */
static void each_buffer(struct wf_extract *x, void (*apply)(struct wfi_buffer *buffer))
{
    struct wfi_buffer *const all[] = {&x->title,     &x->base,    &x->link_spans,
                                      &x->link_text, &x->text,    &x->hidden,
                                      &x->attr_text, &x->scratch, &x->captures};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        apply(all[i]);
    for (size_t i = 0; x->fields && i < x->field_count; i++)
        apply(&x->fields[i].values);
}

void wf_extract_reset(struct wf_extract *x, const char *content_type)
{
    each_buffer(x, empty);
    x->live = 0;
    x->err = 0;
    x->finished = false;
    x->base_seen = false;
    x->title_state = NO_TITLE;
    want_text(x);
    wfi_open_reset(&x->open);
    wfi_html_input_reset(&x->input, content_type);
}

int wf_extract_feed(struct wf_extract *x, const void *bytes, size_t len)
{
    if (x->finished)
        return x->token.err ? x->token.err : WF_ESTATE;
    return wfi_html_input_feed(&x->input, bytes, len);
}

int wf_extract_finish(struct wf_extract *x)
{
    if (x->finished || x->token.err)
        return x->token.err ? x->token.err : WF_ESTATE;
    x->finished = true;
    int err = wfi_html_input_finish(&x->input);
    if (!err && x->title_state == IN_TITLE)
        err = end_title(x);
    if (!err) {
        wfi_open_finish(&x->open);
        err = x->err;
    }
    if (err)
        x->token.err = err;
    return err;
}

static const char *text_of(const struct wfi_buffer *buffer, const struct span *span,
                           size_t *ret_len)
{
    if (ret_len)
        *ret_len = span->len;
    return span->len ? buffer->data + span->at : "";
}

const char *wf_extract_title(const struct wf_extract *x, size_t *ret_len)
{
    bool some = !x->on_item && x->title_state == TITLE_DONE && x->title.len;
    struct span span = {.len = some ? x->title.len : 0};
    return text_of(&x->title, &span, ret_len);
}

const char *wf_extract_base(const struct wf_extract *x, size_t *ret_len)
{
    if (!x->base.len)
        return NULL;
    struct span span = {.len = x->base.len - 1};
    return text_of(&x->base, &span, ret_len);
}

static const char *span_at(const struct wfi_buffer *spans, size_t i, size_t *ret_len)
{
    struct span span;
    if (i >= spans->len / sizeof span)
        return NULL;
    memcpy(&span, spans->data + i * sizeof span, sizeof span);
    return text_of(span.in, &span, ret_len);
}

size_t wf_extract_link_count(const struct wf_extract *x)
{
    return x->link_spans.len / sizeof(struct span);
}

const char *wf_extract_link(const struct wf_extract *x, size_t i, size_t *ret_len)
{
    return span_at(&x->link_spans, i, ret_len);
}

size_t wf_extract_value_count(const struct wf_extract *x, size_t field)
{
    return field < x->field_count ? x->fields[field].values.len / sizeof(struct span) : 0;
}

const char *wf_extract_value(const struct wf_extract *x, size_t field, size_t i, size_t *ret_len)
{
    return field < x->field_count ? span_at(&x->fields[field].values, i, ret_len) : NULL;
}

const char *wf_extract_charset(const struct wf_extract *x)
{
    return wfi_html_input_charset(&x->input);
}

void wf_extract_destroy(struct wf_extract *x)
{
    if (!x)
        return;
    each_buffer(x, wfi_buffer_reset);
    wfi_free(x->fields);
    wfi_free(x->rows);
    wfi_css_set_fini(&x->set);
    wfi_html_input_fini(&x->input);
    wfi_html_token_fini(&x->token);
    wfi_free(x);
}
