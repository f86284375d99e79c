/* SPDX-License-Identifier: MIT */
#include "celery/broker/amqp_table.h"

#include <errno.h>
#include <string.h>

enum { DEEPEST = 64 };

/* ---- to JSON ---- */

static void write_field(struct wf_json_writer *w, const amqp_field_value_t *field);

static void write_decimal(struct wf_json_writer *w, const amqp_decimal_t *decimal)
{
    double value = decimal->value;
    for (int i = 0; i < decimal->decimals; i++)
        value /= 10;
    wf_json_write_double(w, value);
}

static void write_array(struct wf_json_writer *w, const amqp_array_t *array)
{
    wf_json_write_array(w);
    for (int i = 0; i < array->num_entries; i++)
        write_field(w, &array->entries[i]);
    wf_json_write_end(w);
}

static void write_field(struct wf_json_writer *w, const amqp_field_value_t *field)
{
    switch (field->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        wf_json_write_bool(w, field->value.boolean != 0);
        break;
    case AMQP_FIELD_KIND_I8:
        wf_json_write_int(w, field->value.i8);
        break;
    case AMQP_FIELD_KIND_U8:
        wf_json_write_int(w, field->value.u8);
        break;
    case AMQP_FIELD_KIND_I16:
        wf_json_write_int(w, field->value.i16);
        break;
    case AMQP_FIELD_KIND_U16:
        wf_json_write_int(w, field->value.u16);
        break;
    case AMQP_FIELD_KIND_I32:
        wf_json_write_int(w, field->value.i32);
        break;
    case AMQP_FIELD_KIND_U32:
        wf_json_write_int(w, field->value.u32);
        break;
    case AMQP_FIELD_KIND_I64:
    case AMQP_FIELD_KIND_U64: /* signed to RabbitMQ and py-amqp: see the errata */
    case AMQP_FIELD_KIND_TIMESTAMP:
        wf_json_write_int(w, field->value.i64);
        break;
    case AMQP_FIELD_KIND_F32:
        wf_json_write_double(w, (double)field->value.f32);
        break;
    case AMQP_FIELD_KIND_F64:
        wf_json_write_double(w, field->value.f64);
        break;
    case AMQP_FIELD_KIND_DECIMAL:
        write_decimal(w, &field->value.decimal);
        break;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        wf_json_write_string(w, field->value.bytes.bytes, field->value.bytes.len);
        break;
    case AMQP_FIELD_KIND_ARRAY:
        write_array(w, &field->value.array);
        break;
    case AMQP_FIELD_KIND_TABLE:
        wfi_amqp_table_write(w, &field->value.table);
        break;
    default:
        wf_json_write_null(w);
        break;
    }
}

void wfi_amqp_table_write(struct wf_json_writer *w, const amqp_table_t *table)
{
    wf_json_write_object(w);
    for (int i = 0; i < table->num_entries; i++) {
        const amqp_table_entry_t *entry = &table->entries[i];
        wf_json_write_key_bytes(w, entry->key.bytes, entry->key.len);
        write_field(w, &entry->value);
    }
    wf_json_write_end(w);
}

/* ---- from JSON ---- */

static int make_table(const struct wf_json_value *object, amqp_pool_t *pool, int depth,
                      amqp_table_t *ret);

static amqp_bytes_t bytes_of(const char *text, size_t len)
{
    return (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)text};
}

static int make_field(const struct wf_json_value *value, amqp_pool_t *pool, int depth,
                      amqp_field_value_t *ret);

static int make_array(const struct wf_json_value *value, amqp_pool_t *pool, int depth,
                      amqp_array_t *ret)
{
    size_t count = wf_json_count(value);
    if (depth > DEEPEST)
        return WF_ETOOBIG;
    ret->num_entries = (int)count;
    ret->entries = count ? amqp_pool_alloc(pool, count * sizeof *ret->entries) : NULL;
    if (count && !ret->entries)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int err = make_field(wf_json_at(value, i), pool, depth + 1, &ret->entries[i]);
        if (err)
            return err;
    }
    return 0;
}

static void make_integer(const struct wf_json_value *value, amqp_field_value_t *ret)
{
    int64_t number;
    if (wf_json_int(value, &number)) {
        size_t len;
        const char *digits = wf_json_text(value, &len);
        ret->kind = AMQP_FIELD_KIND_UTF8;
        ret->value.bytes = bytes_of(digits ? digits : "", digits ? len : 0);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        ret->kind = AMQP_FIELD_KIND_I32;
        ret->value.i32 = (int32_t)number;
    } else {
        ret->kind = AMQP_FIELD_KIND_I64;
        ret->value.i64 = number;
    }
}

static int make_field(const struct wf_json_value *value, amqp_pool_t *pool, int depth,
                      amqp_field_value_t *ret)
{
    size_t len;
    const char *text;
    bool truth = false;
    memset(ret, 0, sizeof *ret);
    switch (wf_json_type(value)) {
    case WF_JSON_NULL:
        ret->kind = AMQP_FIELD_KIND_VOID;
        break;
    case WF_JSON_BOOL:
        (void)wf_json_bool(value, &truth);
        ret->kind = AMQP_FIELD_KIND_BOOLEAN;
        ret->value.boolean = truth;
        break;
    case WF_JSON_INT:
        make_integer(value, ret);
        break;
    case WF_JSON_DOUBLE:
        ret->kind = AMQP_FIELD_KIND_F64;
        return wf_json_double(value, &ret->value.f64) ? -EINVAL : 0;
    case WF_JSON_STRING:
        text = wf_json_text(value, &len);
        ret->kind = AMQP_FIELD_KIND_UTF8;
        ret->value.bytes = bytes_of(text, len);
        break;
    case WF_JSON_ARRAY:
        ret->kind = AMQP_FIELD_KIND_ARRAY;
        return make_array(value, pool, depth + 1, &ret->value.array);
    case WF_JSON_OBJECT:
        ret->kind = AMQP_FIELD_KIND_TABLE;
        return make_table(value, pool, depth + 1, &ret->value.table);
    }
    return 0;
}

static int make_table(const struct wf_json_value *object, amqp_pool_t *pool, int depth,
                      amqp_table_t *ret)
{
    size_t count = wf_json_count(object);
    if (depth > DEEPEST)
        return WF_ETOOBIG;
    ret->num_entries = (int)count;
    ret->entries = count ? amqp_pool_alloc(pool, count * sizeof *ret->entries) : NULL;
    if (count && !ret->entries)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct wf_json_value *member = wf_json_at(object, i);
        size_t len;
        const char *key = wf_json_key(member, &len);
        if (len > 255)
            return -EINVAL;
        ret->entries[i].key = bytes_of(key, len);
        int err = make_field(member, pool, depth + 1, &ret->entries[i].value);
        if (err)
            return err;
    }
    return 0;
}

int wfi_amqp_table_make(const struct wf_json_value *object, amqp_pool_t *pool, amqp_table_t *ret)
{
    if (!object || wf_json_type(object) != WF_JSON_OBJECT)
        return -EINVAL;
    return make_table(object, pool, 0, ret);
}
