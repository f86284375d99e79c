/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include <arpa/inet.h>

static const uint8_t ipv4_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_ipv4(const struct wfi_ip *ip)
{
    return memcmp(ip->bytes, ipv4_prefix, sizeof ipv4_prefix) == 0;
}

static bool is_port(struct wfi_text text)
{
    if (text.len < 2 || text.len > 6 || *text.ptr != ':')
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return true;
}

/* An address without brackets and port. `ret_family` may be NULL. */
static bool parse_bare(struct wfi_text text, struct wfi_ip *ret, int *ret_family)
{
    char copy[WFI_IP_BYTES];
    struct wfi_ip ip;
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len)
        return false;
    const int family = memchr(copy, ':', text.len) ? AF_INET6 : AF_INET;
    memcpy(ip.bytes, ipv4_prefix, sizeof ipv4_prefix);
    if (inet_pton(family, copy, family == AF_INET ? ip.bytes + 12 : ip.bytes) != 1)
        return false;
    *ret = ip;
    if (ret_family)
        *ret_family = family;
    return true;
}

bool wfi_ip_parse(struct wfi_text text, struct wfi_ip *ret)
{
    if (text.len == 0)
        return false;
    const char *end = NULL;
    if (*text.ptr == '[') {
        end = memchr(text.ptr, ']', text.len);
        const size_t len = end ? (size_t)(end - text.ptr) - 1 : 0;
        if (!end || !memchr(text.ptr + 1, ':', len))
            return false;
        const struct wfi_text rest = {end + 1, text.len - len - 2};
        return (rest.len == 0 || is_port(rest)) &&
               parse_bare((struct wfi_text){text.ptr + 1, len}, ret, NULL);
    }
    end = memchr(text.ptr, ':', text.len);
    const size_t len = end ? (size_t)(end - text.ptr) : text.len;
    if (end && is_port((struct wfi_text){end, text.len - len}))
        return parse_bare((struct wfi_text){text.ptr, len}, ret, NULL);
    return parse_bare(text, ret, NULL);
}

void wfi_ip_format(const struct wfi_ip *ip, char out[WFI_IP_BYTES])
{
    if (is_ipv4(ip))
        inet_ntop(AF_INET, ip->bytes + 12, out, WFI_IP_BYTES);
    else
        inet_ntop(AF_INET6, ip->bytes, out, WFI_IP_BYTES);
}

bool wfi_ip_equal(const struct wfi_ip *a, const struct wfi_ip *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The bit of that number, from the front. */
static bool bit_of(const struct wfi_ip *ip, unsigned i)
{
    return (ip->bytes[i / 8] >> (7 - i % 8)) & 1;
}

bool wfi_network_parse(struct wfi_text text, struct wfi_network *ret)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    const struct wfi_text address = {text.ptr, slash ? (size_t)(slash - text.ptr) : text.len};
    struct wfi_network network = {.bits = 128};
    int family;
    if (address.len == 0 || !parse_bare(address, &network.ip, &family))
        return false;
    if (slash) {
        const struct wfi_text bits = {slash + 1, text.len - address.len - 1};
        unsigned n = 0;
        if (bits.len == 0 || bits.len > 3 || (*bits.ptr == '0' && bits.len > 1))
            return false;
        for (size_t i = 0; i < bits.len; i++) {
            if (bits.ptr[i] < '0' || bits.ptr[i] > '9')
                return false;
            n = n * 10 + (unsigned)(bits.ptr[i] - '0');
        }
        if (n > (family == AF_INET ? 32u : 128u))
            return false;
        network.bits = n + (family == AF_INET ? 96 : 0);
    }
    for (unsigned i = network.bits; i < 128; i++)
        if (bit_of(&network.ip, i))
            return false;
    *ret = network;
    return true;
}

bool wfi_network_has(const struct wfi_network *network, const struct wfi_ip *ip)
{
    const unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || (network->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

bool wfi_networks_have(const struct wfi_network *networks, size_t count, const struct wfi_ip *ip)
{
    for (size_t i = 0; i < count; i++)
        if (wfi_network_has(&networks[i], ip))
            return true;
    return false;
}

/* Takes the last item off a list separated by commas; an empty one counts. */
static struct wfi_text take_last(struct wfi_text *list)
{
    size_t start = list->len;
    while (start > 0 && list->ptr[start - 1] != ',')
        start--;
    const struct wfi_text item = {list->ptr + start, list->len - start};
    list->len = start > 0 ? start - 1 : 0;
    return wfi_text_trim(item);
}

bool wfi_forwarded_client(const struct wfi_request_head *head, const struct wfi_ip *peer,
                          const struct wfi_network *trusted, size_t trusted_count,
                          struct wfi_ip *ret_client)
{
    if (peer)
        *ret_client = *peer;
    bool known = peer != NULL;
    /* Several such fields are one list, in their order. */
    for (size_t i = head->field_count; i-- > 0;) {
        if (!wfi_text_is_nocase(head->fields[i].name, "x-forwarded-for"))
            continue;
        struct wfi_text list = head->fields[i].value;
        while (list.len > 0) {
            struct wfi_ip ip;
            if (known && !wfi_networks_have(trusted, trusted_count, ret_client))
                return true;
            /* What a trusted proxy wrote and cannot be read ends what is known. */
            if (!wfi_ip_parse(take_last(&list), &ip))
                return known;
            *ret_client = ip;
            known = true;
        }
    }
    return known;
}
