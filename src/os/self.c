/* SPDX-License-Identifier: MIT */
#include "os/self.h"

#include <pthread.h>
#include <stddef.h>

#include "os/explore.h"
#include "os/sanitizer.h"

_Thread_local void *wfi_self_slot __attribute__((tls_model("initial-exec")));

/* The exit call of a thread, kept in its own storage: no allocation to fail. */
static _Thread_local struct {
    void (*fn)(void *);
    void *value;
} at_exit;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void thread_ends(void *unused)
{
    (void)unused;
    if (at_exit.fn)
        at_exit.fn(at_exit.value);
    at_exit.fn = NULL;
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, thread_ends);
}

int wfi_self_at_exit(void (*fn)(void *), void *value)
{
#ifdef WFI_EXPLORE
    if (wfi_explore_active()) {
        wfi_explore_at_exit(fn, value);
        return 0;
    }
#endif
    pthread_once(&once, make_key);
    if (key_error)
        return -key_error;
    at_exit.fn = fn;
    at_exit.value = value;
    return -pthread_setspecific(key, &at_exit);
}

void wfi_self_is_shared(void)
{
#if WFI_TSAN
    AnnotateBenignRaceSized(__FILE__, __LINE__, &errno, sizeof errno, "errno of fibers");
    AnnotateBenignRaceSized(__FILE__, __LINE__, &wfi_self_slot, sizeof wfi_self_slot, "who runs");
#endif
}
