/* SPDX-License-Identifier: MIT */
#include "exec/pair_store.h"

#include <errno.h>
#include <string.h>

#include <weft/processes.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "net/file.h"

enum {
    WRITE_BYTES = 256 * 1024,   /* gathered before they go to the file */
    READ_BYTES_MAX = 64 * 1024, /* read of one run at a time: enough to keep a disk busy, */
    READ_BYTES_MIN = 4 * 1024,  /* less where runs are many, but a page */
};

struct result {
    const void *ptr;
    size_t len;
    size_t runs; /* that are pieces of it */
};

struct wfi_pair_run {
    struct wfi_pair_run *next;
    struct result *result; /* in memory; NULL: in the file */
    const unsigned char *at;
    int64_t offset;
    int64_t len;
    uint64_t rank;
};

/* A run being read. The key of its pair stays where it is until the next is read. */
struct wfi_pair_cursor {
    struct wfi_pair pair;
    const unsigned char *at; /* what is unread of the bytes in memory */
    size_t len;
    size_t number; /* of the run in its merge: breaks ties */
    bool ranked;

    /* Of a run in the file. */
    struct wf_file *file;
    int64_t offset, left; /* what is not in memory yet */
    unsigned char *buffer;
    size_t buffer_bytes;
    struct wfi_buffer key;
};

int wfi_pair_store_init(struct wfi_pair_store *store, unsigned partitions, size_t memory_max,
                        const char *folder)
{
    *store = (struct wfi_pair_store){
        .partitions = partitions, .memory_max = memory_max, .folder = folder};
    store->partition = wfi_zalloc(partitions * sizeof *store->partition);
    return store->partition ? 0 : -ENOMEM;
}

static void free_result(struct wfi_pair_store *store, struct result *result)
{
    store->memory -= result->len;
    wf_result_free(result->ptr);
    wfi_free(result);
}

static void free_run(struct wfi_pair_store *store, struct wfi_pair_run *run)
{
    if (run->result && --run->result->runs == 0)
        free_result(store, run->result);
    wfi_free(run);
}

static void free_runs(struct wfi_pair_store *store, struct wfi_pair_partition *partition)
{
    while (partition->first) {
        struct wfi_pair_run *run = partition->first;
        partition->first = run->next;
        free_run(store, run);
    }
    partition->last = NULL;
}

void wfi_pair_store_fini(struct wfi_pair_store *store)
{
    for (unsigned i = 0; store->partition && i < store->partitions; i++)
        free_runs(store, &store->partition[i]);
    wfi_free(store->partition);
    wf_file_close(store->file);
    *store = (struct wfi_pair_store){0};
}

static void push(struct wfi_pair_partition *partition, struct wfi_pair_run *run)
{
    if (partition->last)
        partition->last->next = run;
    else
        partition->first = run;
    partition->last = run;
}

/* Reading a run */

/* Brings more of a run into memory, behind what is unread. Returns 0, -EIO or -ENOMEM. */
static int fill(struct wfi_pair_cursor *c)
{
    if (c->len)
        memmove(c->buffer, c->at, c->len);
    c->at = c->buffer;
    if (c->len == c->buffer_bytes) { /* a pair that is larger than the buffer */
        unsigned char *larger = wfi_realloc(c->buffer, 2 * c->buffer_bytes);
        if (!larger)
            return -ENOMEM;
        c->at = c->buffer = larger;
        c->buffer_bytes *= 2;
    }
    size_t want = c->buffer_bytes - c->len;
    if ((int64_t)want > c->left)
        want = (size_t)c->left;
    ssize_t n = wf_file_read(c->file, c->buffer + c->len, want, c->offset);
    if (n <= 0)
        return n < 0 ? (int)n : -EIO; /* somebody cut the file */
    c->len += (size_t)n;
    c->offset += n;
    c->left -= n;
    return 0;
}

/* Reads the next pair of a run. Returns 1, 0 behind the last, or an error. */
static int advance(struct wfi_pair_cursor *c)
{
    for (;;) {
        ssize_t n = c->len ? wfi_pair_read(c->at, c->len, c->ranked, &c->pair) : 0;
        if (n > 0) {
            c->at += n;
            c->len -= (size_t)n;
            if (!c->file || c->pair.same)
                return 1;
            wfi_buffer_clear(&c->key);
            if (wfi_buffer_reserve(&c->key, c->pair.key.len + 1))
                return -ENOMEM;
            if (c->pair.key.len)
                wfi_buffer_append(&c->key, c->pair.key.ptr, c->pair.key.len);
            c->pair.key.ptr = c->key.data;
            return 1;
        }
        if (n < 0 || (c->len && c->left == 0))
            return -EIO; /* not what was written */
        if (c->left == 0)
            return 0;
        int err = fill(c);
        if (err)
            return err;
    }
}

