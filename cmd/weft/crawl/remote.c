/* SPDX-License-Identifier: MIT */
#include "crawl/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/processes.h>

WF_TASK(wf_bytes, crawl_page, (const char *, url), (uint32_t, depth), (bool, last_redirect),
        (int64_t, timeout_ns))

/* Beyond the time a page has, for one whose worker is stuck in something other than a wait. */
#define HANGS_NS WF_SECONDS(5)

/* In a worker process: what it has for all its pages. */
static struct wf_http *http;
static struct page_select *selects;
static size_t select_count;
static struct page_reader reader_here;

/* The settings, on their way to the workers: limits, then the selectors as they were typed. */
struct settings {
    size_t len;
    char packet[];
};

static void pack_settings(const struct crawl_options *options, struct packet *packet)
{
    packet_put_number(packet, options->body_bytes_max);
    packet_put_number(packet, options->select_count);
    for (size_t i = 0; i < options->select_count; i++) {
        packet_put_text(packet, options->selects[i].name);
        packet_put_text(packet, options->selects[i].text);
    }
}

static void stop_worker(const void *arg)
{
    (void)arg;
    page_reader_fini(&reader_here);
    wf_http_destroy(http);
    for (size_t i = 0; i < select_count; i++) {
        free(selects[i].name);
        wf_css_destroy(selects[i].css);
    }
    free(selects);
}

static int start_worker(const void *arg, struct wf_error *reterr)
{
    const struct settings *settings = arg;
    struct packet_walk walk = packet_open(settings->packet, settings->len);
    struct wf_http_options options = {.body_bytes_max = packet_number(&walk)};
    size_t count = packet_number(&walk), at;
    selects = calloc(count + 1, sizeof *selects);
    int err = selects ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    for (; !err && select_count < count; select_count++) {
        struct page_select *select = &selects[select_count];
        select->name = strdup(packet_text(&walk));
        err = select->name ? wf_css_compile(packet_text(&walk), &select->css, &at, reterr)
                           : wf_error_set(reterr, -ENOMEM, NULL);
    }
    if (!err)
        err = wf_http_create(&options, &http, reterr);
    if (!err) {
        err = page_reader_init(&reader_here, http, selects, select_count);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    if (err)
        stop_worker(NULL);
    return err;
}

int remote_create(const struct crawl_options *options, struct wf_executor **ret_on,
                  struct wf_error *reterr)
{
    struct packet measured = {NULL, 0};
    pack_settings(options, &measured);
    struct settings *settings = malloc(sizeof *settings + measured.len);
    if (!settings)
        return wf_error_set(reterr, -ENOMEM, NULL);
    struct packet packet = {settings->packet, 0};
    pack_settings(options, &packet);
    settings->len = packet.len;
    struct wf_processes_options processes = {
        .workers = options->concurrency,
        .name = "crawl",
        .start = start_worker,
        .stop = stop_worker,
        .arg = settings,
        .arg_bytes = sizeof *settings + settings->len,
        .restarts_max = -1, /* a page that kills its worker may have many like it */
    };
    int err = wf_processes_create(&processes, ret_on, reterr);
    free(settings);
    return err;
}

/* A page, on its way home. */
static void pack_page(const struct page *page, struct packet *packet)
{
    packet_put_number(packet, (uint64_t)(int64_t)page->err);
    packet_put_number(packet, (uint64_t)(int64_t)page->status);
    packet_put_number(packet, page->body_len);
    packet_put_number(packet, page->connection_used);
    packet_put_text(packet, page->location);
    packet_put_text(packet, page->base);
    packet_put_bytes(packet, page->line, page->line_len);
    size_t len;
    const char *link;
    for (struct page walk = *page; (link = page_next_link(&walk, &len));)
        packet_put_bytes(packet, link, len);
}

/* Links are checked as they are read: one that does not fit is the last. */
static int unpack_page(wf_bytes answer, struct page *ret_page)
{
    struct packet_walk walk = packet_open(answer.ptr, answer.len);
    struct page page = {.err = (int)(int64_t)packet_number(&walk)};
    page.status = (int)(int64_t)packet_number(&walk);
    page.body_len = packet_number(&walk);
    page.connection_used = packet_number(&walk) != 0;
    page.location = packet_text(&walk);
    page.base = packet_text(&walk);
    page.line = packet_bytes(&walk, &page.line_len);
    page.links = walk;
    if (walk.broken)
        return WF_EPROTOCOL;
    *ret_page = page;
    return 0;
}

int crawl_page(struct wf_task *self, const char *url, uint32_t depth, bool last_redirect,
               int64_t timeout_ns, wf_bytes *ret)
{
    struct page_request request = {url, depth, last_redirect};
    struct page page;
    int err = page_fetch(&reader_here, &request, wf_after(timeout_ns), &page);
    if (err)
        return err;
    struct packet measured = {NULL, 0}, packet = {NULL, 0};
    pack_page(&page, &measured);
    packet.ptr = wf_result_alloc(self, measured.len);
    if (!packet.ptr)
        return wf_task_fail(self, -ENOMEM, NULL);
    pack_page(&page, &packet);
    *ret = (wf_bytes){packet.ptr, packet.len};
    return 0;
}
WF_TASK_DEFINE_WITH(crawl_page, .drop_result = wf_drop_bytes)

/* The outcome of a page, from a worker that may have died over it, or never come to an end. */
static int await(crawl_page_future *future, int64_t timeout_ns, wf_bytes *ret_answer,
                 struct wf_error *reterr)
{
    int err = crawl_page_result(future, ret_answer, wf_after(timeout_ns + HANGS_NS), reterr);
    if (err != -ETIMEDOUT || !future->future)
        return err;
    wf_future_cancel(future->future);
    err = crawl_page_result(future, ret_answer, WF_FOREVER, reterr);
    if (err == -ECANCELED && !wf_checkpoint(NULL))
        err = wf_error_set(reterr, WF_EWORKERDIED, "taking the page apart did not come to an end");
    return err;
}

int remote_fetch(struct wf_executor *on, struct page_reader *reader,
                 const struct page_request *request, int64_t timeout_ns, struct page *ret_page,
                 const void **ret_answer)
{
    struct wf_error error = {0};
    wf_bytes answer = {NULL, 0};
    crawl_page_future future =
        crawl_page_submit(on, request->url, request->depth, request->last_redirect, timeout_ns);
    int err = await(&future, timeout_ns, &answer, &error);
    *ret_answer = answer.ptr;
    if (!err) {
        err = unpack_page(answer, ret_page);
        if (!err)
            return 0;
        wf_error_set(&error, err, "the worker process answered with nonsense");
    }
    if (err != WF_EWORKERDIED && err != WF_EPROTOCOL)
        return err; /* cancelled, or there are no workers any more */
    wf_error_prefix(&error, "GET %s", request->url);
    return page_fail(reader, request, &error, ret_page);
}
