/* SPDX-License-Identifier: MIT */
#include "http/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static size_t body_max(const struct transfer *t)
{
    return t->options->body_bytes_max;
}

/* Tells the caller of status and type, once. Returns false when it does not want the body. */
static bool give_head(struct transfer *t)
{
    if (t->head_given)
        return true;
    t->head_given = true;
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    t->response->status = (int)status;
    snprintf(t->response->content_type, sizeof t->response->content_type, "%s", type ? type : "");
    if (!t->request->on_head)
        return true;
    int err = t->request->on_head(t->request->arg, (int)status, t->response->content_type);
    if (err < 0)
        t->refusal = err;
    return err >= 0;
}

/* libcurl's write function; anything but `len` breaks the transfer off. */
static size_t take_body(char *data, size_t one, size_t len, void *arg)
{
    (void)one;
    struct transfer *t = arg;
    if (!give_head(t))
        return CURL_WRITEFUNC_ERROR;
    if (len > body_max(t) - t->response->body_len) {
        t->refusal = WF_ETOOBIG;
        return CURL_WRITEFUNC_ERROR;
    }
    int err = t->request->keep_body ? wfi_buffer_append(&t->body, data, len) : 0;
    if (!err && t->request->on_body)
        err = t->request->on_body(t->request->arg, data, len);
    if (err < 0) {
        t->refusal = err;
        return CURL_WRITEFUNC_ERROR;
    }
    t->response->body_len += len;
    return len;
}

static int add_header(struct transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (!longer)
        return -ENOMEM;
    t->headers = longer;
    return 0;
}

static int add_headers(struct transfer *t, struct wf_error *reterr)
{
    int err = 0;
    /* libcurl would wait for "100 Continue" before a body of more than 1 KiB */
    if (t->request->body)
        err = add_header(t, "Expect:");
    for (size_t i = 0; !err && i < t->request->header_count; i++) {
        const struct wf_http_header *header = &t->request->headers[i];
        if (strpbrk(header->name, "\r\n: ") || !header->name[0] || strpbrk(header->value, "\r\n"))
            return wf_error_set(reterr, -EINVAL, "header %zu: a name or value no header can have",
                                i);
        struct wfi_buffer line = {0};
        /* A name and ';' is how libcurl is told of a header with an empty value. */
        err = header->value[0] ? wfi_buffer_printf(&line, "%s: %s", header->name, header->value)
                               : wfi_buffer_printf(&line, "%s;", header->name);
        const char *text = err ? NULL : wfi_buffer_text(&line);
        err = text ? add_header(t, text) : -ENOMEM;
        wfi_buffer_reset(&line);
    }
    return err ? wf_error_set(reterr, err, NULL) : 0;
}

static CURLcode set_method(struct transfer *t)
{
    const struct wf_http_request *request = t->request;
    const char *method = request->method ? request->method : request->body ? "POST" : "GET";
    CURLcode bad = CURLE_OK;
    if (strcmp(method, "HEAD") == 0)
        return curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    if (request->body || strcmp(method, "POST") == 0) {
        bad = curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        if (!bad)
            bad = curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                   (curl_off_t)request->body_len);
        if (!bad)
            bad = curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    if (!bad && strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
        bad = curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
    return bad;
}

static CURLcode set_options(struct transfer *t, const struct wf_http *http)
{
    CURL *easy = t->easy;
    const struct wf_http_options *options = t->options;
    CURLcode bad = CURLE_OK;
    /* A wish: refused by a handle whose last transfer failed and that still has its buffer. */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 64L * 1024);
#define SET(option, value) \
    if (!bad)              \
    bad = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, t->request->url);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_USERAGENT, http->user_agent);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(options->connect_ns_max / 1000000));
    if (!options->no_compression)
        SET(CURLOPT_ACCEPT_ENCODING, "");
    if (options->http1)
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#undef SET
    return bad ? bad : set_method(t);
}

