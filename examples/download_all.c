/* SPDX-License-Identifier: MIT */
/*
 * Twelve sites, one of them listed twice, fetched one after another, on five threads, by three
 * workers whose results are taken as they are completed, and in three processes. Each time a size
 * differs from what the same site answered before, its line says so: under five requests at once
 * one of the sites sends 149 bytes of something else, with status 200.
 *
 *     download_all [URL...]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/http.h>
#include <weft/inline.h>
#include <weft/processes.h>
#include <weft/threads.h>

#include "test_site.h"

#define SITES 12

struct answer {
    int status;
    size_t bytes;
};

struct sites {
    const char *const *url;
    size_t count;
    size_t *bytes; /* of each one's first answer; 0: none yet */
    struct download_one_args *args;
};

/* Two numbers, on their way back from a process. */
static ssize_t encode_answer(const void *value, void *buf, size_t capacity)
{
    if (capacity >= sizeof(struct answer))
        memcpy(buf, value, sizeof(struct answer));
    return sizeof(struct answer);
}

static int decode_answer(void *value, const void *buf, size_t len)
{
    if (len != sizeof(struct answer))
        return WF_EPROTOCOL;
    memcpy(value, buf, len);
    return 0;
}

WF_WIRE(struct answer, encode_answer, decode_answer)

static struct wf_http *client; /* each process has its own */

WF_TASK(struct answer, download_one, (const char *, url))

int download_one(struct wf_task *self, const char *url, struct answer *ret)
{
    struct wf_http_response answer;
    struct wf_error error;
    int err = wf_http_fetch(client, &(struct wf_http_request){.url = url}, &answer,
                            wf_after(WF_SECONDS(30)), &error);
    if (err)
        err = wf_task_fail_with(self, &error);
    else
        *ret = (struct answer){answer.status, answer.body_len};
    wf_http_response_fini(&answer);
    return err;
}
WF_TASK_DEFINE(download_one)

/* Prints an answer, and what is wrong with it: a status of failure, a size that has changed. */
static void print_answer(struct sites *sites, size_t i, const struct answer *answer)
{
    printf("Read %zu from %s", answer->bytes, sites->url[i]);
    if (answer->status < 200 || answer->status > 299)
        printf(" (status %d)", answer->status);
    else if (sites->bytes[i] == 0)
        sites->bytes[i] = answer->bytes;
    else if (sites->bytes[i] != answer->bytes)
        printf(" (it was %zu before)", sites->bytes[i]);
    putchar('\n');
}

/* Results in the order of the sites: on the caller's own thread, that is one after another. */
static int download_in_order(struct wf_executor *executor, struct sites *sites,
                             struct wf_error *reterr)
{
    struct answer *answers = calloc(sites->count, sizeof *answers);
    int err = answers ? download_one_each(executor, NULL, sites->args, sites->count, answers,
                                          WF_FOREVER, reterr)
                      : wf_error_set(reterr, -ENOMEM, NULL);
    for (size_t i = 0; i < sites->count && !err; i++)
        print_answer(sites, i, &answers[i]);
    free(answers);
    return err;
}

/* Results in the order they come. */
static int download_as_completed(struct wf_executor *executor, struct sites *sites,
                                 struct wf_error *reterr)
{
    struct wf_future **to_do = calloc(sites->count, sizeof *to_do), *future;
    struct wf_as_completed *walk = NULL;
    struct answer answer;
    size_t i;
    int next = 0, err = to_do ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    for (i = 0; i < sites->count && !err; i++)
        to_do[i] = download_one_submit(executor, sites->url[i]).future;
    if (!err)
        err = wf_as_completed_open(to_do, sites->count, &walk, reterr);
    while (!err && (next = wf_as_completed_next(walk, &future, &i, WF_FOREVER, reterr)) == 1) {
        err = wf_future_result(&to_do[i], &answer, WF_NOW, reterr);
        if (!err)
            print_answer(sites, i, &answer);
    }
    wf_as_completed_close(walk);
    for (i = 0; i < sites->count && to_do; i++)
        wf_future_drop(&to_do[i]);
    free(to_do);
    return err ? err : next;
}

