/* SPDX-License-Identifier: MIT */
/*
 * A head goes through three hands, each stopping at the first byte it does not like: the line rules
 * (wfi_head_lines), which also find where the head ends; llhttp, which is given exactly the bytes
 * that passed them; and the rules about single fields, in llhttp's callbacks. As all three work
 * byte by byte, the first offence decides, however the bytes were cut.
 *
 * The texts of a head are slices of `data`, which moves when it grows: move_texts follows. Nothing
 * grows after HEAD: trailers are checked and dropped, and of their names only as much is kept as a
 * forbidden one has.
 *
 * Bodies of a known length are counted down here. Chunked ones go through llhttp, which is paused
 * at each piece, and before the trailers so that they meet the line rules too.
 */
#include "http/request.h"

#include <stddef.h>
#include <errno.h>

#include <llhttp.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "http/head_lines.h"
#include "http/target.h"

enum {
    DATA_BYTES_FIRST = 1024, /* most heads of browsers; wrk's and curl's are a tenth of it */
    FIELDS_FIRST = 24,
    HEAD_BYTES_MAX = 16 * 1024,
    TARGET_BYTES_MAX = 8000,
    FIELD_COUNT_MAX = 100,
    TRAILER_NAME_BYTES = 24, /* longer than any name that is refused there */
    KEPT_BYTES_MAX = 4096,   /* of memory that goes from one connection to the next */
    KEPT_FIELDS_MAX = 48,
    FRAMING_PER_BYTE = 16, /* a chunk of one byte has five bytes of framing */
};
#define BODY_BYTES_MAX (UINT64_C(1) << 20)

enum phase {
    AT_START, /* one blank line may precede a request: old clients send one after a body */
    AT_START_LF,
    IN_HEAD,
    BEFORE_BODY,
    IN_BODY,
    IN_CHUNKS,
    IN_TRAILERS,
    AT_END,
    REFUSED,
};

struct wfi_request_parser {
    llhttp_t llhttp;
    struct wfi_request_head head;
    struct wfi_request_limits limits;
    struct wfi_head_lines lines;
    enum phase phase;
    int status;
    const char *reason;

    char *data; /* the head so far */
    size_t len, size;
    struct wfi_request_field *fields;
    size_t fields_size;

    bool blank_line_seen;
    bool in_value;         /* a field's name is complete, its value begins or goes on */
    bool have_content_len; /* fields seen that may stand once */
    bool have_encoding;
    struct wfi_text host;    /* of the Host field; ptr NULL: none so far */
    uint64_t body_bytes_max; /* for this request */
    uint64_t body_left;      /* of a body of known length */
    uint64_t body_taken;     /* of a chunked one */
    uint64_t framing_len;    /* what was chunk sizes, extensions and line ends */
    struct wfi_text piece;   /* what llhttp found of a chunk */
    bool last_chunk;
    size_t trailer_len;
    size_t trailer_name_len;
    char trailer_name[TRAILER_NAME_BYTES];
};

static int refuse(struct wfi_request_parser *p, int status, const char *reason)
{
    p->phase = REFUSED;
    p->status = status;
    p->reason = reason;
    return HPE_USER;
}

static struct wfi_request_parser *parser_of(llhttp_t *llhttp)
{
    return wfi_container_of(llhttp, struct wfi_request_parser, llhttp);
}

/* A text comes in pieces when its bytes did; in `data` they lie side by side. */
static void extend(struct wfi_text *text, const char *at, size_t len)
{
    if (!text->ptr)
        text->ptr = at;
    text->len = (size_t)(at - text->ptr) + len;
}

static int on_method(llhttp_t *llhttp, const char *at, size_t len)
{
    extend(&parser_of(llhttp)->head.method_text, at, len);
    return 0;
}

