/* SPDX-License-Identifier: MIT */
/*
 * Which charset, and the way from it to UTF-8; the rules are in web/html_charset.h.
 */
#include "web/html_charset.h"

#include <iconv.h>
#include <string.h>

#include "web/entity.h"
#include "web/html_scan.h"

enum {
    SLICE = 1024,                           /* bytes converted at a time */
    SEQUENCE_MAX = 8,                       /* no charset of the list has a longer one */
    OUT = 12 * (SLICE + SEQUENCE_MAX) + 64, /* no byte gives more than three characters */
};

enum kind { UTF_8, WINDOWS_1252, BY_ICONV };

struct wfi_charset {
    const char *label;  /* as declared, in lower case */
    const char *name;   /* as iconv has it */
    uint8_t kind, unit; /* unit: bytes to leave out where iconv stops */
};

/* The labels in use, after the list that browsers share. */
static const struct wfi_charset charsets[] = {
    {"utf-8", "UTF-8", UTF_8, 1},
    {"utf8", "UTF-8", UTF_8, 1},
    {"unicode-1-1-utf-8", "UTF-8", UTF_8, 1},
    {"iso-8859-1", "windows-1252", WINDOWS_1252, 1},
    {"iso8859-1", "windows-1252", WINDOWS_1252, 1},
    {"iso_8859-1", "windows-1252", WINDOWS_1252, 1},
    {"latin1", "windows-1252", WINDOWS_1252, 1},
    {"latin-1", "windows-1252", WINDOWS_1252, 1},
    {"l1", "windows-1252", WINDOWS_1252, 1},
    {"ascii", "windows-1252", WINDOWS_1252, 1},
    {"us-ascii", "windows-1252", WINDOWS_1252, 1},
    {"windows-1252", "windows-1252", WINDOWS_1252, 1},
    {"cp1252", "windows-1252", WINDOWS_1252, 1},
    {"x-cp1252", "windows-1252", WINDOWS_1252, 1},
    {"gb2312", "GB18030", BY_ICONV, 1},
    {"gb_2312-80", "GB18030", BY_ICONV, 1},
    {"gbk", "GB18030", BY_ICONV, 1},
    {"x-gbk", "GB18030", BY_ICONV, 1},
    {"gb18030", "GB18030", BY_ICONV, 1},
    {"big5", "BIG5-HKSCS", BY_ICONV, 1},
    {"big5-hkscs", "BIG5-HKSCS", BY_ICONV, 1},
    {"x-x-big5", "BIG5-HKSCS", BY_ICONV, 1},
    {"shift_jis", "CP932", BY_ICONV, 1},
    {"shift-jis", "CP932", BY_ICONV, 1},
    {"sjis", "CP932", BY_ICONV, 1},
    {"x-sjis", "CP932", BY_ICONV, 1},
    {"windows-31j", "CP932", BY_ICONV, 1},
    {"euc-jp", "EUC-JP", BY_ICONV, 1},
    {"x-euc-jp", "EUC-JP", BY_ICONV, 1},
    {"iso-2022-jp", "ISO-2022-JP", BY_ICONV, 1},
    {"euc-kr", "CP949", BY_ICONV, 1},
    {"ks_c_5601-1987", "CP949", BY_ICONV, 1},
    {"korean", "CP949", BY_ICONV, 1},
    {"windows-949", "CP949", BY_ICONV, 1},
    {"iso-8859-2", "ISO-8859-2", BY_ICONV, 1},
    {"iso-8859-3", "ISO-8859-3", BY_ICONV, 1},
    {"iso-8859-4", "ISO-8859-4", BY_ICONV, 1},
    {"iso-8859-5", "ISO-8859-5", BY_ICONV, 1},
    {"iso-8859-6", "ISO-8859-6", BY_ICONV, 1},
    {"iso-8859-7", "ISO-8859-7", BY_ICONV, 1},
    {"iso-8859-8", "ISO-8859-8", BY_ICONV, 1},
    {"iso-8859-8-i", "ISO-8859-8", BY_ICONV, 1},
    {"iso-8859-9", "CP1254", BY_ICONV, 1},
    {"latin5", "CP1254", BY_ICONV, 1},
    {"iso-8859-10", "ISO-8859-10", BY_ICONV, 1},
    {"iso-8859-11", "CP874", BY_ICONV, 1},
    {"tis-620", "CP874", BY_ICONV, 1},
    {"windows-874", "CP874", BY_ICONV, 1},
    {"iso-8859-13", "ISO-8859-13", BY_ICONV, 1},
    {"iso-8859-14", "ISO-8859-14", BY_ICONV, 1},
    {"iso-8859-15", "ISO-8859-15", BY_ICONV, 1},
    {"iso-8859-16", "ISO-8859-16", BY_ICONV, 1},
    {"koi8-r", "KOI8-R", BY_ICONV, 1},
    {"koi8-u", "KOI8-U", BY_ICONV, 1},
    {"ibm866", "IBM866", BY_ICONV, 1},
    {"cp866", "IBM866", BY_ICONV, 1},
    {"macintosh", "MACINTOSH", BY_ICONV, 1},
    {"windows-1250", "CP1250", BY_ICONV, 1},
    {"windows-1251", "CP1251", BY_ICONV, 1},
    {"cp1251", "CP1251", BY_ICONV, 1},
    {"windows-1253", "CP1253", BY_ICONV, 1},
    {"windows-1254", "CP1254", BY_ICONV, 1},
    {"windows-1255", "CP1255", BY_ICONV, 1},
    {"windows-1256", "CP1256", BY_ICONV, 1},
    {"windows-1257", "CP1257", BY_ICONV, 1},
    {"windows-1258", "CP1258", BY_ICONV, 1},
    {"utf-16le", "UTF-16LE", BY_ICONV, 2},
    {"utf-16", "UTF-16LE", BY_ICONV, 2},
    {"utf-16be", "UTF-16BE", BY_ICONV, 2},
};

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* True when p begins with `word`, which is in lower case. */
static bool starts(const uint8_t *p, const uint8_t *end, const char *word)
{
    for (; *word; word++, p++)
        if (p == end || lower(*p) != (uint8_t)*word)
            return false;
    return true;
}

