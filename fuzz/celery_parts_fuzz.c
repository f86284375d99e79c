/* SPDX-License-Identifier: MIT */
/*
 * The smaller things that come from others: the first byte says what the rest is.
 *
 *   u  the URL of a broker             m  a point in time         b  base64
 *   z  bytes packed by zlib            r  an entry of unacked     k  a binding of a queue
 *   t  a table of AMQP                 p  properties of AMQP, a NUL, and the body
 *   a  the arguments of a task         s  a value, as signature and as text for people
 *   l  a rate limit
 */
#include "celery/broker/amqp_table.h"
#include "celery/broker/redis_keys.h"
#include "celery/message/arguments.h"
#include "celery/message/base64.h"
#include "celery/message/compression.h"
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/moment.h"
#include "celery/message/repr.h"
#include "celery/message/signature.h"
#include "celery/message/url.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

WF_TASK(int64_t, takes_numbers, (int64_t, i), (double, d), (bool, b), (uint8_t, u))

int takes_numbers(struct wf_task *self, int64_t i, double d, bool b, uint8_t u, int64_t *ret)
{
    (void)self;
    *ret = i + (int64_t)(d > 0 && d < 9) + b + u;
    return 0;
}
WF_TASK_DEFINE(takes_numbers)

WF_TASK(wf_bytes, takes_texts, (const char *, text), (wf_bytes, bytes),
        (const struct wf_json *, json), (const struct wf_json *, rest),
        (const struct wf_json *, more))

int takes_texts(struct wf_task *self, const char *text, wf_bytes bytes, const struct wf_json *json,
                const struct wf_json *rest, const struct wf_json *more, wf_bytes *ret)
{
    (void)self, (void)text, (void)json, (void)rest, (void)more;
    *ret = bytes;
    return 0;
}
WF_TASK_DEFINE_WITH(takes_texts, .celery = &(const struct wf_celery_task){
                                     .defaults = "{\"bytes\": \"b\", \"json\": {\"a\": [1]}}",
                                     .rest_args = "rest",
                                     .rest_kwargs = "more"})

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void read_url(const char *text)
{
    struct wfi_celery_url url;
    struct wf_error err = {0};
    char shown[WFI_CELERY_URL_BYTES];
    if (wfi_celery_url_parse(text, &url, &err) == 0)
        check(strlen(wfi_celery_url_format(&url, shown)) < sizeof shown);
    else
        check(err.text[0] != '\0');
}

static void read_moment(const char *text, size_t len)
{
    char again[WFI_MOMENT_BYTES];
    int64_t us, same;
    if (wfi_moment_read(text, len, &us))
        return;
    check(wfi_moment_write(us, true, again) < sizeof again);
    check(wfi_moment_read(again, strlen(again), &same) == 0 && same == us);
}

static void read_base64(const char *text, size_t len)
{
    char *bytes = malloc(len + 1), *again = malloc(wfi_base64_encoded_len(len) + 1);
    const ssize_t n = wfi_base64_decode(text, len, bytes);
    check(n < 0 || (size_t)n <= len / 4 * 3);
    wfi_base64_encode(text, len, again);
    char *back = malloc(len + 3);
    check(wfi_base64_decode(again, wfi_base64_encoded_len(len), back) == (ssize_t)len);
    check(len == 0 || memcmp(back, text, len) == 0);
    free(back);
    free(again);
    free(bytes);
}

static void unpack(const char *text, size_t len)
{
    struct wfi_buffer plain = {0}, packed = {0}, again = {0};
    if (wfi_inflate(text, len, 1 << 20, &plain) == 0) {
        check(plain.len <= 1 << 20);
        check(wfi_deflate(plain.data, plain.len, &packed) == 0);
        check(wfi_inflate(packed.data, packed.len, 1 << 20, &again) == 0);
        check(again.len == plain.len);
        check(again.len == 0 || memcmp(again.data, plain.data, plain.len) == 0);
    }
    wfi_buffer_reset(&plain);
    wfi_buffer_reset(&packed);
    wfi_buffer_reset(&again);
}

static void restore(const char *text, size_t len)
{
    struct wfi_redis_restored restored = {0};
    struct wf_json *json;
    if (wfi_redis_restore_entry(text, len, &restored))
        return;
    check(restored.exchange && restored.routing_key);
    if (restored.len >= len || memcmp(restored.text, text + 1, restored.len) != 0) {
        bool redelivered = false; /* not as it was, so it could be read */
        check(wf_json_read(restored.text, restored.len, NULL, &json, NULL) == 0);
        const struct wf_json_value *headers = wf_json_get(wf_json_root(json), "headers");
        check(wf_json_bool(wf_json_get(headers, "redelivered"), &redelivered) == 0 && redelivered);
        wf_json_destroy(json);
    }
    wfi_redis_restored_fini(&restored);
}

