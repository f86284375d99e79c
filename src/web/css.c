/* SPDX-License-Identifier: MIT */
/*
 * From a selector's text to compounds. Parsing is one pass; the arrays are as large as the text
 * could need (a compound takes a byte, a test two), so that nothing has to grow.
 */
#include "web/css.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "web/entity.h"

struct parser {
    const char *begin, *p;
    struct wf_css *css;
    uint32_t text_len;
    const char *at; /* where it failed */
    const char *rule;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

static bool is_ident(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '_' || c == '\\' || (unsigned char)c >= 0x80;
}

static void skip_space(struct parser *ps)
{
    while (is_space(*ps->p))
        ps->p++;
}

static int fail_at(struct parser *ps, const char *at, const char *rule)
{
    ps->at = at;
    ps->rule = rule;
    return WF_EPARSE;
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

static void put(struct parser *ps, char c)
{
    ps->css->text[ps->text_len++] = c;
}

/* A backslash and what it takes; a code point is never longer than its digits. */
static int read_escape(struct parser *ps)
{
    const char *at = ps->p++;
    if (*ps->p == '\0' || *ps->p == '\n')
        return fail_at(ps, at, "a backslash needs a character behind it");
    if (hex_digit(*ps->p) > 15) {
        put(ps, *ps->p++);
        return 0;
    }
    uint32_t code = 0;
    for (int i = 0; i < 6 && hex_digit(*ps->p) < 16; i++)
        code = code * 16 + hex_digit(*ps->p++);
    if (is_space(*ps->p))
        ps->p++;
    uint8_t utf8[4];
    size_t len = wfi_utf8_encode(code ? code : 0xfffd, utf8);
    for (size_t i = 0; i < len; i++)
        put(ps, (char)utf8[i]);
    return 0;
}

/* A name, copied into css->text. */
static int read_ident(struct parser *ps, const char *missing, uint32_t *ret_at, uint32_t *ret_len,
                      bool fold)
{
    const char *from = ps->p;
    if (!is_ident(*from))
        return fail_at(ps, from, missing);
    if ((*from >= '0' && *from <= '9') || (*from == '-' && from[1] >= '0' && from[1] <= '9'))
        return fail_at(ps, from,
                       "a name cannot begin with a digit; write it as \\3 and the digit, "
                       "such as \\31 for 1");
    *ret_at = ps->text_len;
    while (is_ident(*ps->p)) {
        if (*ps->p == '\\') {
            int err = read_escape(ps);
            if (err)
                return err;
            continue;
        }
        char c = *ps->p++;
        put(ps, fold && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
    }
    *ret_len = ps->text_len - *ret_at;
    put(ps, '\0');
    return 0;
}

static int read_string(struct parser *ps, uint32_t *ret_at, uint32_t *ret_len)
{
    const char *open = ps->p++;
    *ret_at = ps->text_len;
    while (*ps->p != *open) {
        if (*ps->p == '\0')
            return fail_at(ps, open, "the quote is not closed");
        if (*ps->p == '\\') {
            int err = read_escape(ps);
            if (err)
                return err;
            continue;
        }
        put(ps, *ps->p++);
    }
    ps->p++;
    *ret_len = ps->text_len - *ret_at;
    put(ps, '\0');
    return 0;
}

static int read_attr(struct parser *ps, struct wfi_css_test *test)
{
    const char *open = ps->p++;
    skip_space(ps);
    int err = read_ident(ps, "an attribute's name is missing behind '['", &test->name,
                         &test->name_len, true);
    if (err)
        return err;
    skip_space(ps);
    test->kind = WFI_CSS_HAS;
    if (*ps->p == ']') {
        ps->p++;
        return 0;
    }
    static const char signs[] = "~|^$*";
    const char *sign = *ps->p ? strchr(signs, *ps->p) : NULL;
    if (sign && ps->p[1] == '=') {
        test->kind = (enum wfi_css_test_kind)(WFI_CSS_WORD + (sign - signs));
        ps->p += 2;
    } else if (*ps->p == '=') {
        test->kind = WFI_CSS_IS;
        ps->p++;
    } else if (*ps->p == '\0') {
        return fail_at(ps, open, "'[' is not closed by ']'");
    } else {
        return fail_at(ps, ps->p, "behind an attribute's name comes one of = ~= |= ^= $= *= or ]");
    }
    skip_space(ps);
    if (*ps->p == '"' || *ps->p == '\'')
        err = read_string(ps, &test->value, &test->value_len);
    else
        err = read_ident(ps, "an attribute's value is missing, or needs quotes", &test->value,
                         &test->value_len, false);
    if (err)
        return err;
    skip_space(ps);
    if (*ps->p == '\0')
        return fail_at(ps, open, "'[' is not closed by ']'");
    if (*ps->p != ']' && (*ps->p | 0x20) == 'i' && !is_ident(ps->p[1]))
        return fail_at(ps, ps->p, "matching values in any case (the flag i) is not supported");
    if (*ps->p != ']')
        return fail_at(ps, ps->p,
                       "behind an attribute's value comes ']'; a value with other than "
                       "letters, digits, '-' and '_' needs quotes");
    ps->p++;
    return 0;
}

/* What stands in the way of a compound, by its first character. */
static const char *why_not(char c)
{
    switch (c) {
    case '\0':
        return "a selector is missing";
    case ',':
        return "a selector is missing before ','";
    case '>':
        return "a selector is missing before '>'";
    case '@':
        return "a selector is missing before '@'";
    case ':':
        return "pseudo-classes and pseudo-elements (':') are not supported";
    case '+':
    case '~':
        return "sibling combinators ('+', '~') are not supported";
    case '|':
        return "namespaces ('|') are not supported";
    default:
        return "this cannot begin a selector";
    }
}

static int read_compound(struct parser *ps, struct wfi_css_compound *compound)
{
    struct wf_css *css = ps->css;
    const char *from = ps->p;
    int err = 0;
    compound->any_type = true;
    compound->test = css->test_count;
    if (*ps->p == '*') {
        ps->p++;
    } else if (is_ident(*ps->p)) {
        uint32_t at, len;
        err = read_ident(ps, "", &at, &len, true);
        if (err)
            return err;
        compound->any_type = false;
        compound->type = wfi_tag_name((const uint8_t *)css->text + at, len);
    }
    for (;; compound->test_count++) {
        struct wfi_css_test *test = &css->tests[css->test_count];
        if (*ps->p == '.') {
            ps->p++;
            test->kind = WFI_CSS_CLASS;
            err = read_ident(ps, "a class name is missing behind '.'", &test->value,
                             &test->value_len, false);
        } else if (*ps->p == '#') {
            ps->p++;
            test->kind = WFI_CSS_ID;
            err = read_ident(ps, "an id is missing behind '#'", &test->value, &test->value_len,
                             false);
        } else if (*ps->p == '[') {
            err = read_attr(ps, test);
        } else {
            break;
        }
        if (err)
            return err;
        css->test_count++;
    }
    if (ps->p == from)
        return fail_at(ps, from, why_not(*from));
    if (*ps->p == '*' || is_ident(*ps->p))
        return fail_at(ps, ps->p, "an element's name comes first, before '.', '#' and '['");
    return 0;
}

static int read_list(struct parser *ps)
{
    struct wf_css *css = ps->css;
    bool first = true, child = false;
    skip_space(ps);
    for (;;) {
        struct wfi_css_compound *c = &css->compounds[css->count];
        c->first = first;
        c->child = child;
        int err = read_compound(ps, c);
        if (err)
            return err;
        css->count++;
        const char *behind = ps->p;
        skip_space(ps);
        first = child = false;
        if (*ps->p == '>') {
            child = true;
            ps->p++;
            skip_space(ps);
            if (*ps->p == '\0')
                return fail_at(ps, ps->p, "a selector is missing behind '>'");
            continue;
        }
        c->last = *ps->p == ',' || *ps->p == '@' || *ps->p == '\0';
        if (*ps->p == ',') {
            first = true;
            ps->p++;
            skip_space(ps);
            if (*ps->p == '\0')
                return fail_at(ps, ps->p, "a selector is missing behind ','");
            continue;
        }
        if (c->last)
            break;
        if (ps->p == behind && !is_ident(*ps->p))
            return fail_at(ps, ps->p, why_not(*ps->p));
    }
    if (*ps->p == '\0')
        return 0;
    ps->p++;
    uint32_t len;
    int err = read_ident(ps, "an attribute's name is missing behind '@'", &css->attr, &len, true);
    if (err)
        return err;
    skip_space(ps);
    return *ps->p ? fail_at(ps, ps->p, "nothing may follow the attribute's name behind '@'") : 0;
}

int wf_css_compile(const char *text, struct wf_css **ret_css, size_t *reterr_at,
                   struct wf_error *reterr)
{
    size_t len = strlen(text);
    struct wf_css *css = wfi_zalloc(sizeof *css);
    if (!css)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err;
    if (len > UINT16_MAX) {
        if (reterr_at)
            *reterr_at = UINT16_MAX;
        err = wf_error_set(reterr, WF_EPARSE, "selector: longer than 65,535 bytes");
        goto fail;
    }
    css->compounds = wfi_zalloc((len + 1) * sizeof *css->compounds);
    css->tests = wfi_zalloc((len / 2 + 2) * sizeof *css->tests);
    css->text = wfi_zalloc(4 * len + 4); /* names, their NULs, and U+FFFD for two bytes */
    if (!css->compounds || !css->tests || !css->text) {
        err = wf_error_set(reterr, -ENOMEM, NULL);
        goto fail;
    }
    struct parser ps = {.begin = text, .p = text, .css = css};
    put(&ps, '\0'); /* offset 0 is nobody's */
    err = read_list(&ps);
    if (!err) {
        *ret_css = css;
        return 0;
    }
    if (reterr_at)
        *reterr_at = (size_t)(ps.at - text);
    wf_error_set(reterr, err, "selector: at byte %zu: %s", (size_t)(ps.at - text), ps.rule);
fail:
    wf_css_destroy(css);
    return err;
}

const char *wf_css_attr(const struct wf_css *css)
{
    return css->attr ? css->text + css->attr : NULL;
}

void wf_css_destroy(struct wf_css *css)
{
    if (!css)
        return;
    wfi_free(css->compounds);
    wfi_free(css->tests);
    wfi_free(css->text);
    wfi_free(css);
}