static void free_cursor(struct wfi_pair_cursor *c)
{
    if (!c)
        return;
    wfi_free(c->buffer);
    wfi_buffer_reset(&c->key);
    wfi_free(c);
}

static struct wfi_pair_cursor *open_run(const struct wfi_pair_store *store,
                                        const struct wfi_pair_run *run, size_t read_bytes)
{
    struct wfi_pair_cursor *c = wfi_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->pair.rank = run->rank;
    if (run->result) {
        c->at = run->at;
        c->len = (size_t)run->len;
        return c;
    }
    c->file = store->file;
    c->ranked = true;
    c->offset = run->offset;
    c->left = run->len;
    c->buffer_bytes = read_bytes;
    c->at = c->buffer = wfi_alloc(read_bytes);
    if (c->buffer)
        return c;
    free_cursor(c);
    return NULL;
}

/* Merging */

static bool before(const struct wfi_pair_cursor *a, const struct wfi_pair_cursor *b)
{
    int order = wfi_pair_compare_keys(a->pair.key, b->pair.key);
    if (order)
        return order < 0;
    if (a->pair.rank != b->pair.rank)
        return a->pair.rank < b->pair.rank;
    return a->number < b->number;
}

/* The one at `i` may be larger than those below it. */
static void sift(struct wfi_pair_merge *merge, size_t i)
{
    struct wfi_pair_cursor **heap = merge->heap, *moved = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= merge->count)
            break;
        if (child + 1 < merge->count && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], moved))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

/* The first one's pair was used: on to its next. */
static int step(struct wfi_pair_merge *merge)
{
    struct wfi_pair_cursor *c = merge->heap[0];
    int more = advance(c);
    if (more < 0)
        return more;
    if (more == 0) {
        merge->heap[0] = merge->heap[--merge->count];
        free_cursor(c);
    }
    if (merge->count)
        sift(merge, 0);
    return 0;
}

static size_t read_bytes_each(const struct wfi_pair_store *store, size_t runs)
{
    size_t bytes = store->memory_max / 4 / (runs ? runs : 1);
    return bytes > READ_BYTES_MAX   ? READ_BYTES_MAX
           : bytes < READ_BYTES_MIN ? READ_BYTES_MIN
                                    : bytes;
}

static int add_cursors(struct wfi_pair_merge *merge, const struct wfi_pair_partition *partition,
                       bool memory_only, size_t read_bytes)
{
    for (const struct wfi_pair_run *run = partition->first; run; run = run->next) {
        if (memory_only && !run->result)
            continue;
        struct wfi_pair_cursor *c = open_run(merge->store, run, read_bytes);
        int more = c ? advance(c) : -ENOMEM;
        if (more != 1) {
            free_cursor(c);
            if (more < 0)
                return more;
            continue;
        }
        c->number = merge->count;
        merge->heap[merge->count++] = c;
    }
    return 0;
}

static int fail(const struct wfi_pair_store *store, int err, struct wf_error *reterr)
{
    return err == -ENOMEM
               ? wf_error_set(reterr, err, NULL)
               : wf_error_set(reterr, err, "reading what was spilled to %s: %s",
                              store->folder ? store->folder : "a file", wf_strerror(err));
}

static int open_merge(struct wfi_pair_merge *merge, struct wfi_pair_store *store, unsigned first,
                      unsigned end, bool memory_only)
{
    size_t runs = 0;
    *merge = (struct wfi_pair_merge){.store = store};
    for (unsigned i = first; i < end; i++)
        for (struct wfi_pair_run *run = store->partition[i].first; run; run = run->next)
            runs++;
    merge->heap = wfi_alloc((runs + 1) * sizeof(struct wfi_pair_cursor *));
    int err = merge->heap ? 0 : -ENOMEM;
    for (unsigned i = first; i < end && !err; i++)
        err = add_cursors(merge, &store->partition[i], memory_only, read_bytes_each(store, runs));
    for (size_t i = merge->count; i-- > 0 && !err;)
        sift(merge, i);
    if (err)
        wfi_pair_merge_close(merge);
    return err;
}

int wfi_pair_merge_open(struct wfi_pair_merge *merge, struct wfi_pair_store *store, unsigned first,
                        unsigned end, struct wf_error *reterr)
{
    int err = open_merge(merge, store, first, end, false);
    return err ? fail(store, err, reterr) : 0;
}

