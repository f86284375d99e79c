/* SPDX-License-Identifier: MIT */
/*
 * What a server shows to clients: the certificates and keys that were read at one time. Immutable
 * once made; a session keeps the identity it began with, however often the files are read anew.
 */
#ifndef WFI_HTTP_TLS_IDENTITY_H
#define WFI_HTTP_TLS_IDENTITY_H

#include <openssl/ssl.h>

#include <weft/tls.h>

#include "base/atomic.h"

struct wfi_tls_identity {
    WFI_ATOMIC(uint32_t) refs;
    BIO_METHOD *method; /* of sessions */
    size_t count;
    SSL_CTX *contexts[]; /* the first is that of the sessions; the others lend their certificate */
};

/* The identity of this moment, with a reference for the caller. */
struct wfi_tls_identity *wfi_tls_identity(struct wf_tls *tls);
void wfi_tls_identity_unref(struct wfi_tls_identity *identity);

/* tls_session.c: what lies between OpenSSL and a session; NULL when there is no memory. */
BIO_METHOD *wfi_tls_session_method(void);

#endif
