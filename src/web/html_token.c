/* SPDX-License-Identifier: MIT */
/*
 * run() walks a piece of input and returns where it stopped: behind what it has dealt with, at the
 * first byte of a token whose end is not there yet. Everything below run() that reads a token gets
 * [p, end) and returns the byte behind the token, or NULL for "not whole"; nothing else of a half
 * token is remembered. With `final` there is no more to come and run() consumes all.
 */
#include "web/html_token.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "web/html_scan.h"
#include "web/html_text.h"

/* Text is handed over in pieces of at most this, which bounds the listener's buffers. */
enum { TEXT_PIECE = 16 * 1024 };

enum tag_state {
    BEFORE_NAME,
    SLASH, /* behind a '/': '>' here makes the tag self-closing */
    IN_NAME,
    AFTER_NAME,
    BEFORE_VALUE,
    DOUBLE_QUOTED,
    SINGLE_QUOTED,
    UNQUOTED,
    TAG_DONE,
};

enum { C_SPACE = 1, C_NAME_END = 2, C_VALUE_END = 4, C_TAG_END = 8 };

/* What ends a tag's name (C_TAG_END), an attribute's name and an unquoted value. */
static const uint8_t class[256] = {
    ['\t'] = C_SPACE | C_NAME_END | C_VALUE_END | C_TAG_END,
    ['\n'] = C_SPACE | C_NAME_END | C_VALUE_END | C_TAG_END,
    ['\f'] = C_SPACE | C_NAME_END | C_VALUE_END | C_TAG_END,
    ['\r'] = C_SPACE | C_NAME_END | C_VALUE_END | C_TAG_END,
    [' '] = C_SPACE | C_NAME_END | C_VALUE_END | C_TAG_END,
    ['/'] = C_NAME_END | C_TAG_END,
    ['>'] = C_NAME_END | C_VALUE_END | C_TAG_END,
    ['='] = C_NAME_END,
};

static inline bool is_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

/* ASCII letters in any case; `lower` is in lower case. */
static bool same_name(const uint8_t *p, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((is_letter(p[i]) ? p[i] | 0x20 : p[i]) != lower[i])
            return false;
    return true;
}

/* The name of a tag begins at p. Returns the byte behind it, NULL when its end is not in sight. */
static inline const uint8_t *read_tag_name(const uint8_t *p, const uint8_t *end,
                                           struct wfi_tag_name *ret_type)
{
#if WFI_SCAN
    if (wfi_likely(end - p >= 16)) {
        scan_block b = scan_load(p);
        scan_block ends = scan_or(scan_upto(b, ' '), scan_or(scan_is(b, '/'), scan_is(b, '>')));
        uint64_t mask = scan_mask(ends);
        size_t len = mask ? (size_t)__builtin_ctzll(mask) / SCAN_BITS : 16;
        if (wfi_likely(len <= 8 && class[p[len]] & C_TAG_END)) {
            uint64_t key;
            memcpy(&key, p, sizeof key);
            *ret_type = wfi_tag_short_name(key & ~(uint64_t)0 >> (64 - 8 * len), len);
            return p + len;
        }
    }
#endif
    const uint8_t *stop = p;
    while (stop < end && !(class[*stop] & C_TAG_END))
        stop++;
    *ret_type = wfi_tag_name(p, (size_t)(stop - p));
    return stop == end ? NULL : stop;
}

/* The closing quote, or end. */
static inline const uint8_t *find_quote(const uint8_t *p, const uint8_t *end, uint8_t quote)
{
    return scan_byte(p, end, quote);
}

/*
 * Walks a tag from `state` at p to behind its '>', and with `record` notes the attributes in
 * t->attrs. *ret_state is TAG_DONE, or where the end of input found it; then the attribute it
 * stopped in is noted with what there is. *ret_slash: the tag ends in "/>".
 */
