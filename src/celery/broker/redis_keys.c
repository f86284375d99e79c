/* SPDX-License-Identifier: MIT */
#include "celery/broker/redis_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/json.h>

#include "base/alloc.h"
#include "celery/message/envelope.h"

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

/*
 * As kombu's regular expression for a topic: '#' is anything, '*' something whose end is no dot.
 * Only the last of them that was met need reach further: it takes what those before it would have.
 */
static bool topic_fits(const char *topic, const char *end, const char *key)
{
    const char *wild = NULL, *reach = NULL;
    for (;;) {
        if (topic < end && (*topic == '#' || *topic == '*')) {
            wild = topic++;
            reach = key;
            if (*wild == '#')
                continue;
        } else if (topic < end && *key && *topic == *key) {
            topic++;
            key++;
            continue;
        } else if (topic == end && !*key) {
            return true;
        }
        if (!wild)
            return false;
        do {
            if (!*reach)
                return false;
            reach++;
        } while (*wild == '*' && reach[-1] == '.');
        topic = wild + 1;
        key = reach;
    }
}

bool wfi_redis_binding_fits(const char *binding, const char *routing_key, const char **ret_queue)
{
    const char *end = strstr(binding, WFI_REDIS_SEPARATOR);
    const char *pattern = end ? end + strlen(WFI_REDIS_SEPARATOR) : NULL;
    const char *queue = pattern ? strstr(pattern, WFI_REDIS_SEPARATOR) : NULL;
    if (!queue)
        return false;
    const size_t len = (size_t)(end - binding);
    const bool fits = queue > pattern
                          ? topic_fits(binding, end, routing_key)
                          : len == strlen(routing_key) && memcmp(binding, routing_key, len) == 0;
    if (fits)
        *ret_queue = queue + strlen(WFI_REDIS_SEPARATOR);
    return fits;
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
    if (wf_json_type(entry) != WF_JSON_ARRAY || wf_json_count(entry) != 3)
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

static int restore_marked(const char *entry, size_t len, struct wfi_redis_restored *restored)
{
    static const struct wf_json_writer_options python = {.ascii = true, .spaced = true};
    struct wf_json_writer *w;
    struct wf_json *json;
    int err = wf_json_read(entry, len, &wfi_message_json, &json, NULL);
    if (err)
        return err == -ENOMEM ? err : WF_EPARSE;
    err = wf_json_writer_create(&python, &w);
    if (!err) {
        err = restore(wf_json_root(json), w, restored);
        wf_json_writer_destroy(w);
    }
    wf_json_destroy(json);
    return err;
}

/* Where the last `, "` before `len` is; 0 when there is none. */
static size_t find_mark(const char *entry, size_t len)
{
    for (size_t at = len >= 3 ? len - 3 : 0; at > 0; at--)
        if (memcmp(entry + at, ", \"", 3) == 0)
            return at;
    return 0;
}

/* [..., "exchange", "routing key"], where what is in front of them is no envelope, or no JSON. */
static int restore_as_it_is(const char *entry, size_t len, struct wfi_redis_restored *restored)
{
    const size_t end = find_mark(entry, find_mark(entry, len));
    struct wfi_buffer tail = {0};
    struct wf_json *json;
    if (end == 0 || entry[0] != '[')
        return WF_EPARSE;
    int err = wfi_buffer_append_byte(&tail, '[');
    if (!err)
        err = wfi_buffer_append(&tail, entry + end + 2, len - end - 2);
    if (!err)
        err = wf_json_read(tail.data, tail.len, NULL, &json, NULL);
    if (!err) {
        const struct wf_json_value *root = wf_json_root(json);
        err = wf_json_count(root) == 2 ? 0 : WF_EPARSE;
        if (!err)
            err = copy_text(wf_json_at(root, 0), &restored->exchange);
        if (!err)
            err = copy_text(wf_json_at(root, 1), &restored->routing_key);
        wf_json_destroy(json);
    }
    wfi_buffer_reset(&tail);
    if (err)
        return err == -ENOMEM ? err : WF_EPARSE;
    restored->len = end - 1;
    restored->text = wfi_alloc(end);
    if (!restored->text)
        return -ENOMEM;
    memcpy(restored->text, entry + 1, end - 1);
    restored->text[end - 1] = '\0';
    return 0;
}

int wfi_redis_restore_entry(const char *entry, size_t len, struct wfi_redis_restored *ret)
{
    struct wfi_redis_restored restored = {0};
    int err = restore_marked(entry, len, &restored);
    if (err == WF_EPARSE) {
        wfi_redis_restored_fini(&restored);
        err = restore_as_it_is(entry, len, &restored);
    }
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

/*
 * The first command is one that takes nothing away and needs no memory: where `unacked_index` is no
 * sorted set it fails before anything is moved, and Redis refuses for lack of memory only the first
 * command of a script that writes. A full server could otherwise never be emptied.
 *
 * A message is kept before it leaves its list, as what a script has done stays done when it fails.
 * It is kept as it came: decoded and encoded again by Lua, large numbers would change and empty
 * lists become objects.
 *
 * 16 MiB in one go, and one message more: what is too large for an answer would come again and
 * again.
 */
const char wfi_redis_script_take[] =
    "local taken, room, bytes = {}, 3 * tonumber(ARGV[2]), 0\n"
    "local function text_of(value) return type(value) == 'string' and value or '' end\n"
    "local function table_of(value) return type(value) == 'table' and value or {} end\n"
    "redis.call('ZREM', KEYS[2], '')\n"
    "for i = 3, #KEYS do\n"
    "  local last = -1\n"
    "  while #taken < room and bytes < 16777216 do\n"
    "    local text = redis.pcall('LINDEX', KEYS[i], last)\n"
    "    if type(text) == 'table' then return #taken > 0 and taken or text end\n"
    "    if not text then break end\n"
    "    local ok, envelope = pcall(cjson.decode, text)\n"
    "    local properties = table_of(table_of(ok and envelope).properties)\n"
    "    local info = table_of(properties.delivery_info)\n"
    "    local tag, exchange = text_of(properties.delivery_tag), text_of(info.exchange)\n"
    "    local key = text_of(info.routing_key)\n"
    "    if exchange == '' and key == '' then key = ARGV[4 + (i - 3) % (#ARGV - 3)] end\n"
    "    local entry = '[' .. text .. ', ' .. cjson.encode(exchange) .. ', ' ..\n"
    "      cjson.encode(key) .. ']'\n"
    "    if tag == '' or redis.call('HSETNX', KEYS[1], tag, entry) == 0 then\n"
    "      tag = ARGV[3] .. '.' .. #taken\n"
    "      redis.call('HSET', KEYS[1], tag, entry)\n"
    "    end\n"
    "    redis.call('ZADD', KEYS[2], ARGV[1], tag)\n"
    "    last = last - 1\n"
    "    taken[#taken + 1] = tag\n"
    "    taken[#taken + 1] = text\n"
    "    taken[#taken + 1] = i\n"
    "    bytes = bytes + #text\n"
    "  end\n"
    "  if last < -1 then redis.call('LTRIM', KEYS[i], 0, last) end\n"
    "end\n"
    "return taken\n";

const char wfi_redis_script_acknowledge[] = "redis.call('ZREM', KEYS[2], unpack(ARGV))\n"
                                            "return redis.call('HDEL', KEYS[1], unpack(ARGV))\n";

/* The first command: see take. */
const char wfi_redis_script_touch[] = "local count = 0\n"
                                      "redis.call('ZREM', KEYS[2], '')\n"
                                      "for i = 2, #ARGV do\n"
                                      "  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then\n"
                                      "    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])\n"
                                      "    count = count + 1\n"
                                      "  end\n"
                                      "end\n"
                                      "return count\n";

/* It is forgotten only once it is in a list: a key that is no list refuses it. The first command
 * that writes: see take. */
const char wfi_redis_script_put_back[] =
    "local score = redis.call('ZSCORE', KEYS[2], ARGV[1])\n"
    "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or\n"
    "   (ARGV[3] ~= '' and (not score or tonumber(score) > tonumber(ARGV[3]))) then\n"
    "  return 0\n"
    "end\n"
    "redis.call('ZREM', KEYS[2], '')\n"
    "local done, refused = false, nil\n"
    "for i = 3, #KEYS do\n"
    "  local got = redis.pcall(ARGV[4] == 'right' and 'RPUSH' or 'LPUSH', KEYS[i], ARGV[2])\n"
    "  if type(got) == 'table' then refused = got else done = true end\n"
    "end\n"
    "if not done then return refused end\n"
    "redis.call('ZREM', KEYS[2], ARGV[1])\n"
    "redis.call('HDEL', KEYS[1], ARGV[1])\n"
    "return 1\n";

const char wfi_redis_script_forget[] = "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then\n"
                                       "  return 0\n"
                                       "end\n"
                                       "return redis.call('ZREM', KEYS[2], ARGV[1])\n";
