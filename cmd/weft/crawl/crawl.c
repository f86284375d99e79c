/* SPDX-License-Identifier: MIT */
#include "crawl/crawl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <weft/processes.h>
#include <weft/scope.h>

#include "crawl/progress.h"
#include "crawl/remote.h"

WF_TASK(wf_none, crawl_worker, (struct crawl *, crawl))

/* Short sections, which a cancelled worker has to get through as well. */
static void lock(struct crawl *crawl)
{
    WF_SHIELD(WF_FOREVER) {
        if (wf_mutex_lock(&crawl->lock, WF_FOREVER))
            abort(); /* neither cancelled nor late: the lock was used wrongly */
    }
}

static void unlock(struct crawl *crawl)
{
    wf_mutex_unlock(&crawl->lock);
}

/* Waits for a URL to fetch. Returns 0, -EPIPE when there will be none, -ECANCELED or -ENOMEM. */
static int take(struct crawl *crawl, struct frontier_item **ret_item)
{
    lock(crawl);
    const struct frontier_counts *counts = frontier_counts(crawl->frontier);
    int err;
    for (;;) {
        int64_t when = INT64_MAX;
        err =
            crawl->failure.code ? -EPIPE : frontier_pop(crawl->frontier, wf_now(), ret_item, &when);
        if (err != -EAGAIN)
            break;
        err = wf_condition_wait(&crawl->more, (wf_deadline){when});
        if (err == -ECANCELED)
            break;
    }
    if (err == -EPIPE)
        wf_condition_notify_all(&crawl->more); /* the others may go, too */
    if (counts->in_flight > crawl->counts.in_flight_max)
        crawl->counts.in_flight_max = counts->in_flight;
    unlock(crawl);
    return err;
}

/* With the lock: adds where the page leads to. Returns how many URLs are new, or -ENOMEM. */
static int add_links(struct crawl *crawl, struct page *page, struct frontier_item *item)
{
    char text[WF_URL_BYTES_MAX], base_text[WF_URL_BYTES_MAX];
    struct wf_url link, base = item->url;
    int fresh = 0;
    if (page->location) {
        const char *to = page->location;
        if (wf_url_canonical(&item->url, to, strlen(to), text, sizeof text, &link, NULL) < 0)
            return 0;
        int verdict = frontier_add_redirect(crawl->frontier, item, &link);
        if (verdict == FRONTIER_OUT_OF_SCOPE && item->depth == 0 && !crawl->away)
            crawl->away = strdup(text);
        return verdict < 0 ? verdict : verdict == FRONTIER_NEW;
    }
    size_t len;
    const char *ref = page->base;
    if (ref && wf_url_canonical(&item->url, ref, strlen(ref), base_text, sizeof base_text, &link,
                                NULL) > 0)
        base = link;
    while ((ref = page_next_link(page, &len))) {
        if (wf_url_canonical(&base, ref, len, text, sizeof text, &link, NULL) < 0)
            continue; /* mailto:, javascript:, nonsense */
        int verdict = frontier_add_link(crawl->frontier, item, &link);
        if (verdict < 0)
            return verdict;
        fresh += verdict == FRONTIER_NEW;
    }
    return fresh;
}

static void count(struct crawl *crawl, const struct page *page)
{
    crawl->counts.pages++;
    crawl->counts.bytes += page->body_len;
    if (page->err)
        crawl->counts.errors++;
    if (page->status)
        crawl->counts.fetched++;
    if (page->connection_used)
        crawl->counts.connections_used++;
    else if (page->status)
        crawl->counts.connections_opened++;
}

/* Records a page and adds its links. Whatever happens, the item is done afterwards. */
static void finish(struct crawl *crawl, struct page *page, struct frontier_item *item)
{
    struct wf_error error = {0};
    int err = output_add(crawl->output, page->line, page->line_len, &error);
    lock(crawl);
    if (!err) {
        count(crawl, page);
        int fresh = add_links(crawl, page, item);
        if (fresh < 0)
            err = wf_error_set(&error, fresh, NULL);
        else if (fresh)
            wf_condition_notify(&crawl->more, (size_t)fresh);
    }
    if (err && !crawl->failure.code)
        crawl->failure = error;
    frontier_done(crawl->frontier, item);
    const struct frontier_counts *counts = frontier_counts(crawl->frontier);
    if (counts->in_flight == 0 || err)
        wf_condition_notify_all(&crawl->more);
    progress_tell(crawl, false);
    unlock(crawl);
}

/* A page without a record: the crawl has been cancelled, or ends for want of memory. */
static void give_back(struct crawl *crawl, struct frontier_item *item, int err)
{
    lock(crawl);
    if (err != -ECANCELED && !crawl->failure.code)
        wf_error_set(&crawl->failure, err, NULL);
    frontier_done(crawl->frontier, item);
    wf_condition_notify_all(&crawl->more);
    unlock(crawl);
}