static void read_table(char *bytes, size_t len)
{
    amqp_pool_t pool, other;
    amqp_table_t table, again;
    size_t offset = 0;
    init_amqp_pool(&pool, 4096);
    init_amqp_pool(&other, 4096);
    if (amqp_decode_table((amqp_bytes_t){.len = len, .bytes = bytes}, &pool, &table, &offset) ==
        AMQP_STATUS_OK) {
        struct wf_json_writer *w;
        struct wf_json *json;
        const char *text;
        size_t text_len;
        check(wfi_message_writer_create(&w) == 0);
        wfi_amqp_table_write(w, &table);
        check(wf_json_writer_text(w, &text, &text_len) == 0);
        check(wf_json_read(text, text_len, NULL, &json, NULL) == 0);
        (void)wfi_amqp_table_make(wf_json_root(json), &other, &again);
        wf_json_destroy(json);
        wf_json_writer_destroy(w);
    }
    empty_amqp_pool(&pool);
    empty_amqp_pool(&other);
}

static void read_amqp_message(const char *text, size_t len)
{
    const char *end = memchr(text, '\0', len);
    struct wfi_message_in in;
    struct wf_json *properties;
    struct wf_error err = {0};
    if (!end || wf_json_read(text, (size_t)(end - text), NULL, &properties, NULL))
        return;
    int fate =
        wfi_message_read_amqp(properties, end + 1, len - (size_t)(end + 1 - text), &in, &err);
    if (fate == WFI_MESSAGE_RUN)
        fate = wfi_message_read_body(&in, 1 << 20, &err);
    check(fate >= WFI_MESSAGE_RUN && fate <= WFI_MESSAGE_FAIL);
    wfi_message_in_reset(&in);
}

/* [args, kwargs] */
static void bind(const struct wf_json_value *value)
{
    const enum wf_json_type kwargs = wf_json_type(wf_json_at(value, 1));
    if (wf_json_type(wf_json_at(value, 0)) != WF_JSON_ARRAY ||
        (kwargs != WF_JSON_OBJECT && kwargs != WF_JSON_NULL))
        return;
    const struct wf_task_type *types[] = {wf_task_find("takes_numbers"),
                                          wf_task_find("takes_texts")};
    for (size_t i = 0; i < 2; i++) {
        struct wfi_arguments arguments = {0};
        struct wf_error err = {0};
        const char *exc = NULL, *text;
        int code = wfi_arguments_bind(types[i], wf_json_at(value, 0), wf_json_at(value, 1),
                                      &arguments, &exc, &err);
        check(code == 0 || (code == -EINVAL && exc && err.text[0]));
        if (code == 0 && i == 1) {
            const struct takes_texts_args *args = arguments.args;
            struct wf_json_writer *w;
            check(args->rest && args->more && args->json);
            check(wfi_message_writer_create(&w) == 0);
            check(wfi_arguments_write_result(w, types[i], &args->bytes, &err) == 0);
            check(wf_json_writer_text(w, &text, NULL) == 0);
            wf_json_writer_destroy(w);
        }
        wfi_arguments_fini(&arguments);
    }
}

static void show(const struct wf_json_value *value)
{
    struct wfi_signature signature;
    struct wfi_buffer shown = {0};
    struct wf_error err = {0};
    check(wfi_repr(&shown, value, 100) == 0);
    check(shown.len <= 100 + 3);
    wfi_buffer_reset(&shown);
    if (wfi_signature_read(value, &signature, &err) == 0) {
        struct wf_json_writer *w;
        const char *text;
        check(wfi_message_writer_create(&w) == 0);
        wfi_signature_write(w, &signature);
        check(wf_json_writer_text(w, &text, NULL) == 0);
        wf_json_writer_destroy(w);
    }
}

static void with_value(const char *text, size_t len, void (*use)(const struct wf_json_value *))
{
    struct wf_json *json;
    if (wf_json_read(text, len, NULL, &json, NULL))
        return;
    use(wf_json_root(json));
    wf_json_destroy(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t len = size ? size - 1 : 0;
    char *text = malloc(len + 1);
    const char *queue;
    double rate;
    memcpy(text, size ? data + 1 : data, len);
    text[len] = '\0';
    switch (size ? data[0] : 0) {
    case 'u':
        read_url(text);
        break;
    case 'm':
        read_moment(text, len);
        break;
    case 'b':
        read_base64(text, len);
        break;
    case 'z':
        unpack(text, len);
        break;
    case 'r':
        restore(text, len);
        break;
    case 'k':
        if (wfi_redis_binding_fits(text, "celery", &queue))
            check(queue >= text && queue <= text + len);
        break;
    case 't':
        read_table(text, len);
        break;
    case 'p':
        read_amqp_message(text, len);
        break;
    case 'a':
        with_value(text, len, bind);
        break;
    case 's':
        with_value(text, len, show);
        break;
    case 'l':
        if (wfi_control_rate_text(text, &rate) == 0)
            check(rate >= 0);
        break;
    default:
        break;
    }
    free(text);
    return 0;
}
