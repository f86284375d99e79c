/* SPDX-License-Identifier: MIT */
#include "http/encoding.h"

enum { WEIGHT_ONE = 1000, UNSAID = -1 };

/* 0 to 1 with up to three digits, in thousandths; -1 for anything else. */
static int weight_of(struct wfi_text text)
{
    if (text.len == 0 || text.len > 5 || (*text.ptr != '0' && *text.ptr != '1'))
        return -1;
    int weight = (*text.ptr - '0') * WEIGHT_ONE, digit = 100;
    if (text.len > 1 && text.ptr[1] != '.')
        return -1;
    for (size_t i = 2; i < text.len; i++, digit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        weight += (text.ptr[i] - '0') * digit;
    }
    return weight <= WEIGHT_ONE ? weight : -1;
}

/* Reads "gzip;q=0.5". An item whose weight is malformed does not count. */
static bool read_item(struct wfi_text item, struct wfi_text *ret_coding, int *ret_weight)
{
    struct wfi_text rest = item, parameter;
    *ret_weight = WEIGHT_ONE;
    if (!wfi_text_item(&rest, ';', ret_coding))
        return false;
    while (wfi_text_item(&rest, ';', &parameter)) {
        if (parameter.len < 2 || wfi_lower(parameter.ptr[0]) != 'q' || parameter.ptr[1] != '=')
            continue;
        *ret_weight = weight_of((struct wfi_text){parameter.ptr + 2, parameter.len - 2});
    }
    return *ret_weight >= 0;
}

enum wfi_encoding wfi_encoding_choose(const struct wfi_request_head *head, bool can_gzip)
{
    int gzip = UNSAID, identity = UNSAID, any = UNSAID;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!wfi_text_is_nocase(head->fields[i].name, "accept-encoding"))
            continue;
        struct wfi_text rest = head->fields[i].value, item, coding;
        int weight;
        while (wfi_text_item(&rest, ',', &item)) {
            if (!read_item(item, &coding, &weight))
                continue;
            if (wfi_text_is_nocase(coding, "gzip") || wfi_text_is_nocase(coding, "x-gzip"))
                gzip = weight > gzip ? weight : gzip;
            else if (wfi_text_is_nocase(coding, "identity"))
                identity = weight > identity ? weight : identity;
            else if (wfi_text_is(coding, "*"))
                any = weight > any ? weight : any;
        }
    }
    if (gzip == UNSAID)
        gzip = any;
    if (identity == UNSAID)
        identity = any == 0 ? 0 : UNSAID; /* allowed unless refused, but not asked for */
    if (can_gzip && gzip > 0 && gzip >= identity)
        return WFI_ENCODING_GZIP;
    return identity == 0 ? WFI_ENCODING_NONE : WFI_ENCODING_IDENTITY;
}
