/* SPDX-License-Identifier: MIT */
/*
 * What a request line asks for, and the host it is meant for: RFC 9112 section 3.2 without the
 * forms for proxies. Nothing is decoded here.
 */
#ifndef WFI_HTTP_TARGET_H
#define WFI_HTTP_TARGET_H

#include "http/text.h"

struct wfi_target {
    struct wfi_text authority; /* of an absolute target; ptr NULL otherwise */
    struct wfi_text path;      /* "/" at the least, or "*" */
    struct wfi_text query;     /* behind the ?; ptr NULL when there is none */
    bool https;                /* an absolute target of that scheme */
};

/*
 * Splits a target. `is_options`: "*" is allowed.
 * Returns NULL, or one sentence that says what is wrong with it.
 */
const char *wfi_target_split(struct wfi_text target, bool is_options,
                             struct wfi_target *ret_target);

/* Whether it is host[:port], the host a name, an IPv4 address or one of IPv6 in brackets. */
bool wfi_authority_is_valid(struct wfi_text authority);

/* Whether two valid ones name the same host and port; without a port it is that of the scheme. */
bool wfi_authority_same(struct wfi_text a, struct wfi_text b, bool https);

/* Whether it may stand in a token: a method, the name of a field. */
bool wfi_is_token_char(char c);

#endif
