/* SPDX-License-Identifier: MIT */
#include "celery/message/typed.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "celery/message/base64.h"
#include "celery/message/envelope.h"

static bool is_none(const struct wf_task_type *type)
{
    return type->result_kind == WF_PARAM_OPAQUE && strcmp(type->result_type, "wf_none") == 0;
}

static const struct wf_wire *wire_of(const char *text, size_t size)
{
    const struct wf_wire *wire = wf_wire_find(text);
    return wire && wire->size == size ? wire : NULL;
}

int wfi_typed_check(const struct wf_task_type *type, struct wf_error *reterr)
{
    for (uint32_t i = 0; i < type->param_count; i++) {
        const struct wf_param *param = &type->params[i];
        if (param->kind == WF_PARAM_OPAQUE && !wire_of(param->type, param->size))
            return wf_error_set(reterr, WF_ENOTWIRE,
                                "task %s: parameter %s (%s) cannot leave this process: its type "
                                "has no WF_WIRE",
                                type->name, param->name, param->type);
    }
    if (type->result_kind == WF_PARAM_OPAQUE && !is_none(type) &&
        !wire_of(type->result_type, type->result_bytes))
        return wf_error_set(reterr, WF_ENOTWIRE,
                            "task %s: its result (%s) cannot come from another process: its type "
                            "has no WF_WIRE",
                            type->name, type->result_type);
    if ((type->result_kind == WF_PARAM_STRING || type->result_kind == WF_PARAM_BYTES) &&
        !type->drop_result)
        return wf_error_set(reterr, WF_ENOTWIRE,
                            "task %s: its result (%s) comes in memory of its own, which needs a "
                            ".drop_result (see wf_drop_string)",
                            type->name, type->result_type);
    return 0;
}

/* ---- writing ---- */

static bool is_utf8(const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        uint32_t c;
        const int n = wfi_utf8_read(text, end, &c);
        if (n < 0 || (c >= 0xd800 && c < 0xe000))
            return false;
        text += n;
    }
    return true;
}

/* kombu's form for bytes that are no text. */
static int write_base64(struct wf_json_writer *w, const void *bytes, size_t bytes_len)
{
    const size_t len = wfi_base64_encoded_len(bytes_len);
    char *text = wfi_alloc(len + 1);
    if (!text)
        return -ENOMEM;
    wfi_base64_encode(bytes, bytes_len, text);
    wf_json_write_object(w);
    wf_json_write_key(w, "__type__");
    wf_json_write_string(w, "base64", 6);
    wf_json_write_key(w, "__value__");
    wf_json_write_string(w, text, len);
    wf_json_write_end(w);
    wfi_free(text);
    return 0;
}

static int write_bytes(struct wf_json_writer *w, const struct wf_bytes *bytes)
{
    if (!is_utf8(bytes->ptr, bytes->len))
        return write_base64(w, bytes->ptr, bytes->len);
    wf_json_write_string(w, bytes->len ? bytes->ptr : "", bytes->len);
    return 0;
}

static void write_integer(struct wf_json_writer *w, bool is_signed, size_t size, const void *value)
{
    uint64_t number = 0; /* the least bytes come first on both machines that weft runs on */
    memcpy(&number, value, size);
    const unsigned unused = 64 - (unsigned)size * 8;
    if (is_signed)
        wf_json_write_int(w, (int64_t)(number << unused) >> unused);
    else
        wf_json_write_uint(w, number);
}

static int write_wire(struct wf_json_writer *w, const struct wf_wire *wire, const void *value)
{
    char small[256], *bytes = small;
    ssize_t len = wire->encode(value, small, sizeof small);
    if (len > (ssize_t)sizeof small) {
        bytes = wfi_alloc((size_t)len);
        if (!bytes)
            return -ENOMEM;
        len = wire->encode(value, bytes, (size_t)len);
    }
    int err = len < 0 ? (int)len : write_base64(w, bytes, (size_t)len);
    if (bytes != small)
        wfi_free(bytes);
    return err;
}

int wfi_typed_write(struct wf_json_writer *w, enum wf_param_kind kind, const char *type,
                    size_t size, const void *value)
{
    switch (kind) {
    case WF_PARAM_BOOL:
        wf_json_write_bool(w, *(const bool *)value);
        return 0;
    case WF_PARAM_INT:
    case WF_PARAM_UINT:
        write_integer(w, kind == WF_PARAM_INT, size, value);
        return 0;
    case WF_PARAM_DOUBLE:
        if (size == sizeof(float))
            wf_json_write_double(w, (double)*(const float *)value);
        else
            wf_json_write_double(w, *(const double *)value);
        return 0;
    case WF_PARAM_STRING:
        wfi_json_write_text(w, *(const char *const *)value);
        return 0;
    case WF_PARAM_BYTES:
        return write_bytes(w, value);
    case WF_PARAM_JSON: {
        const struct wf_json *json = *(const struct wf_json *const *)value;
        wf_json_write_value(w, json ? wf_json_root(json) : NULL);
        return 0;
    }
    case WF_PARAM_OPAQUE:
        break;
    }
    const struct wf_wire *wire = wire_of(type, size);
    return wire ? write_wire(w, wire, value) : WF_ENOTWIRE;
}