static int on_method_complete(llhttp_t *llhttp)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    if (llhttp->method == HTTP_CONNECT || llhttp->method == HTTP_PRI)
        return refuse(p, llhttp->method == HTTP_PRI ? 505 : 501,
                      llhttp->method == HTTP_PRI ? "HTTP/2 on a connection for HTTP/1.1"
                                                 : "CONNECT: this is no proxy");
    return 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    const struct wfi_text method = p->head.method_text;
    if (!p->head.target.ptr && at != method.ptr + method.len + 1)
        return refuse(p, 400, "more than one space behind the method");
    extend(&p->head.target, at, len);
    return 0;
}

static int on_url_complete(llhttp_t *llhttp)
{
    /* llhttp takes a line without a version for HTTP/0.9 and says so here. */
    if (llhttp->http_minor == 9)
        return refuse(parser_of(llhttp), 400, "no HTTP version");
    return 0;
}

static int on_version(llhttp_t *llhttp, const char *at, size_t len)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    static const char before[] = " HTTP/";
    const char *behind = p->head.target.ptr + p->head.target.len;
    (void)len;
    /* Called again for the later pieces of the version, which stand further on. */
    if ((size_t)(at - behind) < sizeof before - 1 || memcmp(behind, before, sizeof before - 1) != 0)
        return refuse(p, 400, "the request line is not METHOD SP TARGET SP HTTP/1.x");
    return 0;
}

static int on_version_complete(llhttp_t *llhttp)
{
    if (llhttp->http_major != 1)
        return refuse(parser_of(llhttp), 505, "not HTTP/1.1 or HTTP/1.0");
    return 0;
}

static int grow_fields(struct wfi_request_parser *p)
{
    if (p->head.field_count < p->fields_size)
        return 0;
    const size_t size = p->fields_size ? p->fields_size * 2 : FIELDS_FIRST;
    struct wfi_request_field *fields = wfi_realloc(p->fields, size * sizeof *fields);
    if (!fields)
        return refuse(p, 503, "out of memory");
    p->fields = fields;
    p->fields_size = size;
    return 0;
}

static int on_field_name(llhttp_t *llhttp, const char *at, size_t len)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    if (p->phase == IN_TRAILERS) {
        if (p->in_value)
            p->trailer_name_len = 0;
        p->in_value = false;
        for (size_t i = 0; i < len && p->trailer_name_len < TRAILER_NAME_BYTES; i++)
            p->trailer_name[p->trailer_name_len++] = at[i];
        return 0;
    }
    if (p->in_value || p->head.field_count == 0) {
        const int err = grow_fields(p);
        if (err)
            return err;
        p->fields[p->head.field_count++] = (struct wfi_request_field){{NULL, 0}, {NULL, 0}};
        p->in_value = false;
    }
    extend(&p->fields[p->head.field_count - 1].name, at, len);
    return 0;
}

static int on_field_name_complete(llhttp_t *llhttp)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    const size_t len =
        p->phase == IN_TRAILERS ? p->trailer_name_len : p->fields[p->head.field_count - 1].name.len;
    return len > 0 ? 0 : refuse(p, 400, "a field without a name");
}

static int on_field_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    if (len == 0) /* of an empty value llhttp says where the next line begins */
        return 0;
    p->in_value = true;
    if (p->phase != IN_TRAILERS)
        extend(&p->fields[p->head.field_count - 1].value, at, len);
    return 0;
}

/* RFC 9110 6.5.1: what says how to read the message must not follow it. */
static bool is_refused_in_trailers(struct wfi_text name)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "host",         "connection", "expect", "te",
        "trailer",        "content-encoding",  "content-range"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (wfi_text_is_nocase(name, names[i]))
            return true;
    return false;
}

static int take_content_len(struct wfi_request_parser *p, struct wfi_text value)
{
    if (p->have_content_len)
        return refuse(p, 400, "Content-Length repeated");
    p->have_content_len = true;
    if (value.len == 0)
        return refuse(p, 400, "Content-Length empty");
    for (size_t i = 0; i < value.len; i++) {
        const char c = value.ptr[i];
        if (c < '0' || c > '9')
            return refuse(p, 400, "Content-Length is not a number");
        if (__builtin_mul_overflow(p->head.body_len, 10u, &p->head.body_len) ||
            __builtin_add_overflow(p->head.body_len, (unsigned)(c - '0'), &p->head.body_len))
            return refuse(p, 400, "Content-Length out of range");
    }
    return 0;
}

