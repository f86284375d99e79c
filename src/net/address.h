/* SPDX-License-Identifier: MIT */
/* The inside of struct wf_address, and what dialling and listening need of names. */
#ifndef WFI_NET_ADDRESS_H
#define WFI_NET_ADDRESS_H

#include <assert.h>

#include <weft/address.h>

#include "os/socket.h"

static_assert(sizeof(struct wf_address) >= sizeof(struct wfi_sockaddr), "the public words hold it");
static_assert(WF_ADDRESS_TEXT_BYTES >= WFI_SOCKADDR_TEXT_BYTES, "and its text");

static inline struct wfi_sockaddr *wfi_address_inside(struct wf_address *address)
{
    return (struct wfi_sockaddr *)address;
}

static inline const struct wfi_sockaddr *wfi_address_seen(const struct wf_address *address)
{
    return (const struct wfi_sockaddr *)address;
}

/* Longest host name that is looked at, with its end: DNS allows 253 bytes and a dot. */
#define WFI_HOST_BYTES 256

/*
 * Addresses that need no resolver: numeric ones, localhost and what is below it. Returns their
 * number (at most 2), 0 when the resolver has to be asked, or -EINVAL for an empty or overlong
 * host.
 */
int wfi_resolve_at_once(const char *host, uint16_t port, struct wf_address *ret_addresses, int max);

#endif