static inline __attribute__((always_inline)) const uint8_t *
walk_tag(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end, bool record,
         unsigned *state_inout, size_t *ret_count, bool *ret_slash, bool *ret_full)
{
    size_t count = 0;
    struct wfi_html_attr ignored, *attr = &ignored;
    unsigned state = *state_inout;
    *ret_slash = false;
    switch (state) {
    case SLASH:
        goto slash;
    case IN_NAME:
        goto in_name;
    case AFTER_NAME:
        goto after_name;
    case BEFORE_VALUE:
        goto before_value;
    case DOUBLE_QUOTED:
    case SINGLE_QUOTED:
        goto quoted;
    case UNQUOTED:
        goto unquoted;
    default:
        goto before_name;
    }
slash:
    state = SLASH;
    if (p == end)
        goto out;
    if (*p == '>') {
        *ret_slash = true;
        goto done;
    }
before_name:
    state = BEFORE_NAME;
    while (p < end && class[*p] & C_SPACE)
        p++;
    if (p == end)
        goto out;
    if (*p == '>')
        goto done;
    if (*p == '/') {
        p++;
        goto slash;
    }
    if (record) {
        if (count < WFI_HTML_ATTRS_MAX) {
            attr = &t->attrs[count++];
        } else {
            attr = &ignored;
            *ret_full = true;
        }
        attr->name = p;
        attr->name_len = attr->value_len = 0;
    }
    p++; /* even '=' is a name's first byte */
in_name:
    state = IN_NAME;
    while (p < end && !(class[*p] & C_NAME_END))
        p++;
    if (record) {
        attr->name_len = (size_t)(p - attr->name);
        attr->value = p;
    }
    if (p == end)
        goto out;
    if (wfi_likely(*p == '=')) {
        p++;
        goto before_value;
    }
after_name:
    state = AFTER_NAME;
    while (p < end && class[*p] & C_SPACE)
        p++;
    if (p == end)
        goto out;
    if (*p != '=')
        goto before_name;
    p++;
before_value:
    state = BEFORE_VALUE;
    while (p < end && class[*p] & C_SPACE)
        p++;
    if (record)
        attr->value = p;
    if (p == end)
        goto out;
    if (wfi_likely(*p == '"' || *p == '\'')) {
        state = *p == '"' ? DOUBLE_QUOTED : SINGLE_QUOTED;
        p++;
        if (record)
            attr->value = p;
    quoted:
        p = find_quote(p, end, state == DOUBLE_QUOTED ? '"' : '\'');
        if (record)
            attr->value_len = (size_t)(p - attr->value);
        if (p == end)
            goto out;
        p++;
        if (wfi_likely(p < end && *p == '>'))
            goto done;
        goto before_name;
    }
    if (*p == '>')
        goto done;
unquoted:
    state = UNQUOTED;
    while (p < end && !(class[*p] & C_VALUE_END))
        p++;
    if (record)
        attr->value_len = (size_t)(p - attr->value);
    if (p == end)
        goto out;
    goto before_name;
done:
    state = TAG_DONE;
    p++;
out:
    *state_inout = state;
    *ret_count = count;
    return p;
}

static void fail(struct wfi_html_token *t, int err)
{
    if (!t->err)
        t->err = err;
}

static void tell_text(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                      unsigned flags, unsigned inside)
{
    while (p < end && !t->err && t->want_text) {
        size_t len = (size_t)(end - p);
        if (len > TEXT_PIECE)
            len = wfi_html_text_whole(p, TEXT_PIECE, flags);
        fail(t, t->on->text(t->arg, p, len, flags, inside));
        p += len;
    }
}

/*
 * Text from p up to `stop`, which is `end` when no tag is in sight: then what may go on is held
 * back, unless this is the end of all. Returns where the text told of ends.
 */
static const uint8_t *text_until(struct wfi_html_token *t, const uint8_t *p, const uint8_t *stop,
                                 const uint8_t *end, bool final, unsigned flags, unsigned inside)
{
    if (!t->want_text)
        return stop;
    if (stop == end && !final)
        stop = p + wfi_html_text_whole(p, (size_t)(stop - p), flags);
    tell_text(t, p, stop, flags, inside);
    return stop;
}

static inline bool too_long(const struct wfi_html_token *t, const uint8_t *p, const uint8_t *end)
{
    return (size_t)(end - p) >= t->token_bytes_max;
}

/* The state that follows a start tag. */
static void enter(struct wfi_html_token *t, unsigned id)
{
    unsigned flags = wfi_tag_flags[id];
    if (t->foreign || !(flags & (F_RAWTEXT | F_RCDATA) || id == WFI_TAG_PLAINTEXT))
        return;
    t->state = WFI_HTML_RAW;
    t->raw = (uint8_t)id;
    t->script = 0;
}

static inline bool is_foreign_root(unsigned id)
{
    return id == WFI_TAG_SVG || id == WFI_TAG_MATH;
}

