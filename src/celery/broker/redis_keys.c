/* SPDX-License-Identifier: MIT */
#include "celery/broker/redis_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/json.h>

#include "base/alloc.h"

const int wfi_redis_steps[WFI_REDIS_STEPS] = {0, 3, 6, 9};

int wfi_redis_step(int priority)
{
    int step = 0;
    for (size_t i = 0; i < WFI_REDIS_STEPS; i++)
        if (wfi_redis_steps[i] <= priority)
            step = wfi_redis_steps[i];
    return step;
}

int wfi_redis_queue_key(struct wfi_buffer *out, const char *prefix, const char *queue, int step)
{
    if (step)
        return wfi_buffer_printf(out, "%s%s" WFI_REDIS_SEPARATOR "%d", prefix, queue, step);
    return wfi_buffer_printf(out, "%s%s", prefix, queue);
}

int wfi_redis_binding(struct wfi_buffer *out, const char *routing_key, const char *pattern,
                      const char *queue)
{
    return wfi_buffer_printf(out, "%s" WFI_REDIS_SEPARATOR "%s" WFI_REDIS_SEPARATOR "%s",
                             routing_key, pattern, queue);
}

bool wfi_redis_binding_fits(const char *binding, const char *routing_key, const char **ret_queue)
{
    const char *pattern = strstr(binding, WFI_REDIS_SEPARATOR);
    const char *queue =
        pattern ? strstr(pattern + strlen(WFI_REDIS_SEPARATOR), WFI_REDIS_SEPARATOR) : NULL;
    if (!queue || (size_t)(pattern - binding) != strlen(routing_key) ||
        memcmp(binding, routing_key, strlen(routing_key)) != 0)
        return false;
    *ret_queue = queue + strlen(WFI_REDIS_SEPARATOR);
    return true;
}

/* ---- entries of unacked ---- */

static bool is_object(const struct wf_json_value *value)
{
    return value && wf_json_type(value) == WF_JSON_OBJECT;
}

/* Writes the members of `object` but for `but`, which may be NULL. */
static void write_members(struct wf_json_writer *w, const struct wf_json_value *object,
                          const char *but)
{
    for (size_t i = 0; i < wf_json_count(object); i++) {
        const struct wf_json_value *value = wf_json_at(object, i);
        size_t len;
        const char *key = wf_json_key(value, &len);
        if (but && len == strlen(but) && memcmp(key, but, len) == 0)
            continue;
        wf_json_write_key_bytes(w, key, len);
        wf_json_write_value(w, value);
    }
}

/* The object `name`, or an empty one, with `redelivered` in it. */
static void write_marked(struct wf_json_writer *w, const char *name,
                         const struct wf_json_value *object)
{
    wf_json_write_key(w, name);
    wf_json_write_object(w);
    if (is_object(object))
        write_members(w, object, "redelivered");
    wf_json_write_key(w, "redelivered");
    wf_json_write_bool(w, true);
    wf_json_write_end(w);
}

static void write_envelope(struct wf_json_writer *w, const struct wf_json_value *envelope,
                           const struct wf_json_value *properties)
{
    wf_json_write_object(w);
    for (size_t i = 0; i < wf_json_count(envelope); i++) {
        const struct wf_json_value *value = wf_json_at(envelope, i);
        size_t len;
        const char *key = wf_json_key(value, &len);
        if ((len == 7 && memcmp(key, "headers", 7) == 0) ||
            (len == 10 && memcmp(key, "properties", 10) == 0))
            continue;
        wf_json_write_key_bytes(w, key, len);
        wf_json_write_value(w, value);
    }
    write_marked(w, "headers", wf_json_get(envelope, "headers"));
    wf_json_write_key(w, "properties");
    wf_json_write_object(w);
    write_members(w, properties, "delivery_info");
    write_marked(w, "delivery_info", wf_json_get(properties, "delivery_info"));
    wf_json_write_end(w);
    wf_json_write_end(w);
}

