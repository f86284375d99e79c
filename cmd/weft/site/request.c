/* SPDX-License-Identifier: MIT */
/* Requests out of bytes; see request.h. */
#include "site/request.h"

#include <string.h>
#include <strings.h>

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_value(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of the head with its empty line, 0 when it is not whole. */
static size_t head_length(const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

/* METHOD SP target SP HTTP/1.x; returns 0 or minus a status. */
static long parse_first_line(const char *line, size_t len, struct request *request)
{
    const char *space = memchr(line, ' ', len);
    size_t method_len = space ? (size_t)(space - line) : 0;
    if (method_len == 0 || method_len >= sizeof(request->method))
        return -400;
    for (size_t i = 0; i < method_len; i++)
        if (!is_token(line[i]))
            return -400;
    memcpy(request->method, line, method_len);
    request->method[method_len] = 0;
    request->http.method = request->method;

    const char *target = space + 1;
    size_t rest = len - method_len - 1;
    space = memchr(target, ' ', rest);
    if (!space || space == target)
        return -400;
    request->http.target = target;
    request->http.target_len = (size_t)(space - target);
    for (size_t i = 0; i < request->http.target_len; i++)
        if (!is_value(target[i]) || target[i] == '\t')
            return -400;

    const char *version = space + 1;
    size_t version_len = rest - request->http.target_len - 1;
    if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.')
        return -400;
    if (version[5] != '1' || (version[7] != '0' && version[7] != '1'))
        return -505;
    request->keep_alive = version[7] == '1';
    return 0;
}

static long parse_header(const char *line, size_t len, struct request *request)
{
    size_t name_len = 0;
    while (name_len < len && is_token(line[name_len]))
        name_len++;
    /* This also refuses a folded line and a space before the colon. */
    if (name_len == 0 || name_len == len || line[name_len] != ':')
        return -400;
    if (request->http.header_count == REQUEST_HEADERS_MAX)
        return -431;
    const char *value = line + name_len + 1, *end = line + len;
    while (value < end && is_space(*value))
        value++;
    while (end > value && is_space(end[-1]))
        end--;
    for (const char *c = value; c < end; c++)
        if (!is_value(*c))
            return -400;
    request->headers[request->http.header_count++] =
        (struct site_header){line, value, name_len, (size_t)(end - value)};
    return 0;
}

static bool named(const struct site_header *header, const char *name)
{
    return header->name_len == strlen(name) &&
           strncasecmp(header->name, name, header->name_len) == 0;
}

/* True when the comma-separated list holds `word`. */
static bool lists(const struct site_header *header, const char *word)
{
    const char *at = header->value, *end = at + header->value_len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        const char *last = stop;
        while (at < last && is_space(*at))
            at++;
        while (last > at && is_space(last[-1]))
            last--;
        if ((size_t)(last - at) == strlen(word) && strncasecmp(at, word, strlen(word)) == 0)
            return true;
        at = stop + 1;
    }
    return false;
}

static long parse_length(const struct site_header *header, size_t *ret_len)
{
    size_t number = 0;
    if (header->value_len == 0)
        return -400;
    for (size_t i = 0; i < header->value_len; i++) {
        char c = header->value[i];
        if (c < '0' || c > '9')
            return -400;
        if (number <= REQUEST_BODY_MAX)
            number = number * 10 + (size_t)(c - '0');
    }
    *ret_len = number;
    return number > REQUEST_BODY_MAX ? -413 : 0;
}

/* What the headers together say of the body and the connection. */
static long read_headers(struct request *request, bool is_1_1, size_t *ret_body)
{
    unsigned hosts = 0, lengths = 0, encodings = 0;
    long too_big = 0;
    for (size_t i = 0; i < request->http.header_count; i++) {
        const struct site_header *header = &request->headers[i];
        if (named(header, "host")) {
            hosts++;
        } else if (named(header, "content-length")) {
            long err = parse_length(header, ret_body);
            if (err == -400)
                return err;
            too_big = err;
            lengths++;
        } else if (named(header, "transfer-encoding")) {
            encodings++;
        } else if (named(header, "connection")) {
            if (lists(header, "close"))
                request->keep_alive = false;
            else if (lists(header, "keep-alive"))
                request->keep_alive = true;
        } else if (named(header, "expect")) {
            request->expects = is_1_1 && lists(header, "100-continue");
        }
    }
    if (hosts > 1 || (is_1_1 && hosts == 0) || lengths > 1 || (lengths && encodings))
        return -400;
    if (encodings)
        return -501;
    return too_big;
}

long request_parse(const char *data, size_t len, struct request *request)
{
    size_t start = 0, body = 0;
    request->http = (struct site_request){.headers = request->headers};
    request->expects = false;
    /* A client that sent a line end too many after its last body is forgiven that. */
    while (len - start >= 2 && data[start] == '\r' && data[start + 1] == '\n' && start < 8)
        start += 2;
    const char *head = data + start;
    size_t left = len - start, head_len = head_length(head, left);
    if (head_len > REQUEST_HEAD_MAX || (head_len == 0 && left >= REQUEST_HEAD_MAX))
        return -431;
    /* Garbage is refused as soon as its first line is there, or its first byte if that is none. */
    if (left > 0 && !is_token(head[0]) && !(left == 1 && head[0] == '\r'))
        return -400;
    const char *line_end = memmem(head, left, "\r\n", 2);
    if (!line_end)
        return memchr(head, '\n', left) ? -400 : 0;
    long err = parse_first_line(head, (size_t)(line_end - head), request);
    if (err || head_len == 0)
        return err;
    bool is_1_1 = request->keep_alive;
    for (const char *line = line_end + 2; line < head + head_len - 2; line = line_end + 2) {
        line_end = memmem(line, (size_t)(head + head_len - line), "\r\n", 2);
        err = parse_header(line, (size_t)(line_end - line), request);
        if (err)
            return err;
    }
    err = read_headers(request, is_1_1, &body);
    if (err)
        return err;
    if (left - head_len < body)
        return 0;
    request->http.body = head + head_len;
    request->http.body_len = body;
    return (long)(start + head_len + body);
}
