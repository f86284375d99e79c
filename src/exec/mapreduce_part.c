/* SPDX-License-Identifier: MIT */
/*
 * One part of a map-reduce, where it runs. What a function emits is gathered, sorted by partition
 * and key, and written as the task's result:
 *
 *     map      WFI_PART_FORMAT, the number of partitions, and of each the length of its run and the
 *              run (see pair.h)
 *     reduce   WFI_PART_FORMAT and one run
 *
 * Invariants
 *  1. Pairs of one key stay in the order they were emitted in: where their bytes stand is the last
 *     word of every comparison.
 *  2. Combining takes the whole of what was gathered and leaves one smaller list in its place, so
 *     earlier values of a key stay before later ones. It finds equal keys by their hash, which is
 *     several times faster than sorting what is about to go.
 *  3. After a failure nothing more is gathered; the first one counts.
 */
#include "exec/mapreduce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "exec/pair.h"

/* Combining is tried when this much is gathered: large against a cache, small against a machine. */
#define COMBINE_BYTES ((size_t)16 << 20)

struct entry {
    uint64_t prefix; /* the key's first bytes as a number that sorts as they do */
    size_t at;       /* of key and value in the bytes */
    uint32_t key_len, value_len;
    uint32_t partition;
    uint32_t hash;
    /* While combining: */
    uint32_t next; /* of the same key, or NONE */
    bool first;    /* none before it has its key */
};

#define NONE UINT32_MAX

struct wf_emitter {
    struct wfi_buffer bytes;
    struct entry *entries;
    size_t count, room;
    uint32_t partitions;  /* 1 or more */
    int err;              /* of the first emit that failed */
    const wf_bytes *only; /* combining: the one key that may be emitted */

    /* Of a map that combines; else 0 and NULL. */
    bool combines;
    size_t combine_at; /* when so many bytes are gathered; 0: not now */
    struct wf_task *self;
    const struct wf_mapreduce_functions *functions;
};

/* A run that was checked, and the pair of it that is next. */
struct reader {
    const unsigned char *at, *end;
    struct wfi_pair pair;
    bool have;
};

struct wf_values {
    const struct wf_emitter *from; /* entries from `next` on; or NULL */
    uint32_t next;
    struct reader *reader; /* or pairs, as long as their key is `key` */
    wf_bytes key;
};

/* Gathering */

static wf_bytes key_of(const struct wf_emitter *e, const struct entry *entry)
{
    return (wf_bytes){e->bytes.data + entry->at, entry->key_len};
}

static wf_bytes value_of(const struct wf_emitter *e, const struct entry *entry)
{
    return (wf_bytes){e->bytes.data + entry->at + entry->key_len, entry->value_len};
}

static void fini(struct wf_emitter *e)
{
    wfi_buffer_reset(&e->bytes);
    wfi_free(e->entries);
}

static size_t gathered_bytes(const struct wf_emitter *e)
{
    return e->bytes.len + e->count * sizeof *e->entries;
}

static int combine(struct wf_emitter *e);

static int gather(struct wf_emitter *e, wf_bytes key, wf_bytes value)
{
    if (key.len >= WFI_PAIR_BYTES_MAX || value.len >= WFI_PAIR_BYTES_MAX)
        return WF_ETOOBIG;
    if (e->only && wfi_pair_compare_keys(*e->only, key) != 0)
        return -EINVAL;
    if (e->count == e->room) {
        size_t room = e->room ? 2 * e->room : 64;
        struct entry *entries = wfi_realloc(e->entries, room * sizeof *entries);
        if (!entries)
            return -ENOMEM;
        e->entries = entries;
        e->room = room;
    }
    const size_t at = e->bytes.len;
    if (wfi_buffer_reserve(&e->bytes, key.len + value.len + 1))
        return -ENOMEM;
    unsigned char prefix[8] = {0};
    if (key.len) {
        memcpy(prefix, key.ptr, key.len < sizeof prefix ? key.len : sizeof prefix);
        wfi_buffer_append(&e->bytes, key.ptr, key.len);
    }
    if (value.len)
        wfi_buffer_append(&e->bytes, value.ptr, value.len);
    struct entry *entry = &e->entries[e->count++];
    *entry = (struct entry){.at = at,
                            .key_len = (uint32_t)key.len,
                            .value_len = (uint32_t)value.len,
                            .prefix = __builtin_bswap64(wfi_hash_load8(prefix))};
    if (e->partitions > 1 || e->combines) {
        const uint64_t hash = wfi_hash_bytes(key.ptr, key.len, 0);
        entry->partition = (uint32_t)(hash % e->partitions);
        entry->hash = (uint32_t)(hash >> 32);
    }
    return e->combine_at && gathered_bytes(e) >= e->combine_at ? combine(e) : 0;
}

int wf_emit(struct wf_emitter *out, const void *key, size_t key_len, const void *value,
            size_t value_len)
{
    if (!out->err)
        out->err = gather(out, (wf_bytes){key, key_len}, (wf_bytes){value, value_len});
    return out->err;
}