int crawl_worker(struct wf_task *self, struct crawl *crawl, wf_none *ret)
{
    struct page_reader reader;
    struct frontier_item *item;
    (void)ret;
    int err = page_reader_init(&reader, crawl->http, crawl->options->selects,
                               crawl->options->select_count);
    if (err)
        return wf_task_fail(self, err, "%s", wf_strerror(err));
    while ((err = take(crawl, &item)) == 0) {
        struct page_request request = {item->text, item->depth,
                                       item->redirects >= FRONTIER_REDIRECTS_MAX};
        struct page page;
        const void *answer = NULL;
        int64_t timeout_ns = crawl->options->timeout_ns;
        err = crawl->remote
                  ? remote_fetch(crawl->remote, &reader, &request, timeout_ns, &page, &answer)
                  : page_fetch(&reader, &request, wf_after(timeout_ns), &page);
        if (err)
            give_back(crawl, item, err);
        else
            finish(crawl, &page, item);
        wf_result_free(answer);
        if (err)
            break;
    }
    page_reader_fini(&reader);
    return err == -EPIPE ? 0 : err;
}
WF_TASK_DEFINE(crawl_worker)

static int add_seeds(struct crawl *crawl, struct wf_error *reterr)
{
    for (size_t i = 0; i < crawl->options->url_count; i++) {
        const char *typed = crawl->options->urls[i];
        char text[WF_URL_BYTES_MAX];
        struct wf_url url;
        struct wf_error error = {0};
        int err = wf_url_canonical(NULL, typed, strlen(typed), text, sizeof text, &url, &error);
        if (err < 0)
            return wf_error_set(reterr, WF_EPARSE, "%s", error.text);
        err = frontier_add_seed(crawl->frontier, &url);
        if (err < 0)
            return wf_error_set(reterr, err, NULL);
    }
    return 0;
}

int crawl_init(struct crawl *crawl, const struct crawl_options *options, struct output *output,
               struct wf_error *reterr)
{
    *crawl = (struct crawl){.options = options, .output = output};
    wf_mutex_init(&crawl->lock);
    wf_condition_init(&crawl->more, &crawl->lock);
    struct frontier_options frontier = {.depth_max = options->depth_max,
                                        .pages_max = options->pages_max,
                                        /* the same pages whatever the timing */
                                        .by_level = options->depth_max != FRONTIER_ANY_DEPTH};
    if (getrandom(&frontier.seed, sizeof frontier.seed, GRND_NONBLOCK) < 0)
        frontier.seed = (uint64_t)wf_now();
    int err = frontier_create(&frontier, &crawl->frontier);
    if (err)
        return wf_error_set(reterr, err, NULL);
    struct wf_http_options http = {.body_bytes_max = options->body_bytes_max};
    err = add_seeds(crawl, reterr);
    return err ? err : wf_http_create(&http, &crawl->http, reterr);
}

void crawl_fini(struct crawl *crawl)
{
    wf_http_destroy(crawl->http);
    frontier_destroy(crawl->frontier);
    free(crawl->away);
    wf_condition_fini(&crawl->more);
    wf_mutex_fini(&crawl->lock);
}

int crawl_run(struct crawl *crawl, struct wf_executor *on, struct wf_error *reterr)
{
    struct wf_scope scope;
    crawl->start_ns = wf_now();
    wf_scope_open(&scope, on, WF_FOREVER);
    for (int i = 0; i < crawl->options->concurrency; i++)
        if (crawl_worker_go(&scope, crawl))
            break; /* the refusal has failed the scope */
    int err = wf_scope_close(&scope, reterr);
    crawl->end_ns = wf_now();
    progress_tell(crawl, true);
    if (!err && crawl->failure.code) {
        err = crawl->failure.code;
        if (reterr)
            *reterr = crawl->failure;
    }
    return err;
}

/* The most memory this process has held, or 0 where nobody knows. The system's other figure for it
 * counts what the parent held when it started us. */
static uint64_t memory_peak_bytes(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

int crawl_stats(struct crawl *crawl, const char *engine, struct wf_json_writer *json)
{
    const struct frontier_counts *counts = frontier_counts(crawl->frontier);
    double seconds = (double)((crawl->end_ns ? crawl->end_ns : wf_now()) - crawl->start_ns) / 1e9;
    const struct {
        const char *key;
        uint64_t value;
    } figures[] = {
        {"pages", crawl->counts.pages},
        {"fetched", crawl->counts.fetched},
        {"errors", crawl->counts.errors},
        {"bytes", crawl->counts.bytes},
        {"redirects", counts->redirected},
        {"known", counts->known},
        {"seen_again", counts->seen},
        {"out_of_scope", counts->out_of_scope},
        {"too_deep", counts->too_deep},
        {"queued", counts->queued},
        {"in_flight_max", crawl->counts.in_flight_max},
        {"connections_opened", crawl->counts.connections_opened},
        {"connections_reused", crawl->counts.connections_used},
        {"memory_peak_bytes", memory_peak_bytes()},
    };
    wf_json_writer_clear(json);
    wf_json_write_object(json);
    wf_json_write_key(json, "engine");
    wf_json_write_string(json, engine, strlen(engine));
    wf_json_write_key(json, "concurrency");
    wf_json_write_int(json, crawl->options->concurrency);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        wf_json_write_key(json, figures[i].key);
        wf_json_write_uint(json, figures[i].value);
    }
    wf_json_write_key(json, "seconds");
    wf_json_write_double(json, seconds);
    wf_json_write_key(json, "pages_per_second");
    wf_json_write_double(json, seconds > 0 ? (double)crawl->counts.pages / seconds : 0);
    wf_json_write_end(json);
    wf_json_write_line_end(json);
    const char *text;
    size_t len;
    return wf_json_writer_text(json, &text, &len);
}
