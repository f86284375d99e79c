/* SPDX-License-Identifier: MIT */
/*
 * The start record lives on the heap and belongs to the new thread from the moment it runs, so the
 * caller's struct may be copied, moved or forgotten at once. The mask is set in the creator before
 * the thread exists: set inside the new thread, a signal could arrive first.
 */
#include "os/thread.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/explore.h"

struct start {
    void *(*fn)(void *);
    void *arg;
    char name[WFI_THREAD_NAME_BYTES];
};

void wfi_thread_cut_name(char ret_name[WFI_THREAD_NAME_BYTES], const char *name)
{
    size_t len = strnlen(name, WFI_THREAD_NAME_BYTES);
    if (len == WFI_THREAD_NAME_BYTES) {
        len--;
        /* name[len] is the first byte left out: while it continues a sequence, so would the cut. */
        while (len > 0 && ((unsigned char)name[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(ret_name, name, len);
    ret_name[len] = '\0';
}

void wfi_thread_set_name(const char *name)
{
    char cut[WFI_THREAD_NAME_BYTES];
    wfi_thread_cut_name(cut, name);
    pthread_setname_np(pthread_self(), cut);
}

void wfi_thread_yield(void)
{
#ifdef WFI_EXPLORE
    wfi_explore_relax();
#endif
    sched_yield();
}

int wfi_thread_cpu(void)
{
    return sched_getcpu();
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    wfi_free(arg);
    if (start.name[0])
        pthread_setname_np(pthread_self(), start.name);
    return start.fn(start.arg);
}

static size_t stack_size(size_t wanted)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t least = (size_t)PTHREAD_STACK_MIN;
    size_t bytes = wanted < least ? least : wanted;
    return (bytes + page - 1) & ~(page - 1);
}

int wfi_thread_start(struct wfi_thread *t, const char *name, size_t stack_bytes,
                     void *(*fn)(void *), void *arg)
{
#ifdef WFI_EXPLORE
    t->number = wfi_explore_active() ? wfi_explore_thread_start(fn, arg) + 1 : 0;
    if (t->number)
        return 0;
#endif
    struct start *start = wfi_zalloc(sizeof *start);
    if (!start)
        return -ENOMEM;
    start->fn = fn;
    start->arg = arg;
    if (name)
        wfi_thread_cut_name(start->name, name);

    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err) {
        wfi_free(start);
        return -err;
    }
    if (stack_bytes)
        err = pthread_attr_setstacksize(&attr, stack_size(stack_bytes));
    if (!err && wfi_alloc_should_fail())
        err = EAGAIN;
    if (!err) {
        static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
        sigset_t blocked, before;
        sigfillset(&blocked);
        for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++)
            sigdelset(&blocked, synchronous[i]);
        pthread_sigmask(SIG_SETMASK, &blocked, &before);
        err = pthread_create(&t->id, &attr, run, start);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    if (err)
        wfi_free(start);
    return -err;
}

void *wfi_thread_join(struct wfi_thread *t)
{
#ifdef WFI_EXPLORE
    if (t->number)
        return wfi_explore_thread_join(t->number - 1);
#endif
    void *value = NULL;
    pthread_join(t->id, &value);
    return value;
}

void wfi_thread_detach(struct wfi_thread *t)
{
#ifdef WFI_EXPLORE
    if (t->number)
        return;
#endif
    pthread_detach(t->id);
}

int wfi_thread_id(void)
{
    return gettid();
}

bool wfi_thread_is_first(void)
{
    return gettid() == getpid();
}
