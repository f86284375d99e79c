/* SPDX-License-Identifier: MIT */
#include "proc/codec.h"

#include <errno.h>
#include <string.h>

#include <weft/json.h>

#include "base/alloc.h"

#define LENGTH_OF_NULL UINT64_MAX

/* Checking */

static bool is_flat(enum wf_param_kind kind)
{
    return kind == WF_PARAM_BOOL || kind == WF_PARAM_INT || kind == WF_PARAM_UINT ||
           kind == WF_PARAM_DOUBLE;
}

static bool is_none(const struct wf_task_type *type)
{
    return type->result_kind == WF_PARAM_OPAQUE && strcmp(type->result_type, "wf_none") == 0;
}

static const struct wf_wire *wire_of(const char *text, size_t size)
{
    const struct wf_wire *wire = wf_wire_find(text);
    return wire && wire->size == size ? wire : NULL;
}

int wfi_codec_check_args(const struct wf_task_type *type, struct wf_error *reterr)
{
    for (uint32_t i = 0; i < type->param_count; i++) {
        const struct wf_param *param = &type->params[i];
        if (param->kind == WF_PARAM_OPAQUE && !wire_of(param->type, param->size))
            return wf_error_set(reterr, WF_ENOTWIRE,
                                "task %s: parameter %s (%s) cannot leave this process: its type "
                                "has no WF_WIRE",
                                type->name, param->name, param->type);
    }
    return 0;
}

int wfi_codec_check_result(const struct wf_task_type *type, struct wf_error *reterr)
{
    if (type->result_kind == WF_PARAM_OPAQUE && !is_none(type) &&
        !wire_of(type->result_type, type->result_bytes))
        return wf_error_set(reterr, WF_ENOTWIRE,
                            "task %s: its result (%s) cannot come from another process: its type "
                            "has no WF_WIRE",
                            type->name, type->result_type);
    if ((type->result_kind == WF_PARAM_STRING || type->result_kind == WF_PARAM_BYTES) &&
        !type->drop_result)
        return wf_error_set(reterr, WF_ENOTWIRE,
                            "task %s: its result (%s) comes from another process in memory of its "
                            "own, which needs a .drop_result (see wf_drop_string)",
                            type->name, type->result_type);
    return 0;
}

bool wfi_codec_flat_args(const struct wf_task_type *type)
{
    for (uint32_t i = 0; i < type->param_count; i++)
        if (!is_flat(type->params[i].kind))
            return false;
    return true;
}

bool wfi_codec_flat_result(const struct wf_task_type *type)
{
    return is_flat(type->result_kind) || is_none(type);
}

/* Encoding */

struct output {
    unsigned char *buf;
    size_t capacity, len; /* len may be above capacity: then it only counts */
};

static size_t padded(size_t bytes)
{
    return (bytes + WFI_CODEC_ALIGN - 1) & ~(size_t)(WFI_CODEC_ALIGN - 1);
}

/* Room for so many bytes, or NULL when they only count. */
static unsigned char *take(struct output *out, size_t bytes)
{
    unsigned char *at = out->len + padded(bytes) <= out->capacity ? out->buf + out->len : NULL;
    out->len += padded(bytes);
    if (at)
        memset(at + bytes, 0, padded(bytes) - bytes);
    return at;
}

static void put(struct output *out, const void *from, size_t bytes)
{
    unsigned char *at = take(out, bytes);
    if (at && bytes)
        memcpy(at, from, bytes);
}

static void put_length(struct output *out, uint64_t length)
{
    put(out, &length, sizeof length);
}

static void put_run(struct output *out, const void *from, size_t len)
{
    put_length(out, len);
    put(out, from, len);
}

static int put_json(struct output *out, const struct wf_json *json)
{
    struct wf_json_writer *writer;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &writer);
    if (err)
        return err;
    wf_json_write_value(writer, wf_json_root(json));
    err = wf_json_writer_text(writer, &text, &len);
    if (!err)
        put_run(out, text, len);
    wf_json_writer_destroy(writer);
    return err;
}

static int put_wired(struct output *out, const struct wf_wire *wire, const void *value)
{
    size_t before = out->len;
    uint64_t length = 0;
    unsigned char *at = take(out, sizeof length);
    size_t room = out->len < out->capacity ? out->capacity - out->len : 0;
    unsigned char none;
    ssize_t len = wire->encode(value, room ? out->buf + out->len : &none, room);
    if (len < 0)
        return (int)len;
    length = (uint64_t)len;
    if (at)
        memcpy(out->buf + before, &length, sizeof length);
    /* The codec has written its bytes by itself. */
    size_t end = out->len + (size_t)len;
    out->len += padded((size_t)len);
    if (out->len <= out->capacity)
        memset(out->buf + end, 0, out->len - end);
    return 0;
}

