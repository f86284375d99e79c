/* SPDX-License-Identifier: MIT */
/*
 * Answers as a server writes them: status line, fields and chunks into a buffer. Pure.
 *
 * Invariants:
 *   1. The framing is decided here: Content-Length, Transfer-Encoding and Connection are never the
 *      caller's, so that they cannot disagree.
 *   2. A name or value that would end its line is refused before anything is written, so that no
 *      text from outside can begin a field or an answer of its own.
 */
#ifndef WFI_HTTP_RESPONSE_H
#define WFI_HTTP_RESPONSE_H

#include "base/buffer.h"
#include "http/request.h"

#define WFI_BODY_LEN_UNKNOWN UINT64_MAX

struct wfi_response {
    int status;
    const struct wfi_request_field *fields;
    size_t field_count;
    uint64_t body_len; /* also that of what HEAD or 304 leaves out; or WFI_BODY_LEN_UNKNOWN */
    const char *date;  /* wfi_date_format's, kept by the caller for a second; NULL: none */
    bool to_head;      /* the answer to HEAD: no body follows, whatever body_len says */
    int minor;         /* of the request's version */
    bool keep_alive;   /* as the request and the server wish */
};

/* How the body is to be sent. */
enum wfi_response_body {
    WFI_RESPONSE_NO_BODY,
    WFI_RESPONSE_BODY_LEN, /* body_len bytes */
    WFI_RESPONSE_CHUNKED,  /* in chunks, then wfi_response_last_chunk */
    WFI_RESPONSE_BODY_EOF, /* until the connection is closed */
};

/*
 * Appends the head.
 *
 * ret_body         says how the body follows.
 * ret_keep_alive   whether the connection can be kept: false after an answer that only its end
 *                  ends.
 *
 * Returns 0, or with nothing appended
 *   -EINVAL   a status outside 100..599, a name that is no token, a value with control characters,
 *             or a field of the framing
 *   -ENOMEM
 */
int wfi_response_write_head(struct wfi_buffer *out, const struct wfi_response *response,
                            enum wfi_response_body *ret_body, bool *ret_keep_alive);

enum { WFI_CHUNK_HEAD_BYTES = 20 };
/* The line before a chunk of `len` bytes, at least one; CR LF follows the chunk. Returns its
 * length; no NUL is written. */
size_t wfi_response_chunk_head(char out[WFI_CHUNK_HEAD_BYTES], size_t len);
#define WFI_RESPONSE_LAST_CHUNK "0\r\n\r\n"

/* Whether the bytes may be a field's name or value. */
bool wfi_response_name_is_valid(struct wfi_text name);
bool wfi_response_value_is_valid(struct wfi_text value);

/* The words behind a status, never NULL. */
const char *wfi_status_text(int status);

#endif