/* A start tag at p ("<x") or an end tag ("</x"). */
static inline __attribute__((always_inline)) const uint8_t *
read_tag(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end, bool closing)
{
    struct wfi_html_tag tag;
    const uint8_t *limit = end, *name = p + (closing ? 2 : 1);
    bool limited = too_long(t, p, end);
    if (wfi_unlikely(limited))
        limit = p + t->token_bytes_max;
    const uint8_t *q = read_tag_name(name, limit, &tag.type);
    unsigned id = tag.type.id, want = t->want[id];
    const uint8_t *name_end = q ? q : limit;
    unsigned state = BEFORE_NAME;
    size_t count = 0;
    bool slash = false, full = false;
    if (wfi_unlikely(!q)) {
        if (!limited)
            return NULL;
        q = limit; /* a name that long is cut; what follows is taken for attributes */
        state = IN_NAME;
    } else if (wfi_likely(*q == '>')) {
        q++;
        state = TAG_DONE;
    } else if (!closing && want & WFI_WANT_ATTRS) {
        q = walk_tag(t, q, limit, true, &state, &count, &slash, &full);
    } else {
        q = walk_tag(t, q, limit, false, &state, &count, &slash, &full);
    }
    bool cut = state != TAG_DONE;
    if (wfi_unlikely(cut)) {
        if (!limited)
            return NULL;
        t->state = WFI_HTML_SKIP_TAG;
        t->skip = (uint8_t)state;
        t->skip_then_raw = closing ? WFI_TAG_OTHER : (uint8_t)id;
    }

    /* Such an element cannot be inside svg or math: these were left open. */
    if (wfi_unlikely(t->foreign && wfi_tag_flags[id] & F_BREAKOUT))
        t->foreign = 0;
    tag.foreign = t->foreign;
    if (wfi_unlikely(is_foreign_root(id))) {
        tag.foreign = true;
        if (closing)
            t->foreign -= t->foreign > 0;
        else
            t->foreign += !slash;
    }
    if (want & (closing ? WFI_WANT_END : WFI_WANT_START)) {
        tag.name = name;
        tag.name_len = (size_t)(name_end - name);
        tag.attrs = t->attrs;
        tag.attr_count = count;
        tag.self_closing = slash;
        tag.cut = cut || full;
        fail(t, (closing ? t->on->end : t->on->start)(t->arg, &tag));
    }
    if (!closing && !cut)
        enter(t, id);
    return q;
}

/* The '>' or so that ends a construct of which the first byte of content is at p; else NULL. */
static const uint8_t *comment_end(const uint8_t *p, const uint8_t *end, const uint8_t **ret_stop)
{
    /* "<!-->" and "<!--->" are whole comments. */
    if (p < end && *p == '>') {
        *ret_stop = p;
        return p + 1;
    }
    if (end - p > 1 && p[0] == '-' && p[1] == '>') {
        *ret_stop = p;
        return p + 2;
    }
    for (const uint8_t *q = p; (q = scan_byte(q, end, '>')) < end; q++) {
        if (q - p >= 2 && q[-1] == '-' && q[-2] == '-') {
            *ret_stop = q - 2;
            return q + 1;
        }
        if (q - p >= 3 && q[-1] == '!' && q[-2] == '-' && q[-3] == '-') {
            *ret_stop = q - 3;
            return q + 1;
        }
    }
    return NULL;
}

/* A comment; `text` is behind "<!--". */
static const uint8_t *read_comment(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                                   bool final)
{
    const uint8_t *text = p + 4, *limit = end, *stop;
    bool limited = t->want_comments && too_long(t, p, end);
    if (limited)
        limit = p + t->token_bytes_max;
    const uint8_t *behind = comment_end(text, limit, &stop);
    if (behind) {
        if (t->want_comments)
            fail(t, t->on->comment(t->arg, text, (size_t)(stop - text), false));
        return behind;
    }
    if (!limited && !final) {
        /* Nobody keeps an unwanted one: skip it as it comes, but for "<!-->" in the making. */
        if (t->want_comments || end - text < 2)
            return NULL;
        t->state = WFI_HTML_SKIP_COMMENT;
        return text;
    }
    /* "<!-- x --" at the end of input ends without its dashes. */
    stop = limit;
    if (!limited && stop - text >= 2 && stop[-1] == '-' && stop[-2] == '-')
        stop -= 2;
    else if (!limited && stop - text >= 3 && stop[-1] == '!' && stop[-2] == '-' && stop[-3] == '-')
        stop -= 3;
    else if (!limited && stop - text >= 1 && stop[-1] == '-')
        stop -= 1;
    if (t->want_comments)
        fail(t, t->on->comment(t->arg, text, (size_t)(stop - text), limited));
    if (!limited)
        return end;
    t->state = WFI_HTML_SKIP_COMMENT;
    /* "--" may lie across the cut. */
    return limit - 3 < text ? text : limit - 3;
}

