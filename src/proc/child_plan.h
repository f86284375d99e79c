/* SPDX-License-Identifier: MIT */
/*
 * From the options of a child to what the system is asked for: paths to try, environment,
 * descriptors. What is opened for the child is closed by fini; the caller's ends of pipes stay in
 * `mine`, and are closed there too unless they have been taken out.
 */
#ifndef WFI_PROC_CHILD_PLAN_H
#define WFI_PROC_CHILD_PLAN_H

#include <weft/child.h>

#include "os/spawn.h"

struct wfi_child_plan {
    struct wfi_spawn spawn;
    int mine[3];   /* or -1 */
    int opened[3]; /* for the child, to be closed here; or -1 */
    const char *shell_argv[4];
    struct wfi_spawn_fd std_fds[3];      /* where nothing else is passed */
    void *fds, *programs, *env, *limits; /* on the heap, or NULL */
};

/* Returns 0, or an error as of wf_child_spawn: nothing is left then. */
int wfi_child_plan_init(struct wfi_child_plan *plan, const struct wf_child_options *options,
                        struct wf_error *reterr);
void wfi_child_plan_fini(struct wfi_child_plan *plan);

/* The error of a spawn in words. */
void wfi_child_plan_explain(const struct wfi_child_plan *plan,
                            const struct wf_child_options *options, int err,
                            const struct wfi_spawn_failure *failure, struct wf_error *reterr);

#endif