int wfi_pair_merge_next(struct wfi_pair_merge *merge, struct wfi_pair *ret_pair,
                        struct wf_error *reterr)
{
    int err = merge->given ? step(merge) : 0;
    if (err)
        return fail(merge->store, err, reterr);
    merge->given = merge->count > 0;
    if (!merge->given)
        return 0;
    *ret_pair = merge->heap[0]->pair;
    ret_pair->same = false;
    return 1;
}

void wfi_pair_merge_close(struct wfi_pair_merge *merge)
{
    while (merge->count)
        free_cursor(merge->heap[--merge->count]);
    wfi_free(merge->heap);
    *merge = (struct wfi_pair_merge){0};
}

/* Spilling */

static int flush(struct wfi_pair_store *store, struct wfi_buffer *buffer)
{
    for (size_t done = 0; done < buffer->len;) {
        ssize_t n = wf_file_write(store->file, buffer->data + done, buffer->len - done);
        if (n < 0)
            return (int)n;
        done += (size_t)n;
    }
    store->file_bytes += (int64_t)buffer->len;
    store->spilled_bytes += buffer->len;
    wfi_buffer_clear(buffer);
    return 0;
}

/* One run in the file for all that a partition has in memory; `run` becomes that one. */
static int spill_partition(struct wfi_pair_store *store, unsigned partition,
                           struct wfi_pair_writer *w, struct wfi_pair_run *run)
{
    struct wfi_pair_merge merge;
    struct wfi_pair pair;
    int more = 1, err = open_merge(&merge, store, partition, partition + 1, true);
    if (err)
        return err;
    *run = (struct wfi_pair_run){.offset = store->file_bytes};
    w->any = false;
    while (!err && (more = wfi_pair_merge_next(&merge, &pair, NULL)) == 1) {
        err = wfi_pair_writer_add(w, &pair);
        if (!err && w->run.len >= WRITE_BYTES)
            err = flush(store, &w->run);
    }
    err = err ? err : more;
    if (!err)
        err = flush(store, &w->run);
    wfi_pair_merge_close(&merge);
    run->len = store->file_bytes - run->offset;
    return err;
}

static void forget_memory(struct wfi_pair_store *store, struct wfi_pair_partition *partition)
{
    struct wfi_pair_run *run = partition->first;
    *partition = (struct wfi_pair_partition){0};
    for (struct wfi_pair_run *next; run; run = next) {
        next = run->next;
        run->next = NULL;
        if (run->result)
            free_run(store, run);
        else
            push(partition, run);
    }
}

static int spill(struct wfi_pair_store *store, struct wf_error *reterr)
{
    struct wfi_pair_writer w = {.ranked = true};
    int err = store->file ? 0 : wfi_file_make_temporary(store->folder, &store->file);
    for (unsigned i = 0; i < store->partitions && !err; i++) {
        struct wfi_pair_run *run = wfi_alloc(sizeof *run);
        err = run ? spill_partition(store, i, &w, run) : -ENOMEM;
        if (err || run->len == 0) {
            wfi_free(run);
        } else {
            forget_memory(store, &store->partition[i]);
            push(&store->partition[i], run);
        }
    }
    wfi_pair_writer_reset(&w);
    if (err == -ENOMEM)
        return wf_error_set(reterr, err, NULL);
    if (err)
        return wf_error_set(reterr, err, "spilling to %s: %s", store->folder, wf_strerror(err));
    return 0;
}

int wfi_pair_store_add(struct wfi_pair_store *store, uint64_t rank, wf_bytes bytes,
                       const wf_bytes *runs, struct wf_error *reterr)
{
    struct result *result = wfi_alloc(sizeof *result);
    if (!result) {
        wf_result_free(bytes.ptr);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    *result = (struct result){bytes.ptr, bytes.len, 1}; /* held until all are in */
    store->memory += bytes.len;
    int err = 0;
    for (unsigned i = 0; i < store->partitions && !err; i++) {
        if (runs[i].len == 0)
            continue;
        struct wfi_pair_run *run = wfi_alloc(sizeof *run);
        if (!run) {
            err = -ENOMEM;
            break;
        }
        *run = (struct wfi_pair_run){
            .result = result, .at = runs[i].ptr, .len = (int64_t)runs[i].len, .rank = rank};
        result->runs++;
        push(&store->partition[i], run);
    }
    if (--result->runs == 0)
        free_result(store, result);
    if (err)
        return wf_error_set(reterr, err, NULL);
    return store->memory > store->memory_max ? spill(store, reterr) : 0;
}