static const struct wfi_charset *find(const uint8_t *p, size_t len)
{
    while (len && is_space(*p)) {
        p++;
        len--;
    }
    while (len && is_space(p[len - 1]))
        len--;
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (strlen(charsets[i].label) == len && starts(p, p + len, charsets[i].label))
            return &charsets[i];
    return NULL;
}

/* The charset named in "text/html; charset=x", with or without quotes. */
static const struct wfi_charset *in_content_type(const uint8_t *p, const uint8_t *end)
{
    for (; p < end; p++) {
        if (!starts(p, end, "charset"))
            continue;
        const uint8_t *q = p + 7;
        while (q < end && is_space(*q))
            q++;
        if (q == end || *q != '=')
            continue;
        q++;
        while (q < end && is_space(*q))
            q++;
        uint8_t quote = q < end && (*q == '"' || *q == '\'') ? *q++ : 0;
        const uint8_t *from = q;
        while (q < end && (quote ? *q != quote : !is_space(*q) && *q != ';'))
            q++;
        return find(from, (size_t)(q - from));
    }
    return NULL;
}

struct slice {
    const uint8_t *p;
    size_t len;
};

/* One attribute of a tag whose name ended at p, as the scan of the first bytes reads them; NULL
 * when there is no further one. */
static const uint8_t *next_attr(const uint8_t *p, const uint8_t *end, struct slice *name,
                                struct slice *value)
{
    while (p < end && (is_space(*p) || *p == '/'))
        p++;
    if (p == end || *p == '>')
        return NULL;
    name->p = value->p = p;
    p++;
    while (p < end && !is_space(*p) && *p != '/' && *p != '>' && *p != '=')
        p++;
    name->len = (size_t)(p - name->p);
    value->len = 0;
    while (p < end && is_space(*p))
        p++;
    if (p == end || *p != '=')
        return p;
    p++;
    while (p < end && is_space(*p))
        p++;
    if (p == end)
        return NULL;
    uint8_t quote = *p == '"' || *p == '\'' ? *p++ : 0;
    value->p = p;
    while (p < end && (quote ? *p != quote : !is_space(*p) && *p != '>'))
        p++;
    if (p == end)
        return NULL; /* cut off: it may not be whole */
    value->len = (size_t)(p - value->p);
    return quote ? p + 1 : p;
}

