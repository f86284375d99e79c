/* SPDX-License-Identifier: MIT */
/*
 * Random names in the form of a UUID of version 4, as Celery has them for tasks and for messages.
 * They are unique, not secret.
 */
#ifndef WFI_CELERY_UUID_H
#define WFI_CELERY_UUID_H

#include <weft/mutex.h>

#include "base/random.h"

enum { WFI_UUID_BYTES = 37 };

struct wfi_uuids {
    struct wf_mutex lock;
    struct wfi_random random; /* under the lock */
};

/*
 * Begins a sequence of its own, from the system's randomness (/proc/sys/kernel/random/uuid).
 *
 * Returns 0, or why that cannot be read, an error of wf_file_open or WF_ESHORT.
 * Context: thread or fiber; not cancelable.
 */
int wfi_uuids_init(struct wfi_uuids *uuids);
void wfi_uuids_fini(struct wfi_uuids *uuids);

/* Writes the next, with its NUL. Any number of callers. Returns `out`. */
const char *wfi_uuid_next(struct wfi_uuids *uuids, char out[WFI_UUID_BYTES]);

/* Writes the one that is made of 122 of these 128 bits, with its NUL. Pure. Returns `out`. */
const char *wfi_uuid_write(uint64_t high, uint64_t low, char out[WFI_UUID_BYTES]);

#endif
