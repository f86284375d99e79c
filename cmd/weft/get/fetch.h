/* SPDX-License-Identifier: MIT */
/* One download: here, or in a worker process. */
#ifndef WEFT_CMD_GET_FETCH_H
#define WEFT_CMD_GET_FETCH_H

#include <weft/executor.h>
#include <weft/http.h>

struct fetch_request {
    const char *url; /* as it was given */
    bool keep_body;
    int64_t timeout_ns;
};

struct fetch_answer {
    int status;
    size_t body_len;
    const char *body; /* with keep_body */
    /* Whose memory that is. */
    struct wf_http_response response;
    const void *packet;
};

/*
 * Downloads, following redirects. *ret_answer holds what was known, also after a failure.
 * Returns 0, or a negative code with a text.
 */
int fetch_here(struct wf_http *http, const struct fetch_request *request,
               struct fetch_answer *ret_answer, struct wf_error *reterr);

/* The same in one of the worker processes, whose death is an error with its pid and signal. */
int fetch_there(struct wf_executor *on, const struct fetch_request *request,
                struct fetch_answer *ret_answer, struct wf_error *reterr);

void fetch_answer_fini(struct fetch_answer *answer);

/* Worker processes. Returns 0 or a negative code. */
int fetch_workers_create(int count, size_t body_bytes_max, struct wf_executor **ret_on,
                         struct wf_error *reterr);

#endif
