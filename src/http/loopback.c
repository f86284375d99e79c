/* SPDX-License-Identifier: MIT */
#include "http/loopback.h"

#include "http/forwarded.h"

static bool is_loopback(struct wfi_text text)
{
    static const char *const networks[] = {"127.0.0.0/8", "::1"};
    struct wfi_ip ip;
    struct wfi_network network;
    if (!wfi_ip_parse(text, &ip))
        return false;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        struct wfi_text name = {networks[i], strlen(networks[i])};
        if (wfi_network_parse(name, &network) && wfi_network_has(&network, &ip))
            return true;
    }
    return false;
}

bool wfi_loopback_peer(struct wfi_text peer)
{
    return (peer.len >= 5 && memcmp(peer.ptr, "unix:", 5) == 0) || is_loopback(peer);
}

bool wfi_loopback_forwarded(struct wfi_text list)
{
    for (;;) {
        const char *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
        struct wfi_text one = {list.ptr, comma ? (size_t)(comma - list.ptr) : list.len};
        if (!is_loopback(wfi_text_trim(one)))
            return false;
        if (!comma)
            return true;
        list.len -= one.len + 1;
        list.ptr = comma + 1;
    }
}

bool wfi_loopback_host(struct wfi_text host)
{
    static const struct wfi_text name = {"localhost", 9};
    if (is_loopback(host))
        return true;
    size_t len = host.len;
    while (len && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
        len--;
    if (len && host.ptr[len - 1] == ':')
        host.len = len - 1; /* without the port */
    if (host.len < name.len)
        return false;
    struct wfi_text end = {host.ptr + host.len - name.len, name.len};
    return wfi_text_same_nocase(end, name) &&
           (host.len == name.len || host.ptr[host.len - name.len - 1] == '.');
}