static int take_encoding(struct wfi_request_parser *p, struct wfi_text value)
{
    if (p->have_encoding)
        return refuse(p, 400, "Transfer-Encoding repeated");
    p->have_encoding = p->head.chunked = true;
    if (!wfi_text_is_nocase(value, "chunked"))
        return refuse(p, 400, "a Transfer-Encoding other than chunked");
    if (p->head.minor == 0)
        return refuse(p, 400, "Transfer-Encoding in HTTP/1.0");
    return 0;
}

static int take_host(struct wfi_request_parser *p, struct wfi_text value)
{
    if (p->host.ptr)
        return refuse(p, 400, "Host repeated");
    p->host = value;
    if (!wfi_authority_is_valid(value))
        return refuse(p, 400, "Host is empty or malformed");
    return 0;
}

static int take_expect(struct wfi_request_parser *p, struct wfi_text value)
{
    if (p->head.minor == 0)
        return 0; /* RFC 9110 10.1.1: to be ignored there */
    if (!wfi_text_is_nocase(value, "100-continue"))
        return refuse(p, 417, "an Expect other than 100-continue");
    p->head.expects_continue = true;
    return 0;
}

static int on_field_complete(llhttp_t *llhttp)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    if (p->phase == IN_TRAILERS) {
        p->in_value = true; /* also behind an empty value: the next name begins anew */
        if (is_refused_in_trailers((struct wfi_text){p->trailer_name, p->trailer_name_len}))
            return refuse(p, 400, "a field of the framing among the trailers");
        return 0;
    }
    struct wfi_request_field *field = &p->fields[p->head.field_count - 1];
    field->value = wfi_text_trim(field->value);
    p->head.minor = llhttp->http_minor;
    p->in_value = true;
    switch (field->name.len) {
    case sizeof "host" - 1:
        return wfi_text_is_nocase(field->name, "host") ? take_host(p, field->value) : 0;
    case sizeof "expect" - 1:
        return wfi_text_is_nocase(field->name, "expect") ? take_expect(p, field->value) : 0;
    case sizeof "content-length" - 1:
        return wfi_text_is_nocase(field->name, "content-length") ? take_content_len(p, field->value)
                                                                 : 0;
    case sizeof "transfer-encoding" - 1:
        return wfi_text_is_nocase(field->name, "transfer-encoding") ? take_encoding(p, field->value)
                                                                    : 0;
    default:
        return 0;
    }
}

static enum wfi_request_method method_of(uint8_t method)
{
    switch (method) {
    case HTTP_GET:
        return WFI_METHOD_GET;
    case HTTP_HEAD:
        return WFI_METHOD_HEAD;
    case HTTP_POST:
        return WFI_METHOD_POST;
    case HTTP_PUT:
        return WFI_METHOD_PUT;
    case HTTP_DELETE:
        return WFI_METHOD_DELETE;
    case HTTP_PATCH:
        return WFI_METHOD_PATCH;
    case HTTP_OPTIONS:
        return WFI_METHOD_OPTIONS;
    case HTTP_TRACE:
        return WFI_METHOD_TRACE;
    default:
        return WFI_METHOD_OTHER;
    }
}

static int take_target(struct wfi_request_parser *p)
{
    struct wfi_request_head *head = &p->head;
    struct wfi_target target;
    const char *wrong = wfi_target_split(head->target, head->method == WFI_METHOD_OPTIONS, &target);
    if (wrong)
        return refuse(p, 400, wrong);
    head->path = target.path;
    head->query = target.query;
    head->authority = p->host;
    if (target.authority.ptr) {
        if (p->host.ptr && !wfi_authority_same(target.authority, p->host, target.https))
            return refuse(p, 400, "the target names another host than Host");
        head->authority = target.authority;
    }
    return 0;
}

