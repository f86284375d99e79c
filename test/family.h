/* SPDX-License-Identifier: MIT */
/*
 * For tests with related processes: start one with a function and a blob, wait until it has ended
 * and was swept. The program's main calls wf_processes_init first.
 */
#ifndef FAMILY_H
#define FAMILY_H

#include "party.h"

#include <signal.h>
#include <sys/wait.h>

#include <weft/processes.h>
#include <weft/shared.h>
#include <weft/task.h>

#include "os/sanitizer.h"
#include "proc/arena.h"
#include "proc/helper.h"

/* False, with a word why, when no test can run. Valgrind does not know all that a helper needs; the
 * tests that start processes are skipped there. */
static inline bool family_begin(void)
{
    struct wf_error error;
    wfi_arena_limit((size_t)256 << 20);
    int err = wf_processes_init(&error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    return !err || wfi_under_valgrind();
}

struct family_process {
    struct wfi_related *related;
    WFI_ATOMIC(int) ended;
    int status;
    char text[2100]; /* the last of its standard error */
};

static inline void family_note(void *arg, int status, const char *text)
{
    struct family_process *p = arg;
    p->status = status;
    snprintf(p->text, sizeof p->text, "%s", text);
    wfi_fetch_add(&p->ended, 1);
}

static inline void family_start(struct family_process *p, wfi_related_entry *entry,
                                const void *blob, size_t bytes)
{
    struct wf_error error = {0};
    if (!wfi_helper_alive() && wfi_under_valgrind())
        skip();
    memset(p, 0, sizeof *p);
    int err = wfi_related_start(&(struct wfi_related_options){.name = "test",
                                                              .entry = entry,
                                                              .blob = blob,
                                                              .blob_bytes = bytes,
                                                              .ended = family_note,
                                                              .arg = p},
                                &p->related, &error);
    if (err)
        fail_msg("%s", error.text);
}

/* Waits for its end, and returns its wait status. */
static inline int family_end(struct family_process *p)
{
    party_reaches(&p->ended, 1);
    wfi_related_release(p->related);
    return p->status;
}

/* The process has to end with exit status 0. */
static inline void family_join(struct family_process *p)
{
    int status = family_end(p);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("the process ended with wait status %#x: %s", (unsigned)status, p->text);
}

static inline void family_kill(struct family_process *p)
{
    wfi_related_signal(p->related, SIGKILL);
    assert_true(WIFSIGNALED(family_end(p)));
}

/* In a process: says what is wrong and ends it. */
#define family_check(condition)                                             \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            fflush(stderr);                                                 \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

/* Pointers to shared objects on their way: the codec of their type writes and reads them. */
struct family_parcel {
    char bytes[64];
    size_t len;
};

static inline struct family_parcel family_pack(const char *type, const void *pointer)
{
    struct family_parcel parcel;
    const struct wf_wire *wire = wf_wire_find(type);
    assert_non_null(wire);
    ssize_t len = wire->encode(&pointer, parcel.bytes, sizeof parcel.bytes);
    assert_true(len > 0 && (size_t)len <= sizeof parcel.bytes);
    parcel.len = (size_t)len;
    return parcel;
}

static inline void *family_unpack(const char *type, const struct family_parcel *parcel)
{
    void *pointer = NULL;
    const struct wf_wire *wire = wf_wire_find(type);
    family_check(wire && wire->decode(&pointer, parcel->bytes, parcel->len) == 0);
    return pointer;
}

static inline uint64_t family_blocks(void)
{
    struct wf_shared_usage usage;
    wf_shared_measure(&usage);
    return usage.blocks;
}

#endif
