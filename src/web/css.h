/* SPDX-License-Identifier: MIT */
/*
 * A compiled selector, and the matching of many selectors at once on a stream of start tags.
 *
 * A selector is a list of chains; a chain is compounds (`a.x[y]`), each to be found inside the one
 * before it, or directly inside. Each compound that has a follower owns a bit. An open element
 * carries two rows of bits: `self`, the compounds it matches with all that must stand around it,
 * and `inside`, the same of itself and everything it is in. So an element is tested with two looks
 * at its parent, however long the chain, and nothing ever looks back.
 */
#ifndef WFI_WEB_CSS_H
#define WFI_WEB_CSS_H

#include <weft/css.h>

#include "base/buffer.h"
#include "web/html_token.h"

enum wfi_css_test_kind {
    WFI_CSS_CLASS,
    WFI_CSS_ID,
    WFI_CSS_HAS,      /* [a] */
    WFI_CSS_IS,       /* [a=v] */
    WFI_CSS_WORD,     /* [a~=v] */
    WFI_CSS_DASH,     /* [a|=v] */
    WFI_CSS_PREFIX,   /* [a^=v] */
    WFI_CSS_SUFFIX,   /* [a$=v] */
    WFI_CSS_CONTAINS, /* [a*=v] */
};

/* Texts are offsets into wf_css.text, each followed by a NUL. */
struct wfi_css_test {
    enum wfi_css_test_kind kind;
    uint32_t name, name_len; /* the attribute, in lower case */
    uint32_t value, value_len;
};

struct wfi_css_compound {
    struct wfi_tag_name type;
    uint32_t test, test_count;
    bool any_type;
    bool first; /* of its chain */
    bool last;  /* of its chain: an element that matches it is selected */
    bool child; /* directly inside the one before */
};

struct wf_css {
    struct wfi_css_compound *compounds;
    uint32_t count;
    struct wfi_css_test *tests;
    uint32_t test_count;
    char *text;
    uint32_t attr; /* offset of the name behind '@'; 0 is none */
};

/* Selectors made ready to be matched together. */
struct wfi_css_place {
    const struct wf_css *css;
    const struct wfi_css_compound *compound;
    uint32_t field;  /* index of the selector */
    uint32_t before; /* bit of the compound before, unless the compound is the first */
    uint32_t bit;    /* its own bit, unless it is the last */
};

struct wfi_css_set {
    struct wfi_css_place *places;
    uint32_t count;
    uint32_t words; /* 64-bit words in a row of bits; 0 when no selector has a chain */
    /* Places to be tested for a tag: order[start[id]] to order[start[id + 1]]. */
    uint32_t start[WFI_TAG_COUNT + 1];
    uint16_t *order;
};

/* An element's two rows, `words` long each. */
struct wfi_css_bits {
    const uint64_t *self, *inside;
};

/* Returns 0, -ENOMEM, or -EINVAL for more than 65,535 compounds. */
int wfi_css_set_init(struct wfi_css_set *set, const struct wf_css *const *css, size_t count);
void wfi_css_set_fini(struct wfi_css_set *set);

/*
 * Tests a start tag. `parent` is the element it is in; its rows are not looked at when `set->words`
 * is 0, and are NULL for the outermost element. ret_self, zeroed by the caller, receives the tag's
 * own bits. `scratch` is used to decode values. Calls `selected` once for each chain that selects
 * it.
 *
 * Returns 0, -ENOMEM, or what `selected` returned.
 */
int wfi_css_match(const struct wfi_css_set *set, const struct wfi_html_tag *tag,
                  struct wfi_css_bits parent, uint64_t *ret_self, struct wfi_buffer *scratch,
                  int (*selected)(void *arg, uint32_t field), void *arg);

/* The first attribute of that name (in lower case), or NULL. */
static inline const struct wfi_html_attr *wfi_html_attr_find(const struct wfi_html_tag *tag,
                                                             const char *name, size_t len)
{
    for (size_t i = 0; i < tag->attr_count; i++) {
        const struct wfi_html_attr *a = &tag->attrs[i];
        if (a->name_len != len)
            continue;
        size_t k = 0;
        while (k < len && (a->name[k] >= 'A' && a->name[k] <= 'Z' ? a->name[k] | 0x20
                                                                  : a->name[k]) == (uint8_t)name[k])
            k++;
        if (k == len)
            return a;
    }
    return NULL;
}

#endif
