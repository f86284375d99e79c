/* SPDX-License-Identifier: MIT */
#include "os/fork.h"

#include <pthread.h>

bool wfi_fork_child;
uint32_t wfi_fork_generation;

static void in_child(void)
{
    wfi_fork_child = true;
    wfi_fork_generation++;
}

/* As the library is loaded: a call later would leave a time in which a fork goes unseen. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}
