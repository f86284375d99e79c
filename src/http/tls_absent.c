/* SPDX-License-Identifier: MIT */
/*
 * In place of tls.c and tls_session.c in a build without OpenSSL: no struct wf_tls can be made, so
 * nothing else here is ever reached.
 */
#include "http/tls.h"

#include <errno.h>

#include "base/assert.h"

_Noreturn static void unreachable(void)
{
    wfi_assert_fail("this build speaks no TLS: OpenSSL was missing", __FILE__, __LINE__);
}

int wf_tls_create(const struct wf_tls_options *options, struct wf_tls **ret_tls,
                  struct wf_error *reterr)
{
    (void)options, (void)ret_tls;
    return wf_error_set(reterr, -ENOTSUP,
                        "this build speaks no TLS: OpenSSL was missing (Debian: libssl-dev)");
}

int wf_tls_reload(struct wf_tls *tls, struct wf_error *reterr)
{
    (void)tls, (void)reterr;
    unreachable();
}

int wf_tls_validity(struct wf_tls *tls, size_t index, int64_t *ret_from_s, int64_t *ret_until_s)
{
    (void)tls, (void)index, (void)ret_from_s, (void)ret_until_s;
    unreachable();
}

void wf_tls_destroy(struct wf_tls *tls)
{
    if (tls)
        unreachable();
}

int wfi_tls_open(struct wf_tls *tls, struct wf_stream *stream, int64_t write_ns,
                 struct wfi_tls_session **ret_session)
{
    (void)tls, (void)stream, (void)write_ns, (void)ret_session;
    unreachable();
}

int wfi_tls_handshake(struct wfi_tls_session *session, wf_deadline deadline)
{
    (void)session, (void)deadline;
    unreachable();
}

ssize_t wfi_tls_read(struct wfi_tls_session *session, void *buf, size_t len, wf_deadline deadline)
{
    (void)session, (void)buf, (void)len, (void)deadline;
    unreachable();
}

int wfi_tls_write(struct wfi_tls_session *session, const void *data, size_t len,
                  wf_deadline deadline)
{
    (void)session, (void)data, (void)len, (void)deadline;
    unreachable();
}

int wfi_tls_end(struct wfi_tls_session *session, wf_deadline deadline)
{
    (void)session, (void)deadline;
    unreachable();
}

bool wfi_tls_has_input(struct wfi_tls_session *session)
{
    (void)session;
    unreachable();
}

void wfi_tls_trim(struct wfi_tls_session *session)
{
    (void)session;
    unreachable();
}

void wfi_tls_close(struct wfi_tls_session *session)
{
    if (session)
        unreachable();
}