/* Every text of the head becomes a C string: what follows it has been read and is of no use. */
static void end_texts(struct wfi_request_parser *p)
{
    struct wfi_request_head *head = &p->head;
    p->data[head->method_text.ptr + head->method_text.len - p->data] = '\0';
    p->data[head->target.ptr + head->target.len - p->data] = '\0';
    for (size_t i = 0; i < head->field_count; i++) {
        struct wfi_request_field *field = &p->fields[i];
        if (!field->value.ptr)
            field->value.ptr = field->name.ptr + field->name.len;
        p->data[field->name.ptr + field->name.len - p->data] = '\0';
        p->data[field->value.ptr + field->value.len - p->data] = '\0';
    }
}

static int on_head_complete(llhttp_t *llhttp)
{
    struct wfi_request_parser *p = parser_of(llhttp);
    struct wfi_request_head *head = &p->head;
    if (p->phase == IN_TRAILERS)
        return 0;
    head->minor = llhttp->http_minor;
    head->method = method_of(llhttp->method);
    head->fields = p->fields;
    if (head->minor > 0 && !p->host.ptr)
        return refuse(p, 400, "no Host");
    if (p->have_content_len && p->have_encoding)
        return refuse(p, 400, "Content-Length and Transfer-Encoding");
    if (head->chunked != !!(llhttp->flags & F_CHUNKED) || llhttp->content_length != head->body_len)
        return refuse(p, 400, "two readings of the length of the body");
    if (take_target(p) != 0)
        return HPE_USER;
    head->expects_continue &= head->chunked || head->body_len > 0;
    head->keep_alive = llhttp_should_keep_alive(llhttp) && !(llhttp->flags & F_CONNECTION_CLOSE);
    llhttp->upgrade = 0; /* no upgrade is offered: the body is read as that of any request */
    p->phase = BEFORE_BODY;
    return HPE_PAUSED;
}

static int on_chunk_size(llhttp_t *llhttp)
{
    if (llhttp->content_length > 0)
        return 0;
    parser_of(llhttp)->last_chunk = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    if (len == 0) /* a piece that ended with the bytes fed */
        return 0;
    parser_of(llhttp)->piece = (struct wfi_text){at, len};
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->phase = AT_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_method_complete = on_method_complete,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_version = on_version,
    .on_version_complete = on_version_complete,
    .on_header_field = on_field_name,
    .on_header_field_complete = on_field_name_complete,
    .on_header_value = on_field_value,
    .on_header_value_complete = on_field_complete,
    .on_headers_complete = on_head_complete,
    .on_chunk_header = on_chunk_size,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void begin(struct wfi_request_parser *p)
{
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    memset(&p->head, 0, sizeof p->head);
    wfi_head_lines_init(&p->lines, p->limits.target_bytes_max, p->limits.field_count_max);
    p->phase = AT_START;
    p->status = 0;
    p->reason = NULL;
    p->body_bytes_max = p->limits.body_bytes_max;
    p->len = 0;
    p->blank_line_seen = p->in_value = p->have_content_len = p->have_encoding = false;
    p->last_chunk = false;
    p->host = p->piece = (struct wfi_text){NULL, 0};
    p->body_taken = p->framing_len = 0;
    p->trailer_len = p->trailer_name_len = 0;
}

int wfi_request_parser_create(const struct wfi_request_limits *limits,
                              struct wfi_request_parser **ret_parser, struct wf_error *reterr)
{
    struct wfi_request_parser *p = wfi_zalloc(sizeof *p);
    if (!p)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wfi_request_set_limits(p, limits ? limits : &(struct wfi_request_limits){0});
    *ret_parser = p;
    return 0;
}

void wfi_request_parser_destroy(struct wfi_request_parser *p)
{
    if (!p)
        return;
    wfi_free(p->data);
    wfi_free(p->fields);
    wfi_free(p);
}

/* Whether the request line names a version of the right form that is not spoken here. */
static bool is_other_version(const struct wfi_request_parser *p)
{
    const char *at = p->head.target.ptr ? p->head.target.ptr + p->head.target.len : NULL;
    if (!at || p->len - (size_t)(at - p->data) < sizeof " HTTP/1.1" - 1)
        return false;
    const char major = at[sizeof " HTTP/" - 1], dot = at[sizeof " HTTP/1" - 1],
               minor = at[sizeof " HTTP/1." - 1];
    return major >= '0' && major <= '9' && dot == '.' && minor >= '0' && minor <= '9' &&
           !(major == '1' && minor <= '1');
}

/* What llhttp found wrong at `where`, unless a rule of ours in a callback did. */
static void refuse_for_llhttp(struct wfi_request_parser *p, llhttp_errno_t err, const char *where)
{
    if (p->phase == REFUSED)
        return;
    const char *reason = llhttp_get_error_reason(&p->llhttp);
    const size_t at = p->phase == IN_HEAD && where ? (size_t)(where - p->data) : 0;
    int status = 400;
    if (err == HPE_INVALID_METHOD) {
        /* Not one of its methods, or the start of one; 400 when it is not even a word. */
        if (wfi_is_token_char(p->data[at]) || (p->data[at] == ' ' && at > 0))
            status = 501;
    } else if (err == HPE_INVALID_CONSTANT && p->llhttp.method >= HTTP_SOURCE) {
        status = 501; /* a method of RTSP or ICE */
    } else if (err == HPE_INVALID_VERSION && is_other_version(p)) {
        status = 505;
    }
    refuse(p, status, reason && *reason ? reason : "llhttp refuses it");
}

static void move_texts(struct wfi_request_parser *p, const char *from, const char *to)
{
    struct wfi_text *texts[] = {&p->head.method_text, &p->head.target, &p->host};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i]->ptr)
            texts[i]->ptr = to + (texts[i]->ptr - from);
    for (size_t i = 0; i < p->head.field_count; i++) {
        struct wfi_request_field *field = &p->fields[i];
        field->name.ptr = to + (field->name.ptr - from);
        if (field->value.ptr)
            field->value.ptr = to + (field->value.ptr - from);
    }
}

