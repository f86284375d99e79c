/* SPDX-License-Identifier: MIT */
/*
 * The scripts go out as texts: a part's message is several times as long, and Redis keeps them
 * compiled by their digest.
 */
#include "celery/backend/chord_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "celery/message/message.h"

/*
 * KEYS .j .t .s .a; ARGV its place, itself, how it begins up to the state, seconds, its id. The
 * same task has the same beginning and, as long as nobody sends two messages with one id, the same
 * place. Returns 1 when the chord is complete, and this part is the one that ends it.
 *
 * More parts than there should be: see group.c. So that there is only one that ends it, its id is
 * noted; if it runs again, it ends it again.
 */
static const char count_script[] =
    "local there, from = false, #ARGV[3] + 1\n"
    "for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])) do\n"
    "  if string.sub(old, 1, from - 1) == ARGV[3] then\n"
    "    if old == ARGV[2] or string.sub(old, from, from + 8) == '\"SUCCESS\"' then there = true\n"
    "    else redis.call('ZREM', KEYS[1], old) end\n"
    "  end\n"
    "end\n"
    "if not there then redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) end\n"
    "local size = tonumber(redis.call('GET', KEYS[3]) or '')\n"
    "local more = tonumber(redis.call('GET', KEYS[2]) or '') or 0\n"
    "local complete = size and redis.call('ZCARD', KEYS[1]) >= size + more\n"
    "if complete then\n"
    "  redis.call('HSETNX', KEYS[4], 'ended by', ARGV[5])\n"
    "  complete = redis.call('HGET', KEYS[4], 'ended by') == ARGV[5]\n"
    "end\n"
    "if ARGV[4] ~= '0' then\n"
    "  for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[4]) end\n"
    "end\n"
    "return complete and 1 or 0\n";

/* KEYS .t .a; ARGV the mark, seconds. */
static const char grow_script[] =
    "if redis.call('HSETNX', KEYS[2], ARGV[1], '') == 1 then redis.call('INCR', KEYS[1]) end\n"
    "if ARGV[2] ~= '0' then\n"
    "  for i = 1, 2 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end\n"
    "end\n"
    "return 1\n";

/* Sends the batch, and ends its life. */
static int call(struct wfi_store *store, struct wfi_redis_batch *batch,
                struct wfi_redis_answer *ret, wf_deadline deadline, struct wf_error *reterr)
{
    int err = wfi_store_call(store, batch, ret, deadline, reterr);
    wfi_redis_batch_fini(batch);
    return err;
}

int wfi_chord_set_size(struct wfi_store *store, const char *group_id, size_t count,
                       wf_deadline deadline, struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store), *expires = wfi_store_expires(store);
    struct wfi_redis_batch batch = {0};
    const unsigned long long number = count;
    if (strcmp(expires, "0") == 0)
        wfi_redis_add(&batch, "SET %s" WFI_GROUP_KEY "%s.s %llu", prefix, group_id, number);
    else
        wfi_redis_add(&batch, "SETEX %s" WFI_GROUP_KEY "%s.s %s %llu", prefix, group_id, expires,
                      number);
    return call(store, &batch, NULL, deadline, reterr);
}

int wfi_chord_grow(struct wfi_store *store, const char *group_id, const char *mark,
                   wf_deadline deadline, struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store);
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "EVAL %s 2 %s" WFI_GROUP_KEY "%s.t %s" WFI_GROUP_KEY "%s.a %s %s",
                  grow_script, prefix, group_id, prefix, group_id, mark, wfi_store_expires(store));
    return call(store, &batch, NULL, deadline, reterr);
}

