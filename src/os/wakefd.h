/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that one thread sleeps on and any other can make ready (an eventfd), and the sleep
 * itself, on it and one more descriptor.
 */
#ifndef WFI_OS_WAKEFD_H
#define WFI_OS_WAKEFD_H

#include <weft/time.h>

/* Returns the descriptor, or -EMFILE, -ENFILE, -ENOMEM. */
int wfi_wakefd_open(void);
void wfi_wakefd_close(int fd);
/* Makes it ready. Any thread; signal safe. */
void wfi_wakefd_set(int fd);
/* Makes it not ready. */
void wfi_wakefd_clear(int fd);

/*
 * Waits until `fd` has one of poll(2)'s `events` (an error or a hang-up counts), `wakefd` is ready,
 * or the deadline has passed.
 *
 * Returns 1 when fd is ready, 0 otherwise (a signal, too), or a negative -errno.
 */
int wfi_wakefd_poll(int wakefd, int fd, short events, wf_deadline deadline);

#endif
