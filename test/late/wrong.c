/* SPDX-License-Identifier: MIT */
/* Modules that cannot be used, one for each WRONG_: what they bring, modules.c tells. */
#include <weft/task.h>

#if defined(WRONG_TWICE)
/* late_module has it too; the other one must not stay behind. */
WF_TASK(int, late_task, (int, n))
WF_TASK(int, wrong_other, (int, n))

int wrong_other(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = n;
    return 0;
}
WF_TASK_DEFINE(wrong_other)

int late_task(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = n;
    return 0;
}
WF_TASK_DEFINE(late_task)

#elif defined(WRONG_ABI)
static const struct wf_task_type type = {
    .name = "wrong_abi", .file = "old.c", .line = 7, .abi = WF_TASK_ABI - 1};
static struct wf_task_entry entry = {&type, NULL};

__attribute__((constructor)) static void enter(void)
{
    wf_task_register(&entry);
}

#elif defined(WRONG_SYMBOL)
extern int wrong_nowhere(void);
int wrong_symbol(void);

int wrong_symbol(void)
{
    return wrong_nowhere();
}

#else
int wrong_empty;
#endif
