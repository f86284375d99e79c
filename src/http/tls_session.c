/* SPDX-License-Identifier: MIT */
/*
 * A TLS session between OpenSSL and a stream.
 *
 *     wfi_tls_read  <- SSL_read  <- `in`  <- wf_stream_read
 *     wfi_tls_write -> SSL_write -> `out` -> wf_stream_write
 *
 *  1. OpenSSL reads and writes memory only: a BIO of the session's own takes records from `in`,
 *     asks for more when that is empty, and puts records into `out`. Waiting happens between calls
 *     of OpenSSL, never inside one; a call is made on the worker's own stack, where the error queue
 *     of the thread is also read, which its fibers share.
 *  2. `out` is sent before anything is waited for: else both sides might wait.
 *  3. Both are bounded: `in` is filled only when empty, `out` is sent when OUT_BYTES are in it.
 *  4. After a fatal error (`failed`) OpenSSL is not called any more. An end of the stream is not
 *     told to OpenSSL: this side can still say that it ends. Where the client takes nothing more
 *     (`cut`), what it said before is still read.
 */
#include "http/tls.h"

#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include <weft/worker.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "http/tls_identity.h"

/* A record, its head and the cipher's additions; so most records come with one read. */
#define IN_BYTES (17 * 1024)
#define RECORD_BYTES 16384
#define OUT_BYTES (64 * 1024)

struct wfi_tls_session {
    SSL *ssl;
    struct wfi_tls_identity *identity;
    struct wf_stream *stream;
    int64_t write_ns;
    char *in;
    size_t at, len;
    struct wfi_buffer out;
    bool shaken;       /* hands, to the end */
    bool failed, cut;  /* see 4 */
    bool lacks_memory; /* found so while OpenSSL wrote */
};

/* ---- what OpenSSL takes for the network ---- */

static int take_records(BIO *bio, char *buf, size_t len, size_t *ret_len)
{
    struct wfi_tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->at == s->len) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (len > s->len - s->at)
        len = s->len - s->at;
    memcpy(buf, s->in + s->at, len);
    s->at += len;
    *ret_len = len;
    return 1;
}

static int put_records(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
    struct wfi_tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (wfi_buffer_append(&s->out, data, len)) {
        s->lacks_memory = true;
        return -1;
    }
    *ret_len = len;
    return 1;
}

static long control(BIO *bio, int command, long number, void *arg)
{
    (void)bio, (void)number, (void)arg;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *wfi_tls_session_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weft stream");
    if (method) {
        BIO_meth_set_read_ex(method, take_records);
        BIO_meth_set_write_ex(method, put_records);
        BIO_meth_set_ctrl(method, control);
    }
    return method;
}

