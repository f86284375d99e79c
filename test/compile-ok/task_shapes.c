/* SPDX-License-Identifier: MIT */
#include <weft/scope.h>
#include <weft/task.h>

struct point {
    int x, y;
};

WF_TASK(wf_none, none)
WF_TASK(struct point, move, (struct point, from), (int, dx))
WF_TASK(const char *, pick, (const char *const *, list), (size_t, on), (struct wf_scope *, scope))
WF_TASK_AS("tasks.add", int64_t, add, (int64_t, x), (int64_t, y))

int none(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    return 0;
}
WF_TASK_DEFINE(none)

void call(struct wf_executor *on);

void call(struct wf_executor *on)
{
    WF_SCOPE(outer, on, WF_FOREVER) {
        WF_SCOPE(scope, on, wf_after(WF_SECONDS(1))) {
            none_go(scope);
            none_future f = none_spawn(scope);
            if (none_result(&f, NULL, WF_NOW, NULL))
                return;
            WF_SHIELD(WF_FOREVER) {
                break;
            }
        }
        add_future g = add_submit(on, 1, 2);
        add_drop(&g);
    }
}
