/* SPDX-License-Identifier: MIT */
/*
 * Map-reduce, the caller's side: two stages of the same kind, one behind the other. A stage gives
 * out parts while there are more and places are free, waits until a part ends, is due again, or is
 * late, and takes what came back.
 *
 * Invariants
 *  1. A part has at most `attempts` futures over its life, and several at a time only when it was
 *     late. The first result that is whole ends it; the others are cancelled, and what they give is
 *     dropped, so each part counts once.
 *  2. A task's input is freed when the part needs it no more and each of its futures has ended: a
 *     task that outlives the run still reads it.
 *  3. Pairs come out in an order that does not depend on when parts end: see pair_store.h, a part's
 *     number being its rank. Parts of the reduce stage are cut from the merged pairs, so they are
 *     the same in each run, too.
 */
#include "exec/mapreduce.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/future.h>
#include <weft/retry.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "exec/future.h"
#include "exec/pair_store.h"

#define MEMORY_DEFAULT ((size_t)64 << 20)
#define REDUCE_DEFAULT ((size_t)1 << 20)
enum { ATTEMPTS_DEFAULT = 4, AHEAD_MAX = 65536 };

struct wf_mapreduce {
    struct wfi_pair_store store;
    struct wfi_pair_merge merge;
    struct wf_mapreduce_counts counts;
    char *folder; /* the stores' */
};

struct input {
    WFI_ATOMIC(uint32_t) users; /* the part, and each future that has not ended */
    size_t len;
    unsigned char bytes[];
};

/* One that is given out, or is to be. */
struct part {
    uint64_t number;            /* from 1 */
    struct input *input;        /* NULL: the place is free */
    int given;                  /* how often */
    int64_t late_at;            /* when the last of them counts as lost; INT64_MAX: never */
    int64_t again_at;           /* when to give it out again, nobody having it; 0: somebody has */
    struct wf_error lost;       /* how it was lost last */
    struct wf_future **futures; /* `given` of them, NULL when ended */
};

struct run;

struct stage {
    const char *name;
    const struct wf_task_type *type;
    /* The next part's input. Returns 1, 0 when there are no more, or an error. */
    int (*next)(struct run *run, struct input **ret, struct wf_error *reterr);
    /* Takes a result; WF_EPROTOCOL: it was damaged. */
    int (*take)(struct run *run, uint64_t number, wf_bytes result, struct wf_error *reterr);
    void (*describe)(const struct input *input, char *ret_text, size_t room);
};

struct run {
    struct wf_executor *on;
    struct wf_mapreduce_options options; /* defaults filled in */
    wf_deadline deadline;
    int (*next)(void *arg, wf_bytes *ret_input);
    void *arg;
    struct wf_mapreduce *result;

    struct wfi_pair_store mapped; /* what the map parts gave */
    struct wfi_pair_merge merge;  /* of the partition that reduce parts are cut from */
    bool merging, pending_any;
    unsigned partition;
    struct wfi_pair pending; /* the first pair of the next part, where the merge has it */

    struct part *parts; /* `options.ahead` places */
    size_t used;
    struct wf_future **waiting; /* room for all futures of all parts */
    uint64_t random;
};

/* The arguments of the two tasks, as WF_TASK lays them out. */
struct map_args {
    uint32_t partitions;
    wf_bytes input;
};
struct reduce_args {
    wf_bytes pairs;
};

/* Inputs */

static struct input *make_input(const void *bytes, size_t len)
{
    struct input *input = wfi_alloc(sizeof *input + len);
    if (!input)
        return NULL;
    wfi_store_relaxed(&input->users, 1);
    input->len = len;
    if (len)
        memcpy(input->bytes, bytes, len);
    return input;
}

static void release(struct input *input)
{
    if (wfi_fetch_sub(&input->users, 1) == 1)
        wfi_free(input);
}

static int on_done(struct wf_future *future, void *arg)
{
    /* Of one that nobody waits for any more, the error is of no interest. */
    wf_future_error(future, WF_NOW, NULL);
    release(arg);
    return 0;
}

/* Errors */

