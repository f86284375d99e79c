/* SPDX-License-Identifier: MIT */
/*
 * One pointer per thread, and what happens to it when the thread ends. The scheduler keeps the
 * calling party in it; nothing else in weft is thread-local.
 *
 * A started fiber stays on its worker's thread, so the address of the variable may be cached over a
 * switch. The value may not: it is set at every switch.
 */
#ifndef WFI_OS_SELF_H
#define WFI_OS_SELF_H

#include <errno.h>

/* Initial-exec: one instruction through the thread pointer, in the shared library too. */
extern _Thread_local void *wfi_self_slot __attribute__((tls_model("initial-exec")));

static inline void *wfi_self_get(void)
{
    return wfi_self_slot;
}

static inline void wfi_self_set(void *value)
{
    wfi_self_slot = value;
}

/*
 * Has `fn(value)` called when the calling thread ends. At most one per thread.
 * Returns 0 or -EAGAIN when the system has no key left (then nothing is called).
 */
int wfi_self_at_exit(void (*fn)(void *), void *value);

/* errno of the calling thread, read and written by the fiber switch. */
static inline int wfi_errno_get(void)
{
    return errno;
}

static inline void wfi_errno_set(int value)
{
    errno = value;
}

/* Tells TSan that the calling thread's slot and errno serve several fibers in turn. */
void wfi_self_is_shared(void);

#endif
