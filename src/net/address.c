/* SPDX-License-Identifier: MIT */
#include "net/address.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int wf_address_parse(const char *text, struct wf_address *ret_address)
{
    struct wf_address address = {{0}};
    int err = wfi_sockaddr_parse(text, wfi_address_inside(&address));
    if (!err)
        *ret_address = address;
    return err;
}

const char *wf_address_format(const struct wf_address *address, char *ret_text, size_t bytes)
{
    wfi_sockaddr_format(wfi_address_seen(address), ret_text, bytes);
    return ret_text;
}

uint16_t wf_address_port(const struct wf_address *address)
{
    return wfi_sockaddr_port(wfi_address_seen(address));
}

bool wf_address_equal(const struct wf_address *a, const struct wf_address *b)
{
    return wfi_sockaddr_equal(wfi_address_seen(a), wfi_address_seen(b));
}

static int read_port(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned port = 0;
    if (len == 0 || len > 5)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

int wf_address_split(const char *endpoint, uint16_t default_port, char *ret_host, size_t host_bytes,
                     uint16_t *ret_port)
{
    const char *host = endpoint, *end, *rest;
    if (*endpoint == '[') {
        host = endpoint + 1;
        end = strchr(host, ']');
        if (!end)
            return -EINVAL;
        rest = end + 1;
    } else {
        end = rest = host + strcspn(host, ":");
    }
    size_t len = (size_t)(end - host);
    uint16_t port = default_port;
    if (len == 0 || (*rest && *rest != ':'))
        return -EINVAL;
    if (*rest == ':' && read_port(rest + 1, strlen(rest + 1), &port))
        return -EINVAL;
    if (!*rest && default_port == 0)
        return -EINVAL;
    if (len >= host_bytes)
        return -ENAMETOOLONG;
    memmove(ret_host, host, len);
    ret_host[len] = '\0';
    *ret_port = port;
    return 0;
}

/* RFC 6761, 6.3: these names mean the loopback address, whatever a name server says. */
static bool is_localhost(const char *host, size_t len)
{
    static const char name[] = "localhost";
    size_t name_len = sizeof name - 1;
    if (len && host[len - 1] == '.')
        len--;
    return len >= name_len && strncasecmp(host + len - name_len, name, name_len) == 0 &&
           (len == name_len || host[len - name_len - 1] == '.');
}

int wfi_resolve_at_once(const char *host, uint16_t port, struct wf_address *ret_addresses, int max)
{
    size_t len = strlen(host);
    if (len == 0 || len >= WFI_HOST_BYTES || max < 1)
        return -EINVAL;
    struct wf_address address = {{0}};
    if (wfi_sockaddr_numeric(host, port, wfi_address_inside(&address)) == 0) {
        ret_addresses[0] = address;
        return 1;
    }
    if (!is_localhost(host, len))
        return 0;
    /* IPv4 first: that is where most local servers listen, and the other is one refusal away. */
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    int count = max < 2 ? max : 2;
    for (int i = 0; i < count; i++) {
        memset(&ret_addresses[i], 0, sizeof ret_addresses[i]);
        wfi_sockaddr_numeric(loopback[i], port, wfi_address_inside(&ret_addresses[i]));
    }
    return count;
}
