/* SPDX-License-Identifier: MIT */
/*
 * What a connection needs only while it is at a request: the parser and the buffers. They are lent
 * to it, and given back to the worker when it is idle; so an idle connection holds none, and the
 * few that are in turn use the ones that were used last, which the processor still has at hand.
 *
 * Before its first byte is fed and after its last answer is sent nothing of a request is in them.
 * The buffer for reading is lent for itself: it is empty as soon as its bytes have been fed, also
 * while a handler waits.
 */
#ifndef WFI_HTTP_DESK_H
#define WFI_HTTP_DESK_H

#include <stdbool.h>

struct wfi_connection;

/* The connection gets parser and buffers, if it has none. Returns 0 or -ENOMEM. */
int wfi_desk_take(struct wfi_connection *c);
/* And gives them back, whatever is in them, with the buffer for reading. */
void wfi_desk_leave(struct wfi_connection *c);

/* The buffer for reading alone. */
int wfi_desk_take_in(struct wfi_connection *c);
void wfi_desk_leave_in(struct wfi_connection *c);

#endif
