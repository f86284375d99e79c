/* SPDX-License-Identifier: MIT */
/*
 * Lines of an access log: the common form with what browsers add to it ("combined"), or JSON. What
 * a peer sent is escaped, so that no request can forge a line or upset a terminal.
 */
#ifndef WFI_HTTP_ACCESS_LOG_H
#define WFI_HTTP_ACCESS_LOG_H

#include <weft/json.h>

#include <stdint.h>

#include "base/buffer.h"
#include "http/text.h"

/* One answered or refused request; a text of len 0 is not known. */
struct wfi_access {
    struct wfi_text client; /* its address */
    struct wfi_text method; /* of a refused request perhaps not known, nor the next two */
    struct wfi_text target;
    int minor;
    int status;
    uint64_t body_bytes; /* sent, without the head */
    int64_t time;        /* when it came, in seconds since 1970 */
    int64_t elapsed_ns;  /* until the answer was written */
    struct wfi_text host, referer, user_agent;
    struct wfi_text route; /* the pattern that was found */
    struct wfi_text request_id;
    struct wfi_text reason; /* why it was refused or failed */
};

/*
 * Appends a line: CLIENT - - [DAY/MONTH/YEAR:TIME +0000] "METHOD TARGET HTTP/1.1" STATUS BYTES
 * "REFERER" "USER AGENT". Returns 0, or -ENOMEM with nothing appended.
 */
int wfi_access_common(struct wfi_buffer *out, const struct wfi_access *access);

/* Writes an object and the end of the line. Only memory can run out, which the writer remembers. */
void wfi_access_json(struct wf_json_writer *out, const struct wfi_access *access);

#endif
