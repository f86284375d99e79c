/* SPDX-License-Identifier: MIT */
/*
 * Several descriptors behind one: a set is a descriptor, readable while one of its members is ready
 * for what it is watched for; so who waits for many can wait as for one.
 */
#ifndef WFI_OS_POLLSET_H
#define WFI_OS_POLLSET_H

#include <stdbool.h>

/* The set's descriptor, closed on exec by wfi_fd_close, or -ENOMEM, -EMFILE, -ENFILE. */
int wfi_pollset_open(void);

/* From now on looks for `fd` ready to read, or to write; `number` from 0 to 31 is its name. A
 * closed descriptor leaves by itself, once nobody else has it open. Returns 0, -EPERM (always
 * ready), -ENOMEM, -ENOSPC. */
int wfi_pollset_add(int set, int fd, bool write, int number);
void wfi_pollset_remove(int set, int fd);

/* The numbers of those that are ready, each a bit; 0 when none is. Does not wait. */
unsigned wfi_pollset_look(int set);

#endif