/* Up to the next '>': "<?x>", "</3>", "<!x>" as comments from `text`, or the doctype. */
static const uint8_t *read_bogus(struct wfi_html_token *t, const uint8_t *p, const uint8_t *text,
                                 const uint8_t *end, bool final, bool doctype)
{
    const uint8_t *limit = end;
    bool limited = too_long(t, p, end);
    if (limited)
        limit = p + t->token_bytes_max;
    const uint8_t *stop = scan_byte(text, limit, '>');
    bool whole = stop < limit || (final && !limited);
    if (!whole && !limited)
        return NULL;
    if (doctype ? t->on->doctype != NULL : t->want_comments)
        fail(t, (doctype ? t->on->doctype : t->on->comment)(t->arg, text, (size_t)(stop - text),
                                                            !whole));
    if (whole)
        return stop < end ? stop + 1 : end;
    t->state = WFI_HTML_SKIP_BOGUS;
    return stop;
}

/* "<!": a comment, doctype or CDATA section. */
static const uint8_t *read_declaration(struct wfi_html_token *t, const uint8_t *p,
                                       const uint8_t *end, bool final)
{
    static const char cdata[] = "[CDATA[";
    size_t have = (size_t)(end - p) - 2;
    const uint8_t *q = p + 2;
    if (have >= 2 && q[0] == '-' && q[1] == '-')
        return read_comment(t, p, end, final);
    if (have >= 7 && same_name(q, "doctype", 7))
        return read_bogus(t, p, q + 7, end, final, true);
    if (t->foreign && have >= 7 && memcmp(q, cdata, 7) == 0) {
        t->state = WFI_HTML_SKIP_CDATA;
        return q + 7;
    }
    if (!final) {
        bool dash = have < 2 && (have == 0 || q[0] == '-');
        bool doctype = have < 7 && same_name(q, "doctype", have);
        bool section = t->foreign && have < 7 && memcmp(q, cdata, have) == 0;
        if (dash || doctype || section)
            return NULL;
    }
    return read_bogus(t, p, q, end, final, false);
}

/* A '<' at p, in data. Returns p + 1 with *ret_text when it is text. */
static inline const uint8_t *read_markup(struct wfi_html_token *t, const uint8_t *p,
                                         const uint8_t *end, bool final, bool *ret_text)
{
    *ret_text = false;
    if (wfi_likely(end - p > 1)) {
        uint8_t c = p[1];
        if (is_letter(c))
            return read_tag(t, p, end, false);
        if (c == '/') {
            if (end - p > 2) {
                if (is_letter(p[2]))
                    return read_tag(t, p, end, true);
                if (p[2] == '>')
                    return p + 3;
                return read_bogus(t, p, p + 2, end, final, false);
            }
            if (!final)
                return NULL;
        } else if (c == '!') {
            return read_declaration(t, p, end, final);
        } else if (c == '?') {
            return read_bogus(t, p, p + 1, end, final, false);
        }
    } else if (!final) {
        return NULL;
    }
    *ret_text = true;
    return p + 1;
}

/* Returns where it stopped; the state may have changed. */
static const uint8_t *run_data(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                               bool final)
{
    const unsigned flags = WFI_TEXT_REFS;
    const uint8_t *from = p; /* text not told of yet */
    while (p < end) {
        const uint8_t *lt = scan_byte(p, end, '<');
        if (lt == end)
            return text_until(t, from, end, end, final, flags, WFI_TAG_OTHER);
        bool is_text;
        /* Told in any case, so that it goes before the tag; no reference reaches over a '<'. */
        if (t->want_text) {
            tell_text(t, from, lt, flags, WFI_TAG_OTHER);
            if (wfi_unlikely(t->err))
                return lt;
        }
        from = lt;
        const uint8_t *next = read_markup(t, lt, end, final, &is_text);
        if (wfi_unlikely(!next))
            return final ? end : lt; /* a tag that the end of input cuts off is nothing */
        p = next;
        if (wfi_unlikely(is_text))
            continue;
        from = p;
        if (wfi_unlikely(t->state != WFI_HTML_DATA || t->err))
            return p;
    }
    return text_until(t, from, end, end, final, flags, WFI_TAG_OTHER);
}

