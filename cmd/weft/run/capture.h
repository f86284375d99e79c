/* SPDX-License-Identifier: MIT */
/*
 * What a job has written to one descriptor. A little is kept in memory; what is more goes to the
 * spill, one temporary file for the whole run, which is made when it is first needed and has no
 * name, so that nothing is left of it however the program ends.
 *
 *  1. The bytes are those of the extents, in their order, then those of the buffer.
 *  2. Room in the spill is dealt out under its lock; it is written and read without, by its owner.
 *  3. Room that is given back is punched out of the file; once all is given back, it begins anew.
 */
#ifndef WEFT_CMD_RUN_CAPTURE_H
#define WEFT_CMD_RUN_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weft/error.h>
#include <weft/mutex.h>

/* A capture's buffer at most: above it a write to the spill is cheap beside what it writes. */
#define CAPTURE_BUFFER_MAX (256 * 1024)

struct spill {
    struct wf_mutex lock;
    int fd;      /* -1 while it is not needed */
    off_t end;   /* where the next extent goes */
    size_t used; /* bytes of extents that have not been given back */
};

void spill_init(struct spill *spill);
void spill_fini(struct spill *spill);

struct extent {
    off_t at;
    size_t len;
};

/* All zero is empty. */
struct capture {
    char *buf;
    size_t len, size;
    struct extent *extents;
    size_t extent_count, extent_size;
    uint64_t total;
};

/*
 * Makes room in the buffer, and says where: the caller puts bytes there and adds them to `len` and
 * `total`. Returns 0, -ENOMEM, or why the spill cannot be written.
 */
int capture_reserve(struct capture *capture, struct spill *spill, char **ret_room, size_t *ret_len,
                    struct wf_error *reterr);

/* Moves what is in the buffer to the spill, and frees the buffer. Returns as capture_reserve. */
int capture_spill(struct capture *capture, struct spill *spill, struct wf_error *reterr);

/* Frees room in the buffer that holds nothing. */
void capture_trim(struct capture *capture);

/*
 * Calls `piece` with all bytes, in stretches, until it returns something other than 0. Blocks the
 * thread when there are extents. Returns what `piece` did last, or why the spill cannot be read.
 */
int capture_each(const struct capture *capture, struct spill *spill,
                 int (*piece)(void *arg, const char *data, size_t len), void *arg);

/* Forgets all bytes and keeps the buffer. */
void capture_clear(struct capture *capture, struct spill *spill);
void capture_fini(struct capture *capture, struct spill *spill);

#endif
