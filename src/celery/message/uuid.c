/* SPDX-License-Identifier: MIT */
/*
 * The kernel's random bytes are had by reading a file, which needs no call of the system's that the
 * library does not offer. Two of its UUIDs are 244 random bits, from which the generator, whose
 * state has 256, goes on: so no message costs a read.
 */
#include "celery/message/uuid.h"

#include <stdio.h>
#include <string.h>

#include <weft/file.h>

#include "base/hash.h"

static int read_random(char out[WFI_UUID_BYTES - 1])
{
    struct wf_file *file;
    int err = wf_file_open("/proc/sys/kernel/random/uuid", &file, NULL);
    if (err)
        return err;
    const ssize_t n = wf_file_read(file, out, WFI_UUID_BYTES - 1, 0);
    wf_file_close(file);
    if (n < 0)
        return (int)n;
    return n == WFI_UUID_BYTES - 1 ? 0 : WF_ESHORT;
}

int wfi_uuids_init(struct wfi_uuids *uuids)
{
    char text[2][WFI_UUID_BYTES - 1];
    for (int i = 0; i < 2; i++) {
        int err = read_random(text[i]);
        if (err)
            return err;
    }
    for (int i = 0; i < 4; i++)
        uuids->random.s[i] = wfi_hash_bytes(text[i / 2], sizeof text[0], (uint64_t)i);
    wf_mutex_init(&uuids->lock);
    return 0;
}

void wfi_uuids_fini(struct wfi_uuids *uuids)
{
    wf_mutex_fini(&uuids->lock);
}

const char *wfi_uuid_write(uint64_t high, uint64_t low, char out[WFI_UUID_BYTES])
{
    /* Version 4, and the variant of RFC 9562. */
    snprintf(out, WFI_UUID_BYTES, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff),
             (unsigned)(0x8000 | (low >> 48 & 0x3fff)), (unsigned long long)(low & 0xffffffffffff));
    return out;
}

const char *wfi_uuid_next(struct wfi_uuids *uuids, char out[WFI_UUID_BYTES])
{
    uint64_t high = 0, low = 0;
    WF_LOCKED(&uuids->lock) {
        high = wfi_random_next(&uuids->random);
        low = wfi_random_next(&uuids->random);
    }
    return wfi_uuid_write(high, low, out);
}
