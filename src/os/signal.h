/* SPDX-License-Identifier: MIT */
/*
 * Signals as events: from open to close, the named signals of the process no longer do what they
 * did but make a descriptor readable, and are read from there in ordinary code.
 *
 *     static const int wanted[] = {SIGINT, SIGTERM};
 *     wfi_signals_open(&signals, wanted, 2, err);
 *     ... wfi_signals_fd(signals) becomes readable ...
 *     while (wfi_signals_read(signals, &signo) == 0)
 *         ...
 *     wfi_signals_close(signals);
 *
 * A handler that was installed before is called too, after the event is noted. Default actions
 * and "ignore" are not carried out while the signal is watched. close puts back what was there,
 * unless somebody has installed something else meanwhile. No thread's mask is touched: a signal
 * arrives wherever the system delivers it, and weft's own threads keep all of them blocked.
 */
#ifndef WFI_OS_SIGNAL_H
#define WFI_OS_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <weft/error.h>

struct wfi_signals;

/*
 * Watches `count` signals. A signal can be watched by one set at a time.
 *
 * Returns 0, or -EINVAL (no such signal, or one that cannot be caught), -EBUSY (watched already),
 * -ENOMEM, -EMFILE. After an error nothing has changed. One thread at a time, with close.
 */
int wfi_signals_open(struct wfi_signals **ret_signals, const int *signals, size_t count,
                     struct wf_error *reterr);

/* Puts the earlier dispositions back. NULL is fine. Signals not read are lost. */
void wfi_signals_close(struct wfi_signals *s);

/* The descriptor; readable while a signal is there to be read. */
int wfi_signals_fd(const struct wfi_signals *s);

/*
 * Takes one signal; several are taken in the order of their numbers, each as often as it was
 * delivered. Returns 0, or -EAGAIN when there is none. One thread at a time.
 */
int wfi_signals_read(struct wfi_signals *s, int *ret_signo);

/* "KILL" for SIGKILL; "?" for what is none. */
const char *wfi_signal_name(int signo);

/* True if the process was told to ignore the signal, as under nohup. */
bool wfi_signal_ignored(int signo);

#endif