static int reserve(struct wfi_request_parser *p, size_t more)
{
    if (p->size - p->len >= more)
        return 0;
    size_t size = p->size ? p->size * 2 : DATA_BYTES_FIRST;
    while (size < p->len + more)
        size *= 2;
    char *data = wfi_alloc(size);
    if (!data)
        return refuse(p, 503, "out of memory");
    if (p->len > 0) {
        memcpy(data, p->data, p->len);
        move_texts(p, p->data, data);
    }
    wfi_free(p->data);
    p->data = data;
    p->size = size;
    return 0;
}

/* Gives llhttp bytes that passed the line rules. `last`: they end the head or the trailers. */
static void execute(struct wfi_request_parser *p, const char *at, size_t len, bool last)
{
    const enum phase before = p->phase;
    const llhttp_errno_t err = llhttp_execute(&p->llhttp, at, len);
    if (err != HPE_OK && err != HPE_PAUSED) {
        const char *where = llhttp_get_error_pos(&p->llhttp);
        refuse_for_llhttp(p, err, where >= at && where < at + len ? where : NULL);
    } else if (last != (p->phase != before))
        refuse(p, 400, "two readings of where the head ends");
}

static void feed_head(struct wfi_request_parser *p, const char *bytes, size_t len,
                      size_t *ret_consumed)
{
    const size_t room = p->limits.head_bytes_max - p->len;
    enum wfi_head_lines_end end;
    const size_t passed = wfi_head_lines_pass(&p->lines, bytes, len < room ? len : room, &end);
    if (passed > 0) {
        if (reserve(p, passed) != 0)
            return;
        char *at = p->data + p->len;
        memcpy(at, bytes, passed);
        p->len += passed;
        execute(p, at, passed, end == WFI_HEAD_LINES_COMPLETE);
    }
    *ret_consumed += passed;
    if (p->phase == BEFORE_BODY)
        end_texts(p);
    if (p->phase != IN_HEAD)
        return;
    if (end != WFI_HEAD_LINES_MORE)
        refuse(p, wfi_head_lines_status(end), wfi_head_lines_reason(end));
    else if (passed < len && p->lines.line_count == 0)
        refuse(p, 414, "the request line is longer than a head may be");
    else if (passed < len)
        refuse(p, 431, "the head is longer than the limit");
}