/* Up to 40 characters of it, in quotes; nothing where it is no text. */
static size_t quote(char *out, size_t room, wf_bytes bytes)
{
    enum { SHOWN = 40 };
    const unsigned char *at = bytes.ptr;
    size_t len = bytes.len < SHOWN ? bytes.len : SHOWN;
    if (!len)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (!isprint(at[i]) && at[i] < 0x80)
            return 0;
    while (len < bytes.len && len > 0 && (at[len] & 0xc0) == 0x80) /* not inside a character */
        len--;
    int n =
        snprintf(out, room, "\"%.*s%s\"", (int)len, (const char *)at, len < bytes.len ? "..." : "");
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static void describe_map(const struct input *input, char *ret_text, size_t room)
{
    ret_text[quote(ret_text, room, (wf_bytes){input->bytes, input->len})] = '\0';
}

static void describe_reduce(const struct input *input, char *ret_text, size_t room)
{
    struct wfi_pair pair = {.key = {NULL, 0}}, first = pair;
    size_t len;
    ssize_t n;
    for (size_t at = 0; at < input->len; at += (size_t)n) {
        n = wfi_pair_read(input->bytes + at, input->len - at, false, &pair);
        if (n <= 0)
            break;
        if (at == 0)
            first = pair;
    }
    len = quote(ret_text, room, first.key);
    if (len && wfi_pair_compare_keys(first.key, pair.key) != 0) {
        size_t more = quote(ret_text + len + 4, room - len - 4, pair.key);
        if (more)
            memcpy(ret_text + len, " to ", 4);
        len += more ? 4 + more : 0;
    }
    ret_text[len] = '\0';
}

static void name_part(const struct stage *stage, const struct part *part, struct wf_error *error)
{
    char shown[128];
    stage->describe(part->input, shown, sizeof shown);
    if (part->given > 1)
        wf_error_prefix(error, "after %d attempts", part->given);
    if (shown[0])
        wf_error_prefix(error, "%s part %" PRIu64 " (%s)", stage->name, part->number, shown);
    else
        wf_error_prefix(error, "%s part %" PRIu64, stage->name, part->number);
}

static int failed(const struct stage *stage, const struct part *part, const struct wf_error *error,
                  struct wf_error *reterr)
{
    struct wf_error named = *error;
    name_part(stage, part, &named);
    if (reterr)
        *reterr = named;
    return error->code;
}

/* Whether the part was lost, and not its function that failed. */
static bool is_loss(int code)
{
    switch (code) {
    case WF_EWORKERDIED:
    case WF_EPROTOCOL:
    case WF_ESHORT:
    case -EAGAIN:
    case -ETIMEDOUT:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENETDOWN:
        return true;
    default:
        return false;
    }
}

/* Parts */

static void abandon(struct run *run, struct part *part)
{
    for (int i = 0; i < part->given; i++)
        if (part->futures[i]) {
            wf_future_cancel(part->futures[i]);
            wf_future_drop(&part->futures[i]);
        }
    release(part->input);
    part->input = NULL;
    run->used--;
}

static int give_out(struct run *run, const struct stage *stage, struct part *part,
                    struct wf_error *reterr)
{
    struct map_args map = {.partitions = run->options.partitions};
    map.input = (wf_bytes){part->input->bytes, part->input->len};
    struct reduce_args reduce = {map.input};
    const void *args = stage->type->param_count == 2 ? (const void *)&map : &reduce;
    if (part->given > 0)
        run->result->counts.lost++;
    wfi_fetch_add(&part->input->users, 1);
    struct wf_future *future = wf_submit(run->on, stage->type, NULL, args);
    int err = wf_future_on_done(future, on_done, part->input);
    if (err) {
        /* Its end will not be told: it is seen to here. */
        wf_future_cancel(future);
        wfi_future_wait_anyway(future, WF_FOREVER);
        on_done(future, part->input);
        wf_future_drop(&future);
        return wf_error_set(reterr, err, NULL);
    }
    part->futures[part->given++] = future;
    part->again_at = 0;
    part->late_at = run->options.part_ns ? wf_after(run->options.part_ns).ns : INT64_MAX;
    return 0;
}

/* Fills free places. Returns 0 or an error; *more turns false behind the last part. */
static int fill(struct run *run, const struct stage *stage, uint64_t *number, bool *more,
                struct wf_error *reterr)
{
    for (size_t i = 0; i < run->options.ahead && *more; i++) {
        struct part *part = &run->parts[i];
        if (part->input)
            continue;
        struct input *input = NULL;
        int next = stage->next(run, &input, reterr);
        if (next < 0)
            return next;
        if (next == 0) {
            *more = false;
            break;
        }
        part->number = ++*number;
        part->input = input;
        part->given = 0;
        part->lost = (struct wf_error){0};
        run->used++;
        int err = give_out(run, stage, part, reterr);
        if (err)
            return err;
        if (wf_future_state(part->futures[0]) >= WF_FUTURE_DONE)
            break; /* where tasks run at once, what they gave is taken before the next input */
    }
    return 0;
}

static bool is_out(const struct part *part)
{
    for (int i = 0; i < part->given; i++)
        if (part->futures[i])
            return true;
    return false;
}

static int note_loss(struct run *run, const struct stage *stage, struct part *part,
                     const struct wf_error *error, struct wf_error *reterr)
{
    part->lost = *error;
    if (is_out(part))
        return 0; /* another may come back yet */
    if (part->given == run->options.attempts)
        return failed(stage, part, error, reterr);
    /* Another worker is there, or is being made; who cannot be reached is given time. */
    const bool at_once = error->code == WF_EWORKERDIED || error->code == WF_EPROTOCOL;
    const int64_t wait_ns = at_once ? 0 : wf_retry_delay(NULL, part->given, &run->random);
    part->again_at = wf_after(wait_ns).ns;
    return 0;
}

/* Takes what one future of a part gave. Returns 0, or what fails the whole. */
static int take(struct run *run, const struct stage *stage, struct part *part, int attempt,
                struct wf_error *reterr)
{
    struct wf_error error = {0};
    wf_bytes result = {NULL, 0};
    int err = wf_future_result(&part->futures[attempt], &result, WF_NOW, &error);
    bool lost = is_loss(err);
    if (!err) {
        err = stage->take(run, part->number, result, &error);
        if (!err) {
            abandon(run, part);
            return 0;
        }
        lost = err == WF_EPROTOCOL; /* with another, some of it may be kept already */
    }
    error.code = err;
    return lost ? note_loss(run, stage, part, &error, reterr) : failed(stage, part, &error, reterr);
}

static int take_all(struct run *run, const struct stage *stage, bool *ret_any,
                    struct wf_error *reterr)
{
    *ret_any = false;
    for (size_t i = 0; i < run->options.ahead; i++) {
        struct part *part = &run->parts[i];
        for (int j = 0; part->input && j < part->given; j++) {
            if (!part->futures[j] || wf_future_state(part->futures[j]) < WF_FUTURE_DONE)
                continue;
            *ret_any = true;
            int err = take(run, stage, part, j, reterr);
            if (err)
                return err;
        }
    }
    return 0;
}

/* Gives out again what is due, and what is late. *until becomes when to look again at last. */
static int look_at_clock(struct run *run, const struct stage *stage, wf_deadline *until,
                         struct wf_error *reterr)
{
    const int64_t now = wf_now();
    *until = run->deadline;
    for (size_t i = 0; i < run->options.ahead; i++) {
        struct part *part = &run->parts[i];
        if (!part->input)
            continue;
        const bool due = part->again_at && part->again_at <= now;
        const bool late = !part->again_at && part->late_at <= now;
        int err = 0;
        if (late && part->given == run->options.attempts) {
            struct wf_error error;
            wf_error_set(&error, -ETIMEDOUT, "nothing was heard of it for %.3g s",
                         (double)run->options.part_ns / 1e9);
            return failed(stage, part, &error, reterr);
        }
        if (due || late)
            err = give_out(run, stage, part, reterr);
        if (err)
            return err;
        *until = wf_earlier(*until, (wf_deadline){part->again_at ? part->again_at : part->late_at});
    }
    return 0;
}

static int wait_for_parts(struct run *run, const struct stage *stage, wf_deadline until,
                          struct wf_error *reterr)
{
    size_t count = 0;
    for (size_t i = 0; i < run->options.ahead; i++)
        for (int j = 0; run->parts[i].input && j < run->parts[i].given; j++)
            if (run->parts[i].futures[j])
                run->waiting[count++] = run->parts[i].futures[j];
    ssize_t n = count ? wf_future_wait_many(run->waiting, count, WF_WAIT_FIRST, NULL, until)
                      : wf_sleep(until);
    return n < 0 ? wf_error_set(reterr, (int)n, "waiting for %s parts: %s", stage->name,
                                wf_strerror((int)n))
                 : 0;
}

static int run_stage(struct run *run, const struct stage *stage, uint64_t *ret_parts,
                     struct wf_error *reterr)
{
    bool more = true, any;
    for (;;) {
        wf_deadline until;
        /* Where parts end as fast as they are given out nothing below waits. */
        if (wf_checkpoint(NULL))
            return wf_error_set(reterr, -ECANCELED, "cancelled with %" PRIu64 " %s parts given out",
                                *ret_parts, stage->name);
        if (run->deadline.ns <= wf_now())
            return wf_error_set(reterr, -ETIMEDOUT,
                                "the deadline passed with %" PRIu64 " %s parts given out, %zu of "
                                "them unfinished%s",
                                *ret_parts, stage->name, run->used,
                                more ? " and more to come" : "");
        int err = fill(run, stage, ret_parts, &more, reterr);
        if (!err)
            err = take_all(run, stage, &any, reterr);
        if (err)
            return err;
        if (!run->used && !more)
            return 0;
        if (any)
            continue;
        err = look_at_clock(run, stage, &until, reterr);
        if (!err)
            err = wait_for_parts(run, stage, until, reterr);
        if (err)
            return err;
    }
}

/* The map stage */

static int next_map(struct run *run, struct input **ret, struct wf_error *reterr)
{
    wf_bytes bytes = {NULL, 0};
    int more = run->next(run->arg, &bytes);
    if (more < 0)
        return wf_error_set(reterr, more, "the source of inputs: %s", wf_strerror(more));
    if (more == 0)
        return 0;
    *ret = make_input(bytes.ptr, bytes.len);
    return *ret ? 1 : wf_error_set(reterr, -ENOMEM, NULL);
}

/* Finds the runs in a map's result. Returns 0 or WF_EPROTOCOL. */
static int find_runs(wf_bytes result, unsigned partitions, wf_bytes *runs)
{
    const unsigned char *at = result.ptr, *const end = at + result.len;
    uint64_t number;
    if (at == end || *at++ != WFI_PART_FORMAT)
        return WF_EPROTOCOL;
    ssize_t n = wfi_pair_read_number(at, (size_t)(end - at), &number);
    if (n <= 0 || number != partitions)
        return WF_EPROTOCOL;
    at += n;
    for (unsigned i = 0; i < partitions; i++) {
        n = wfi_pair_read_number(at, (size_t)(end - at), &number);
        if (n <= 0 || number > (uint64_t)(end - at - n))
            return WF_EPROTOCOL;
        runs[i] = (wf_bytes){at + n, (size_t)number};
        at += (size_t)n + number;
        if (wfi_pair_check_run(runs[i]))
            return WF_EPROTOCOL;
    }
    return at == end ? 0 : WF_EPROTOCOL;
}

static int take_map(struct run *run, uint64_t number, wf_bytes result, struct wf_error *reterr)
{
    const unsigned partitions = run->options.partitions;
    wf_bytes *runs = wfi_alloc(partitions * sizeof *runs);
    int err;
    if (!runs || find_runs(result, partitions, runs)) {
        wf_result_free(result.ptr);
        err = !runs ? wf_error_set(reterr, -ENOMEM, NULL)
                    : wf_error_set(reterr, WF_EPROTOCOL, "the result arrived damaged");
    } else {
        err = wfi_pair_store_add(&run->mapped, number, result, runs, reterr);
    }
    wfi_free(runs);
    return err;
}

/* The reduce stage */

/* The next pair of the partitions, one partition behind the other, without a copy of it. Returns 1
 * with run->pending; 0 at the end of a partition; or an error. */
static int peek(struct run *run, struct wf_error *reterr)
{
    if (run->pending_any)
        return 1;
    int more = wfi_pair_merge_next(&run->merge, &run->pending, reterr);
    run->pending_any = more == 1;
    return more;
}

static int cut_part(struct run *run, struct wfi_pair_writer *w, struct wf_error *reterr)
{
    int more;
    while ((more = peek(run, reterr)) == 1) {
        const bool other =
            wfi_pair_compare_keys((wf_bytes){w->key.data, w->key.len}, run->pending.key) != 0;
        if (w->any && other && w->run.len >= run->options.reduce_bytes)
            return 0;
        if (wfi_pair_writer_add(w, &run->pending))
            return wf_error_set(reterr, -ENOMEM, NULL);
        run->pending_any = false;
    }
    return more;
}

static int next_reduce(struct run *run, struct input **ret, struct wf_error *reterr)
{
    struct wfi_pair_writer w = {.ranked = false};
    int err = 0;
    while (!err && !w.any && run->partition < run->options.partitions) {
        if (!run->merging) {
            err = wfi_pair_merge_open(&run->merge, &run->mapped, run->partition, run->partition + 1,
                                      reterr);
            if (err)
                break;
            run->merging = true;
        }
        err = cut_part(run, &w, reterr);
        if (!err && !run->pending_any) { /* the end of this partition */
            wfi_pair_merge_close(&run->merge);
            run->merging = false;
            run->partition++;
        }
    }
    if (!err && w.any) {
        *ret = make_input(w.run.data, w.run.len);
        err = *ret ? 1 : wf_error_set(reterr, -ENOMEM, NULL);
    }
    wfi_pair_writer_reset(&w);
    return err;
}

static int take_reduce(struct run *run, uint64_t number, wf_bytes result, struct wf_error *reterr)
{
    const unsigned char *at = result.ptr;
    if (result.len == 0 || at[0] != WFI_PART_FORMAT ||
        wfi_pair_check_run((wf_bytes){at + 1, result.len - 1})) {
        wf_result_free(result.ptr);
        return wf_error_set(reterr, WF_EPROTOCOL, "the result arrived damaged");
    }
    const wf_bytes pairs = {at + 1, result.len - 1};
    return wfi_pair_store_add(&run->result->store, number, result, &pairs, reterr);
}

/* The whole */

static int with_defaults(struct run *run, const struct wf_mapreduce_options *options,
                         struct wf_error *reterr)
{
    struct wf_mapreduce_options *o = &run->options;
    if (options)
        *o = *options;
    const unsigned workers = wf_executor_workers(run->on) ? wf_executor_workers(run->on) : 1;
    if (o->attempts < 0 || o->part_ns < 0)
        return wf_error_set(reterr, -EINVAL, "%s must not be negative",
                            o->attempts < 0 ? "attempts" : "part_ns");
    if (o->partitions > WFI_PARTITIONS_MAX || o->ahead > AHEAD_MAX)
        return wf_error_set(reterr, -EINVAL, "%s is %u, at most %d are possible",
                            o->ahead > AHEAD_MAX ? "ahead" : "partitions",
                            o->ahead > AHEAD_MAX ? o->ahead : o->partitions,
                            o->ahead > AHEAD_MAX ? AHEAD_MAX : WFI_PARTITIONS_MAX);
    if (!o->partitions)
        o->partitions = workers < WFI_PARTITIONS_MAX ? workers : WFI_PARTITIONS_MAX;
    if (!o->ahead)
        o->ahead = workers < AHEAD_MAX / 2 ? 2 * workers : AHEAD_MAX;
    if (!o->attempts)
        o->attempts = ATTEMPTS_DEFAULT;
    if (!o->memory_max_bytes)
        o->memory_max_bytes = MEMORY_DEFAULT;
    if (!o->reduce_bytes)
        o->reduce_bytes = REDUCE_DEFAULT;
    return 0;
}

static int prepare(struct run *run, struct wf_error *reterr)
{
    const struct wf_mapreduce_options *o = &run->options;
    const char *folder = o->spill_folder ? o->spill_folder : getenv("TMPDIR");
    struct wf_mapreduce *result = wfi_zalloc(sizeof *result);
    run->result = result;
    run->random = (uint64_t)wf_now();
    run->parts = wfi_zalloc(o->ahead * sizeof *run->parts);
    run->waiting = wfi_alloc(o->ahead * (size_t)o->attempts * sizeof(struct wf_future *));
    if (!result || !run->parts || !run->waiting ||
        !(result->folder = wfi_strdup(folder && folder[0] ? folder : "/tmp")))
        return wf_error_set(reterr, -ENOMEM, NULL);
    /* Half of the memory for what goes into the reduce stage, half for what comes out of it. */
    if (wfi_pair_store_init(&run->mapped, o->partitions, o->memory_max_bytes / 2, result->folder) ||
        wfi_pair_store_init(&result->store, 1, o->memory_max_bytes / 2, result->folder))
        return wf_error_set(reterr, -ENOMEM, NULL);
    for (unsigned i = 0; i < o->ahead; i++) {
        run->parts[i].futures = wfi_alloc((size_t)o->attempts * sizeof(struct wf_future *));
        if (!run->parts[i].futures)
            return wf_error_set(reterr, -ENOMEM, NULL);
    }
    return 0;
}

static void clean_up(struct run *run)
{
    for (unsigned i = 0; run->parts && i < run->options.ahead; i++) {
        if (run->parts[i].input)
            abandon(run, &run->parts[i]);
        wfi_free(run->parts[i].futures);
    }
    wfi_free(run->parts);
    wfi_free(run->waiting);
    wfi_pair_merge_close(&run->merge);
    wfi_pair_store_fini(&run->mapped);
}

static int run_both(struct run *run, const struct wf_mapreduce_job *job, struct wf_error *reterr)
{
    const struct stage map = {"map", job->map, next_map, take_map, describe_map};
    const struct stage reduce = {"reduce", job->reduce, next_reduce, take_reduce, describe_reduce};
    struct wf_mapreduce *result = run->result;
    int err = run_stage(run, &map, &result->counts.map_parts, reterr);
    if (err)
        return err;
    result->counts.spilled_bytes = run->mapped.spilled_bytes;
    if (job->functions && !job->functions->reduce) {
        const struct wfi_pair_store mapped = run->mapped;
        run->mapped = result->store;
        result->store = mapped;
    } else {
        err = run_stage(run, &reduce, &result->counts.reduce_parts, reterr);
        result->counts.spilled_bytes += result->store.spilled_bytes;
    }
    return err ? err
               : wfi_pair_merge_open(&result->merge, &result->store, 0, result->store.partitions,
                                     reterr);
}

int wf_mapreduce_run(struct wf_executor *on, const struct wf_mapreduce_job *job,
                     int (*next)(void *arg, wf_bytes *ret_input), void *arg,
                     const struct wf_mapreduce_options *options, struct wf_mapreduce **ret,
                     wf_deadline deadline, struct wf_error *reterr)
{
    struct run run = {.on = on, .deadline = deadline, .next = next, .arg = arg};
    int err = with_defaults(&run, options, reterr);
    if (err)
        return err;
    err = prepare(&run, reterr);
    if (!err)
        err = run_both(&run, job, reterr);
    clean_up(&run);
    if (err)
        wf_mapreduce_close(run.result);
    else
        *ret = run.result;
    return err;
}

int wf_mapreduce_next_text(void *texts, wf_bytes *ret_input)
{
    struct wf_mapreduce_texts *t = texts;
    if (t->given == t->count)
        return 0;
    const char *text = t->texts[t->given++];
    *ret_input = (wf_bytes){text, strlen(text)};
    return 1;
}

int wf_mapreduce_next(struct wf_mapreduce *result, wf_bytes *ret_key, wf_bytes *ret_value,
                      struct wf_error *reterr)
{
    struct wfi_pair pair;
    int more = wfi_pair_merge_next(&result->merge, &pair, reterr);
    if (more == 1) {
        *ret_key = pair.key;
        *ret_value = pair.value;
    }
    return more;
}

void wf_mapreduce_count(const struct wf_mapreduce *result, struct wf_mapreduce_counts *ret_counts)
{
    *ret_counts = result->counts;
}

void wf_mapreduce_close(struct wf_mapreduce *result)
{
    if (!result)
        return;
    wfi_pair_merge_close(&result->merge);
    wfi_pair_store_fini(&result->store);
    wfi_free(result->folder);
    wfi_free(result);
}
