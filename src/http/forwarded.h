/* SPDX-License-Identifier: MIT */
/*
 * Who a request is from when proxies stand between: X-Forwarded-For, believed only as far as
 * trusted peers wrote it. Each proxy appends the address it was called from; so the list is read
 * from its end, and the first address that is not a trusted proxy's is the client's. Whatever
 * stands before it the client may have made up.
 */
#ifndef WFI_HTTP_FORWARDED_H
#define WFI_HTTP_FORWARDED_H

#include <stdint.h>

#include "http/request.h"

/* An IP address, without port; IPv4 as IPv6 does it: ::ffff:1.2.3.4. */
struct wfi_ip {
    uint8_t bytes[16];
};

/* A range of addresses: those that begin with the same bits. */
struct wfi_network {
    struct wfi_ip ip;
    unsigned bits;
};

/* Reads 1.2.3.4, 1.2.3.4:80, ::1, [::1] or [::1]:80. Returns whether it is one of these. */
bool wfi_ip_parse(struct wfi_text text, struct wfi_ip *ret);

enum { WFI_IP_BYTES = 46 };
/* Writes it without brackets, IPv4 in its own form. */
void wfi_ip_format(const struct wfi_ip *ip, char out[WFI_IP_BYTES]);

bool wfi_ip_equal(const struct wfi_ip *a, const struct wfi_ip *b);

/* Reads 10.0.0.0/8, fd00::/8, or a single address. Bits behind the mask have to be 0. */
bool wfi_network_parse(struct wfi_text text, struct wfi_network *ret);

bool wfi_network_has(const struct wfi_network *network, const struct wfi_ip *ip);

/* Whether one of them has it. */
bool wfi_networks_have(const struct wfi_network *networks, size_t count, const struct wfi_ip *ip);

/*
 * The client's address. `peer` is the other end of the connection, or NULL when that has none (a
 * Unix socket), which is trusted. Returns false when it cannot be known: no peer, and no address in
 * the list.
 */
bool wfi_forwarded_client(const struct wfi_request_head *head, const struct wfi_ip *peer,
                          const struct wfi_network *trusted, size_t trusted_count,
                          struct wfi_ip *ret_client);

#endif