int wfi_typed_write_args(struct wf_json_writer *w, const struct wf_task_type *type,
                         const void *args, size_t skip, struct wf_error *reterr)
{
    int err = 0;
    wf_json_write_array(w);
    for (size_t i = skip; i < type->param_count && !err; i++) {
        const struct wf_param *param = &type->params[i];
        const void *value = (const char *)args + param->offset;
        const char *text = param->kind == WF_PARAM_STRING ? *(const char *const *)value : NULL;
        if (text && !is_utf8(text, strlen(text)))
            return wf_error_set(reterr, -EINVAL, "task %s: parameter %s is not UTF-8", type->name,
                                param->name);
        err = wfi_typed_write(w, param->kind, param->type, param->size, value);
        if (err)
            wf_error_set(reterr, err, "task %s: parameter %s: %s", type->name, param->name,
                         wf_strerror(err));
    }
    wf_json_write_end(w);
    return err;
}

/* ---- reading ---- */

static int wrong(const struct wf_task_type *type, const struct wf_json_value *value,
                 struct wf_error *reterr)
{
    static const char *const names[] = {
        [WF_JSON_NULL] = "null",        [WF_JSON_BOOL] = "a truth value",
        [WF_JSON_INT] = "an integer",   [WF_JSON_DOUBLE] = "a number with a point",
        [WF_JSON_STRING] = "a string",  [WF_JSON_ARRAY] = "an array",
        [WF_JSON_OBJECT] = "an object",
    };
    return wf_error_set(reterr, WF_EPROTOCOL, "the result of task %s is %s, and not %s", type->name,
                        names[wf_json_type(value)], type->result_type);
}

static int too_large(const struct wf_task_type *type, const struct wf_json_value *value,
                     struct wf_error *reterr)
{
    return wf_error_set(reterr, -ERANGE, "the result of task %s, %.40s, does not fit into %s",
                        type->name, wf_json_text(value, NULL), type->result_type);
}

/* Digits without a sign. False: more than 64 bits. */
static bool read_digits(const char *digits, uint64_t *ret)
{
    uint64_t number = 0;
    for (; *digits; digits++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*digits - '0'), &number))
            return false;
    *ret = number;
    return true;
}

int wfi_typed_read_integer(const struct wf_json_value *value, bool is_signed, size_t bytes,
                           void *ret)
{
    bool truth, negative = false;
    uint64_t size = 0; /* without the sign */

    if (wf_json_bool(value, &truth) == 0) {
        size = truth;
    } else if (wf_json_type(value) == WF_JSON_INT) {
        const char *digits = wf_json_text(value, NULL);
        negative = digits[0] == '-';
        if (!read_digits(digits + negative, &size))
            return -ERANGE;
    } else {
        return -EINVAL;
    }
    const uint64_t max = UINT64_MAX >> (64 - bytes * 8 + (is_signed ? 1 : 0));
    if (negative ? size > (is_signed ? max + 1 : 0) : size > max)
        return -ERANGE;
    const uint64_t number = negative ? 0 - size : size;
    memcpy(ret, &number, bytes); /* the least bytes come first, as in write_integer */
    return 0;
}

int wfi_typed_read_double(const struct wf_json_value *value, size_t bytes, void *ret)
{
    double number = 0;
    bool truth;

    if (wf_json_bool(value, &truth) == 0)
        number = truth;
    else if (wf_json_double(value, &number))
        return -EINVAL;
    if (wf_json_type(value) == WF_JSON_INT && isinf(number))
        return -ERANGE;
    if (bytes == sizeof(float)) {
        if (isfinite(number) && fabs(number) > (double)FLT_MAX)
            return -ERANGE;
        memcpy(ret, &(float){(float)number}, sizeof(float));
    } else {
        memcpy(ret, &number, sizeof number);
    }
    return 0;
}