static void feed_trailers(struct wfi_request_parser *p, const char *bytes, size_t len,
                          size_t *ret_consumed)
{
    const size_t room = p->limits.head_bytes_max - p->trailer_len;
    enum wfi_head_lines_end end;
    const size_t passed = wfi_head_lines_pass(&p->lines, bytes, len < room ? len : room, &end);
    p->trailer_len += passed;
    if (passed > 0)
        execute(p, bytes, passed, end == WFI_HEAD_LINES_COMPLETE);
    *ret_consumed += passed;
    if (p->phase != IN_TRAILERS)
        return;
    if (end != WFI_HEAD_LINES_MORE)
        refuse(p, wfi_head_lines_status(end), wfi_head_lines_reason(end));
    else if (passed < len)
        refuse(p, 431, "the trailers are longer than the limit");
}

/* Whether what is not body outgrew its share: an extension without end, sizes of many zeros. */
static bool is_mostly_framing(const struct wfi_request_parser *p)
{
    return p->framing_len > p->limits.head_bytes_max &&
           (p->framing_len - p->limits.head_bytes_max) / FRAMING_PER_BYTE > p->body_taken;
}

static bool feed_chunks(struct wfi_request_parser *p, const char *bytes, size_t len,
                        size_t *ret_consumed)
{
    p->piece = (struct wfi_text){NULL, 0};
    const llhttp_errno_t err = llhttp_execute(&p->llhttp, bytes, len);
    const size_t consumed =
        err == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&p->llhttp) - bytes);
    *ret_consumed += consumed;
    p->framing_len += consumed - p->piece.len;
    if (is_mostly_framing(p)) {
        refuse(p, 413, "chunks that are mostly framing");
        return false;
    }
    if (err != HPE_OK && err != HPE_PAUSED) {
        refuse_for_llhttp(p, err, NULL);
        return false;
    }
    if (p->piece.len > p->body_bytes_max - p->body_taken) {
        refuse(p, 413, "the body is longer than the limit");
        return false;
    }
    if (err == HPE_PAUSED)
        llhttp_resume(&p->llhttp);
    p->body_taken += p->piece.len;
    if (p->last_chunk) {
        p->phase = IN_TRAILERS;
        p->in_value = true;
        wfi_head_lines_init_trailers(&p->lines, p->limits.field_count_max);
    }
    return p->piece.len > 0;
}

/* One step. Returns whether there is something to say. */
static bool step(struct wfi_request_parser *p, const char *bytes, size_t len, size_t *ret_consumed,
                 enum wfi_request_event *ret_event, struct wfi_text *ret_body)
{
    *ret_event = WFI_REQUEST_MORE;
    switch (p->phase) {
    case AT_START:
        if (len == 0)
            return true;
        if (*bytes == '\r' && !p->blank_line_seen) {
            p->phase = AT_START_LF;
            p->blank_line_seen = true;
            ++*ret_consumed;
        } else
            p->phase = IN_HEAD;
        return false;
    case AT_START_LF:
        if (len == 0)
            return true;
        if (*bytes == '\n') {
            p->phase = AT_START;
            ++*ret_consumed;
        } else
            refuse(p, 400, "CR without LF");
        return false;
    case IN_HEAD:
        if (len == 0)
            return true;
        feed_head(p, bytes, len, ret_consumed);
        *ret_event = WFI_REQUEST_HEAD;
        return p->phase == BEFORE_BODY;
    case BEFORE_BODY:
        p->phase = p->head.chunked ? IN_CHUNKS : IN_BODY;
        p->body_left = p->head.body_len;
        if (p->head.chunked)
            llhttp_resume(&p->llhttp);
        if (!p->head.chunked && p->body_left > p->body_bytes_max)
            refuse(p, 413, "the body is longer than the limit");
        return false;
    case IN_BODY:
        if (p->body_left == 0) {
            p->phase = AT_END;
            return false;
        }
        if (len == 0)
            return true;
        *ret_body = (struct wfi_text){bytes, len < p->body_left ? len : (size_t)p->body_left};
        p->body_left -= ret_body->len;
        *ret_consumed += ret_body->len;
        *ret_event = WFI_REQUEST_BODY;
        return true;
    case IN_CHUNKS:
        if (len == 0)
            return true;
        if (feed_chunks(p, bytes, len, ret_consumed)) {
            *ret_body = p->piece;
            *ret_event = WFI_REQUEST_BODY;
            return true;
        }
        return false;
    case IN_TRAILERS:
        if (len == 0)
            return true;
        feed_trailers(p, bytes, len, ret_consumed);
        return false;
    case AT_END:
        *ret_event = WFI_REQUEST_END;
        return true;
    case REFUSED:
        *ret_event = WFI_REQUEST_REFUSED;
        return true;
    }
    return true;
}

