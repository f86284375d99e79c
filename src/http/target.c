/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include <stdint.h>

/* What a character may stand in; a sum of these. */
enum {
    TOKEN = 1,
    HOST_NAME = 2, /* RFC 3986's unreserved, sub-delims and escapes */
    ADDRESS = 4,   /* between the brackets of an IPv6 address */
    TARGET = 8,    /* all but '#': a fragment is not sent. What else RFC 3986 would have escaped,
                      browsers send as it is */
};

/* By byte; what is not ASCII stands in none. target_test.c holds it against words. */
static const unsigned char kinds[256] = {
    /* clang-format off */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 11, 8, 1, 11, 11, 11, 11, 10, 10, 11, 11, 10, 11, 15, 8,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 12, 10, 8, 10, 8, 8,
    8, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 8, 8, 8, 9, 11,
    9, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 8, 9, 8, 11, 0,
    /* clang-format on */
};

static bool is(unsigned kind, char c)
{
    return kinds[(unsigned char)c] & kind;
}

bool wfi_is_token_char(char c)
{
    return is(TOKEN, c);
}

/* Splits at the colon before the port. Returns false when it has not the form. */
static bool split_port(struct wfi_text authority, struct wfi_text *ret_host, uint32_t *ret_port)
{
    size_t i = 0;
    if (authority.len > 0 && authority.ptr[0] == '[') {
        for (i = 1; i < authority.len && authority.ptr[i] != ']'; i++)
            if (!is(ADDRESS, authority.ptr[i]))
                return false;
        if (i == authority.len || i == 1)
            return false;
        i++;
    } else {
        while (i < authority.len && is(HOST_NAME, authority.ptr[i]))
            i++;
    }
    if (i == 0)
        return false;
    *ret_host = (struct wfi_text){authority.ptr, i};
    *ret_port = 0;
    if (i == authority.len)
        return true;
    if (authority.ptr[i++] != ':')
        return false;
    for (; i < authority.len; i++) {
        const char c = authority.ptr[i];
        if (c < '0' || c > '9')
            return false;
        *ret_port = *ret_port * 10 + (uint32_t)(c - '0');
        if (*ret_port > 65535)
            return false;
    }
    return true;
}

bool wfi_authority_is_valid(struct wfi_text authority)
{
    struct wfi_text host;
    uint32_t port;
    return split_port(authority, &host, &port);
}

bool wfi_authority_same(struct wfi_text a, struct wfi_text b, bool https)
{
    struct wfi_text host_a, host_b;
    uint32_t port_a, port_b;
    if (!split_port(a, &host_a, &port_a) || !split_port(b, &host_b, &port_b))
        return false;
    const uint32_t usual = https ? 443 : 80;
    return wfi_text_same_nocase(host_a, host_b) &&
           (port_a ? port_a : usual) == (port_b ? port_b : usual);
}

static bool skip(struct wfi_text *text, const char *start)
{
    const size_t len = strlen(start);
    if (text->len < len || !wfi_text_is_nocase((struct wfi_text){text->ptr, len}, start))
        return false;
    text->ptr += len;
    text->len -= len;
    return true;
}

const char *wfi_target_split(struct wfi_text target, bool is_options, struct wfi_target *ret_target)
{
    struct wfi_target found = {.https = false};
    for (size_t i = 0; i < target.len; i++)
        if (!is(TARGET, target.ptr[i]))
            return "a character in the target that has to be escaped";
    if (wfi_text_is(target, "*")) {
        if (!is_options)
            return "the target * belongs to OPTIONS";
        found.path = target;
        *ret_target = found;
        return NULL;
    }
    struct wfi_text rest = target;
    if (rest.len == 0 || rest.ptr[0] != '/') {
        found.https = skip(&rest, "https://");
        if (!found.https && !skip(&rest, "http://"))
            return "the target is neither a path nor an http URL";
        found.authority.ptr = rest.ptr;
        while (rest.len > 0 && rest.ptr[0] != '/' && rest.ptr[0] != '?')
            rest.ptr++, rest.len--;
        found.authority.len = (size_t)(rest.ptr - found.authority.ptr);
        if (!wfi_authority_is_valid(found.authority))
            return "the host in the target is malformed";
    }
    const char *mark = memchr(rest.ptr, '?', rest.len);
    found.path = (struct wfi_text){rest.ptr, mark ? (size_t)(mark - rest.ptr) : rest.len};
    if (mark)
        found.query = (struct wfi_text){mark + 1, rest.len - found.path.len - 1};
    if (found.path.len == 0)
        found.path = (struct wfi_text){"/", 1};
    *ret_target = found;
    return NULL;
}