int wfi_typed_find_bytes(const struct wf_json_value *value, struct wf_bytes *ret, bool *ret_base64)
{
    *ret_base64 = false;
    if (wf_json_type(value) == WF_JSON_OBJECT && wf_json_count(value) == 2) {
        const char *form = wfi_json_c_string(wf_json_get(value, "__type__"));
        *ret_base64 = form && strcmp(form, "base64") == 0;
        if (!*ret_base64 && (!form || strcmp(form, "bytes") != 0))
            return -EINVAL;
        value = wf_json_get(value, "__value__");
    }
    if (wf_json_type(value) != WF_JSON_STRING)
        return -EINVAL;
    ret->ptr = wf_json_text(value, &ret->len);
    return 0;
}

/* Text, or bytes in one of kombu's forms; `*ret` is on the heap, with a NUL behind it. */
static int read_bytes(const struct wf_json_value *value, char **ret, size_t *ret_len)
{
    struct wf_bytes text;
    bool encoded;
    if (wfi_typed_find_bytes(value, &text, &encoded))
        return WF_EPROTOCOL;
    char *bytes = wfi_alloc(text.len + 1);
    if (!bytes)
        return -ENOMEM;
    ssize_t count = (ssize_t)text.len;
    if (encoded)
        count = wfi_base64_decode(text.ptr, text.len, bytes);
    else
        memcpy(bytes, text.ptr, text.len);
    if (count < 0) {
        wfi_free(bytes);
        return WF_EPROTOCOL;
    }
    bytes[count] = '\0';
    *ret = bytes;
    *ret_len = (size_t)count;
    return 0;
}

static int read_string(const struct wf_task_type *type, const struct wf_json_value *value,
                       void *ret, struct wf_error *reterr)
{
    char *text = NULL;
    const char *from = wfi_json_c_string(value);
    if (from) {
        text = wfi_strdup(from);
        if (!text)
            return wf_error_set(reterr, -ENOMEM, NULL);
    } else if (wf_json_type(value) != WF_JSON_NULL) {
        return wrong(type, value, reterr); /* also a string with a NUL inside */
    }
    memcpy(ret, &text, sizeof text);
    return 0;
}

static int read_json(const struct wf_json_value *value, void *ret, struct wf_error *reterr)
{
    struct wf_json_writer *w = NULL;
    struct wf_json *tree = NULL;
    const char *text;
    size_t len;
    int err = wf_json_writer_create(NULL, &w);
    if (!err) {
        wf_json_write_value(w, value);
        err = wf_json_writer_text(w, &text, &len);
    }
    if (!err)
        err = wf_json_read(text, len, NULL, &tree, NULL);
    wf_json_writer_destroy(w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    memcpy(ret, &tree, sizeof tree);
    return 0;
}

static int read_wire(const struct wf_task_type *type, const struct wf_json_value *value, void *ret,
                     struct wf_error *reterr)
{
    const struct wf_wire *wire = wire_of(type->result_type, type->result_bytes);
    char *bytes = NULL;
    size_t len = 0;
    int err = wire ? read_bytes(value, &bytes, &len) : WF_ENOTWIRE;
    if (!err)
        err = wire->decode(ret, bytes, len);
    wfi_free(bytes);
    if (err == WF_EPROTOCOL)
        return wrong(type, value, reterr);
    return err ? wf_error_set(reterr, err, "the result of task %s: %s", type->name,
                              wf_strerror(err))
               : 0;
}

int wfi_typed_read_result(const struct wf_task_type *type, const struct wf_json_value *value,
                          void *ret, struct wf_error *reterr)
{
    int err = 0;
    switch (type->result_kind) {
    case WF_PARAM_BOOL:
        return wf_json_bool(value, ret) ? wrong(type, value, reterr) : 0;
    case WF_PARAM_INT:
    case WF_PARAM_UINT:
        err = wfi_typed_read_integer(value, type->result_kind == WF_PARAM_INT, type->result_bytes,
                                     ret);
        break;
    case WF_PARAM_DOUBLE:
        err = wfi_typed_read_double(value, type->result_bytes, ret);
        break;
    case WF_PARAM_STRING:
        return read_string(type, value, ret, reterr);
    case WF_PARAM_BYTES: {
        char *text;
        struct wf_bytes bytes;
        err = read_bytes(value, &text, &bytes.len);
        if (err == WF_EPROTOCOL)
            return wrong(type, value, reterr);
        if (err)
            return wf_error_set(reterr, err, NULL);
        bytes.ptr = text;
        memcpy(ret, &bytes, sizeof bytes);
        return 0;
    }
    case WF_PARAM_JSON:
        return read_json(value, ret, reterr);
    case WF_PARAM_OPAQUE:
        return is_none(type) ? 0 : read_wire(type, value, ret, reterr);
    }
    return err == -EINVAL   ? wrong(type, value, reterr)
           : err == -ERANGE ? too_large(type, value, reterr)
                            : 0;
}
