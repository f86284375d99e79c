/* SPDX-License-Identifier: MIT */
/*
 * The HTML elements whose names mean something to the tokenizer or to the tree of open elements,
 * and how a name is told.
 *
 * Any element, known or not, has an identity: `key`, the first eight bytes of its name in lower
 * case, and `tail`, the length and a hash of what follows the eighth byte. Two elements are of one
 * type when both are equal; nobody keeps names. Known elements have an id as well, for tables.
 *
 * The key of a known name is found by multiplying it into WFI_TAG_SLOTS slots without a collision;
 * a new row that collides does not compile (an initialiser given twice) and needs another factor.
 */
#ifndef WFI_WEB_HTML_TAGS_H
#define WFI_WEB_HTML_TAGS_H

#include <stddef.h>
#include <stdint.h>

enum {
    F_VOID = 1 << 0,    /* never has content */
    F_SPECIAL = 1 << 1, /* a block or structure: stray end tags of others do not reach through it */
    F_CLOSES_P = 1 << 2, /* its start tag ends an open p */
    F_FORMAT = 1 << 3,   /* b, i, a ...: its end tag leaves blocks inside it open */
    F_SCOPE = 1 << 4,    /* end tags do not reach out of it */
    F_BREAKOUT = 1 << 5, /* its start tag ends svg and math */
    F_HEAD = 1 << 6,     /* may stand in head */
    F_RAWTEXT = 1 << 7,  /* content is text without references */
    F_RCDATA = 1 << 8,   /* content is text with references */
    F_HEADING = 1 << 9,
    F_HIDDEN = 1 << 10, /* its text is not part of the text around it */
    F_RULES = 1 << 11,  /* its start tag does more than open it, p apart */
};