static const struct {
    const char *name;
    uint8_t len, id;
} raw_names[] = {
    {"script", 6, WFI_TAG_SCRIPT},
    {"style", 5, WFI_TAG_STYLE},
    {"title", 5, WFI_TAG_TITLE},
    {"textarea", 8, WFI_TAG_TEXTAREA},
    {"xmp", 3, WFI_TAG_XMP},
    {"iframe", 6, WFI_TAG_IFRAME},
    {"noembed", 7, WFI_TAG_NOEMBED},
    {"noframes", 8, WFI_TAG_NOFRAMES},
    {"plaintext", 9, WFI_TAG_PLAINTEXT},
};

/*
 * Is there, at p, `prefix` and then `name` and then a byte that ends a name? 1 yes, 0 no, -1 the
 * input ends before it is known.
 */
static int at_name(const uint8_t *p, const uint8_t *end, const char *prefix, const char *name,
                   size_t len)
{
    size_t prefix_len = strlen(prefix), have = (size_t)(end - p);
    if (memcmp(p, prefix, have < prefix_len ? have : prefix_len) != 0)
        return 0;
    if (have < prefix_len)
        return -1;
    have -= prefix_len;
    p += prefix_len;
    if (!same_name(p, name, have < len ? have : len))
        return 0;
    if (have <= len)
        return -1;
    return class[p[len]] & C_TAG_END ? 1 : 0;
}

/* Raw text up to the end tag of t->raw. */
static const uint8_t *run_raw(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                              bool final)
{
    unsigned id = t->raw, flags = wfi_tag_flags[id] & F_RCDATA ? WFI_TEXT_REFS : 0;
    const char *name = "";
    size_t len = 0;
    for (size_t i = 0; i < sizeof raw_names / sizeof *raw_names; i++) {
        if (raw_names[i].id == id) {
            name = raw_names[i].name;
            len = raw_names[i].len;
        }
    }
    const uint8_t *q = p;
    while (q < end) {
        if (id == WFI_TAG_PLAINTEXT) {
            q = end;
            break;
        }
        if (t->script) {
            /* Inside "<!--" of a script "-->" counts too. */
            while (q < end && *q != '<' && *q != '-')
                q++;
        } else {
            q = scan_byte(q, end, '<');
        }
        if (q == end)
            break;
        int found = 0, known = 1;
        if (*q == '-') {
            found = (size_t)(end - q) >= 3 ? memcmp(q, "-->", 3) == 0 : -1;
            if (found < 0 && memcmp(q, "-->", (size_t)(end - q)) != 0)
                found = 0;
            if (found > 0)
                t->script = 0;
            known = found >= 0;
        } else if (t->script == 2) {
            found = at_name(q, end, "</", name, len);
            if (found > 0)
                t->script = 1;
            known = found >= 0;
        } else {
            found = at_name(q, end, "</", name, len);
            if (found > 0) {
                tell_text(t, p, q, flags, id);
                t->state = WFI_HTML_DATA;
                return q;
            }
            known = found >= 0;
            if (id == WFI_TAG_SCRIPT && found == 0) {
                if (t->script == 0) {
                    size_t have = (size_t)(end - q);
                    bool dashes = memcmp(q, "<!--", have < 4 ? have : 4) == 0;
                    if (dashes && have < 4)
                        known = 0;
                    if (dashes && have >= 4) {
                        t->script = 1;
                        q++; /* the dashes may be those of "-->" too */
                    }
                } else {
                    found = at_name(q, end, "<", name, len);
                    if (found > 0)
                        t->script = 2;
                    known = found >= 0;
                }
            }
        }
        if (!known && !final) {
            tell_text(t, p, q, flags, id);
            return q;
        }
        q++;
    }
    return text_until(t, p, end, end, final, flags, id);
}

static const uint8_t *run_skip_comment(struct wfi_html_token *t, const uint8_t *p,
                                       const uint8_t *end, bool final)
{
    for (const uint8_t *q = p; (q = scan_byte(q, end, '>')) < end; q++) {
        bool dashes = q - p >= 2 && q[-1] == '-' && q[-2] == '-';
        bool bang = q - p >= 3 && q[-1] == '!' && q[-2] == '-' && q[-3] == '-';
        if (dashes || bang) {
            t->state = WFI_HTML_DATA;
            return q + 1;
        }
    }
    /* Three bytes may belong to the end. */
    return final || end - p < 3 ? (final ? end : p) : end - 3;
}

