/* SPDX-License-Identifier: MIT */
/*
 * The server's side of TLS on a stream: plain bytes here, records there.
 *
 * One party at a time uses a session. Every wait is a read or a write of the stream, so deadlines
 * and cancellation are the stream's, on fibers and threads alike. OpenSSL itself never waits: it
 * sees only memory (see tls_session.c).
 */
#ifndef WFI_HTTP_TLS_H
#define WFI_HTTP_TLS_H

#include <weft/stream.h>
#include <weft/tls.h>

struct wfi_tls_session;

/*
 * A session on `stream`, which stays the caller's, with the certificates of this moment.
 * write_ns is the time the client has to take what the session itself has to say.
 * Returns 0 or -ENOMEM.
 */
int wfi_tls_open(struct wf_tls *tls, struct wf_stream *stream, int64_t write_ns,
                 struct wfi_tls_session **ret_session);

/*
 * The handshake. Returns 0, or WF_EPROTOCOL when the client speaks plain HTTP, WF_ETLS when the
 * two do not agree or it speaks something else, WF_ESHORT when it ended its side, -ENOMEM, or an
 * error of the stream. After any of them the session is good for nothing but closing.
 */
int wfi_tls_handshake(struct wfi_tls_session *session, wf_deadline deadline);

/* As wf_stream_read; 0 is an end that the client announced, WF_ESHORT one that it did not,
 * WF_EPROTOCOL what is no TLS. */
ssize_t wfi_tls_read(struct wfi_tls_session *session, void *buf, size_t len, wf_deadline deadline);

/* As wf_stream_write. */
int wfi_tls_write(struct wfi_tls_session *session, const void *data, size_t len,
                  wf_deadline deadline);

/* Tells the client that nothing more comes. Returns 0 or an error of the stream. */
int wfi_tls_end(struct wfi_tls_session *session, wf_deadline deadline);

/* Whether something has come that no read has given yet. */
bool wfi_tls_has_input(struct wfi_tls_session *session);

/* Gives memory back that is not needed while nothing comes. */
void wfi_tls_trim(struct wfi_tls_session *session);

/* Frees the session, NULL too. */
void wfi_tls_close(struct wfi_tls_session *session);

#endif