static BIO *make_bio(struct wfi_tls_session *s)
{
    BIO *bio = BIO_new(s->identity->method);
    if (bio) {
        BIO_set_data(bio, s);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- the stream ---- */

static int send_out(struct wfi_tls_session *s, wf_deadline deadline)
{
    int err = 0;
    if (s->out.len)
        err = s->cut ? -EPIPE : wf_stream_write(s->stream, s->out.data, s->out.len, deadline);
    wfi_buffer_clear(&s->out);
    s->cut |= err != 0; /* part of a record may have been sent */
    return err;
}

/* Makes `in` not empty. */
static int fill_in(struct wfi_tls_session *s, wf_deadline deadline)
{
    int err = send_out(s, wf_after(s->write_ns));
    if (err == -ETIMEDOUT || err == -ECANCELED)
        return err;
    if (!s->in && !(s->in = wfi_alloc(IN_BYTES)))
        return -ENOMEM;
    ssize_t n = wf_stream_read(s->stream, s->in, IN_BYTES, deadline);
    if (n <= 0)
        return n == 0 ? WF_ESHORT : (int)n;
    s->at = 0;
    s->len = (size_t)n;
    return 0;
}

/* ---- calls of OpenSSL ---- */

enum call_kind { CALL_OPEN, CALL_ACCEPT, CALL_READ, CALL_WRITE, CALL_END, CALL_CLOSE };

struct call {
    struct wfi_tls_session *session;
    enum call_kind kind;
    void *data;
    size_t len, done; /* of data */
    int err;          /* -EAGAIN: OpenSSL needs more of `in`; 1: the client has said that it ends */
};

static int open_ssl(struct wfi_tls_session *s)
{
    s->ssl = SSL_new(s->identity->contexts[0]);
    BIO *bio = s->ssl ? make_bio(s) : NULL;
    if (!bio)
        return -ENOMEM;
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_accept_state(s->ssl);
    return 0;
}

/* What the last call, which returned `rc`, ended with. */
static int outcome_of(struct wfi_tls_session *s, int rc)
{
    int what = SSL_get_error(s->ssl, rc);
    bool lacks_memory =
        s->lacks_memory || ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
    if (what == SSL_ERROR_WANT_READ && !lacks_memory)
        return -EAGAIN;
    if (what == SSL_ERROR_ZERO_RETURN)
        return 1;
    s->failed = true;
    return lacks_memory ? -ENOMEM : s->shaken ? WF_EPROTOCOL : WF_ETLS;
}

/* Most often there is nothing to clear, which is told sooner. */
static void clear_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

static void make_call(void *arg)
{
    struct call *call = arg;
    struct wfi_tls_session *s = call->session;
    int rc = 1;
    clear_errors();
    switch (call->kind) {
    case CALL_OPEN:
        call->err = open_ssl(s);
        break;
    case CALL_ACCEPT:
        rc = SSL_accept(s->ssl);
        break;
    case CALL_READ:
        rc = SSL_read_ex(s->ssl, call->data, call->len, &call->done);
        break;
    case CALL_WRITE:
        rc = SSL_write_ex(s->ssl, call->data, call->len, &call->done);
        break;
    case CALL_END:
        rc = SSL_shutdown(s->ssl) < 0 ? -1 : 1; /* 0: the client has not ended yet */
        break;
    case CALL_CLOSE:
        SSL_free(s->ssl);
        break;
    }
    if (rc != 1)
        call->err = outcome_of(s, rc);
    clear_errors();
}

/*
 * On the worker's own stack: OpenSSL needs much of it at times, which a fiber would keep; and what
 * it keeps for the thread is then used by one context only. When the session has failed an alert
 * says why, if the client takes it at once.
 */
static int call(struct wfi_tls_session *s, enum call_kind kind, void *data, size_t len,
                size_t *ret_done)
{
    struct call c = {.session = s, .kind = kind, .data = data, .len = len};
    wf_worker_call(make_call, &c);
    if (s->failed)
        (void)send_out(s, WF_NOW);
    if (!c.err && ret_done)
        *ret_done = c.done;
    return c.err;
}

/* ---- the session ---- */

int wfi_tls_open(struct wf_tls *tls, struct wf_stream *stream, int64_t write_ns,
                 struct wfi_tls_session **ret_session)
{
    struct wfi_tls_session *s = wfi_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    s->stream = stream;
    s->write_ns = write_ns;
    s->identity = wfi_tls_identity(tls);
    int err = call(s, CALL_OPEN, NULL, 0, NULL);
    if (err)
        wfi_tls_close(s);
    else
        *ret_session = s;
    return err;
}

void wfi_tls_close(struct wfi_tls_session *s)
{
    if (!s)
        return;
    wfi_buffer_clear(&s->out); /* nothing is sent from here on */
    (void)call(s, CALL_CLOSE, NULL, 0, NULL);
    wfi_tls_identity_unref(s->identity);
    wfi_buffer_reset(&s->out);
    wfi_free(s->in);
    wfi_free(s);
}

/* Every record of a client's begins with a number below 32, every method with a letter. */
static bool is_plain_http(const struct wfi_tls_session *s)
{
    return s->len > 0 && s->in[0] >= 'A' && s->in[0] <= 'Z';
}

int wfi_tls_handshake(struct wfi_tls_session *s, wf_deadline deadline)
{
    int err = fill_in(s, deadline);
    if (!err && is_plain_http(s))
        err = WF_EPROTOCOL;
    while (!err) {
        err = call(s, CALL_ACCEPT, NULL, 0, NULL);
        if (!err)
            break;
        if (err == -EAGAIN)
            err = fill_in(s, deadline);
        else if (err > 0)
            err = WF_ESHORT;
    }
    /* In TLS 1.3 the client waits for nothing more: its tickets go with the first answer. */
    if (!err && SSL_version(s->ssl) < TLS1_3_VERSION)
        err = send_out(s, deadline);
    s->shaken = !err;
    s->failed |= err != 0;
    return err;
}

ssize_t wfi_tls_read(struct wfi_tls_session *s, void *buf, size_t len, wf_deadline deadline)
{
    size_t n = 0;
    int err = 0;
    while (!err) {
        if (s->failed)
            return -EPIPE;
        err = call(s, CALL_READ, buf, len, &n);
        if (!err)
            return (ssize_t)n;
        if (err == -EAGAIN)
            err = fill_in(s, deadline);
    }
    return err > 0 ? 0 : err;
}

int wfi_tls_write(struct wfi_tls_session *s, const void *data, size_t len, wf_deadline deadline)
{
    char *at = (char *)(uintptr_t)data;
    int err = 0;
    while (!err && len) {
        size_t n = 0;
        if (s->failed || s->cut)
            return -EPIPE;
        err = call(s, CALL_WRITE, at, len < RECORD_BYTES ? len : RECORD_BYTES, &n);
        if (err) /* only a handshake would have to read first, and there is no second one */
            return err == -EAGAIN || err > 0 ? WF_EPROTOCOL : err;
        at += n;
        len -= n;
        if (s->out.len >= OUT_BYTES)
            err = send_out(s, deadline);
    }
    return err ? err : send_out(s, deadline);
}

int wfi_tls_end(struct wfi_tls_session *s, wf_deadline deadline)
{
    if (!s->shaken || s->failed || s->cut)
        return 0;
    int err = call(s, CALL_END, NULL, 0, NULL);
    return err < 0 && err != -EAGAIN ? err : send_out(s, deadline);
}

bool wfi_tls_has_input(struct wfi_tls_session *s)
{
    return s->at < s->len || (!s->failed && SSL_has_pending(s->ssl));
}

void wfi_tls_trim(struct wfi_tls_session *s)
{
    if (s->at == s->len) {
        wfi_free(s->in);
        s->in = NULL;
    }
    if (!s->out.len)
        wfi_buffer_reset(&s->out);
}