int wf_emit_int(struct wf_emitter *out, const void *key, size_t key_len, int64_t number)
{
    /* Counting calls this for each thing counted: printf would be half of what it costs. */
    char text[24];
    char *at = text + sizeof text;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--at = '-';
    return wf_emit(out, key, key_len, at, (size_t)(text + sizeof text - at));
}

/* Sorting */

static int compare(const void *left, const void *right, void *arg)
{
    const struct entry *a = left, *b = right;
    const struct wf_emitter *e = arg;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    int order = wfi_pair_compare_keys(key_of(e, a), key_of(e, b));
    return order ? order : (a->at > b->at) - (a->at < b->at);
}

static void sort(struct wf_emitter *e)
{
    if (e->count > 1)
        qsort_r(e->entries, e->count, sizeof *e->entries, compare, e);
}

static bool same_key(const struct wf_emitter *e, const struct entry *a, const struct entry *b)
{
    return a->prefix == b->prefix && wfi_pair_compare_keys(key_of(e, a), key_of(e, b)) == 0;
}

/* Combining */

/* What failed and was remembered fails the part. */
static int outcome(struct wf_task *self, int code, const struct wf_emitter *e)
{
    if (code < 0)
        return code;
    if (!e->err)
        return 0;
    if (e->only && e->err == -EINVAL)
        return wf_task_fail(self, e->err, "combine emitted another key than its own");
    return wf_task_fail(self, e->err, "emitting: %s", wf_strerror(e->err));
}

/* Links the entries of each key. Returns 0 or -ENOMEM. */
static int link_keys(struct wf_emitter *e)
{
    struct slot {
        uint32_t first, last; /* entries, from 1; 0: free */
    } * slots;
    size_t size = 64;
    while (size < 2 * e->count)
        size *= 2;
    slots = wfi_zalloc(size * sizeof *slots);
    if (!slots || e->count >= NONE) {
        wfi_free(slots);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < e->count; i++) {
        struct entry *entry = &e->entries[i];
        size_t at = entry->hash & (size - 1);
        while (slots[at].first && !same_key(e, &e->entries[slots[at].first - 1], entry))
            at = (at + 1) & (size - 1);
        entry->next = NONE;
        entry->first = !slots[at].first;
        if (entry->first)
            slots[at].first = i + 1;
        else
            e->entries[slots[at].last - 1].next = i;
        slots[at].last = i + 1;
    }
    wfi_free(slots);
    return 0;
}

static int combine(struct wf_emitter *e)
{
    struct wf_emitter smaller = {.partitions = e->partitions, .combines = true};
    int err = link_keys(e);
    for (uint32_t i = 0; i < e->count && !err; i++) {
        if (!e->entries[i].first)
            continue;
        const wf_bytes key = key_of(e, &e->entries[i]);
        struct wf_values values = {.from = e, .next = i};
        smaller.only = &key;
        err = wf_checkpoint(e->self);
        if (!err)
            err = e->functions->combine(e->self, key, &values, &smaller);
        err = outcome(e->self, err, &smaller);
    }
    if (err) {
        fini(&smaller);
        return err;
    }
    fini(e);
    e->bytes = smaller.bytes;
    e->entries = smaller.entries;
    e->count = smaller.count;
    e->room = smaller.room;
    /* Keys that hardly repeat are not worth being gone through again so soon. */
    if (e->combine_at && gathered_bytes(e) > e->combine_at / 2)
        e->combine_at *= 2;
    return 0;
}

static void read_next(struct reader *reader)
{
    const size_t left = (size_t)(reader->end - reader->at);
    ssize_t n = left ? wfi_pair_read(reader->at, left, false, &reader->pair) : 0;
    reader->have = n > 0;
    reader->at += n > 0 ? n : 0;
}

bool wf_values_next(struct wf_values *values, wf_bytes *ret_value)
{
    struct reader *reader = values->reader;
    if (values->from) {
        if (values->next == NONE)
            return false;
        const struct entry *entry = &values->from->entries[values->next];
        *ret_value = value_of(values->from, entry);
        values->next = entry->next;
        return true;
    }
    if (!reader->have || wfi_pair_compare_keys(values->key, reader->pair.key) != 0)
        return false;
    *ret_value = reader->pair.value;
    read_next(reader);
    return true;
}

int wf_bytes_int(wf_bytes text, int64_t *ret_number)
{
    const char *at = text.ptr, *const end = at + text.len;
    const bool negative = at < end && *at == '-';
    int64_t number = 0;
    at += negative;
    if (at == end)
        return -EINVAL;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -EINVAL;
        const int digit = negative ? '0' - *at : *at - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return -ERANGE;
    }
    *ret_number = number;
    return 0;
}