/* X(NAME, name, key of the name, flags) */
#define WFI_TAG_MAP(X, K) \
    /* clang-format off */                                                                         \
    X(A, "a", K('a', 0, 0, 0, 0, 0, 0, 0), F_FORMAT | F_RULES) \
    X(ADDRESS, "address", K('a', 'd', 'd', 'r', 'e', 's', 's', 0), F_SPECIAL | F_CLOSES_P) \
    X(APPLET, "applet", K('a', 'p', 'p', 'l', 'e', 't', 0, 0), F_SPECIAL | F_SCOPE) \
    X(AREA, "area", K('a', 'r', 'e', 'a', 0, 0, 0, 0), F_VOID | F_SPECIAL) \
    X(ARTICLE, "article", K('a', 'r', 't', 'i', 'c', 'l', 'e', 0), F_SPECIAL | F_CLOSES_P) \
    X(ASIDE, "aside", K('a', 's', 'i', 'd', 'e', 0, 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(B, "b", K('b', 0, 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(BASE, "base", K('b', 'a', 's', 'e', 0, 0, 0, 0), F_VOID | F_SPECIAL | F_HEAD) \
    X(BASEFONT, "basefont", K('b', 'a', 's', 'e', 'f', 'o', 'n', 't'), F_VOID | F_SPECIAL | F_HEAD) \
    X(BGSOUND, "bgsound", K('b', 'g', 's', 'o', 'u', 'n', 'd', 0), F_VOID | F_SPECIAL | F_HEAD) \
    X(BIG, "big", K('b', 'i', 'g', 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(BLOCKQUOTE, "blockquote", K('b', 'l', 'o', 'c', 'k', 'q', 'u', 'o'), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(BODY, "body", K('b', 'o', 'd', 'y', 0, 0, 0, 0), F_SPECIAL | F_BREAKOUT | F_RULES) \
    X(BR, "br", K('b', 'r', 0, 0, 0, 0, 0, 0), F_VOID | F_SPECIAL | F_BREAKOUT) \
    X(BUTTON, "button", K('b', 'u', 't', 't', 'o', 'n', 0, 0), F_SPECIAL | F_RULES) \
    X(CAPTION, "caption", K('c', 'a', 'p', 't', 'i', 'o', 'n', 0), F_SPECIAL | F_SCOPE | F_RULES) \
    X(CENTER, "center", K('c', 'e', 'n', 't', 'e', 'r', 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(CODE, "code", K('c', 'o', 'd', 'e', 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(COL, "col", K('c', 'o', 'l', 0, 0, 0, 0, 0), F_VOID | F_SPECIAL | F_RULES) \
    X(COLGROUP, "colgroup", K('c', 'o', 'l', 'g', 'r', 'o', 'u', 'p'), F_SPECIAL | F_RULES) \
    X(DD, "dd", K('d', 'd', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_RULES) \
    X(DETAILS, "details", K('d', 'e', 't', 'a', 'i', 'l', 's', 0), F_SPECIAL | F_CLOSES_P) \
    X(DIALOG, "dialog", K('d', 'i', 'a', 'l', 'o', 'g', 0, 0), F_CLOSES_P) \
    X(DIR, "dir", K('d', 'i', 'r', 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(DIV, "div", K('d', 'i', 'v', 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(DL, "dl", K('d', 'l', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(DT, "dt", K('d', 't', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_RULES) \
    X(EM, "em", K('e', 'm', 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(EMBED, "embed", K('e', 'm', 'b', 'e', 'd', 0, 0, 0), F_VOID | F_SPECIAL | F_BREAKOUT) \
    X(FIELDSET, "fieldset", K('f', 'i', 'e', 'l', 'd', 's', 'e', 't'), F_SPECIAL | F_CLOSES_P) \
    X(FIGCAPTION, "figcaption", K('f', 'i', 'g', 'c', 'a', 'p', 't', 'i'), F_SPECIAL | F_CLOSES_P) \
    X(FIGURE, "figure", K('f', 'i', 'g', 'u', 'r', 'e', 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(FONT, "font", K('f', 'o', 'n', 't', 0, 0, 0, 0), F_FORMAT) \
    X(FOOTER, "footer", K('f', 'o', 'o', 't', 'e', 'r', 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(FORM, "form", K('f', 'o', 'r', 'm', 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_RULES) \
    X(FRAME, "frame", K('f', 'r', 'a', 'm', 'e', 0, 0, 0), F_VOID | F_SPECIAL) \
    X(FRAMESET, "frameset", K('f', 'r', 'a', 'm', 'e', 's', 'e', 't'), F_SPECIAL | F_RULES) \
    X(H1, "h1", K('h', '1', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(H2, "h2", K('h', '2', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(H3, "h3", K('h', '3', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(H4, "h4", K('h', '4', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(H5, "h5", K('h', '5', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(H6, "h6", K('h', '6', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_HEADING | F_RULES) \
    X(HEAD, "head", K('h', 'e', 'a', 'd', 0, 0, 0, 0), F_SPECIAL | F_BREAKOUT | F_RULES) \
    X(HEADER, "header", K('h', 'e', 'a', 'd', 'e', 'r', 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(HGROUP, "hgroup", K('h', 'g', 'r', 'o', 'u', 'p', 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(HR, "hr", K('h', 'r', 0, 0, 0, 0, 0, 0), F_VOID | F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(HTML, "html", K('h', 't', 'm', 'l', 0, 0, 0, 0), F_SPECIAL | F_SCOPE | F_RULES) \
    X(I, "i", K('i', 0, 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(IFRAME, "iframe", K('i', 'f', 'r', 'a', 'm', 'e', 0, 0), F_SPECIAL | F_RAWTEXT | F_HIDDEN) \
    X(IMG, "img", K('i', 'm', 'g', 0, 0, 0, 0, 0), F_VOID | F_SPECIAL | F_BREAKOUT) \
    X(INPUT, "input", K('i', 'n', 'p', 'u', 't', 0, 0, 0), F_VOID | F_SPECIAL) \
    X(KEYGEN, "keygen", K('k', 'e', 'y', 'g', 'e', 'n', 0, 0), F_VOID | F_SPECIAL) \
    X(LI, "li", K('l', 'i', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT | F_RULES) \
    X(LINK, "link", K('l', 'i', 'n', 'k', 0, 0, 0, 0), F_VOID | F_SPECIAL | F_HEAD) \
    X(LISTING, "listing", K('l', 'i', 's', 't', 'i', 'n', 'g', 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(MAIN, "main", K('m', 'a', 'i', 'n', 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(MARQUEE, "marquee", K('m', 'a', 'r', 'q', 'u', 'e', 'e', 0), F_SPECIAL | F_SCOPE) \
    X(MATH, "math", K('m', 'a', 't', 'h', 0, 0, 0, 0), F_SCOPE | F_RULES) \
    X(MENU, "menu", K('m', 'e', 'n', 'u', 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(META, "meta", K('m', 'e', 't', 'a', 0, 0, 0, 0), F_VOID | F_SPECIAL | F_BREAKOUT | F_HEAD) \
    X(NAV, "nav", K('n', 'a', 'v', 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(NOBR, "nobr", K('n', 'o', 'b', 'r', 0, 0, 0, 0), F_FORMAT | F_BREAKOUT | F_RULES) \
    X(NOEMBED, "noembed", K('n', 'o', 'e', 'm', 'b', 'e', 'd', 0), F_SPECIAL | F_RAWTEXT | F_HIDDEN) \
    X(NOFRAMES, "noframes", K('n', 'o', 'f', 'r', 'a', 'm', 'e', 's'), F_SPECIAL | F_HEAD | F_RAWTEXT | F_HIDDEN) \
    X(NOSCRIPT, "noscript", K('n', 'o', 's', 'c', 'r', 'i', 'p', 't'), F_SPECIAL | F_HEAD) \
    X(OBJECT, "object", K('o', 'b', 'j', 'e', 'c', 't', 0, 0), F_SPECIAL | F_SCOPE) \
    X(OL, "ol", K('o', 'l', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(OPTGROUP, "optgroup", K('o', 'p', 't', 'g', 'r', 'o', 'u', 'p'), F_RULES) \
    X(OPTION, "option", K('o', 'p', 't', 'i', 'o', 'n', 0, 0), F_RULES) \
    X(P, "p", K('p', 0, 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(PARAM, "param", K('p', 'a', 'r', 'a', 'm', 0, 0, 0), F_VOID | F_SPECIAL) \
    X(PLAINTEXT, "plaintext", K('p', 'l', 'a', 'i', 'n', 't', 'e', 'x'), F_SPECIAL | F_CLOSES_P) \
    X(PRE, "pre", K('p', 'r', 'e', 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(RB, "rb", K('r', 'b', 0, 0, 0, 0, 0, 0), F_RULES) \
    X(RP, "rp", K('r', 'p', 0, 0, 0, 0, 0, 0), F_RULES) \
    X(RT, "rt", K('r', 't', 0, 0, 0, 0, 0, 0), F_RULES) \
    X(RTC, "rtc", K('r', 't', 'c', 0, 0, 0, 0, 0), F_RULES) \
    X(RUBY, "ruby", K('r', 'u', 'b', 'y', 0, 0, 0, 0), F_BREAKOUT) \
    X(S, "s", K('s', 0, 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(SCRIPT, "script", K('s', 'c', 'r', 'i', 'p', 't', 0, 0), F_SPECIAL | F_HEAD | F_RAWTEXT | F_HIDDEN) \
    X(SEARCH, "search", K('s', 'e', 'a', 'r', 'c', 'h', 0, 0), F_SPECIAL | F_CLOSES_P) \
    X(SECTION, "section", K('s', 'e', 'c', 't', 'i', 'o', 'n', 0), F_SPECIAL | F_CLOSES_P) \
    X(SELECT, "select", K('s', 'e', 'l', 'e', 'c', 't', 0, 0), F_SPECIAL) \
    X(SMALL, "small", K('s', 'm', 'a', 'l', 'l', 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(SOURCE, "source", K('s', 'o', 'u', 'r', 'c', 'e', 0, 0), F_VOID | F_SPECIAL) \
    X(SPAN, "span", K('s', 'p', 'a', 'n', 0, 0, 0, 0), F_BREAKOUT) \
    X(STRIKE, "strike", K('s', 't', 'r', 'i', 'k', 'e', 0, 0), F_FORMAT | F_BREAKOUT) \
    X(STRONG, "strong", K('s', 't', 'r', 'o', 'n', 'g', 0, 0), F_FORMAT | F_BREAKOUT) \
    X(STYLE, "style", K('s', 't', 'y', 'l', 'e', 0, 0, 0), F_SPECIAL | F_HEAD | F_RAWTEXT | F_HIDDEN) \
    X(SUB, "sub", K('s', 'u', 'b', 0, 0, 0, 0, 0), F_BREAKOUT) \
    X(SUMMARY, "summary", K('s', 'u', 'm', 'm', 'a', 'r', 'y', 0), F_SPECIAL | F_CLOSES_P) \
    X(SUP, "sup", K('s', 'u', 'p', 0, 0, 0, 0, 0), F_BREAKOUT) \
    X(SVG, "svg", K('s', 'v', 'g', 0, 0, 0, 0, 0), F_SCOPE | F_RULES) \
    X(TABLE, "table", K('t', 'a', 'b', 'l', 'e', 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_SCOPE | F_BREAKOUT) \
    X(TBODY, "tbody", K('t', 'b', 'o', 'd', 'y', 0, 0, 0), F_SPECIAL | F_RULES) \
    X(TD, "td", K('t', 'd', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_SCOPE | F_RULES) \
    X(TEMPLATE, "template", K('t', 'e', 'm', 'p', 'l', 'a', 't', 'e'), F_SPECIAL | F_SCOPE | F_HEAD) \
    X(TEXTAREA, "textarea", K('t', 'e', 'x', 't', 'a', 'r', 'e', 'a'), F_SPECIAL | F_RCDATA) \
    X(TFOOT, "tfoot", K('t', 'f', 'o', 'o', 't', 0, 0, 0), F_SPECIAL | F_RULES) \
    X(TH, "th", K('t', 'h', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_SCOPE | F_RULES) \
    X(THEAD, "thead", K('t', 'h', 'e', 'a', 'd', 0, 0, 0), F_SPECIAL | F_RULES) \
    X(TITLE, "title", K('t', 'i', 't', 'l', 'e', 0, 0, 0), F_SPECIAL | F_HEAD | F_RCDATA) \
    X(TR, "tr", K('t', 'r', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_RULES) \
    X(TRACK, "track", K('t', 'r', 'a', 'c', 'k', 0, 0, 0), F_VOID | F_SPECIAL) \
    X(TT, "tt", K('t', 't', 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(U, "u", K('u', 0, 0, 0, 0, 0, 0, 0), F_FORMAT | F_BREAKOUT) \
    X(UL, "ul", K('u', 'l', 0, 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_BREAKOUT) \
    X(VAR, "var", K('v', 'a', 'r', 0, 0, 0, 0, 0), F_BREAKOUT) \
    X(WBR, "wbr", K('w', 'b', 'r', 0, 0, 0, 0, 0), F_VOID | F_SPECIAL) \
    X(XMP, "xmp", K('x', 'm', 'p', 0, 0, 0, 0, 0), F_SPECIAL | F_CLOSES_P | F_RAWTEXT)
/* clang-format on */

enum wfi_tag_id {
    WFI_TAG_OTHER,
#define WFI_TAG_ENUM_(upper, lower, key, flags) WFI_TAG_##upper,
#define WFI_TAG_KEY_(...) 0
    WFI_TAG_MAP(WFI_TAG_ENUM_, WFI_TAG_KEY_)
#undef WFI_TAG_ENUM_
#undef WFI_TAG_KEY_
        WFI_TAG_COUNT
};

struct wfi_tag_name {
    uint64_t key;
    uint32_t tail;
    uint32_t id; /* enum wfi_tag_id */
};

enum { WFI_TAG_SLOTS = 512 };
#define WFI_TAG_SLOT(key) ((uint64_t)((uint64_t)(key)*0x2a4841bc71b1f92du) >> 55)

/* By id. */
extern const uint16_t wfi_tag_flags[WFI_TAG_COUNT];
extern const uint64_t wfi_tag_keys[WFI_TAG_COUNT];
/* By WFI_TAG_SLOT of a key: the only id that can have it. */
extern const uint8_t wfi_tag_slots[WFI_TAG_SLOTS];

/* The identity of a name that is longer than eight bytes, or of any name, in any case. */
struct wfi_tag_name wfi_tag_name(const uint8_t *name, size_t len);

/* The identity of a name of at most eight bytes whose bytes, any case, are `key`. */
static inline struct wfi_tag_name wfi_tag_short_name(uint64_t key, size_t len)
{
    key |= 0x2020202020202020u & (~(uint64_t)0 >> (64 - 8 * len));
    unsigned id = wfi_tag_slots[WFI_TAG_SLOT(key)];
    return (struct wfi_tag_name){key, (uint32_t)len, wfi_tag_keys[id] == key ? id : WFI_TAG_OTHER};
}

static inline _Bool wfi_tag_same(const struct wfi_tag_name *a, const struct wfi_tag_name *b)
{
    return a->key == b->key && a->tail == b->tail;
}

#endif
