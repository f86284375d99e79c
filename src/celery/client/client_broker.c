/* SPDX-License-Identifier: MIT */
#include "celery/client/client_broker.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* No worker's reply is larger, short of one that holds millions of ids. */
#define REPLY_BYTES_MAX ((size_t)64 << 20)

void wfi_client_want_replies(struct wfi_control_request *request,
                             const struct wfi_client_asking *asking, struct wfi_uuids *uuids,
                             struct wfi_client_reply_to *ret)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    request->ticket = wfi_uuid_next(uuids, ret->ticket);
    request->reply_key = wfi_uuid_next(uuids, ret->key);
    request->expires =
        (double)now.tv_sec + (double)now.tv_nsec / 1e9 + (double)asking->wait_ns / 1e9;
}

int wfi_client_take_reply(const struct wfi_control_request *request,
                          const struct wfi_client_asking *asking, struct wfi_envelope *envelope)
{
    struct wf_json *body = NULL;
    const char *ticket = wfi_json_c_string(wf_json_get(envelope->headers, "ticket"));
    if (!ticket || strcmp(ticket, request->ticket) != 0)
        return 0;
    int err = wfi_envelope_open(envelope, REPLY_BYTES_MAX, NULL);
    if (!err)
        err = wf_json_read(envelope->body, envelope->body_len, NULL, &body, NULL);
    if (!err && wf_json_type(wf_json_root(body)) != WF_JSON_OBJECT)
        err = WF_EPARSE;
    if (!err)
        err = asking->reply(asking->arg, wf_json_root(body));
    wf_json_destroy(body);
    return !err ? 1 : err == WF_EPARSE || err == WF_ETOOBIG ? 0 : err;
}
