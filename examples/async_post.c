/* SPDX-License-Identifier: MIT */
/*
 * Fifty JSON posts on coroutines, ten at a time: the request with which the blog's own script asks
 * for a page of its list. A post that fails is shown with its cause, and stops no other.
 *
 *     async_post [--sleep SECONDS] [URL]
 *
 * --sleep   how long each sleeps after its answer, inside the semaphore; 5 if not given
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/http.h>
#include <weft/semaphore.h>

#include "test_site.h"

enum { POSTS = 50 };

static const struct wf_http_header headers[] = {
    {"user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like "
                   "Gecko) Chrome/108.0.0.0 Safari/537.36"},
    {"x-requested-with", "XMLHttpRequest"},
    {"origin", "https://www.cnblogs.com"},
    {"pragma", "no-cache"},
    {"referer", "https://www.cnblogs.com/"},
    {"content-type", "application/json; charset=UTF-8"},
};

static struct wf_semaphore semaphore = WF_SEMAPHORE_INIT(10);
static double sleep_s = 5;
static struct wf_http *client;
static char url[512];

WF_TASK(wf_none, async_post, (const char *, data))

static int post(struct wf_task *self, const char *data)
{
    const struct wf_http_request request = {
        .url = url,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = data,
        .body_len = strlen(data),
        .keep_body = true,
    };
    struct wf_http_response res;
    struct wf_error error;
    printf("post data:%s\n", data);
    int err = wf_http_fetch(client, &request, &res, wf_after(WF_SECONDS(30)), &error);
    if (err)
        err = wf_task_fail_with(self, &error);
    else if (res.status != 200)
        err = wf_task_fail(self, WF_EPROTOCOL, "%s: status %d: %.*s", url, res.status,
                           (int)strcspn(res.body, "\n"), res.body);
    else if ((err = wf_sleep(wf_after(WF_SECONDS(sleep_s)))) == 0)
        printf("post data:%s,%zu\n", data, res.body_len);
    wf_http_response_fini(&res);
    return err;
}

int async_post(struct wf_task *self, const char *data, wf_none *ret)
{
    int err = wf_semaphore_acquire(&semaphore, 1, WF_FOREVER);
    if (err)
        return err;
    err = post(self, data);
    wf_semaphore_release(&semaphore, 1);
    *ret = (wf_none){0};
    return err;
}
WF_TASK_DEFINE(async_post)

/* Returns how many failed. */
static int run(struct wf_executor *loop)
{
    static char datas[POSTS][160];
    async_post_future tasks[POSTS];
    struct wf_error error;
    int failed = 0;
    for (int num = 1; num <= POSTS; num++) {
        snprintf(datas[num - 1], sizeof datas[0],
                 "{\"CategoryType\":\"SiteHome\",\"ParentCategoryId\":0,\"CategoryId\":808,"
                 "\"PageIndex\":%d,\"TotalPostCount\":4000,"
                 "\"ItemListActionName\":\"AggSitePostList\"}",
                 num);
        tasks[num - 1] = async_post_submit(loop, datas[num - 1]);
    }
    for (int i = 0; i < POSTS; i++) {
        if (async_post_result(&tasks[i], &(wf_none){0}, WF_FOREVER, &error) == 0)
            continue;
        printf("post data:%s failed: %s\n", datas[i], error.text);
        failed++;
    }
    return failed;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"sleep", required_argument, NULL, 's'}, {0}};
    struct test_site site = {0};
    struct wf_executor *loop = NULL;
    struct wf_error error = {0};
    int option, failed = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 's')
            return 2;
        sleep_s = atof(optarg);
    }
    int err = optind < argc ? 0 : test_site_start(&site, "blog", 0);
    if (!err) {
        if (optind < argc)
            snprintf(url, sizeof url, "%s", argv[optind]);
        else
            snprintf(url, sizeof url, "%s/AggSite/AggSitePostList", site.url);
        err = wf_http_create(NULL, &client, &error);
    }
    if (!err)
        err = wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &loop, &error);
    if (!err) {
        int64_t start_ns = wf_now();
        failed = run(loop);
        if (failed)
            printf("%d of %d failed\n", failed, POSTS);
        printf("一共花费 %.3f 秒\n", (double)(wf_now() - start_ns) / 1e9);
    }
    if (err && error.code)
        fprintf(stderr, "async_post: %s\n", error.text);
    wf_executor_destroy(loop);
    wf_http_destroy(client);
    test_site_stop(&site);
    return err || failed ? 1 : 0;
}
