/* SPDX-License-Identifier: MIT */
/*
 * One static slot a signal, because a handler may run at any moment, in any thread, also while the
 * set is being closed.
 *
 * Invariants
 *  1. A handler touches only its slot, the descriptor found there, and `handlers`.
 *  2. close takes the descriptor out of the slots, then waits until no handler that could have read
 *     it is still between `handlers` going up and down, then closes it. So a handler never writes
 * to a number that belongs to somebody else by then. (Store, then load on both sides: the handler
 *     raises `handlers` and reads the slot; close clears the slot and reads `handlers`.)
 *  3. The earlier handler is called after `handlers` went down: it may take its time, or longjmp.
 *  4. slot->previous is written before our handler is installed and kept after it was removed, so a
 *     handler that chained to ours, or one that is late, still finds it.
 */
#include "os/signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "os/thread.h"
#include "os/wakefd.h"

struct slot {
    WFI_ATOMIC(int) fd;         /* the set's descriptor plus one; 0 when not watched */
    WFI_ATOMIC(unsigned) count; /* delivered, not yet read */
    struct sigaction previous;
};

struct wfi_signals {
    int fd;
    size_t count;
    int signals[];
};

static struct slot slots[NSIG];
static WFI_ATOMIC(int) handlers;

static void handle(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    struct slot *slot = &slots[signo];
    wfi_fetch_add(&handlers, 1);
    int fd = wfi_load(&slot->fd) - 1;
    if (fd >= 0) {
        wfi_fetch_add(&slot->count, 1u);
        wfi_wakefd_set(fd);
    }
    struct sigaction previous = slot->previous;
    wfi_fetch_sub(&handlers, 1);
    errno = saved;

    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signo, info, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(signo);
}

/* Puts one signal back as it was, if nobody has changed it since. */
static void unwatch(int signo)
{
    struct slot *slot = &slots[signo];
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_sigaction == handle)
        sigaction(signo, &slot->previous, NULL);
    wfi_store(&slot->fd, 0);
}

static int watch(int signo, int fd)
{
    if (signo <= 0 || signo >= NSIG)
        return -EINVAL;
    struct slot *slot = &slots[signo];
    if (wfi_load(&slot->fd))
        return -EBUSY;
    struct sigaction now;
    if (sigaction(signo, NULL, &now) < 0)
        return -errno;
    /* Ours is still there when somebody put it back after close: keep what was before it. Not
     * written when nothing has changed, since a very late handler may be reading it. */
    if (now.sa_sigaction != handle && (now.sa_sigaction != slot->previous.sa_sigaction ||
                                       now.sa_flags != slot->previous.sa_flags))
        slot->previous = now;
    /* The mask and the stack are those the earlier handler counts on; calls go on after us. */
    struct sigaction ours = {.sa_mask = now.sa_mask,
                             .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    ours.sa_sigaction = handle;
    wfi_store(&slot->count, 0u);
    wfi_store(&slot->fd, fd + 1);
    if (sigaction(signo, &ours, NULL) < 0) {
        int err = -errno;
        wfi_store(&slot->fd, 0);
        return err;
    }
    return 0;
}

int wfi_signals_open(struct wfi_signals **ret_signals, const int *signals, size_t count,
                     struct wf_error *reterr)
{
    struct wfi_signals *s = wfi_zalloc(sizeof *s + count * sizeof *s->signals);
    if (!s)
        return wf_error_set(reterr, -ENOMEM, NULL);
    s->fd = wfi_wakefd_open();
    int err = s->fd < 0 ? s->fd : 0, signo = 0;
    for (size_t i = 0; !err && i < count; i++) {
        signo = signals[i];
        err = watch(signo, s->fd);
        if (!err)
            s->signals[s->count++] = signo;
    }
    if (err) {
        wfi_signals_close(s);
        const char *name = signo > 0 && signo < NSIG ? sigabbrev_np(signo) : NULL;
        return wf_error_set(reterr, err, "signal %s (%d): %s", name ? name : "?", signo,
                            err == -EBUSY ? "is watched already" : wf_strerror(err));
    }
    *ret_signals = s;
    return 0;
}

void wfi_signals_close(struct wfi_signals *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        unwatch(s->signals[i]);
    while (wfi_load(&handlers) > 0)
        wfi_thread_yield();
    if (s->fd >= 0)
        wfi_wakefd_close(s->fd);
    wfi_free(s);
}

int wfi_signals_fd(const struct wfi_signals *s)
{
    return s->fd;
}

static int lowest(struct wfi_signals *s)
{
    int found = 0;
    for (size_t i = 0; i < s->count; i++)
        if (wfi_load(&slots[s->signals[i]].count) > 0 && (!found || s->signals[i] < found))
            found = s->signals[i];
    return found;
}

int wfi_signals_read(struct wfi_signals *s, int *ret_signo)
{
    int signo = lowest(s);
    if (!signo) {
        /* Drained only when nothing is left, and looked at once more: a signal that came before
         * the drain is counted by then, one after it makes the descriptor readable again. */
        wfi_wakefd_clear(s->fd);
        signo = lowest(s);
        if (!signo)
            return -EAGAIN;
        wfi_wakefd_set(s->fd);
    }
    wfi_fetch_sub(&slots[signo].count, 1u);
    *ret_signo = signo;
    return 0;
}

bool wfi_signal_ignored(int signo)
{
    struct sigaction now;
    return sigaction(signo, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
           now.sa_handler == SIG_IGN;
}

const char *wfi_signal_name(int signo)
{
    const char *name = sigabbrev_np(signo);
    return name ? name : "?";
}
