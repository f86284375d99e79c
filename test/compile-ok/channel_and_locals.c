/* SPDX-License-Identifier: MIT */
/* The declaring macros of channels, queues and locals, as their headers show them. */
#include <weft/channel.h>
#include <weft/cond.h>
#include <weft/local.h>
#include <weft/queue.h>

struct page {
    const char *url;
    size_t bytes;
};

WF_CHANNEL(struct page, pages)
WF_QUEUE(struct page, waiting)
WF_LOCAL(const char *, request_id)
WF_LOCAL_DEFINE(const char *, request_id, "none")

static struct wf_mutex lock = WF_MUTEX_INIT;
static struct wf_condition filled = WF_CONDITION_INIT(&lock);
static size_t total;

int forward(pages in, waiting out, wf_deadline deadline);

int forward(pages in, waiting out, wf_deadline deadline)
{
    struct page page;
    int err = pages_pop(in, &page, deadline);
    if (!err)
        err = waiting_push(out, page, deadline);
    if (!err)
        err = request_id_set(page.url);
    WF_LOCKED(&lock) {
        if (err)
            return err;
        total += page.bytes;
        wf_condition_notify_all(&filled);
    }
    return 0;
}
