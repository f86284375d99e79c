/* SPDX-License-Identifier: MIT */
#include "http/accept.h"

enum { WEIGHT_ONE = 1000 };

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

bool wfi_accept_item(struct wfi_text item, struct wfi_text *ret_name, int *ret_weight)
{
    struct wfi_text rest = item, parameter;
    *ret_weight = WEIGHT_ONE;
    if (!wfi_text_item(&rest, ';', ret_name))
        return false;
    while (wfi_text_item(&rest, ';', &parameter)) {
        if (parameter.len < 2 || wfi_lower(parameter.ptr[0]) != 'q' || parameter.ptr[1] != '=')
            continue;
        *ret_weight = weight_of((struct wfi_text){parameter.ptr + 2, parameter.len - 2});
    }
    return *ret_weight >= 0;
}

/* How particular a range is that fits the type: 0 it does not, 1 any, 2 any of the kind, 3 it. */
static int fit(struct wfi_text range, const char *type)
{
    size_t kind_len = strcspn(type, "/") + 1;
    if (wfi_text_is_nocase(range, type))
        return 3;
    if (range.len == kind_len + 1 && range.ptr[kind_len] == '*' &&
        wfi_text_same_nocase((struct wfi_text){range.ptr, kind_len},
                             (struct wfi_text){type, kind_len}))
        return 2;
    return wfi_text_is(range, "*/*") ? 1 : 0;
}

int wfi_accept_weight(const struct wfi_request_head *head, const char *type)
{
    int best = 0, ret = 0;
    bool told = false;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!wfi_text_is_nocase(head->fields[i].name, "accept"))
            continue;
        struct wfi_text rest = head->fields[i].value, item, range;
        int weight;
        told = true;
        while (wfi_text_item(&rest, ',', &item)) {
            if (!wfi_accept_item(item, &range, &weight))
                continue;
            int how = fit(range, type);
            if (how > best || (how && how == best && weight > ret)) {
                best = how;
                ret = weight;
            }
        }
    }
    return told ? ret : WEIGHT_ONE;
}
