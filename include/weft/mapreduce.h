/* SPDX-License-Identifier: MIT */
/*
 * Map-reduce: one function makes pairs of key and value from each input, another makes of all
 * values of a key what is to be known of it. Both run as tasks on any executor, a part of the work
 * each.
 *
 *     static int words(struct wf_task *self, wf_bytes path, struct wf_emitter *out)
 *     {
 *         ... wf_emit_int(out, word, len, 1) ...
 *     }
 *     WF_MAPREDUCE(word_count)
 *     WF_MAPREDUCE_DEFINE(word_count, .map = words, .combine = wf_sum_values,
 *                         .reduce = wf_sum_values)
 *
 *     struct wf_mapreduce_texts files = {paths, count};
 *     struct wf_mapreduce *counts;
 *     err = wf_mapreduce_run(on, &word_count_job, wf_mapreduce_next_text, &files, NULL, &counts,
 *                            WF_FOREVER, &error);
 *     while (!err && (more = wf_mapreduce_next(counts, &word, &number, &error)) == 1)
 *         ...                                                     in the order of the words
 *     wf_mapreduce_close(counts);
 *
 * An input is any run of bytes that says what to do: a path, a range, a text. Each is a part, and
 * `map` is called with it. What it emits is divided by the hash of the key into partitions, sorted,
 * and, if there is a `combine`, made smaller where it was made. All values of a key come together
 * in one call of `reduce`, those of an earlier input before those of a later one. A part of the
 * reduce work holds many keys of one partition. What comes out is read in the order of the keys,
 * and is the same on every executor, whatever was lost and done again on the way.
 *
 * Which parts there are is known to the caller of wf_mapreduce_run alone: inputs are asked for as
 * parts end, results arrive at the caller and are kept there, in a file once they are more than
 * `memory_max_bytes`. The file has no name, so nothing is left of it, however the program ends.
 *
 * A part is lost when the worker that ran it died, when it could not be reached, when what came
 * back is damaged, or when nothing has come back within `part_ns`. It is given out again,
 * `attempts` times in all. Of several answers to one part the first counts and no other; so map,
 * combine and reduce may run more often than once, and must do no harm then.
 *
 * On worker processes and on a cluster (weft/celery_executor.h) inputs, pairs and results travel as
 * they are: as arguments and results of two tasks, word_count_map_part and word_count_reduce_part,
 * which the workers must have: their program or module has the WF_MAPREDUCE_DEFINE. Through a
 * broker bytes become base64, a third more of them; all of them pass through the broker once for
 * each direction, and through the caller. What one part is given or gives has to fit in the memory
 * of both ends and in one message of the broker (Redis: 512 MiB); a large input is better named by
 * a path that the workers can open than sent.
 */
#ifndef WEFT_MAPREDUCE_H
#define WEFT_MAPREDUCE_H

#include <weft/celery_task.h>
#include <weft/executor.h>
#include <weft/processes.h>
#include <weft/task.h>

WF_BEGIN_DECLS

struct wf_emitter;   /* what a function of the user's puts its pairs into */
struct wf_values;    /* the values of one key */
struct wf_mapreduce; /* what came out */

/* What WF_MAPREDUCE_DEFINE is given. Each returns 0, or a code as every task does, which fails the
 * whole: `return wf_task_fail(self, -EINVAL, "...")`. Codes that mean that somebody could not be
 * reached (-ETIMEDOUT, -EAGAIN, -ECONNREFUSED and the like) do so only when the part has failed in
 * every attempt, as one that was lost. */
struct wf_mapreduce_functions {
    int (*map)(struct wf_task *self, wf_bytes input, struct wf_emitter *out);
    /* May be called for some of a key's values, before others are there, any number of times; emits
     * that key and no other. NULL: nothing is combined. */
    int (*combine)(struct wf_task *self, wf_bytes key, struct wf_values *values,
                   struct wf_emitter *out);
    /* Once for each key; may emit any. NULL: the pairs come out as they are. */
    int (*reduce)(struct wf_task *self, wf_bytes key, struct wf_values *values,
                  struct wf_emitter *out);
};

/* What WF_MAPREDUCE declares as NAME_job. */
struct wf_mapreduce_job {
    const struct wf_task_type *map, *reduce;
    const struct wf_mapreduce_functions *functions; /* NULL: elsewhere, with a `reduce` */
};

