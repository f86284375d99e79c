/* SPDX-License-Identifier: MIT */
/*
 * The matcher of web/css.h: what a compiled list of selectors says to an open tag.
 */
#include "web/css.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "web/html_text.h"

static bool has_bit(const uint64_t *row, uint32_t bit)
{
    return row && (row[bit / 64] >> bit % 64 & 1);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

/* Is `word` among the words of the text? An empty one is not. */
static bool has_word(const char *p, size_t len, const char *word, size_t word_len)
{
    if (!word_len || word_len > len)
        return false;
    const char *end = p + len;
    while (p < end) {
        while (p < end && is_space(*p))
            p++;
        const char *from = p;
        while (p < end && !is_space(*p))
            p++;
        if ((size_t)(p - from) == word_len && memcmp(from, word, word_len) == 0)
            return true;
    }
    return false;
}

static bool value_fits(const struct wfi_css_test *test, const char *p, size_t len, const char *v)
{
    size_t n = test->value_len;
    switch (test->kind) {
    case WFI_CSS_HAS:
        return true;
    case WFI_CSS_ID:
    case WFI_CSS_IS:
        return len == n && memcmp(p, v, n) == 0;
    case WFI_CSS_CLASS:
    case WFI_CSS_WORD:
        return has_word(p, len, v, n);
    case WFI_CSS_DASH:
        return len >= n && memcmp(p, v, n) == 0 && (len == n || p[n] == '-');
    case WFI_CSS_PREFIX:
        return n && len >= n && memcmp(p, v, n) == 0;
    case WFI_CSS_SUFFIX:
        return n && len >= n && memcmp(p + len - n, v, n) == 0;
    case WFI_CSS_CONTAINS:
        return n && memmem(p, len, v, n) != NULL;
    }
    return false;
}

/* 1: the tag passes; 0: it does not; or -ENOMEM. */
static int passes(const struct wf_css *css, const struct wfi_css_test *test,
                  const struct wfi_html_tag *tag, struct wfi_buffer *scratch)
{
    const unsigned flags = WFI_TEXT_REFS | WFI_TEXT_ATTR;
    const struct wfi_html_attr *attr;
    if (test->kind == WFI_CSS_CLASS)
        attr = wfi_html_attr_find(tag, "class", 5);
    else if (test->kind == WFI_CSS_ID)
        attr = wfi_html_attr_find(tag, "id", 2);
    else
        attr = wfi_html_attr_find(tag, css->text + test->name, test->name_len);
    if (!attr)
        return 0;
    const char *value = (const char *)attr->value;
    size_t len = attr->value_len;
    if (wfi_unlikely(!wfi_html_plain(attr->value, len, flags))) {
        wfi_buffer_clear(scratch);
        int err = wfi_html_text(scratch, attr->value, len, flags);
        if (err)
            return err;
        value = scratch->data;
        len = scratch->len;
    }
    return value_fits(test, value, len, css->text + test->value);
}

int wfi_css_match(const struct wfi_css_set *set, const struct wfi_html_tag *tag,
                  struct wfi_css_bits parent, uint64_t *ret_self, struct wfi_buffer *scratch,
                  int (*selected)(void *arg, uint32_t field), void *arg)
{
    uint32_t id = tag->type.id;
    for (uint32_t i = set->start[id]; i < set->start[id + 1]; i++) {
        const struct wfi_css_place *place = &set->places[set->order[i]];
        const struct wfi_css_compound *c = place->compound;
        if (id == WFI_TAG_OTHER && !c->any_type && !wfi_tag_same(&c->type, &tag->type))
            continue;
        if (!c->first && !has_bit(c->child ? parent.self : parent.inside, place->before))
            continue;
        int ok = 1;
        for (uint32_t k = 0; ok == 1 && k < c->test_count; k++)
            ok = passes(place->css, &place->css->tests[c->test + k], tag, scratch);
        if (ok < 0)
            return ok;
        if (!ok)
            continue;
        if (c->last) {
            int err = selected(arg, place->field);
            if (err)
                return err;
        } else {
            ret_self[place->bit / 64] |= (uint64_t)1 << place->bit % 64;
        }
    }
    return 0;
}

int wfi_css_set_init(struct wfi_css_set *set, const struct wf_css *const *css, size_t count)
{
    memset(set, 0, sizeof *set);
    size_t places = 0, entries = 0;
    for (size_t i = 0; i < count; i++) {
        places += css[i]->count;
        for (uint32_t k = 0; k < css[i]->count; k++)
            entries += css[i]->compounds[k].any_type ? WFI_TAG_COUNT : 1;
    }
    if (places > UINT16_MAX)
        return -EINVAL;
    set->places = wfi_zalloc(places * sizeof *set->places);
    set->order = wfi_zalloc(entries * sizeof *set->order);
    if (!set->places || !set->order) {
        wfi_css_set_fini(set);
        return -ENOMEM;
    }
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < css[i]->count; k++) {
            const struct wfi_css_compound *c = &css[i]->compounds[k];
            set->places[set->count++] = (struct wfi_css_place){
                .css = css[i],
                .compound = c,
                .field = (uint32_t)i,
                .before = bits ? bits - 1 : 0,
                .bit = bits,
            };
            bits += !c->last;
        }
    }
    set->words = (bits + 63) / 64;
    uint32_t n = 0;
    for (uint32_t id = 0; id < WFI_TAG_COUNT; id++) {
        set->start[id] = n;
        for (uint32_t k = 0; k < set->count; k++) {
            const struct wfi_css_compound *c = set->places[k].compound;
            if (c->any_type || c->type.id == id)
                set->order[n++] = (uint16_t)k;
        }
    }
    set->start[WFI_TAG_COUNT] = n;
    return 0;
}

void wfi_css_set_fini(struct wfi_css_set *set)
{
    wfi_free(set->places);
    wfi_free(set->order);
    memset(set, 0, sizeof *set);
}
