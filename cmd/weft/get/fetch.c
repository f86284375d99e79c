/* SPDX-License-Identifier: MIT */
#include "get/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/processes.h>
#include <weft/url.h>

#include "packet.h"

enum { REDIRECTS_MAX = 20 }; /* as browsers (the fetch standard's number) */

WF_TASK(wf_bytes, get_page, (const char *, url), (bool, keep_body), (int64_t, timeout_ns))

int fetch_here(struct wf_http *http, const struct fetch_request *request,
               struct fetch_answer *ret_answer, struct wf_error *reterr)
{
    wf_deadline deadline = wf_after(request->timeout_ns);
    struct wf_http_response *response = &ret_answer->response;
    char *url = NULL, text[WF_URL_BYTES_MAX];
    *ret_answer = (struct fetch_answer){0};
    int err =
        wf_url_canonical(NULL, request->url, strlen(request->url), text, sizeof text, NULL, reterr);
    for (int redirects = 0; err >= 0; redirects++) {
        struct wf_http_request get = {.url = url ? url : text, .keep_body = request->keep_body};
        err = wf_http_fetch(http, &get, response, deadline, reterr);
        if (err || !response->location)
            break;
        free(url);
        url = strdup(response->location);
        wf_http_response_fini(response);
        if (!url)
            err = wf_error_set(reterr, -ENOMEM, NULL);
        else if (redirects == REDIRECTS_MAX)
            err = wf_error_set(reterr, -ELOOP, "%s: more than %d redirects", request->url,
                               REDIRECTS_MAX);
    }
    free(url);
    ret_answer->status = response->status;
    ret_answer->body_len = response->body_len;
    ret_answer->body = response->body;
    return err;
}

void fetch_answer_fini(struct fetch_answer *answer)
{
    wf_http_response_fini(&answer->response);
    wf_result_free(answer->packet);
    *answer = (struct fetch_answer){0};
}

/* In a worker process */

static struct wf_http *http_there;

static int start_worker(const void *arg, struct wf_error *reterr)
{
    return wf_http_create(arg, &http_there, reterr);
}

static void stop_worker(const void *arg)
{
    (void)arg;
    wf_http_destroy(http_there);
}

int fetch_workers_create(int count, size_t body_bytes_max, struct wf_executor **ret_on,
                         struct wf_error *reterr)
{
    struct wf_http_options http = {.body_bytes_max = body_bytes_max};
    struct wf_processes_options options = {
        .workers = count,
        .name = "get",
        .start = start_worker,
        .stop = stop_worker,
        .arg = &http,
        .arg_bytes = sizeof http,
        .restarts_max = -1, /* one download each */
    };
    return wf_processes_create(&options, ret_on, reterr);
}

/* An answer, or as much of one as there was, on its way home. */
static void pack(int err, const struct wf_error *error, const struct fetch_answer *answer,
                 struct packet *packet)
{
    packet_put_number(packet, (uint64_t)(int64_t)err);
    packet_put_text(packet, err ? error->text : NULL);
    packet_put_number(packet, (uint64_t)(int64_t)answer->status);
    packet_put_number(packet, answer->body_len);
    if (answer->body)
        packet_put_bytes(packet, answer->body, answer->body_len);
    else
        packet_put_text(packet, NULL);
}

int get_page(struct wf_task *self, const char *url, bool keep_body, int64_t timeout_ns,
             wf_bytes *ret)
{
    struct fetch_request request = {url, keep_body, timeout_ns};
    struct fetch_answer answer;
    struct wf_error error = {0};
    struct packet measured = {NULL, 0}, packet = {NULL, 0};
    int err = fetch_here(http_there, &request, &answer, &error);
    if (err != -ECANCELED) {
        pack(err, &error, &answer, &measured);
        packet.ptr = wf_result_alloc(self, measured.len);
        if (packet.ptr)
            pack(err, &error, &answer, &packet);
        err = packet.ptr ? 0 : wf_task_fail(self, -ENOMEM, NULL);
        *ret = (wf_bytes){packet.ptr, packet.len};
    }
    fetch_answer_fini(&answer);
    return err;
}
WF_TASK_DEFINE_WITH(get_page, .drop_result = wf_drop_bytes)

/* Back here */

static int unpack(wf_bytes packet, struct fetch_answer *ret_answer, struct wf_error *reterr)
{
    struct packet_walk walk = packet_open(packet.ptr, packet.len);
    int err = (int)(int64_t)packet_number(&walk);
    const char *text = packet_text(&walk);
    ret_answer->status = (int)(int64_t)packet_number(&walk);
    size_t body_len = packet_number(&walk), kept = body_len;
    ret_answer->body = packet_none(&walk) ? NULL : packet_bytes(&walk, &kept);
    ret_answer->body_len = body_len;
    if (!packet_is_read(&walk) || kept != body_len || err > 0 || (err != 0) != (text != NULL))
        return wf_error_set(reterr, WF_EPROTOCOL, "the worker process answered with nonsense");
    return err ? wf_error_set(reterr, err, "%s", text) : 0;
}

int fetch_there(struct wf_executor *on, const struct fetch_request *request,
                struct fetch_answer *ret_answer, struct wf_error *reterr)
{
    wf_bytes packet = {NULL, 0};
    *ret_answer = (struct fetch_answer){0};
    get_page_future future =
        get_page_submit(on, request->url, request->keep_body, request->timeout_ns);
    int err = get_page_result(&future, &packet, WF_FOREVER, reterr);
    ret_answer->packet = packet.ptr;
    if (err) {
        wf_error_prefix(reterr, "%s", request->url);
        return err;
    }
    return unpack(packet, ret_answer, reterr);
}
