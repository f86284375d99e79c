/* SPDX-License-Identifier: MIT */
/* What main and helper say to each other, and the helper's own side of it. */
#ifndef WFI_PROC_RELATED_H
#define WFI_PROC_RELATED_H

#include <stdint.h>

#include "os/ancillary.h"
#include "os/process.h"
#include "proc/helper.h"

enum wfi_helper_kind {
    WFI_HELPER_READY = 1, /* helper: it is there; pid is its own */
    WFI_HELPER_START,     /* main: wfi_helper_request */
    WFI_HELPER_STARTED,   /* helper: pid, and a pidfd with it; or status -ENOSYS, and none */
    WFI_HELPER_REFUSED,   /* helper: status is the code */
    WFI_HELPER_ENDED,     /* helper: status is the wait status; always after STARTED */
    WFI_HELPER_SIGNAL,    /* main: status is a signal's number; where it has no pidfd */
};

/* All but START. */
struct wfi_helper_message {
    uint32_t kind; /* first in a request too */
    int32_t pid, status;
    uint32_t unused; /* no padding: all of it is sent */
    uint64_t id;     /* main's number of the process */
};

/* A larger blob travels as memory; requests are small enough for several to be on their way. */
enum { WFI_HELPER_BLOB_MAX = 2048 };

/* Descriptors: standard error; the blob's memory, if it has one; the caller's. */
struct wfi_helper_request {
    uint32_t kind;
    uint32_t rlimit_count;
    uint64_t id;
    wfi_related_entry *entry;
    uint64_t blob_bytes;
    char name[16];
    struct wfi_rlimit rlimits[WFI_RELATED_RLIMITS_MAX];
    unsigned char blob[WFI_HELPER_BLOB_MAX]; /* as much of it as there is */
};

/* The helper's life, in the process that becomes it. */
_Noreturn void wfi_related_serve(int sock, int main_pidfd);

#endif
