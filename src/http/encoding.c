/* SPDX-License-Identifier: MIT */
#include "http/encoding.h"

#include "http/accept.h"

enum { UNSAID = -1 };

enum wfi_encoding wfi_encoding_choose(const struct wfi_request_head *head, bool can_gzip)
{
    int gzip = UNSAID, identity = UNSAID, any = UNSAID;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!wfi_text_is_nocase(head->fields[i].name, "accept-encoding"))
            continue;
        struct wfi_text rest = head->fields[i].value, item, coding;
        int weight;
        while (wfi_text_item(&rest, ',', &item)) {
            if (!wfi_accept_item(item, &coding, &weight))
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
