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

#include <weft/error.h>
#include <weft/router.h>

#include "http/connection.h"

struct wfi_desk_kept {
    struct wfi_desk_kept *below;
    int height; /* of the stack up to this */
};

struct wfi_desk {
    struct wfi_desk_kept kept;
    struct wfi_request_parser *parser;
    struct wfi_buffer out, texts; /* while it is not lent */
    struct wf_route_match match;  /* the request's, as are the next two */
    char path[256];
    struct wf_error error; /* of the handler */
    struct wfi_response_field fields[WFI_FIELDS_ROOM];
    struct wfi_request_field head_fields[WFI_FIELDS_ROOM + 1]; /* while a head is written */
    int64_t date_second;
    char date[WFI_DATE_BYTES];
};

/* The connection gets parser and buffers, if it has none. Returns 0 or -ENOMEM. */
int wfi_desk_take(struct wfi_connection *c);
/* And gives them back, whatever is in them, with the buffer for reading. */
void wfi_desk_leave(struct wfi_connection *c);

/* The buffer for reading alone. */
int wfi_desk_take_in(struct wfi_connection *c);
void wfi_desk_leave_in(struct wfi_connection *c);

#endif