static bool is_word(struct slice s, const char *word)
{
    return s.len == strlen(word) && starts(s.p, s.p + s.len, word);
}

/* The charset a <meta> among the first bytes declares. */
static const struct wfi_charset *in_meta(const uint8_t *p, const uint8_t *end)
{
    while ((p = scan_byte(p, end, '<')) < end) {
        if (starts(p, end, "<!--")) {
            p = memmem(p + 2, (size_t)(end - p) - 2, "-->", 3);
            if (!p)
                return NULL;
            continue;
        }
        const uint8_t *q = p + 1;
        bool meta = starts(p, end, "<meta") && end - p > 5 && (is_space(p[5]) || p[5] == '/');
        if (!meta && q < end && *q != '/' && (uint8_t)((*q | 0x20) - 'a') >= 26) {
            p++;
            continue;
        }
        while (q < end && !is_space(*q) && *q != '>')
            q++;
        const struct wfi_charset *by_charset = NULL, *by_content = NULL;
        bool content_type = false;
        struct slice name, value;
        for (; (p = next_attr(q, end, &name, &value)); q = p) {
            if (!meta)
                continue;
            if (is_word(name, "charset") && !by_charset)
                by_charset = find(value.p, value.len);
            else if (is_word(name, "content") && !by_content)
                by_content = in_content_type(value.p, value.p + value.len);
            else if (is_word(name, "http-equiv") && is_word(value, "content-type"))
                content_type = true;
        }
        const struct wfi_charset *found = by_charset     ? by_charset
                                          : content_type ? by_content
                                                         : NULL;
        if (found)
            return found->unit == 2 ? charsets : found; /* it was read as ASCII: not UTF-16 */
        p = q;
    }
    return NULL;
}

static int feed_1252(struct wfi_html_input *in, const uint8_t *p, size_t len)
{
    uint8_t out[3 * SLICE];
    while (len) {
        size_t n = len < SLICE ? len : SLICE, made = 0;
        for (size_t i = 0; i < n; i++) {
            if (p[i] < 0x80)
                out[made++] = p[i];
            else
                made +=
                    wfi_utf8_encode(p[i] < 0xa0 ? wfi_windows_1252[p[i] - 0x80] : p[i], out + made);
        }
        int err = wfi_html_token_feed(in->to, out, made);
        if (err)
            return err;
        p += n;
        len -= n;
    }
    return 0;
}

/*
 * iconv says why it stopped only in errno, which is not looked at here: its output has room for
 * anything, so it stopped at a sequence that is wrong, or not whole. The latter may be so only in
 * the last bytes, which wait for more.
 */
static int feed_iconv(struct wfi_html_input *in, const uint8_t *p, size_t len, bool final)
{
    uint8_t raw[SLICE + SEQUENCE_MAX];
    char out[OUT];
    while (len || (final && in->head_len)) {
        size_t n = len < SLICE ? len : SLICE, have = in->head_len + n;
        memcpy(raw, in->head, in->head_len);
        memcpy(raw + in->head_len, p, n);
        p += n;
        len -= n;
        char *from = (char *)raw, *to = out;
        size_t left = have, room = sizeof out;
        while (left) {
            iconv(in->iconv, &from, &left, &to, &room);
            if (!left || (left < SEQUENCE_MAX && !(final && !len)))
                break;
            size_t skip = in->charset->unit < left ? in->charset->unit : left;
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            room -= 3;
            from += skip;
            left -= skip;
        }
        in->head_len = left;
        memcpy(in->head, from, left);
        int err = wfi_html_token_feed(in->to, (uint8_t *)out, (size_t)(to - out));
        if (err)
            return err;
    }
    return 0;
}

