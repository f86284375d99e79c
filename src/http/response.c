/* SPDX-License-Identifier: MIT */
#include "http/response.h"

#include <errno.h>

#include "http/target.h"

/* RFC 9110 section 15, and the registered ones that servers send. */
static const struct {
    int status;
    const char *text;
} statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *wfi_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].text;
    return "Unknown";
}

bool wfi_response_name_is_valid(struct wfi_text name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!wfi_is_token_char(name.ptr[i]))
            return false;
    return name.len > 0;
}

bool wfi_response_value_is_valid(struct wfi_text value)
{
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_framing(struct wfi_text name)
{
    return wfi_text_is_nocase(name, "content-length") ||
           wfi_text_is_nocase(name, "transfer-encoding") ||
           wfi_text_is_nocase(name, "connection") || wfi_text_is_nocase(name, "date");
}

/* RFC 9112 section 6.3: these never have a body, and the first two no length either. */
static bool has_no_length(int status)
{
    return status < 200 || status == 204;
}

static char *put(char *p, const char *bytes, size_t len)
{
    memcpy(p, bytes, len);
    return p + len;
}

#define PUT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_number(char *p, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do
        digits[sizeof digits - ++len] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put(p, digits + sizeof digits - len, len);
}

enum {
    FIXED_BYTES = 256, /* status line, Date, Content-Length or Transfer-Encoding, Connection */
};

int wfi_response_write_head(struct wfi_buffer *out, const struct wfi_response *r,
                            enum wfi_response_body *ret_body, bool *ret_keep_alive)
{
    if (r->status < 100 || r->status > 599)
        return -EINVAL;
    size_t room = FIXED_BYTES;
    for (size_t i = 0; i < r->field_count; i++) {
        const struct wfi_request_field *field = &r->fields[i];
        if (!wfi_response_name_is_valid(field->name) || is_framing(field->name) ||
            !wfi_response_value_is_valid(field->value))
            return -EINVAL;
        room += field->name.len + field->value.len + sizeof ": \r\n" - 1;
    }
    const int err = wfi_buffer_reserve(out, room);
    if (err)
        return err;

    const bool unknown = r->body_len == WFI_BODY_LEN_UNKNOWN;
    const bool no_body = has_no_length(r->status) || r->status == 304 || r->to_head;
    const bool chunked = unknown && r->minor > 0;
    /* Only the end of the connection can end a body without length for HTTP/1.0. */
    const bool keep_alive = r->keep_alive && (no_body || !unknown || chunked);
    char *p = out->data + out->len;
    p = PUT(p, "HTTP/1.1 ");
    p = put_number(p, (uint64_t)r->status);
    p = PUT(p, " ");
    const char *text = wfi_status_text(r->status);
    p = put(p, text, strlen(text));
    p = PUT(p, "\r\n");
    if (r->date) {
        p = PUT(p, "Date: ");
        p = put(p, r->date, strnlen(r->date, 64));
        p = PUT(p, "\r\n");
    }
    for (size_t i = 0; i < r->field_count; i++) {
        const struct wfi_request_field *field = &r->fields[i];
        p = put(p, field->name.ptr, field->name.len);
        p = PUT(p, ": ");
        if (field->value.len > 0)
            p = put(p, field->value.ptr, field->value.len);
        p = PUT(p, "\r\n");
    }
    if (!has_no_length(r->status)) {
        if (!unknown) {
            p = PUT(p, "Content-Length: ");
            p = put_number(p, r->body_len);
            p = PUT(p, "\r\n");
        } else if (chunked && r->status != 304) {
            p = PUT(p, "Transfer-Encoding: chunked\r\n");
        }
    }
    if (!keep_alive && r->status >= 200)
        p = PUT(p, "Connection: close\r\n");
    else if (r->minor == 0 && r->status >= 200)
        p = PUT(p, "Connection: keep-alive\r\n");
    p = PUT(p, "\r\n");
    out->len = (size_t)(p - out->data);

    *ret_keep_alive = keep_alive;
    *ret_body = no_body   ? WFI_RESPONSE_NO_BODY
                : chunked ? WFI_RESPONSE_CHUNKED
                : unknown ? WFI_RESPONSE_BODY_EOF
                          : WFI_RESPONSE_BODY_LEN;
    return 0;
}

size_t wfi_response_chunk_head(char out[WFI_CHUNK_HEAD_BYTES], size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;
    while (digits < 16 && len >> (4 * digits) != 0)
        digits++;
    for (size_t i = 0; i < digits; i++)
        out[i] = hex[(len >> (4 * (digits - 1 - i))) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