/* [1, id, state, result], as Python writes it; *ret_begin is where the state is. */
static int write_member(const struct wfi_chord_done *done, struct wfi_buffer *out,
                        size_t *ret_begin)
{
    struct wf_json_writer *w;
    const char *id;
    size_t len;
    int err = wfi_message_writer_create(&w);
    if (err)
        return err;
    wf_json_write_string(w, done->task_id, strlen(done->task_id));
    err = wf_json_writer_text(w, &id, &len);
    if (!err)
        err = wfi_buffer_append_text(out, "[1, ");
    if (!err)
        err = wfi_buffer_append(out, id, len);
    if (!err)
        err = wfi_buffer_append_text(out, ", ");
    *ret_begin = out->len;
    if (!err)
        err = wfi_buffer_printf(out, "\"%s\", ", done->state);
    if (!err)
        err = wfi_buffer_append(out, done->result, done->len);
    if (!err)
        err = wfi_buffer_append_text(out, "]");
    wf_json_writer_destroy(w);
    return err;
}

int wfi_chord_count_part(struct wfi_store *store, const struct wfi_chord_done *done,
                         bool *ret_complete, wf_deadline deadline, struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store), *id = done->group_id;
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wfi_buffer member = {0};
    char place[24] = "+inf";
    size_t begin;
    int err = write_member(done, &member, &begin);
    if (err) {
        wfi_buffer_reset(&member);
        return wf_error_set(reterr, err, NULL);
    }
    if (done->has_index)
        snprintf(place, sizeof place, "%lld", (long long)done->index);
    wfi_redis_add(&batch,
                  "EVAL %s 4 %s" WFI_GROUP_KEY "%s.j %s" WFI_GROUP_KEY "%s.t %s" WFI_GROUP_KEY
                  "%s.s %s" WFI_GROUP_KEY "%s.a %s %b %b %s %s",
                  count_script, prefix, id, prefix, id, prefix, id, prefix, id, place, member.data,
                  member.len, member.data, begin, wfi_store_expires(store), done->task_id);
    wfi_buffer_reset(&member);
    err = call(store, &batch, &answer, deadline, reterr);
    if (!err)
        *ret_complete = answer.replies[0]->integer == 1;
    wfi_redis_answer_fini(&answer);
    return err;
}

int wfi_chord_read(struct wfi_store *store, const char *group_id, struct wfi_redis_answer *ret,
                   wf_deadline deadline, struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store);
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "ZRANGE %s" WFI_GROUP_KEY "%s.j 0 -1", prefix, group_id);
    wfi_redis_add(&batch, "GET %s" WFI_GROUP_KEY "%s", prefix, group_id);
    return call(store, &batch, ret, deadline, reterr);
}

int wfi_chord_read_results(struct wfi_store *store, const char *const *ids, size_t count,
                           struct wfi_redis_answer *ret, wf_deadline deadline,
                           struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store);
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer keys = {0};
    const char **words = wfi_zalloc((count + 1) * sizeof *words);
    int err = words ? 0 : -ENOMEM;
    for (size_t i = 0; !err && i < count; i++) {
        err = wfi_buffer_printf(&keys, "%s" WFI_STORE_KEY "%s", prefix, ids[i]);
        if (!err)
            err = wfi_buffer_append(&keys, "", 1);
    }
    if (err) {
        wf_error_set(reterr, err, NULL);
    } else {
        const char *key = keys.data;
        words[0] = "MGET";
        for (size_t i = 0; i < count; i++, key += strlen(key) + 1)
            words[i + 1] = key;
        wfi_redis_add_words(&batch, count + 1, words, NULL);
        err = call(store, &batch, ret, deadline, reterr);
    }
    wfi_buffer_reset(&keys);
    wfi_free(words);
    return err;
}

int wfi_chord_forget(struct wfi_store *store, const char *group_id, wf_deadline deadline,
                     struct wf_error *reterr)
{
    const char *prefix = wfi_store_prefix(store);
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch,
                  "DEL %s" WFI_GROUP_KEY "%s.j %s" WFI_GROUP_KEY "%s.t %s" WFI_GROUP_KEY
                  "%s.s %s" WFI_GROUP_KEY "%s.a",
                  prefix, group_id, prefix, group_id, prefix, group_id, prefix, group_id);
    return call(store, &batch, NULL, deadline, reterr);
}
