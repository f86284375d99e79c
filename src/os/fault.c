/* SPDX-License-Identifier: MIT */
/*
 * The handler runs on the thread's alternate stack, in whatever state the fault left the program:
 * it calls only what is safe in a signal handler, takes no lock, and looks the address up in the
 * stack allocator's directory, which is made for that.
 *
 * Our own report ends by putting the default action back and returning: the instruction faults
 * again, and the process ends by the signal it got, with a core where the system makes one. A
 * foreign fault goes to the handler found at installation, whose flags are honoured as far as a
 * caller can: signal mask, siginfo or not.
 */
#include "os/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/stack.h"

/* Sanitizers' handlers, to which we chain, print with deep frames. */
#define ALTERNATE_BYTES ((size_t)64 * 1024)

static const int caught[] = {SIGSEGV, SIGBUS};
#define CAUGHT ((int)(sizeof caught / sizeof caught[0]))

static struct wfi_lock lock;              /* installing, uninstalling */
static bool installed;                    /* under the lock */
static struct sigaction previous[CAUGHT]; /* written before our handler can run */
static WFI_ATOMIC(wfi_fault_name *) name_of;

static _Thread_local void *alternate;

/* A line put together without stdio, which is not signal safe. */
struct line {
    size_t len;
    char text[600];
};

static void add(struct line *line, const char *text)
{
    while (*text && line->len < sizeof line->text)
        line->text[line->len++] = *text++;
}

static void add_number(struct line *line, uintptr_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = 0;
    do
        digits[--at] = "0123456789abcdef"[number % base];
    while ((number /= base));
    add(line, base == 16 ? "0x" : "");
    add(line, digits + at);
}

static void report(const void *addr, const struct wfi_stack_place *place)
{
    struct line line = {0};
    wfi_fault_name *name = wfi_load_acquire(&name_of); /* pairs with the store in install */
    const char *fiber = name ? name(place->block) : NULL;
    add(&line, "weft: stack overflow in fiber \"");
    add(&line, fiber && *fiber ? fiber : "(unnamed)");
    add(&line, "\": it ran into the guard at ");
    add_number(&line, (uintptr_t)addr, 16);
    add(&line, ". Its stack has ");
    add_number(&line, place->usable_bytes, 10);
    add(&line, " usable bytes of ");
    add_number(&line, place->reserved_bytes, 10);
    add(&line, " reserved; set a larger .stack_bytes in the options of its task or executor.\n");
    for (size_t done = 0; done < line.len;) {
        ssize_t n = write(STDERR_FILENO, line.text + done, line.len - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void default_action(int signal)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
}

static void chain(int signal, siginfo_t *info, void *ucontext, const struct sigaction *to)
{
    if (!(to->sa_flags & SA_SIGINFO) && (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN)) {
        /* A real fault happens again after the return; one that was sent would be lost. Ignoring a
         * real one is not possible: the system ends the process then too. */
        if (info->si_code > 0) {
            default_action(signal);
        } else if (to->sa_handler == SIG_DFL) {
            default_action(signal);
            raise(signal);
        }
        return;
    }
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &to->sa_mask, &before);
    if (to->sa_flags & SA_SIGINFO)
        to->sa_sigaction(signal, info, ucontext);
    else
        to->sa_handler(signal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_fault(int signal, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    struct wfi_stack_place place;
    /* si_code <= 0: sent by somebody, si_addr means nothing. */
    if (info->si_code > 0 && wfi_stack_find(info->si_addr, &place) && place.in_guard) {
        report(info->si_addr, &place);
        default_action(signal);
    } else {
        for (int i = 0; i < CAUGHT; i++)
            if (caught[i] == signal)
                chain(signal, info, ucontext, &previous[i]);
    }
    errno = saved;
}

int wfi_fault_install(wfi_fault_name *name, struct wf_error *reterr)
{
    int err = 0, done = 0;
    wfi_store_release(&name_of, name); /* pairs with the load in report */
    wfi_lock_lock(&lock);
    if (!installed) {
        struct sigaction action = {.sa_sigaction = on_fault,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        sigemptyset(&action.sa_mask);
        /* First ask, then set: the handler may run as soon as it is in place. */
        for (int i = 0; i < CAUGHT && !err; i++)
            if (sigaction(caught[i], NULL, &previous[i]) != 0)
                err = -errno;
        for (; done < CAUGHT && !err; done++)
            if (sigaction(caught[done], &action, NULL) != 0)
                err = -errno;
        if (err)
            while (done-- > 0)
                sigaction(caught[done], &previous[done], NULL);
        installed = !err;
    }
    wfi_lock_unlock(&lock);
    return err ? wf_error_set(reterr, err, "handler for stack overflow: %s", wf_strerror(err)) : 0;
}

void wfi_fault_uninstall(void)
{
    wfi_lock_lock(&lock);
    if (installed) {
        for (int i = 0; i < CAUGHT; i++) {
            struct sigaction now;
            if (sigaction(caught[i], NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
                now.sa_sigaction == on_fault)
                sigaction(caught[i], &previous[i], NULL);
        }
        installed = false;
    }
    wfi_lock_unlock(&lock);
}

static size_t alternate_bytes(void)
{
    long least = sysconf(_SC_SIGSTKSZ); /* depends on the processor's vector registers */
    size_t page = wfi_page_bytes();
    size_t bytes = least > (long)ALTERNATE_BYTES ? (size_t)least : ALTERNATE_BYTES;
    return (bytes + page - 1) & ~(page - 1);
}

int wfi_fault_thread_init(void)
{
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE))
        return 0;
    size_t bytes = alternate_bytes();
    void *low;
    int err = wfi_memory_reserve(bytes, wfi_page_bytes(), &low);
    if (err)
        return err;
    stack_t fresh = {.ss_sp = low, .ss_size = bytes};
    if (sigaltstack(&fresh, NULL) != 0) {
        err = -errno;
        wfi_memory_release(low, bytes, 0);
        return err;
    }
    alternate = low;
    return 0;
}

void wfi_fault_thread_fini(void)
{
    if (!alternate)
        return;
    stack_t now;
    stack_t none = {.ss_flags = SS_DISABLE};
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == alternate)
        sigaltstack(&none, NULL);
    wfi_memory_release(alternate, alternate_bytes(), 0);
    alternate = NULL;
}
