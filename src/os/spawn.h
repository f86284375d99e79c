/* SPDX-License-Identifier: MIT */
/*
 * Starting a program. The child shares the caller's memory until it has become the program (clone
 * with CLONE_VM and CLONE_VFORK), so that the time it takes does not depend on the caller's size;
 * it runs on a stack of its own with every signal blocked. Where memory cannot be shared so (under
 * Valgrind, under an emulator) it is a fork, with the same results.
 */
#ifndef WFI_OS_SPAWN_H
#define WFI_OS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor of the child. */
struct wfi_spawn_fd {
    int from;      /* the caller's */
    int to;        /* its number in the child */
    bool optional; /* if `from` is not open, or closed on exec, `to` is not open either */
    bool moved;    /* for wfi_spawn */
};

struct wfi_spawn_limit {
    int resource;
    uint64_t soft, hard; /* UINT64_MAX: none */
};

enum wfi_spawn_group { WFI_SPAWN_SESSION, WFI_SPAWN_GROUP, WFI_SPAWN_SAME_GROUP };

struct wfi_spawn {
    const char *const *programs; /* paths to try in turn, ends with NULL */
    const char *const *argv;
    const char *const *env;
    const char *cwd; /* or NULL */
    struct wfi_spawn_fd
        *fds; /* in the order of `to`, each once; all other descriptors are closed */
    size_t fd_count;
    enum wfi_spawn_group group;
    int umask; /* below 0: the caller's */
    const struct wfi_spawn_limit *limits;
    size_t limit_count;
};

/* What the child was doing when it failed. */
enum wfi_spawn_step {
    WFI_SPAWN_START, /* no child was made */
    WFI_SPAWN_FD,    /* fds[at] */
    WFI_SPAWN_CWD,
    WFI_SPAWN_LIMIT, /* limits[at] */
    WFI_SPAWN_EXEC,  /* programs[at], or all of them */
};
struct wfi_spawn_failure {
    enum wfi_spawn_step step;
    size_t at;
};

/*
 * Starts it. ret_pidfd receives a descriptor as of os/pidfd.h, for the child that is still to be
 * reaped.
 *
 * Returns 0, or a negative errno with ret_failure written, and no child is left. The error of
 * several programs that could not be started is that of the first that was there.
 */
int wfi_spawn(const struct wfi_spawn *spawn, int *ret_pid, int *ret_pidfd,
              struct wfi_spawn_failure *ret_failure);

/* For tests: as under Valgrind. */
void wfi_spawn_force_fork(bool force);

/*
 * A pipe between the caller and a child: the caller's end is non-blocking, the child's is not; both
 * closed on exec. Returns 0, -EMFILE, -ENFILE.
 */
int wfi_spawn_pipe(bool child_reads, int *ret_mine, int *ret_its);

/* Opens a file for a child to read, or to write; closed on exec. Returns the descriptor, or a
 * negative errno. */
enum wfi_spawn_open { WFI_SPAWN_READ, WFI_SPAWN_WRITE, WFI_SPAWN_APPEND };
int wfi_spawn_open_file(const char *path, enum wfi_spawn_open how);

/* The caller's environment, ends with NULL; other threads leave it alone meanwhile. */
const char *const *wfi_spawn_environment(void);

/* True when there is a file of that name that may be executed. */
bool wfi_spawn_is_there(const char *path);

#endif