/* What a member points to. */
static int put_contents(struct output *out, enum wf_param_kind kind, const char *type, size_t size,
                        const void *value)
{
    const char *text;
    wf_bytes bytes;
    const struct wf_json *json;
    const struct wf_wire *wire;
    switch (kind) {
    case WF_PARAM_STRING:
        memcpy(&text, value, sizeof text);
        if (text)
            put_run(out, text, strlen(text) + 1);
        else
            put_length(out, LENGTH_OF_NULL);
        return 0;
    case WF_PARAM_BYTES:
        memcpy(&bytes, value, sizeof bytes);
        put_run(out, bytes.ptr, bytes.len);
        return 0;
    case WF_PARAM_JSON:
        memcpy(&json, value, sizeof json);
        if (json)
            return put_json(out, json);
        put_length(out, LENGTH_OF_NULL);
        return 0;
    case WF_PARAM_OPAQUE:
        wire = wire_of(type, size);
        return wire ? put_wired(out, wire, value) : WF_ENOTWIRE;
    default:
        return 0;
    }
}

ssize_t wfi_codec_encode_args(const struct wf_task_type *type, const void *args, void *buf,
                              size_t capacity, struct wf_error *reterr)
{
    struct output out = {.buf = buf, .capacity = capacity};
    put(&out, args, type->args_bytes);
    for (uint32_t i = 0; i < type->param_count; i++) {
        const struct wf_param *param = &type->params[i];
        if (is_flat(param->kind))
            continue;
        int err = put_contents(&out, param->kind, param->type, param->size,
                               (const unsigned char *)args + param->offset);
        if (err)
            return wf_error_set(reterr, err, "task %s: parameter %s does not encode: %s",
                                type->name, param->name, wf_strerror(err));
    }
    return (ssize_t)out.len;
}

ssize_t wfi_codec_encode_result(const struct wf_task_type *type, const void *result, void *buf,
                                size_t capacity, struct wf_error *reterr)
{
    struct output out = {.buf = buf, .capacity = capacity};
    int err = 0;
    if (wfi_codec_flat_result(type))
        put(&out, result, type->result_bytes);
    else
        err = put_contents(&out, type->result_kind, type->result_type, type->result_bytes, result);
    if (err)
        return wf_error_set(reterr, err, "task %s: its result does not encode: %s", type->name,
                            wf_strerror(err));
    return (ssize_t)out.len;
}

/* Decoding */

struct input {
    unsigned char *at;
    size_t left;
};

/* The next so many bytes, or NULL when there are not as many. */
static unsigned char *get(struct input *in, uint64_t bytes)
{
    if (bytes > in->left || padded((size_t)bytes) > in->left)
        return NULL;
    unsigned char *at = in->at;
    in->at += padded((size_t)bytes);
    in->left -= padded((size_t)bytes);
    return at;
}

static int get_length(struct input *in, uint64_t *ret)
{
    unsigned char *at = get(in, sizeof *ret);
    if (!at)
        return WF_EPROTOCOL;
    memcpy(ret, at, sizeof *ret);
    return 0;
}

static int get_json(const unsigned char *text, size_t len, void *ret_value)
{
    /* As deep as memory goes: what was a tree over there becomes one here. */
    static const struct wf_json_options options = {.depth_max = UINT32_MAX};
    struct wf_json *json;
    int err = wf_json_read((const char *)text, len, &options, &json, NULL);
    if (!err)
        memcpy(ret_value, &json, sizeof json);
    return err;
}

/* Takes the contents of one member and stores what the member then is. */
static int get_contents(struct input *in, enum wf_param_kind kind, const char *type, size_t size,
                        void *ret_value)
{
    uint64_t length;
    int err = get_length(in, &length);
    if (err)
        return err;
    if (length == LENGTH_OF_NULL && (kind == WF_PARAM_STRING || kind == WF_PARAM_JSON)) {
        memset(ret_value, 0, sizeof(void *));
        return 0;
    }
    unsigned char *at = get(in, length);
    if (!at)
        return WF_EPROTOCOL;
    wf_bytes bytes = {at, (size_t)length};
    const struct wf_wire *wire;
    switch (kind) {
    case WF_PARAM_STRING:
        if (length == 0 || at[length - 1] != '\0')
            return WF_EPROTOCOL;
        memcpy(ret_value, &at, sizeof at);
        return 0;
    case WF_PARAM_BYTES:
        memcpy(ret_value, &bytes, sizeof bytes);
        return 0;
    case WF_PARAM_JSON:
        return get_json(at, (size_t)length, ret_value);
    default:
        wire = wire_of(type, size);
        err = wire ? wire->decode(ret_value, at, (size_t)length) : WF_ENOTWIRE;
        return err < 0 ? err : 0;
    }
}

static void drop_json(void *value)
{
    struct wf_json *json;
    memcpy(&json, value, sizeof json);
    wf_json_destroy(json);
    memset(value, 0, sizeof json);
}

