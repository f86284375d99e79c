/* SPDX-License-Identifier: MIT */
/*
 * One request on its way: a libcurl easy handle and what becomes of it. Which multi handle drives
 * it is client.c's business.
 */
#ifndef WFI_HTTP_TRANSFER_H
#define WFI_HTTP_TRANSFER_H

#include <curl/curl.h>

#include <weft/event.h>
#include <weft/http.h>
#include <weft/mutex.h>

#include "base/buffer.h"

struct wf_http {
    struct wf_http_options options;
    char user_agent[128];
    struct thread_engine *idle; /* multi handles of plain threads; under the lock */
    struct wf_mutex lock;
};

struct transfer {
    const struct wf_http_request *request;
    struct wf_http_response *response;
    const struct wf_http_options *options;
    CURL *easy;
    struct curl_slist *headers;
    struct wfi_buffer body;
    bool head_given;
    int refusal; /* what on_head or on_body returned, or WF_ETOOBIG */
    CURLcode result;
    char detail[CURL_ERROR_SIZE];
    struct wf_event done; /* fibers wait here */
};

/* Prepares `easy`, fresh or reset, for the request. Returns 0, WF_EPARSE, -EINVAL or -ENOMEM. */
int wfi_transfer_init(struct transfer *t, CURL *easy, const struct wf_http *http,
                      const struct wf_http_request *request, struct wf_http_response *response,
                      struct wf_error *reterr);
/* After the multi handle has let go of it, with t->result set: fills the response.
 * Returns the call's result. */
int wfi_transfer_finish(struct transfer *t, struct wf_error *reterr);
/* The same when the caller gave up with `err`. */
int wfi_transfer_abandon(struct transfer *t, int err, struct wf_error *reterr);
void wfi_transfer_fini(struct transfer *t);

#endif