int wfi_transfer_init(struct transfer *t, CURL *easy, const struct wf_http *http,
                      const struct wf_http_request *request, struct wf_http_response *response,
                      struct wf_error *reterr)
{
    *t = (struct transfer){
        .request = request, .response = response, .options = &http->options, .easy = easy};
    wf_event_init(&t->done);
    int err = add_headers(t, reterr);
    if (err)
        return err;
    CURLcode bad = set_options(t, http);
    if (!bad)
        return 0;
    err = bad == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
    return wf_error_set(reterr, err, "%s", curl_easy_strerror(bad));
}

/* The code for what libcurl says. */
static int code_of(struct transfer *t)
{
    long system = 0;
    const char *address = NULL;
    switch (t->result) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return WF_ERESOLVE;
    case CURLE_COULDNT_CONNECT:
        /* What the system said last, which need not be about the connection: take it only if it is.
         */
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &system);
        return system == ENETUNREACH || system == EHOSTUNREACH || system == EADDRNOTAVAIL ||
                       system == EMFILE || system == ENFILE || system == EACCES
                   ? -(int)system
                   : -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_PARTIAL_FILE:
        return WF_ESHORT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return -ECONNRESET;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return WF_ETLS;
    case CURLE_URL_MALFORMAT:
        return WF_EPARSE;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL; or, once connected, an answer without a head */
        curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address);
        return address && address[0] ? WF_EPROTOCOL : WF_EPARSE;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_WRITE_ERROR:
        return t->refusal ? t->refusal : -EIO;
    default:
        return WF_EPROTOCOL;
    }
}

static void fill_response(struct transfer *t)
{
    struct wf_http_response *response = t->response;
    long status = 0, connects = 0;
    curl_off_t wire = 0;
    const char *type = NULL, *location = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    response->status = (int)status;
    response->wire_bytes = (uint64_t)wire;
    response->connection_used = connects == 0 && status != 0;
    snprintf(response->content_type, sizeof response->content_type, "%s", type ? type : "");
    response->location = location ? wfi_strdup(location) : NULL;
    if (location && !response->location && !t->refusal)
        t->refusal = -ENOMEM;
    if (t->request->keep_body) {
        response->body = wfi_buffer_take(&t->body, NULL);
        if (!response->body && !t->refusal)
            t->refusal = -ENOMEM;
    }
}

int wfi_transfer_finish(struct transfer *t, struct wf_error *reterr)
{
    if (!t->result)
        give_head(t);
    int err = code_of(t);
    fill_response(t);
    if (!err)
        err = t->refusal;
    if (!err)
        return 0;
    const char *method = t->request->method ? t->request->method
                         : t->request->body ? "POST"
                                            : "GET";
    if (err == WF_ETOOBIG)
        return wf_error_set(reterr, err, "%s %s: the body is larger than %zu bytes", method,
                            t->request->url, body_max(t));
    if (err == t->refusal)
        return wf_error_set(reterr, err, "%s %s: %s", method, t->request->url, wf_strerror(err));
    return wf_error_set(reterr, err, "%s %s: %s", method, t->request->url,
                        t->detail[0] ? t->detail : curl_easy_strerror(t->result));
}

int wfi_transfer_abandon(struct transfer *t, int err, struct wf_error *reterr)
{
    fill_response(t);
    const char *method = t->request->method ? t->request->method
                         : t->request->body ? "POST"
                                            : "GET";
    return wf_error_set(reterr, err, "%s %s: %s", method, t->request->url,
                        err == -ETIMEDOUT ? "the deadline passed" : wf_strerror(err));
}

void wfi_transfer_fini(struct transfer *t)
{
    curl_slist_free_all(t->headers);
    wfi_buffer_reset(&t->body);
    wf_event_fini(&t->done);
}

void wf_http_response_fini(struct wf_http_response *response)
{
    wfi_free(response->location);
    wfi_free(response->body);
    memset(response, 0, sizeof *response);
}