static void drop_params(const struct wf_task_type *type, unsigned char *args, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct wf_param *param = &type->params[i];
        if (param->kind == WF_PARAM_JSON)
            drop_json(args + param->offset);
        else if (param->kind == WF_PARAM_STRING || param->kind == WF_PARAM_BYTES)
            memset(args + param->offset, 0, param->size);
    }
}

ssize_t wfi_codec_decode_args(const struct wf_task_type *type, void *buf, size_t len,
                              void *ret_args, struct wf_error *reterr)
{
    struct input in = {buf, len};
    unsigned char *args = ret_args;
    const unsigned char *structure = get(&in, type->args_bytes);
    int err = structure ? 0 : WF_EPROTOCOL;
    if (structure)
        memcpy(args, structure, type->args_bytes);
    for (uint32_t i = 0; !err && i < type->param_count; i++) {
        const struct wf_param *param = &type->params[i];
        if (is_flat(param->kind))
            continue;
        err = get_contents(&in, param->kind, param->type, param->size, args + param->offset);
        if (err) {
            /* The pointers of those that follow are the other process's. */
            for (uint32_t left = i; left < type->param_count; left++)
                if (!is_flat(type->params[left].kind))
                    memset(args + type->params[left].offset, 0, type->params[left].size);
            wfi_codec_drop_args(type, args);
            return wf_error_set(reterr, err, "task %s: parameter %s does not decode: %s",
                                type->name, param->name, wf_strerror(err));
        }
    }
    if (err)
        return wf_error_set(reterr, err, "task %s: its arguments do not decode", type->name);
    return (ssize_t)(len - in.left);
}

void wfi_codec_drop_args(const struct wf_task_type *type, void *args)
{
    drop_params(type, args, type->param_count);
    bool wired = false;
    for (uint32_t i = 0; i < type->param_count; i++)
        wired |= type->params[i].kind == WF_PARAM_OPAQUE;
    if (wired && type->drop_args)
        type->drop_args(args);
}

static ssize_t undecoded(const struct wf_task_type *type, int err, struct wf_error *reterr)
{
    return wf_error_set(reterr, err, "task %s: its result does not decode: %s", type->name,
                        wf_strerror(err));
}

/* Copies a string or bytes to the heap. What is read may be changed by the other side meanwhile, so
 * each word is read once. */
static int copy_out(struct input *in, enum wf_param_kind kind, void *ret_value)
{
    uint64_t length;
    int err = get_length(in, &length);
    if (err)
        return err;
    if (length == LENGTH_OF_NULL && kind == WF_PARAM_STRING) {
        memset(ret_value, 0, sizeof(void *));
        return 0;
    }
    const unsigned char *at = get(in, length);
    if (!at || (kind == WF_PARAM_STRING && length == 0))
        return WF_EPROTOCOL;
    wf_bytes copy = {NULL, (size_t)length};
    if (length) {
        unsigned char *bytes = wfi_alloc((size_t)length);
        if (!bytes)
            return -ENOMEM;
        memcpy(bytes, at, (size_t)length);
        if (kind == WF_PARAM_STRING)
            bytes[length - 1] = '\0';
        copy.ptr = bytes;
    }
    if (kind == WF_PARAM_STRING)
        memcpy(ret_value, &copy.ptr, sizeof copy.ptr);
    else
        memcpy(ret_value, &copy, sizeof copy);
    return 0;
}

ssize_t wfi_codec_decode_result(const struct wf_task_type *type, const void *buf, size_t len,
                                void *ret_result, struct wf_error *reterr)
{
    struct input in = {(unsigned char *)(uintptr_t)buf, len};
    if (wfi_codec_flat_result(type)) {
        const unsigned char *value = get(&in, type->result_bytes);
        if (!value)
            return undecoded(type, WF_EPROTOCOL, reterr);
        memcpy(ret_result, value, type->result_bytes);
        /* Any other byte would be no bool, and undefined to look at. */
        if (type->result_kind == WF_PARAM_BOOL)
            *(unsigned char *)ret_result = value[0] != 0;
        return (ssize_t)(len - in.left);
    }
    int err;
    if (type->result_kind == WF_PARAM_STRING || type->result_kind == WF_PARAM_BYTES)
        err = copy_out(&in, type->result_kind, ret_result);
    else
        err =
            get_contents(&in, type->result_kind, type->result_type, type->result_bytes, ret_result);
    return err ? undecoded(type, err, reterr) : (ssize_t)(len - in.left);
}

ssize_t wfi_codec_decode_result_in_place(const struct wf_task_type *type, void *buf, size_t len,
                                         void *ret_result)
{
    struct input in = {buf, len};
    int err =
        get_contents(&in, type->result_kind, type->result_type, type->result_bytes, ret_result);
    return err ? err : (ssize_t)(len - in.left);
}
