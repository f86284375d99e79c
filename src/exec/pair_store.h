/* SPDX-License-Identifier: MIT */
/*
 * The runs that parts gave, by partition: in memory, and in a file once they are more than may stay
 * there. One party uses a store at a time.
 *
 * Invariants
 *  1. A run in memory is a piece of a result, which goes when the last of its runs has gone.
 *  2. A run in the file holds what several had, merged, each pair with its rank; so whatever was
 *     spilled when, a merge gives the same pairs in the same order: by key, then rank, then place.
 *  3. The file has no name: it is gone with the store, or with the process.
 */
#ifndef WFI_EXEC_PAIR_STORE_H
#define WFI_EXEC_PAIR_STORE_H

#include "exec/pair.h"

struct wf_file;
struct wfi_pair_run;

struct wfi_pair_store {
    unsigned partitions;
    size_t memory_max;
    const char *folder; /* as long as runs are added */
    struct wfi_pair_partition {
        struct wfi_pair_run *first, *last;
    } * partition;
    size_t memory; /* bytes of the results that are held */
    struct wf_file *file;
    int64_t file_bytes;
    uint64_t spilled_bytes;
};

/* Returns 0 or -ENOMEM. */
int wfi_pair_store_init(struct wfi_pair_store *store, unsigned partitions, size_t memory_max,
                        const char *folder);
void wfi_pair_store_fini(struct wfi_pair_store *store);

/*
 * Takes the result of a part, which is freed by wf_result_free when it is needed no more, also on
 * error: `runs` are pieces of it, one for each partition, and sorted.
 *
 * Returns 0; -ENOMEM; or an error of the spill folder, which reterr names.
 * Context: thread or fiber.
 */
int wfi_pair_store_add(struct wfi_pair_store *store, uint64_t rank, wf_bytes result,
                       const wf_bytes *runs, struct wf_error *reterr);

/* A walk over all pairs of some partitions, in their order. */
struct wfi_pair_merge {
    struct wfi_pair_store *store;
    struct wfi_pair_cursor **heap; /* the smallest pair first */
    size_t count;
    bool given; /* the first one's pair was handed out */
};

/* Walks partitions [first, end) while nothing is added. Returns 0, -ENOMEM or -EIO. */
int wfi_pair_merge_open(struct wfi_pair_merge *merge, struct wfi_pair_store *store, unsigned first,
                        unsigned end, struct wf_error *reterr);

/* The next pair, which lives until the next call; `same` is not set. Returns 1, or 0 after the
 * last; or -EIO, -ENOMEM. */
int wfi_pair_merge_next(struct wfi_pair_merge *merge, struct wfi_pair *ret_pair,
                        struct wf_error *reterr);

/* Harmless on a zeroed one, and on one that is closed. */
void wfi_pair_merge_close(struct wfi_pair_merge *merge);

#endif