static int convert(struct wfi_html_input *in, const uint8_t *p, size_t len, bool final)
{
    if (in->charset->kind == UTF_8)
        return wfi_html_token_feed(in->to, p, len);
    if (in->charset->kind == WINDOWS_1252)
        return feed_1252(in, p, len);
    return feed_iconv(in, p, len, final);
}

static bool open_iconv(struct wfi_html_input *in, const struct wfi_charset *charset)
{
    if (in->iconv && in->iconv_charset == charset) {
        iconv(in->iconv, NULL, NULL, NULL, NULL);
        return true;
    }
    if (in->iconv)
        iconv_close(in->iconv);
    in->iconv = NULL;
    iconv_t cd = iconv_open("UTF-8", charset->name);
    if (cd == (iconv_t)-1)
        return false;
    in->iconv = cd;
    in->iconv_charset = charset;
    return true;
}

/* Decides by the first bytes and hands them on. */
static int start(struct wfi_html_input *in, const uint8_t *p, size_t len, bool final)
{
    const struct wfi_charset *charset = NULL;
    size_t mark = 0;
    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        charset = charsets;
        mark = 3;
    } else if (len >= 2 && memcmp(p, "\xff\xfe", 2) == 0) {
        charset = find((const uint8_t *)"utf-16le", 8);
        mark = 2;
    } else if (len >= 2 && memcmp(p, "\xfe\xff", 2) == 0) {
        charset = find((const uint8_t *)"utf-16be", 8);
        mark = 2;
    }
    if (!charset)
        charset = in->declared;
    if (!charset)
        charset = in_meta(p, p + (len < WFI_HTML_HEAD_BYTES ? len : WFI_HTML_HEAD_BYTES));
    if (!charset || (charset->kind == BY_ICONV && !open_iconv(in, charset)))
        charset = charsets;
    in->charset = charset;
    in->head_len = 0;
    return convert(in, p + mark, len - mark, final);
}

int wfi_html_input_feed(struct wfi_html_input *in, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    if (len == 0)
        return in->to->err;
    if (in->charset)
        return convert(in, p, len, false);
    /* Of a declared charset only a byte order mark can make another. */
    const size_t need = in->declared ? 3 : WFI_HTML_HEAD_BYTES;
    if (in->head_len == 0 && len >= need)
        return start(in, p, len, false);
    size_t n = need - in->head_len;
    n = len < n ? len : n;
    memcpy(in->head + in->head_len, p, n);
    in->head_len += n;
    if (in->head_len < need)
        return in->to->err;
    uint8_t head[WFI_HTML_HEAD_BYTES]; /* in->head is used again for what iconv leaves */
    memcpy(head, in->head, need);
    int err = start(in, head, need, false);
    return err || n == len ? err : convert(in, p + n, len - n, false);
}

int wfi_html_input_finish(struct wfi_html_input *in)
{
    int err;
    if (!in->charset) {
        uint8_t head[WFI_HTML_HEAD_BYTES];
        size_t len = in->head_len;
        memcpy(head, in->head, len);
        err = start(in, head, len, true);
    } else {
        err = convert(in, (const uint8_t *)"", 0, true);
    }
    return err ? err : wfi_html_token_finish(in->to);
}

void wfi_html_input_reset(struct wfi_html_input *in, const char *content_type)
{
    const uint8_t *type = (const uint8_t *)content_type;
    in->declared = type ? in_content_type(type, type + strlen(content_type)) : NULL;
    in->charset = NULL;
    in->head_len = 0;
    wfi_html_token_reset(in->to);
}

const char *wfi_html_input_charset(const struct wfi_html_input *in)
{
    return in->charset ? in->charset->name : "UTF-8";
}

void wfi_html_input_fini(struct wfi_html_input *in)
{
    if (in->iconv)
        iconv_close(in->iconv);
    in->iconv = NULL;
}
