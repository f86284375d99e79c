/* SPDX-License-Identifier: MIT */
/*
 * What the client takes, and how gladly: weights (RFC 9110 section 12.4.2) and the field Accept
 * (section 12.5.1).
 */
#ifndef WFI_HTTP_ACCEPT_H
#define WFI_HTTP_ACCEPT_H

#include "http/request.h"

/*
 * Reads an item of a list with its weight, "gzip;q=0.5": the weight in thousandths, 1000 where none
 * is told. Returns whether it counts: an item whose weight is malformed does not.
 */
bool wfi_accept_item(struct wfi_text item, struct wfi_text *ret_name, int *ret_weight);

/*
 * The weight the client gives to a type, "text/html": that of the most particular range that fits.
 * 1000 when the client does not say, 0 when it does not take it.
 */
int wfi_accept_weight(const struct wfi_request_head *head, const char *type);

#endif
