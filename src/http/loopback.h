/* SPDX-License-Identifier: MIT */
/* Whether a request comes from this machine and means it: for what nobody else is to see. */
#ifndef WFI_HTTP_LOOPBACK_H
#define WFI_HTTP_LOOPBACK_H

#include "http/text.h"

/* An address of the loopback network, of either family, with or without port; or a Unix socket's
 * ("unix:..."). */
bool wfi_loopback_peer(struct wfi_text peer);

/* All addresses of an X-Forwarded-For are of the loopback network; anything else is not. */
bool wfi_loopback_forwarded(struct wfi_text list);

/* localhost, a name below it, or an address of the loopback network; a port may follow. Other names
 * may lead here too, for a while: that is how a page elsewhere has a browser read from here. */
bool wfi_loopback_host(struct wfi_text host);

#endif
