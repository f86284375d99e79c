/* SPDX-License-Identifier: MIT */
/*
 * Fifty pages on fifty coroutines, all on one thread: a fiber that waits for an answer gives the
 * thread to the others.
 *
 *     async_spider [URL...]
 */
#include <weft/fibers.h>
#include <weft/scope.h>

#include "blog_spider.h"

WF_TASK(wf_none, async_craw, (const char *, url))

int async_craw(struct wf_task *self, const char *url, wf_none *ret)
{
    struct html result;
    printf("craw url: %s\n", url);
    int err = craw(self, url, &result);
    if (err)
        return err;
    printf("craw url: %s, %zu\n", url, result.len);
    html_free(&result);
    *ret = (wf_none){0};
    return 0;
}
WF_TASK_DEFINE(async_craw)

static int run(struct wf_executor *loop, struct wf_error *reterr)
{
    struct wf_scope scope;
    wf_scope_open(&scope, loop, WF_FOREVER);
    for (size_t i = 0; i < urls.count; i++)
        async_craw_go(&scope, urls.at[i]);
    return wf_scope_close(&scope, reterr); /* the first failure stops the others */
}

int main(int argc, char **argv)
{
    struct wf_executor *loop = NULL;
    struct wf_error error = {0};
    int err = blog_spider_open(argc - 1, argv + 1, 100);
    if (!err)
        err = wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &loop, &error);
    if (!err) {
        int64_t start_ns = wf_now();
        err = run(loop, &error);
        printf("use time seconds: %.3f\n", (double)(wf_now() - start_ns) / 1e9);
    }
    if (err && error.code)
        fprintf(stderr, "async_spider: %s\n", error.text);
    wf_executor_destroy(loop);
    blog_spider_close();
    return err ? 1 : 0;
}
