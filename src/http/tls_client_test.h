/* SPDX-License-Identifier: MIT */
/*
 * For tests of TLS: certificates made on the spot, and a client in which OpenSSL sees memory only,
 * so that what it sends can be cut anywhere. Both sides of a test may run in one thread.
 */
#ifndef TLS_CLIENT_TEST_H
#define TLS_CLIENT_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <weft/stream.h>

static inline wf_deadline in_time(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* ---- certificates ---- */

struct certificate {
    char chain[128], key[128];
};

struct wanted {
    const char *name; /* of the host */
    int from_day, until_day;
    bool rsa;
    const char *passphrase; /* of the key */
};

/* Writes NAME.pem and NAME.key to `folder`: a certificate that vouches for itself. */
static inline struct certificate make_certificate(const char *folder, const char *file,
                                                  const struct wanted *wanted)
{
    struct certificate c;
    char alt[100];
    snprintf(c.chain, sizeof c.chain, "%s/%s.pem", folder, file);
    snprintf(c.key, sizeof c.key, "%s/%s.key", folder, file);
    snprintf(alt, sizeof alt, "DNS:%s", wanted->name);
    EVP_PKEY *key = wanted->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_true(key && x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), (long)(uintptr_t)x >> 4 & 0xffffff);
    X509_time_adj_ex(X509_getm_notBefore(x), wanted->from_day, 0, NULL);
    X509_time_adj_ex(X509_getm_notAfter(x), wanted->until_day ? wanted->until_day : 1, 0, NULL);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wanted->name, -1,
                               -1, 0);
    X509_set_issuer_name(x, name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *out = fopen(c.chain, "w");
    assert_true(out && PEM_write_X509(out, x));
    fclose(out);
    out = fopen(c.key, "w");
    assert_true(out && PEM_write_PrivateKey(out, key, wanted->passphrase ? EVP_aes_128_cbc() : NULL,
                                            NULL, 0, NULL, (void *)(uintptr_t)wanted->passphrase));
    fclose(out);
    X509_free(x);
    EVP_PKEY_free(key);
    return c;
}

/* ---- a client ---- */

struct tls_client {
    SSL *ssl;
    struct wf_stream *stream;
    size_t at_once; /* bytes sent with one write; 0: all */
    char *text;     /* what came, with a NUL behind it */
    size_t len, size;
};

/* Sends what OpenSSL has to say. */
static inline int tls_send(struct tls_client *c)
{
    char buf[4096];
    int n, err = 0;
    BIO *out = SSL_get_wbio(c->ssl);
    size_t most = c->at_once && c->at_once < sizeof buf ? c->at_once : sizeof buf;
    while (!err && (n = BIO_read(out, buf, (int)most)) > 0)
        err = wf_stream_write(c->stream, buf, (size_t)n, in_time());
    return err;
}

/* Takes what has come for OpenSSL. */
static inline ssize_t tls_take(struct tls_client *c)
{
    char buf[16384];
    ssize_t n = wf_stream_read(c->stream, buf, sizeof buf, in_time());
    if (n > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(c->ssl), buf, (int)n), n);
    return n;
}

/* Returns 1, WF_EPROTOCOL when OpenSSL gave up (see tls_alert), or an error of the stream; 0 is its
 * end. */
static inline int tls_connect(struct tls_client *c)
{
    for (;;) {
        ERR_clear_error();
        int rc = SSL_connect(c->ssl), what = SSL_get_error(c->ssl, rc);
        int err = tls_send(c);
        if (rc == 1)
            return err ? err : 1;
        if (what != SSL_ERROR_WANT_READ)
            return WF_EPROTOCOL;
        ssize_t n = tls_take(c);
        if (n <= 0)
            return (int)n;
    }
}

/* The same in all but what comes: 1, 0 when the peer said that it ends, or as above. */
static inline int tls_read_more(struct tls_client *c)
{
    for (;;) {
        size_t n;
        if (c->size - c->len < 16385) {
            c->size = 2 * c->size + 40000;
            c->text = realloc(c->text, c->size);
            assert_non_null(c->text);
        }
        ERR_clear_error();
        int rc = SSL_read_ex(c->ssl, c->text + c->len, c->size - c->len - 1, &n);
        int what = SSL_get_error(c->ssl, rc);
        (void)tls_send(c);
        if (rc == 1) {
            c->len += n;
            c->text[c->len] = '\0';
            return 1;
        }
        if (what == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (what != SSL_ERROR_WANT_READ)
            return WF_EPROTOCOL;
        ssize_t came = tls_take(c);
        if (came <= 0)
            return came ? (int)came : WF_ESHORT;
    }
}

static inline void tls_say(struct tls_client *c, const void *data, size_t len)
{
    size_t n;
    ERR_clear_error();
    assert_int_equal(SSL_write_ex(c->ssl, data, len, &n), 1);
    assert_int_equal(n, len);
    assert_int_equal(tls_send(c), 0);
}

static inline void tls_say_text(struct tls_client *c, const char *text)
{
    tls_say(c, text, strlen(text));
}

static inline void tls_forget(struct tls_client *c)
{
    c->len = 0;
    if (c->text)
        c->text[0] = '\0';
}

/* Reads until `text` has come, and forgets all up to its end. */
static inline void tls_expect(struct tls_client *c, const char *text)
{
    for (;;) {
        char *found = c->len ? memmem(c->text, c->len, text, strlen(text)) : NULL;
        if (found) {
            size_t gone = (size_t)(found - c->text) + strlen(text);
            memmove(c->text, c->text + gone, c->len - gone + 1);
            c->len -= gone;
            return;
        }
        int rc = tls_read_more(c);
        if (rc != 1)
            fail_msg("expected \"%s\", got \"%s\" and %d", text, c->text ? c->text : "", rc);
    }
}

/* Reads to the end, which the server has to announce. */
static inline void tls_expect_end(struct tls_client *c)
{
    int rc;
    while ((rc = tls_read_more(c)) == 1)
        ;
    if (rc)
        fail_msg("an end that is not announced, %d, behind \"%s\"", rc, c->text);
}

/* On a stream of its own, which belongs to the client from now on. */
static inline void tls_begin(struct tls_client *c, SSL_CTX *context, struct wf_stream *stream)
{
    *c = (struct tls_client){.stream = stream, .ssl = SSL_new(context)};
    assert_non_null(c->ssl);
    SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(c->ssl), -1);
}

static inline void tls_hang_up(struct tls_client *c)
{
    SSL_free(c->ssl);
    wf_stream_close(c->stream);
    free(c->text);
}

/* Ends in good order: the peer is told. */
static inline void tls_take_leave(struct tls_client *c)
{
    ERR_clear_error();
    SSL_shutdown(c->ssl);
    (void)tls_send(c);
    tls_hang_up(c);
}

/* What the peer's fatal alert said, or "" when there was none. */
static inline const char *tls_alert(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "";
}

#endif