enum wfi_request_event wfi_request_feed(struct wfi_request_parser *p, const char *bytes, size_t len,
                                        size_t *ret_consumed, struct wfi_text *ret_body)
{
    enum wfi_request_event event;
    size_t consumed = 0;
    while (!step(p, bytes + consumed, len - consumed, &consumed, &event, ret_body))
        ;
    *ret_consumed = consumed;
    return event;
}

void wfi_request_next(struct wfi_request_parser *p)
{
    wfi_assert(p->phase == AT_END, "wfi_request_next comes after the end of a message");
    begin(p);
}

bool wfi_request_is_fresh(const struct wfi_request_parser *p)
{
    return p->phase == AT_START && !p->blank_line_seen;
}

void wfi_request_reset(struct wfi_request_parser *p)
{
    if (p->size > KEPT_BYTES_MAX || p->fields_size > KEPT_FIELDS_MAX) {
        wfi_free(p->data);
        wfi_free(p->fields);
        p->data = NULL;
        p->fields = NULL;
        p->size = p->fields_size = 0;
    }
    if (!wfi_request_is_fresh(p))
        begin(p);
}

void wfi_request_set_limits(struct wfi_request_parser *p, const struct wfi_request_limits *limits)
{
    wfi_assert(wfi_request_is_fresh(p), "limits hold for whole requests");
    struct wfi_request_limits now = {
        .head_bytes_max = limits->head_bytes_max ? limits->head_bytes_max : HEAD_BYTES_MAX,
        .target_bytes_max = limits->target_bytes_max ? limits->target_bytes_max : TARGET_BYTES_MAX,
        .field_count_max = limits->field_count_max ? limits->field_count_max : FIELD_COUNT_MAX,
        .body_bytes_max = limits->body_bytes_max ? limits->body_bytes_max : BODY_BYTES_MAX,
    };
    if (memcmp(&now, &p->limits, sizeof now) == 0)
        return; /* so it has begun with them */
    p->limits = now;
    begin(p);
}

const struct wfi_request_head *wfi_request_head(const struct wfi_request_parser *p)
{
    return &p->head;
}

bool wfi_request_limit_body(struct wfi_request_parser *p, uint64_t bytes_max)
{
    wfi_assert(p->phase == BEFORE_BODY,
               "wfi_request_limit_body comes between the head and the body");
    p->body_bytes_max = bytes_max;
    return p->head.body_len <= bytes_max;
}

bool wfi_request_is_idle(const struct wfi_request_parser *p)
{
    return p->phase == AT_START || p->phase == AT_START_LF;
}

int wfi_request_time_out(struct wfi_request_parser *p)
{
    const bool idle = wfi_request_is_idle(p);
    refuse(p, idle ? 0 : 408, "the time for the request is up");
    return p->status;
}

int wfi_request_status(const struct wfi_request_parser *p)
{
    return p->status;
}

const char *wfi_request_reason(const struct wfi_request_parser *p)
{
    return p->reason;
}
