/* SPDX-License-Identifier: MIT */
/*
 * Certificates and keys for a server that speaks TLS (weft/server.h):
 *
 *     wf_tls_create(&(struct wf_tls_options){.chain_file = "site.pem", .key_file = "site.key"},
 *                   &tls, &error);
 *     wf_server_listen(server, "[::]:8443", NULL, &error);
 *     wf_server_secure(server, 0, tls, &error);           (the first listener)
 *
 * What the server offers is HTTP/1.1 over TLS 1.2 and 1.3, with OpenSSL's own choice of ciphers;
 * clients may come back by a session ticket. A client that offers other protocols only (ALPN) is
 * refused, and so is renegotiation.
 */
#ifndef WEFT_TLS_H
#define WEFT_TLS_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_tls;

enum wf_tls_version {
    WF_TLS_DEFAULT, /* 1.2 */
    WF_TLS_1_2,
    WF_TLS_1_3,
};

struct wf_tls_certificate {
    const char *chain_file; /* PEM: the server's certificate, then those that lead to the root */
    const char *key_file;   /* PEM, without a passphrase; NULL: the key is in chain_file */
};

/* Zero means the default. */
struct wf_tls_options {
    const char *chain_file, *key_file; /* as above */

    /* Further certificates, for clients that ask for one of their names (SNI). All other clients
     * get the first. */
    const struct wf_tls_certificate *more;
    size_t more_count;

    enum wf_tls_version version_min;
};

/*
 * Reads certificates and keys. That a certificate has expired, or is not yet valid, is no error;
 * see wf_tls_validity.
 *
 * options   copied
 * ret_tls   receives it, to be given to wf_tls_destroy
 *
 * Returns 0, or, with a text that names the file,
 *   -EINVAL     no chain_file, a more_count without `more`, or an unknown version
 *   -ENOENT, -EACCES and others of wf_file_open
 *   WF_EPARSE   what is in the file is no certificate or no key
 *   WF_ETOOBIG  the file is larger than 1 MiB
 *   WF_ETLS     the key belongs to another certificate, needs a passphrase, or is refused by
 *               OpenSSL (too short, say)
 *   -ENOTSUP    this build of weft has no TLS
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_tls_create(const struct wf_tls_options *options, struct wf_tls **ret_tls,
                         struct wf_error *reterr);

/*
 * Reads the files again. Connections that come from now on get what is in them; the others keep
 * what they have. On failure nothing changes. Session tickets from before are not taken any more.
 *
 * Returns as wf_tls_create.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_tls_reload(struct wf_tls *tls, struct wf_error *reterr);

/*
 * From when and until when the `index`-th certificate is valid, in seconds since 1970; 0 is that of
 * chain_file.
 *
 * Returns 0, or -ENOENT when there are not so many.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_tls_validity(struct wf_tls *tls, size_t index, int64_t *ret_from_s,
                           int64_t *ret_until_s);

/*
 * Frees it. The servers that use it have been destroyed. NULL is fine.
 * Context: any, never blocks; by the owner.
 */
WF_API void wf_tls_destroy(struct wf_tls *tls);

WF_END_DECLS

#endif