/* Zero is the default throughout. */
struct wf_mapreduce_options {
    unsigned partitions; /* 0: as many as the executor has workers; at most 4,096 */
    unsigned ahead;      /* parts given out at a time; 0: two for each worker of the executor */
    int attempts;        /* how often a part is given out at most; 0: 4 */
    /* A part of which nothing was heard for so long since it was given out counts as lost, what it
     * waits for a worker included; should its answer come yet, it is taken. 0: none does. Where
     * messages can be lost (a Redis that keeps nothing and is started again) this is what brings
     * them back. */
    int64_t part_ns;
    size_t memory_max_bytes;  /* of pairs kept in memory, besides those of the parts given out; 0:
                                 64 MiB */
    const char *spill_folder; /* for what is more; NULL: TMPDIR of the environment, else /tmp */
    size_t reduce_bytes; /* of pairs in one part of the reduce work, more only where one key has
                                 more; 0: 1 MiB */
};

struct wf_mapreduce_counts {
    uint64_t map_parts, reduce_parts;
    uint64_t lost; /* times that a part was given out again */
    uint64_t spilled_bytes;
};

/*
 * Emits a pair, which is copied. What fails is remembered, and fails the part when the function has
 * returned, so that the calls need no check.
 *
 * Returns 0, or
 *   -EINVAL      `combine` emits another key than its own
 *   WF_ETOOBIG   a key or value of 1 GiB or more
 *   -ENOMEM
 * Context: any, never blocks; by the function the emitter was given to.
 */
WF_API int wf_emit(struct wf_emitter *out, const void *key, size_t key_len, const void *value,
                   size_t value_len);

/*
 * The same with a number in decimal digits as the value.
 *
 * Returns as wf_emit.
 * Context: any, never blocks; by the function the emitter was given to.
 */
WF_API int wf_emit_int(struct wf_emitter *out, const void *key, size_t key_len, int64_t number);

/*
 * The next value of the key. Its bytes live until the function returns.
 *
 * Returns true, or false after the last.
 * Context: any, never blocks; by the function the values were given to.
 */
WF_API bool wf_values_next(struct wf_values *values, wf_bytes *ret_value);

/*
 * A number in decimal digits, as wf_emit_int writes it.
 *
 * Returns 0, or
 *   -EINVAL   it is none
 *   -ERANGE   it has no room in 64 bits
 * Context: any, never blocks.
 */
WF_API int wf_bytes_int(wf_bytes text, int64_t *ret_number);

/*
 * A ready `combine` and `reduce`: emits the key with the sum of its values, which are numbers of
 * wf_emit_int.
 *
 * Returns 0, or what wf_bytes_int returned, -ERANGE also when the sum has no room.
 * Context: any, never blocks.
 */
WF_API int wf_sum_values(struct wf_task *self, wf_bytes key, struct wf_values *values,
                         struct wf_emitter *out);

/*
 * Runs map and reduce to their end.
 *
 * next      stores an input and returns 1; 0 when there are no more; or a negative code, with which
 *           the whole fails. What it stores is copied before it is called again. By the caller of
 *           wf_mapreduce_run, while that waits.
 * options   may be NULL
 * ret       receives what came out, to be ended by wf_mapreduce_close
 *
 * Returns 0, or
 *   -ETIMEDOUT   the deadline passed first; or nothing was heard of a part, however often it was
 *                given out: the text tells
 *   -ECANCELED   the caller was cancelled, or somebody cancelled a part
 *   -EINVAL      an option that makes no sense
 *   -ENOSYS      the functions are elsewhere, and this executor runs what is here
 *   -ENOENT, -ENOTDIR, -EACCES, -ENOSPC, -EIO, ...   of the spill folder, which is named
 *   -ENOMEM
 *   another      what `next` or a function of the user's returned, or what a part was lost with as
 *                often as it was given out
 * After an error what still runs was asked to stop and goes on unwatched. In each text of a part
 * its kind, number and contents stand in front: map part 3 ("a.txt"): ...
 * Context: thread or fiber; any number of callers, also by a task on the executor itself.
 */
WF_API int wf_mapreduce_run(struct wf_executor *on, const struct wf_mapreduce_job *job,
                            int (*next)(void *arg, wf_bytes *ret_input), void *arg,
                            const struct wf_mapreduce_options *options, struct wf_mapreduce **ret,
                            wf_deadline deadline, struct wf_error *reterr);

/* Inputs that are C strings, for wf_mapreduce_next_text. */
struct wf_mapreduce_texts {
    const char *const *texts;
    size_t count;
    size_t given; /* 0 to begin with */
};

/*
 * A `next` for wf_mapreduce_run: the strings of an array one by one.
 *
 * texts   a struct wf_mapreduce_texts
 *
 * Returns 1, or 0 after the last.
 * Context: any, never blocks.
 */
