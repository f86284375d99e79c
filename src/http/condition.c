/* SPDX-License-Identifier: MIT */
#include "http/condition.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/date.h"

static bool is_weak(struct wfi_text etag)
{
    return etag.len > 1 && etag.ptr[0] == 'W' && etag.ptr[1] == '/';
}

static struct wfi_text without_weak(struct wfi_text etag)
{
    return is_weak(etag) ? (struct wfi_text){etag.ptr + 2, etag.len - 2} : etag;
}

static bool is_same(struct wfi_text a, struct wfi_text b)
{
    return a.len == b.len && a.len > 0 && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* `strong`: neither may be weak. */
static bool is_same_tag(struct wfi_text a, struct wfi_text b, bool strong)
{
    if (strong && (is_weak(a) || is_weak(b)))
        return false;
    return is_same(without_weak(a), without_weak(b));
}

/* Takes a tag off the front of a list; a comma may stand between its quotes. Returns false at the
 * end, or where the list is malformed. */
static bool take_tag(struct wfi_text *rest, struct wfi_text *ret)
{
    while (rest->len > 0 && (*rest->ptr == ' ' || *rest->ptr == '\t' || *rest->ptr == ','))
        rest->ptr++, rest->len--;
    const size_t quote = is_weak(*rest) ? 2 : 0;
    if (rest->len <= quote || rest->ptr[quote] != '"')
        return false;
    const char *end = memchr(rest->ptr + quote + 1, '"', rest->len - quote - 1);
    if (!end)
        return false;
    ret->ptr = rest->ptr;
    ret->len = (size_t)(end + 1 - rest->ptr);
    rest->ptr += ret->len;
    rest->len -= ret->len;
    return true;
}

/* Whether a list names the present state: one of its tags, or a star for any. */
static bool is_listed(struct wfi_text list, const struct wfi_validator *v, bool strong)
{
    struct wfi_text tag;
    if (!v->exists)
        return false;
    if (wfi_text_is(wfi_text_trim(list), "*"))
        return true;
    while (take_tag(&list, &tag))
        if (is_same_tag(tag, v->etag, strong))
            return true;
    return false;
}

/* The field may come more than once, as one list. Sets whether it is there at all. */
static bool is_listed_in(const struct wfi_request_head *head, const char *name,
                         const struct wfi_validator *v, bool strong, bool *ret_there)
{
    bool listed = false;
    *ret_there = false;
    for (size_t i = 0; i < head->field_count; i++)
        if (wfi_text_is_nocase(head->fields[i].name, name)) {
            *ret_there = true;
            listed = listed || is_listed(head->fields[i].value, v, strong);
        }
    return listed;
}

/* The date in a field; false where there is none that can be read. */
static bool date_in(const struct wfi_request_head *head, const char *name, int64_t now,
                    int64_t *ret)
{
    const struct wfi_text *text = wfi_request_field(head, name);
    return text && wfi_date_parse(*text, now, ret);
}

enum wfi_condition wfi_condition(const struct wfi_request_head *head, const struct wfi_validator *v,
                                 int64_t now)
{
    const bool reads = head->method == WFI_METHOD_GET || head->method == WFI_METHOD_HEAD;
    const bool dated = v->exists && v->has_modified;
    int64_t date;
    bool there;
    bool listed = is_listed_in(head, "if-match", v, true, &there);
    if (there) {
        if (!listed)
            return WFI_CONDITION_FAILS;
    } else if (dated && date_in(head, "if-unmodified-since", now, &date) && v->modified > date) {
        return WFI_CONDITION_FAILS;
    }
    listed = is_listed_in(head, "if-none-match", v, false, &there);
    if (there) {
        if (listed)
            return reads ? WFI_CONDITION_NOT_MODIFIED : WFI_CONDITION_FAILS;
    } else if (reads && dated && date_in(head, "if-modified-since", now, &date) && date <= now &&
               v->modified <= date) {
        return WFI_CONDITION_NOT_MODIFIED;
    }
    return WFI_CONDITION_HOLDS;
}

bool wfi_condition_range(const struct wfi_request_head *head, const struct wfi_validator *v,
                         int64_t now)
{
    const struct wfi_text *value = wfi_request_field(head, "if-range");
    if (!value)
        return true;
    struct wfi_text rest = *value, tag;
    if (take_tag(&rest, &tag))
        return rest.len == 0 && v->exists && is_same_tag(tag, v->etag, true);
    int64_t date;
    /* A date is as good as a strong tag only when a second has passed since: two changes may share
     * one. */
    return v->exists && v->has_modified && wfi_date_parse(*value, now, &date) &&
           date == v->modified && now > v->modified;
}

struct wfi_text wfi_etag_of_file(char out[WFI_ETAG_BYTES], uint64_t size, int64_t modified_ns)
{
    const int len =
        snprintf(out, WFI_ETAG_BYTES, "\"%" PRIx64 "-%" PRIx64 "\"", size, (uint64_t)modified_ns);
    return (struct wfi_text){out, (size_t)len};
}