static const uint8_t *run_skip_tag(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end)
{
    size_t count;
    bool slash, full;
    unsigned state = t->skip;
    p = walk_tag(t, p, end, false, &state, &count, &slash, &full);
    t->skip = (uint8_t)state;
    if (state == TAG_DONE) {
        t->state = WFI_HTML_DATA;
        enter(t, t->skip_then_raw);
    }
    return p;
}

static const uint8_t *run_cdata(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                                bool final)
{
    for (const uint8_t *q = p; (q = scan_byte(q, end, ']')) < end; q++) {
        size_t have = (size_t)(end - q);
        if (memcmp(q, "]]>", have < 3 ? have : 3) != 0)
            continue;
        if (have < 3 && final)
            break;
        tell_text(t, p, q, 0, WFI_TAG_OTHER);
        if (have < 3)
            return q;
        t->state = WFI_HTML_DATA;
        return q + 3;
    }
    return text_until(t, p, end, end, final, 0, WFI_TAG_OTHER);
}

static const uint8_t *run(struct wfi_html_token *t, const uint8_t *p, const uint8_t *end,
                          bool final)
{
    while (p < end && !t->err) {
        const uint8_t *before = p;
        enum wfi_html_state state = t->state;
        switch (state) {
        case WFI_HTML_DATA:
            p = run_data(t, p, end, final);
            break;
        case WFI_HTML_RAW:
            p = run_raw(t, p, end, final);
            break;
        case WFI_HTML_SKIP_TAG:
            p = run_skip_tag(t, p, end);
            break;
        case WFI_HTML_SKIP_COMMENT:
            p = run_skip_comment(t, p, end, final);
            break;
        case WFI_HTML_SKIP_BOGUS:
            p = scan_byte(p, end, '>');
            if (p < end) {
                p++;
                t->state = WFI_HTML_DATA;
            }
            break;
        case WFI_HTML_SKIP_CDATA:
            p = run_cdata(t, p, end, final);
            break;
        }
        if (p == before && t->state == state)
            break; /* no further without more input */
        if (t->state == state && p < end && !t->err && state == WFI_HTML_DATA)
            break; /* a token whose end is not there yet */
    }
    return p;
}

int wfi_html_token_feed(struct wfi_html_token *t, const uint8_t *p, size_t len)
{
    if (len == 0)
        return t->err;
    const uint8_t *end = p + len;
    while (p < end && !t->err) {
        size_t had = t->carry.len;
        if (had == 0) {
            p = run(t, p, end, false);
            size_t left = (size_t)(end - p);
            if (t->err || left == 0)
                break;
            fail(t, wfi_buffer_append(&t->carry, p, left));
            t->tried = left;
            break;
        }
        /* Add as much as there was, or enough for any ordinary tag, and look again when doubled. */
        size_t more = t->tried > 512 ? t->tried : 512;
        more = (size_t)(end - p) < more ? (size_t)(end - p) : more;
        int err = wfi_buffer_append(&t->carry, p, more);
        if (err) {
            fail(t, err);
            break;
        }
        p += more;
        if (t->carry.len < 2 * t->tried)
            continue; /* short of that only when the input is used up */
        const uint8_t *data = (const uint8_t *)t->carry.data;
        size_t used = (size_t)(run(t, data, data + t->carry.len, false) - data);
        size_t left = t->carry.len - used;
        if (left <= more && p < end) {
            /* The rest lies in the caller's bytes: go on there. */
            p -= left;
            wfi_buffer_clear(&t->carry);
            continue;
        }
        wfi_buffer_consume(&t->carry, used);
        t->tried = left;
    }
    return t->err;
}

int wfi_html_token_finish(struct wfi_html_token *t)
{
    if (t->carry.len && !t->err) {
        const uint8_t *data = (const uint8_t *)t->carry.data, *end = data + t->carry.len;
        while (data < end && !t->err) {
            const uint8_t *next = run(t, data, end, true);
            wfi_debug_assert(next > data, "the end of input is consumed whole");
            if (next == data)
                break;
            data = next;
        }
        wfi_buffer_clear(&t->carry);
    }
    return t->err;
}

void wfi_html_token_reset(struct wfi_html_token *t)
{
    t->err = 0;
    t->state = WFI_HTML_DATA;
    t->raw = t->script = t->skip = t->skip_then_raw = 0;
    t->foreign = 0;
    t->tried = 0;
    if (t->carry.size > 64 * 1024)
        wfi_buffer_reset(&t->carry); /* one long token should not stay in memory */
    else
        wfi_buffer_clear(&t->carry);
}

void wfi_html_token_fini(struct wfi_html_token *t)
{
    wfi_buffer_reset(&t->carry);
}
