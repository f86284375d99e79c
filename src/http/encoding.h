/* SPDX-License-Identifier: MIT */
/*
 * Whether an answer goes out as it is or compressed: what Accept-Encoding says (RFC 9110 section
 * 12.5.3). Gzip is the only coding there is here.
 */
#ifndef WFI_HTTP_ENCODING_H
#define WFI_HTTP_ENCODING_H

#include "http/request.h"

enum wfi_encoding {
    WFI_ENCODING_IDENTITY,
    WFI_ENCODING_GZIP,
    WFI_ENCODING_NONE, /* the peer refuses both: 406, or identity all the same */
};

/* `can_gzip`: the answer is worth compressing, and not a range of something. */
enum wfi_encoding wfi_encoding_choose(const struct wfi_request_head *head, bool can_gzip);

#endif
