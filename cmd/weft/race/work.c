/* SPDX-License-Identifier: MIT */
#include "race/work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/http.h>
#include <weft/once.h>

#include "site/pages.h"

int race_prime(struct wf_task *self, uint64_t n, bool *ret)
{
    *ret = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; *ret && i <= n / i; i += 2) {
        *ret = n % i != 0;
        /* About once a millisecond. */
        if (i % 262144 == 1 && wf_checkpoint(self))
            return -ECANCELED;
    }
    return 0;
}
WF_TASK_DEFINE(race_prime)

/* One client for each process; workers of a pool make theirs when they first need it. */
static struct wf_http *client;
static struct wf_once client_once = WF_ONCE_INIT;

static int make_client(void *error)
{
    return wf_http_create(NULL, &client, error);
}

void race_work_fini(void)
{
    wf_http_destroy(client);
    client = NULL;
}

static int compare(const struct wf_http_response *got, const char *path, uint32_t pages, bool *ret)
{
    const struct site site = {SITE_LATENCY, pages, 1};
    const struct site_request request = {
        .method = "GET", .target = path, .target_len = strlen(path)};
    struct site_response wanted = {0};
    int err = site_answer(&site, &request, &wanted);
    *ret = !err && got->status == wanted.status && got->body_len == wanted.body.len &&
           memcmp(got->body, wanted.body.data, wanted.body.len) == 0;
    site_response_free(&wanted);
    return err;
}

int race_page(struct wf_task *self, const char *site, uint32_t page, uint32_t pages, bool *ret)
{
    struct wf_error error = {0};
    int err = wf_once_call(&client_once, make_client, &error, WF_FOREVER);
    if (err)
        return wf_task_fail_with(self, &error);
    char url[128];
    int len = snprintf(url, sizeof(url), "%sp/%u", site, page);
    if (len < 0 || (size_t)len >= sizeof(url))
        return -EINVAL;
    struct wf_http_request request = {.url = url, .keep_body = true};
    struct wf_http_response response;
    err = wf_http_fetch(client, &request, &response, wf_after(WF_SECONDS(60)), &error);
    if (err)
        wf_task_fail_with(self, &error);
    else
        err = compare(&response, url + strlen(site) - 1, pages, ret);
    wf_http_response_fini(&response);
    return err;
}
WF_TASK_DEFINE(race_page)

int race_sleep(struct wf_task *self, int64_t sleep_ns, bool *ret)
{
    (void)self;
    *ret = true;
    return wf_sleep(wf_after(sleep_ns));
}
WF_TASK_DEFINE(race_sleep)
