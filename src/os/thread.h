/* SPDX-License-Identifier: MIT */
/*
 * Operating system threads, started so that a signal meant for the program never lands on one of
 * weft's: a new thread has every signal blocked except those its own instructions raise (SIGSEGV
 * and its like). The mask of the creating thread is the same before and after.
 */
#ifndef WFI_OS_THREAD_H
#define WFI_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes of a thread's name with the terminating zero: the kernel keeps no more. */
#define WFI_THREAD_NAME_BYTES 16

struct wfi_thread {
    pthread_t id; /* written by wfi_thread_start, valid until join or detach */
#ifdef WFI_EXPLORE
    int number; /* of a virtual thread, plus one; 0 for a real one */
#endif
};

/*
 * Starts a thread that runs fn(arg). `name` may be NULL; a longer one is cut to 15 bytes.
 * `stack_bytes` is rounded up to what the system asks for; 0 takes the system's default.
 * *t is written before this returns, but perhaps after fn has begun: fn must not look at it.
 *
 * Returns 0, or -ENOMEM, -EAGAIN (no more threads), -EINVAL.
 */
int wfi_thread_start(struct wfi_thread *t, const char *name, size_t stack_bytes,
                     void *(*fn)(void *), void *arg);

/* Waits until the thread has ended; returns what fn returned. Once, and not after detach. */
void *wfi_thread_join(struct wfi_thread *t);

/* Nobody will join the thread; its resources go when it ends. */
void wfi_thread_detach(struct wfi_thread *t);

/* Names the calling thread; tools such as top -H show the first 15 bytes. */
void wfi_thread_set_name(const char *name);

/* Copies `name`, cut to fit, never in the middle of a UTF-8 sequence. */
void wfi_thread_cut_name(char ret_name[WFI_THREAD_NAME_BYTES], const char *name);

/* Lets another thread run, if one wants to. */
void wfi_thread_yield(void);

/* The CPU the calling thread is on just now, or -1 where the system does not tell. */
int wfi_thread_cpu(void);

/* The kernel's number of the calling thread. */
int wfi_thread_id(void);

/* True on the thread that the program began with. */
bool wfi_thread_is_first(void);

#endif