WF_API int wf_mapreduce_next_text(void *texts, wf_bytes *ret_input);

/*
 * The next pair that came out: in the order of the keys' bytes, those of one key in the order they
 * were emitted in.
 *
 * ret_key, ret_value   live until the next call
 *
 * Returns 1, or 0 after the last, or
 *   -EIO, -ENOMEM   of reading what was spilled
 * Context: thread or fiber; one caller at a time.
 */
WF_API int wf_mapreduce_next(struct wf_mapreduce *result, wf_bytes *ret_key, wf_bytes *ret_value,
                             struct wf_error *reterr);

/*
 * How much work it was.
 * Context: any, never blocks.
 */
WF_API void wf_mapreduce_count(const struct wf_mapreduce *result,
                               struct wf_mapreduce_counts *ret_counts);

/*
 * Frees it all. Harmless on NULL.
 * Context: any, never blocks; by the owner.
 */
WF_API void wf_mapreduce_close(struct wf_mapreduce *result);

/*
 * What the tasks made by WF_MAPREDUCE_DEFINE do.
 *
 * Returns 0 or the code the part failed with.
 * Context: thread or fiber; by these tasks.
 */
WF_API int wf_mapreduce_map_part(struct wf_task *self,
                                 const struct wf_mapreduce_functions *functions,
                                 uint32_t partitions, wf_bytes input, wf_bytes *ret);
WF_API int wf_mapreduce_reduce_part(struct wf_task *self,
                                    const struct wf_mapreduce_functions *functions, wf_bytes pairs,
                                    wf_bytes *ret);

WF_END_DECLS

#ifndef __cplusplus

/*
 * Declares NAME_job and the two tasks behind it; in a header where the functions are in another
 * file than the call of wf_mapreduce_run.
 */
#define WF_MAPREDUCE(NAME)                                                        \
    WF_TASK(wf_bytes, NAME##_map_part, (uint32_t, partitions), (wf_bytes, input)) \
    WF_TASK(wf_bytes, NAME##_reduce_part, (wf_bytes, pairs))                      \
    extern const struct wf_mapreduce_job NAME##_job;

/* Defines them: WF_MAPREDUCE_DEFINE(count, .map = words, .reduce = wf_sum_values) in one file. */
#define WF_MAPREDUCE_DEFINE(NAME, ...)                                                            \
    static const struct wf_mapreduce_functions NAME##_functions_ = {__VA_ARGS__};                 \
    int NAME##_map_part(struct wf_task *self, uint32_t partitions, wf_bytes input, wf_bytes *ret) \
    {                                                                                             \
        return wf_mapreduce_map_part(self, &NAME##_functions_, partitions, input, ret);           \
    }                                                                                             \
    int NAME##_reduce_part(struct wf_task *self, wf_bytes pairs, wf_bytes *ret)                   \
    {                                                                                             \
        return wf_mapreduce_reduce_part(self, &NAME##_functions_, pairs, ret);                    \
    }                                                                                             \
    WF_MAPREDUCE_TASK_(NAME##_map_part)                                                           \
    WF_MAPREDUCE_TASK_(NAME##_reduce_part)                                                        \
    const struct wf_mapreduce_job NAME##_job = {&NAME##_map_part_task, &NAME##_reduce_part_task,  \
                                                &NAME##_functions_};

/* A part may run twice, so a worker of Celery does not let go of it before it is done. */
#define WF_MAPREDUCE_TASK_(NAME)                            \
    WF_TASK_DEFINE_WITH(NAME, .drop_result = wf_drop_bytes, \
                        .celery = &(const struct wf_celery_task){.acks_late = WF_CELERY_YES})

/*
 * Instead of it, in a program that has not the functions: they are what the workers of a cluster
 * have under this name, with a `reduce` among them.
 */
#define WF_MAPREDUCE_ELSEWHERE(NAME)                                                             \
    WF_MAPREDUCE_FOREIGN_(NAME##_map_part)                                                       \
    WF_MAPREDUCE_FOREIGN_(NAME##_reduce_part)                                                    \
    const struct wf_mapreduce_job NAME##_job = {&NAME##_map_part_task, &NAME##_reduce_part_task, \
                                                NULL};
#define WF_MAPREDUCE_FOREIGN_(NAME)                                \
    const struct wf_task_type NAME##_task = {.name = #NAME,        \
                                             .file = __FILE__,     \
                                             .line = __LINE__,     \
                                             WF_TASK_SHAPE_(NAME), \
                                             .drop_result = wf_drop_bytes};

#endif

#endif