static int download_all(const char *how, struct wf_executor *executor, struct sites *sites,
                        int (*download)(struct wf_executor *, struct sites *, struct wf_error *))
{
    struct wf_error error = {0};
    printf("%s\n", how);
    int64_t start_ns = wf_now();
    int err = executor ? download(executor, sites, &error) : wf_error_set(&error, -ENOMEM, NULL);
    if (err)
        fprintf(stderr, "download_all: %s\n", error.text);
    else
        printf("Download %zu sites in %.3f seconds\n", sites->count,
               (double)(wf_now() - start_ns) / 1e9);
    wf_executor_destroy(executor);
    return err;
}

static struct wf_executor *threads(int workers)
{
    struct wf_executor *executor;
    return wf_threads_create(&(struct wf_threads_options){.workers = workers}, &executor, NULL)
               ? NULL
               : executor;
}

static int start_client(const void *arg, struct wf_error *reterr)
{
    (void)arg;
    return wf_http_create(NULL, &client, reterr);
}

static void stop_client(const void *arg)
{
    (void)arg;
    wf_http_destroy(client);
}

static struct wf_executor *processes(int workers)
{
    struct wf_executor *executor;
    struct wf_processes_options options = {
        .workers = workers, .start = start_client, .stop = stop_client};
    return wf_processes_create(&options, &executor, NULL) ? NULL : executor;
}

static struct wf_executor *serial(void)
{
    struct wf_executor *executor;
    return wf_inline_create(&executor, NULL) ? NULL : executor;
}

/* The twelve of the text, as folders of the test site. */
static const char *const *twelve(const char *site_url)
{
    static const char *const hosts[SITES] = {
        "www.baidu.com",     "packages.example", "www.sina.com.cn", "www.163.com",
        "news.qq.com",       "www.ifeng.com",    "www.ce.cn",       "news.baidu.com",
        "www.people.com.cn", "www.ce.cn",        "news.163.com",    "news.sohu.com",
    };
    static char url[SITES][128];
    static const char *at[SITES];
    for (int i = 0; i < SITES; i++) {
        snprintf(url[i], sizeof url[i], "%s/%s/", site_url, hosts[i]);
        at[i] = url[i];
    }
    return at;
}

int main(int argc, char **argv)
{
    struct wf_error error;
    if (wf_processes_init(&error)) { /* before anything makes a thread */
        fprintf(stderr, "download_all: %s\n", error.text);
        return 1;
    }
    struct test_site site = {0};
    struct sites sites = {(const char *const *)argv + 1, (size_t)(argc - 1), NULL, NULL};
    int err = argc > 1 ? 0 : test_site_start(&site, "sites", 100);
    if (!err && argc == 1) {
        sites.url = twelve(site.url);
        sites.count = SITES;
    }
    sites.bytes = calloc(sites.count + 1, sizeof *sites.bytes);
    sites.args = calloc(sites.count + 1, sizeof *sites.args);
    if (!sites.bytes || !sites.args)
        err = -ENOMEM;
    for (size_t i = 0; i < sites.count && !err; i++)
        sites.args[i].url = sites.url[i];
    if (!err)
        err = wf_http_create(NULL, &client, NULL);
    if (!err)
        err = download_all("one after another", serial(), &sites, download_in_order);
    if (!err)
        err = download_all("on 5 threads", threads(5), &sites, download_in_order);
    if (!err)
        err = download_all("by 3 workers, as completed", threads(3), &sites, download_as_completed);
    if (!err)
        err = download_all("in 3 processes", processes(3), &sites, download_in_order);
    wf_http_destroy(client);
    test_site_stop(&site);
    free(sites.bytes);
    free(sites.args);
    return err ? 1 : 0;
}
