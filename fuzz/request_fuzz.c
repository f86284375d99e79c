/* SPDX-License-Identifier: MIT */
/*
 * Requests: any bytes on a connection. Three readings must give one account of it: all at once, a
 * byte at a time, and in cuts that the bytes themselves choose. And no request may come out that
 * breaks a rule the parser is there for.
 */
#include "http/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* What is remembered of a reading: a hash of heads and bodies, and how it ended. */
struct account {
    uint64_t hash;
    unsigned head_count, end_count;
    int status;
};

static void add(struct account *account, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        account->hash = (account->hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
}

static void add_text(struct account *account, struct wfi_text text)
{
    add(account, text.ptr, text.len);
    add(account, "\n", 1);
}

static bool is_clean(struct wfi_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == '\0')
            return false;
    return true;
}

static void check_head(const struct wfi_request_head *head)
{
    unsigned hosts = 0, lengths = 0, encodings = 0;
    check(is_clean(head->target) && head->path.len > 0);
    check(head->path.ptr[0] == '/' || wfi_text_is(head->path, "*"));
    check(head->minor == 0 || head->minor == 1);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct wfi_request_field *field = &head->fields[i];
        check(is_clean(field->name) && is_clean(field->value) && field->name.len > 0);
        check(field->name.ptr[field->name.len] == '\0' &&
              field->value.ptr[field->value.len] == '\0');
        check(!memchr(field->name.ptr, ' ', field->name.len));
        hosts += wfi_text_is_nocase(field->name, "Host");
        lengths += wfi_text_is_nocase(field->name, "Content-Length");
        if (wfi_text_is_nocase(field->name, "Transfer-Encoding")) {
            encodings++;
            check(wfi_text_is_nocase(field->value, "chunked"));
        }
    }
    check(hosts == 1 || (hosts == 0 && head->minor == 0));
    check(lengths + encodings <= 1 && head->chunked == (encodings == 1));
    check(head->body_len == 0 || lengths == 1);
}

static bool feed(struct wfi_request_parser *parser, struct account *account, const char *bytes,
                 size_t len)
{
    for (size_t at = 0;;) {
        size_t consumed = len + 1;
        struct wfi_text body = {NULL, 0};
        const enum wfi_request_event event =
            wfi_request_feed(parser, bytes + at, len - at, &consumed, &body);
        check(consumed <= len - at);
        const struct wfi_request_head *head = wfi_request_head(parser);
        switch (event) {
        case WFI_REQUEST_MORE:
            check(consumed == len - at);
            return true;
        case WFI_REQUEST_HEAD:
            check_head(head);
            add_text(account, head->method_text);
            add_text(account, head->target);
            add_text(account, head->authority);
            for (size_t i = 0; i < head->field_count; i++) {
                add_text(account, head->fields[i].name);
                add_text(account, head->fields[i].value);
            }
            add(account, &head->body_len, sizeof head->body_len);
            account->head_count++;
            break;
        case WFI_REQUEST_BODY:
            check(body.len > 0 && body.ptr >= bytes + at && body.ptr + body.len <= bytes + len);
            if (account->status == 0)
                add(account, body.ptr, body.len);
            break;
        case WFI_REQUEST_END:
            account->end_count++;
            wfi_request_next(parser);
            break;
        case WFI_REQUEST_REFUSED:
            account->status = wfi_request_status(parser);
            check(account->status >= 400 && account->status <= 505);
            return false;
        }
        at += consumed;
    }
}

enum cut { WHOLE, BYTES, AS_THE_BYTES_SAY };

static struct account read_all(const char *bytes, size_t len, enum cut cut)
{
    static const struct wfi_request_limits limits = {
        .head_bytes_max = 512, .target_bytes_max = 64, .field_count_max = 8};
    struct wfi_request_parser *parser;
    struct account account = {.hash = UINT64_C(0xcbf29ce484222325)};
    check(wfi_request_parser_create(&limits, &parser, NULL) == 0);
    for (size_t at = 0, next; at < len; at = next) {
        next = cut == WHOLE   ? len
               : cut == BYTES ? at + 1
                              : at + 1 + ((uint8_t)bytes[at] * 7u) % 23u;
        if (next > len)
            next = len;
        /* In memory of its own, that ends where the bytes do. */
        char *exact = malloc(next - at);
        check(exact != NULL);
        memcpy(exact, bytes + at, next - at);
        const bool going = feed(parser, &account, exact, next - at);
        free(exact);
        if (!going)
            break;
    }
    wfi_request_parser_destroy(parser);
    return account;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct account whole = read_all((const char *)data, size, WHOLE);
    for (enum cut cut = BYTES; cut <= AS_THE_BYTES_SAY; cut++) {
        const struct account other = read_all((const char *)data, size, cut);
        check(other.status == whole.status && other.head_count == whole.head_count &&
              other.end_count == whole.end_count);
        /* A refused body may have been handed out in part. */
        check(other.hash == whole.hash || whole.status != 0);
    }
    return 0;
}