/* A copy of a text of JSON without a NUL in it. Returns 0, WF_EPARSE or -ENOMEM. */
static int copy_text(const struct wf_json_value *value, char **ret)
{
    size_t len;
    const char *text = value ? wf_json_text(value, &len) : NULL;
    if (!text || wf_json_type(value) != WF_JSON_STRING || strlen(text) != len)
        return WF_EPARSE;
    *ret = wfi_strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int restore(const struct wf_json_value *entry, struct wf_json_writer *w,
                   struct wfi_redis_restored *restored)
{
    if (wf_json_type(entry) != WF_JSON_ARRAY || wf_json_count(entry) < 3)
        return WF_EPARSE;
    const struct wf_json_value *envelope = wf_json_at(entry, 0);
    const struct wf_json_value *properties =
        is_object(envelope) ? wf_json_get(envelope, "properties") : NULL;
    int64_t priority = 0;
    if (!is_object(properties))
        return WF_EPARSE;
    const struct wf_json_value *given = wf_json_get(properties, "priority");
    if (given && wf_json_int(given, &priority))
        priority = 0;
    restored->priority = priority < 0 ? 0 : priority > 9 ? 9 : (int)priority;
    int err = copy_text(wf_json_at(entry, 1), &restored->exchange);
    if (!err)
        err = copy_text(wf_json_at(entry, 2), &restored->routing_key);
    if (err)
        return err;
    const char *text;
    write_envelope(w, envelope, properties);
    err = wf_json_writer_text(w, &text, &restored->len);
    if (err)
        return err;
    restored->text = wfi_alloc(restored->len + 1);
    if (!restored->text)
        return -ENOMEM;
    memcpy(restored->text, text, restored->len + 1);
    return 0;
}

int wfi_redis_restore_entry(const char *entry, size_t len, struct wfi_redis_restored *ret)
{
    static const struct wf_json_writer_options python = {.ascii = true, .spaced = true};
    struct wfi_redis_restored restored = {0};
    struct wf_json_writer *w;
    struct wf_json *json;
    int err = wf_json_read(entry, len, NULL, &json, NULL);
    if (err)
        return err == -ENOMEM ? err : WF_EPARSE;
    err = wf_json_writer_create(&python, &w);
    if (!err) {
        err = restore(wf_json_root(json), w, &restored);
        wf_json_writer_destroy(w);
    }
    wf_json_destroy(json);
    if (err)
        wfi_redis_restored_fini(&restored);
    else
        *ret = restored;
    return err;
}

void wfi_redis_restored_fini(struct wfi_redis_restored *restored)
{
    wfi_free(restored->text);
    wfi_free(restored->exchange);
    wfi_free(restored->routing_key);
    *restored = (struct wfi_redis_restored){0};
}

/* ---- scripts ---- */

/* The envelope is kept as it came: decoded and encoded again by Lua, large numbers would change and
 * empty lists become objects. */
const char wfi_redis_script_take[] =
    "local taken = {}\n"
    "local function text_of(value) return type(value) == 'string' and value or '' end\n"
    "local function table_of(value) return type(value) == 'table' and value or {} end\n"
    "for i = 3, #KEYS do\n"
    "  while #taken < 3 * tonumber(ARGV[2]) do\n"
    "    local text = redis.call('RPOP', KEYS[i])\n"
    "    if not text then break end\n"
    "    local ok, envelope = pcall(cjson.decode, text)\n"
    "    local properties = table_of(table_of(ok and envelope).properties)\n"
    "    local tag = text_of(properties.delivery_tag)\n"
    "    if tag ~= '' then\n"
    "      local info = table_of(properties.delivery_info)\n"
    "      redis.call('ZADD', KEYS[2], ARGV[1], tag)\n"
    "      redis.call('HSET', KEYS[1], tag, '[' .. text .. ', ' ..\n"
    "        cjson.encode(text_of(info.exchange)) .. ', ' ..\n"
    "        cjson.encode(text_of(info.routing_key)) .. ']')\n"
    "    end\n"
    "    taken[#taken + 1] = tag\n"
    "    taken[#taken + 1] = text\n"
    "    taken[#taken + 1] = i\n"
    "  end\n"
    "end\n"
    "return taken\n";

const char wfi_redis_script_acknowledge[] = "redis.call('ZREM', KEYS[2], unpack(ARGV))\n"
                                            "return redis.call('HDEL', KEYS[1], unpack(ARGV))\n";

const char wfi_redis_script_touch[] = "local count = 0\n"
                                      "for i = 2, #ARGV do\n"
                                      "  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then\n"
                                      "    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])\n"
                                      "    count = count + 1\n"
                                      "  end\n"
                                      "end\n"
                                      "return count\n";

const char wfi_redis_script_put_back[] =
    "local score = redis.call('ZSCORE', KEYS[2], ARGV[1])\n"
    "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or\n"
    "   (ARGV[3] ~= '' and (not score or tonumber(score) > tonumber(ARGV[3]))) then\n"
    "  return 0\n"
    "end\n"
    "redis.call('ZREM', KEYS[2], ARGV[1])\n"
    "redis.call('HDEL', KEYS[1], ARGV[1])\n"
    "redis.call(ARGV[4] == 'right' and 'RPUSH' or 'LPUSH', KEYS[3], ARGV[2])\n"
    "return 1\n";

const char wfi_redis_script_forget[] = "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then\n"
                                       "  return 0\n"
                                       "end\n"
                                       "return redis.call('ZREM', KEYS[2], ARGV[1])\n";