int wf_sum_values(struct wf_task *self, wf_bytes key, struct wf_values *values,
                  struct wf_emitter *out)
{
    int64_t sum = 0, number = 0;
    wf_bytes value;
    while (wf_values_next(values, &value)) {
        int err = wf_bytes_int(value, &number);
        if (!err && __builtin_add_overflow(sum, number, &sum))
            err = -ERANGE;
        if (err && self)
            return wf_task_fail(self, err, "a value of \"%.*s\": %s",
                                (int)(key.len < 40 ? key.len : 40), (const char *)key.ptr,
                                err == -EINVAL ? "no number" : "the sum has no room in 64 bits");
        if (err)
            return err;
    }
    return wf_emit_int(out, key.ptr, key.len, sum);
}

/* Results */

/* Writes the run of the entries from `first` to `end`; `out` may be NULL. Returns its length. */
static size_t write_run(unsigned char *out, const struct wf_emitter *e, size_t first, size_t end)
{
    size_t len = 0;
    for (size_t i = first; i < end; i++) {
        const struct wfi_pair pair = {
            .key = key_of(e, &e->entries[i]),
            .value = value_of(e, &e->entries[i]),
            .same = i > first && same_key(e, &e->entries[i - 1], &e->entries[i]),
        };
        len += wfi_pair_write(out ? out + len : NULL, &pair, false);
    }
    return len;
}

/* The partition's entries begin at *at, which moves behind them. */
static size_t skip_partition(const struct wf_emitter *e, uint32_t partition, size_t *at)
{
    const size_t first = *at;
    while (*at < e->count && e->entries[*at].partition == partition)
        ++*at;
    return first;
}

/* The whole result of a map; `out` may be NULL. Returns its length. */
static size_t write_partitions(unsigned char *out, const struct wf_emitter *e)
{
    size_t len = 1, at = 0;
    if (out)
        out[0] = WFI_PART_FORMAT;
    len += wfi_pair_write_number(out ? out + len : NULL, e->partitions);
    for (uint32_t i = 0; i < e->partitions; i++) {
        const size_t first = skip_partition(e, i, &at);
        len += wfi_pair_write_number(out ? out + len : NULL, write_run(NULL, e, first, at));
        len += write_run(out ? out + len : NULL, e, first, at);
    }
    return len;
}

/* The same of a reduce. */
static size_t write_whole(unsigned char *out, const struct wf_emitter *e)
{
    if (out)
        out[0] = WFI_PART_FORMAT;
    return 1 + write_run(out ? out + 1 : NULL, e, 0, e->count);
}

static int give(struct wf_task *self, struct wf_emitter *e,
                size_t (*write)(unsigned char *out, const struct wf_emitter *e), wf_bytes *ret)
{
    sort(e);
    const size_t len = write(NULL, e);
    unsigned char *result = wf_result_alloc(self, len);
    if (!result)
        return -ENOMEM;
    write(result, e);
    *ret = (wf_bytes){result, len};
    return 0;
}

int wf_mapreduce_map_part(struct wf_task *self, const struct wf_mapreduce_functions *functions,
                          uint32_t partitions, wf_bytes input, wf_bytes *ret)
{
    if (partitions < 1 || partitions > WFI_PARTITIONS_MAX)
        return wf_task_fail(self, -EINVAL, "%" PRIu32 " partitions; 1 to %d are possible",
                            partitions, WFI_PARTITIONS_MAX);
    struct wf_emitter out = {.partitions = partitions, .self = self, .functions = functions};
    out.combines = functions->combine != NULL;
    out.combine_at = out.combines ? COMBINE_BYTES : 0;
    int err = outcome(self, functions->map(self, input, &out), &out);
    out.combine_at = 0;
    if (!err && functions->combine)
        err = combine(&out);
    if (!err)
        err = give(self, &out, write_partitions, ret);
    fini(&out);
    return err;
}

/* Calls `reduce` for each key of a run that was checked. */
static int reduce_run(struct wf_task *self, const struct wf_mapreduce_functions *functions,
                      wf_bytes run, struct wf_emitter *out)
{
    struct reader reader = {.at = run.ptr, .end = (const unsigned char *)run.ptr + run.len};
    int err = 0;
    read_next(&reader);
    while (reader.have && !err) {
        struct wf_values values = {.reader = &reader, .key = reader.pair.key};
        wf_bytes passed;
        err = wf_checkpoint(self);
        if (!err)
            err = outcome(self, functions->reduce(self, values.key, &values, out), out);
        while (wf_values_next(&values, &passed))
            continue; /* what the function did not ask for */
    }
    return err;
}

int wf_mapreduce_reduce_part(struct wf_task *self, const struct wf_mapreduce_functions *functions,
                             wf_bytes pairs, wf_bytes *ret)
{
    struct wf_emitter out = {.partitions = 1};
    if (!functions->reduce)
        return wf_task_fail(self, -EINVAL, "there is no reduce");
    if (wfi_pair_check_run(pairs))
        return wf_task_fail(self, WF_EPROTOCOL, "the pairs arrived damaged");
    int err = reduce_run(self, functions, pairs, &out);
    if (!err)
        err = give(self, &out, write_whole, ret);
    fini(&out);
    return err;
}
