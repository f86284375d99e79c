/* SPDX-License-Identifier: MIT */
/*
 * Certificates and keys: read from files into an identity, which is swapped for another when the
 * files are read again.
 *
 * OpenSSL keeps its errors, and more, for the thread, which all fibers of a worker share. So it is
 * called on the worker's own stack, errors are read before that ends, and nothing in between waits:
 * files are in memory before OpenSSL sees them.
 */
#include "http/tls.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <weft/file.h>
#include <weft/worker.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "http/brief_lock.h"
#include "http/tls_identity.h"

#define FILE_BYTES_MAX (1024 * 1024)

struct wf_tls {
    struct wf_mutex lock; /* of `current` */
    struct wfi_tls_identity *current;
    enum wf_tls_version version_min;
    size_t count;
    struct wf_tls_certificate certificates[]; /* with texts of its own */
};

/* ---- identities ---- */

static void free_identity(void *arg)
{
    struct wfi_tls_identity *identity = arg;
    for (size_t i = 0; i < identity->count; i++)
        SSL_CTX_free(identity->contexts[i]);
    BIO_meth_free(identity->method);
    wfi_free(identity);
}

void wfi_tls_identity_unref(struct wfi_tls_identity *identity)
{
    if (identity && wfi_fetch_sub(&identity->refs, 1) == 1)
        wf_worker_call(free_identity, identity);
}

struct wfi_tls_identity *wfi_tls_identity(struct wf_tls *tls)
{
    wfi_lock_briefly(&tls->lock);
    struct wfi_tls_identity *identity = tls->current;
    wfi_fetch_add(&identity->refs, 1);
    wf_mutex_unlock(&tls->lock);
    return identity;
}

/* ---- what is agreed on in a handshake ---- */

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned int len, void *arg)
{
    static const unsigned char own[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    (void)ssl, (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_len, own, sizeof own, offered, len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    const struct wfi_tls_identity *identity = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < identity->count; i++) {
        X509 *leaf = SSL_CTX_get0_certificate(identity->contexts[i]);
        if (X509_check_host(leaf, name, 0, 0, NULL) != 1)
            continue;
        if (i > 0 && !SSL_set_SSL_CTX(ssl, identity->contexts[i]))
            return SSL_TLSEXT_ERR_ALERT_FATAL;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- reading files ---- */

/* Whether the last call into OpenSSL failed for want of memory. */
static bool lacked_memory(void)
{
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

static int fail(struct wf_error *reterr, int code, const char *file, const char *rule)
{
    if (lacked_memory())
        return wf_error_set(reterr, -ENOMEM, NULL);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? wf_error_set(reterr, code, "%s: %s (OpenSSL: %s)", file, rule, reason)
                  : wf_error_set(reterr, code, "%s: %s", file, rule);
}

static int read_file(const char *path, struct wfi_buffer *text, struct wf_error *reterr)
{
    struct wf_file *file;
    struct wf_file_info info;
    int err = wf_file_open(path, &file, &info);
    if (err)
        return wf_error_set(reterr, err, "%s: %s", path, wf_strerror(err));
    ssize_t n = 1;
    while (!err && n > 0 && text->len <= FILE_BYTES_MAX) {
        err = wfi_buffer_reserve(text, 4096);
        if (err)
            break;
        n = wf_file_read(file, text->data + text->len, 4096, (int64_t)text->len);
        if (n < 0)
            err = (int)n;
        else
            text->len += (size_t)n;
    }
    wf_file_close(file);
    if (!err && text->len > FILE_BYTES_MAX)
        return wf_error_set(reterr, WF_ETOOBIG, "%s: larger than any certificate or key", path);
    return err ? wf_error_set(reterr, err, "%s: %s", path, wf_strerror(err)) : 0;
}

/* No passphrase is known, and nobody is asked for one. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing;
    *(bool *)arg = true;
    return -1;
}

static int use_chain(SSL_CTX *context, const char *path, BIO *in, struct wf_error *reterr)
{
    bool encrypted;
    ERR_clear_error();
    X509 *certificate = PEM_read_bio_X509_AUX(in, NULL, no_passphrase, &encrypted);
    if (!certificate)
        return fail(reterr, WF_EPARSE, path, "there is no certificate in PEM form in it");
    int done = SSL_CTX_use_certificate(context, certificate);
    X509_free(certificate);
    if (!done)
        return fail(reterr, WF_ETLS, path, "the certificate is refused");
    for (;;) {
        ERR_clear_error();
        certificate = PEM_read_bio_X509(in, NULL, no_passphrase, &encrypted);
        if (!certificate)
            break;
        if (!SSL_CTX_add0_chain_cert(context, certificate)) {
            X509_free(certificate);
            return fail(reterr, WF_ETLS, path, "a certificate of the chain is refused");
        }
    }
    /* No further one begins; what begins and cannot be read is an error. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return fail(reterr, WF_EPARSE, path, "a certificate of the chain cannot be read");
    return 0;
}

static int use_key(SSL_CTX *context, const struct wf_tls_certificate *files, BIO *in,
                   struct wf_error *reterr)
{
    const char *path = files->key_file;
    bool encrypted = false;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &encrypted);
    if (!key && encrypted)
        return wf_error_set(reterr, WF_ETLS,
                            "%s: the key needs a passphrase; weft takes keys without one", path);
    if (!key)
        return fail(reterr, WF_EPARSE, path, "there is no private key in PEM form in it");
    int matches = X509_check_private_key(SSL_CTX_get0_certificate(context), key);
    int done = matches == 1 && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (!matches && !lacked_memory())
        return wf_error_set(reterr, WF_ETLS, "%s: the key does not belong to the certificate in %s",
                            path, files->chain_file);
    return done ? 0 : fail(reterr, WF_ETLS, path, "the key is refused");
}

static SSL_CTX *make_context(struct wfi_tls_identity *identity, enum wf_tls_version version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, version == WF_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* Tickets do without; so no memory, and no lock, is shared by connections. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context, identity);
    return context;
}

struct loading {
    struct wfi_tls_identity *identity;
    const struct wf_tls_certificate *files;
    enum wf_tls_version version;
    struct wfi_buffer chain, key;
    struct wf_error *reterr;
    int err;
};

/* Adds a context with what the two files hold. */
static int add_context(struct loading *l)
{
    struct wfi_tls_identity *identity = l->identity;
    ERR_clear_error();
    if (!identity->method && !(identity->method = wfi_tls_session_method()))
        return wf_error_set(l->reterr, -ENOMEM, NULL);
    SSL_CTX *context = make_context(identity, l->version);
    if (!context)
        return wf_error_set(l->reterr, -ENOMEM, NULL);
    identity->contexts[identity->count++] = context;
    BIO *chain = BIO_new_mem_buf(l->chain.data, (int)l->chain.len);
    BIO *key = BIO_new_mem_buf(l->key.data, (int)l->key.len);
    int err = chain && key ? use_chain(context, l->files->chain_file, chain, l->reterr)
                           : wf_error_set(l->reterr, -ENOMEM, NULL);
    if (!err)
        err = use_key(context, l->files, key, l->reterr);
    BIO_free(chain);
    BIO_free(key);
    return err;
}

static void load(void *arg)
{
    struct loading *l = arg;
    l->err = add_context(l);
    ERR_clear_error();
}

static int read_identity(const struct wf_tls *tls, struct wfi_tls_identity **ret,
                         struct wf_error *reterr)
{
    struct wfi_tls_identity *identity =
        wfi_zalloc(sizeof *identity + tls->count * sizeof *identity->contexts);
    int err = 0;
    if (!identity)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wfi_store(&identity->refs, 1);
    for (size_t i = 0; i < tls->count && !err; i++) {
        struct loading l = {.identity = identity,
                            .files = &tls->certificates[i],
                            .version = tls->version_min,
                            .reterr = reterr};
        err = read_file(l.files->chain_file, &l.chain, reterr);
        if (!err)
            err = read_file(l.files->key_file, &l.key, reterr);
        if (!err) {
            wf_worker_call(load, &l);
            err = l.err;
        }
        if (l.key.data)
            OPENSSL_cleanse(l.key.data, l.key.size);
        wfi_buffer_reset(&l.chain);
        wfi_buffer_reset(&l.key);
    }
    if (err)
        wfi_tls_identity_unref(identity);
    else
        *ret = identity;
    return err;
}

/* ---- the owner ---- */

static int copy_names(struct wf_tls_certificate *to, const char *chain_file, const char *key_file)
{
    to->chain_file = wfi_strdup(chain_file);
    to->key_file = wfi_strdup(key_file ? key_file : chain_file);
    return to->chain_file && to->key_file ? 0 : -ENOMEM;
}

int wf_tls_create(const struct wf_tls_options *options, struct wf_tls **ret_tls,
                  struct wf_error *reterr)
{
    if (!options || !options->chain_file || (unsigned)options->version_min > WF_TLS_1_3)
        return wf_error_set(reterr, -EINVAL,
                            "TLS takes a file with a certificate, and a version that is known");
    if (options->more_count && !options->more)
        return wf_error_set(reterr, -EINVAL, "more_count counts certificates, and `more` is NULL");
    for (size_t i = 0; i < options->more_count; i++)
        if (!options->more[i].chain_file)
            return wf_error_set(reterr, -EINVAL, "a certificate has a chain_file");
    size_t count = 1 + options->more_count;
    struct wf_tls *tls = wfi_zalloc(sizeof *tls + count * sizeof *tls->certificates);
    if (!tls)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&tls->lock);
    tls->version_min = options->version_min;
    tls->count = count;
    int err = copy_names(&tls->certificates[0], options->chain_file, options->key_file);
    for (size_t i = 1; i < count && !err; i++)
        err = copy_names(&tls->certificates[i], options->more[i - 1].chain_file,
                         options->more[i - 1].key_file);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = read_identity(tls, &tls->current, reterr);
    if (err)
        wf_tls_destroy(tls);
    else
        *ret_tls = tls;
    return err;
}

int wf_tls_reload(struct wf_tls *tls, struct wf_error *reterr)
{
    struct wfi_tls_identity *identity, *before;
    int err = read_identity(tls, &identity, reterr);
    if (err)
        return err;
    wfi_lock_briefly(&tls->lock);
    before = tls->current;
    tls->current = identity;
    wf_mutex_unlock(&tls->lock);
    wfi_tls_identity_unref(before);
    return 0;
}

/* 0 for a time that cannot be read. */
static int64_t seconds_of(const ASN1_TIME *time)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    if (!epoch || !ASN1_TIME_diff(&days, &seconds, epoch, time))
        days = seconds = 0;
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

struct validity {
    X509 *leaf;
    int64_t from_s, until_s;
};

static void look_at_validity(void *arg)
{
    struct validity *validity = arg;
    validity->from_s = seconds_of(X509_get0_notBefore(validity->leaf));
    validity->until_s = seconds_of(X509_get0_notAfter(validity->leaf));
    ERR_clear_error();
}

int wf_tls_validity(struct wf_tls *tls, size_t index, int64_t *ret_from_s, int64_t *ret_until_s)
{
    if (index >= tls->count)
        return -ENOENT;
    struct wfi_tls_identity *identity = wfi_tls_identity(tls);
    struct validity validity = {.leaf = SSL_CTX_get0_certificate(identity->contexts[index])};
    wf_worker_call(look_at_validity, &validity);
    wfi_tls_identity_unref(identity);
    *ret_from_s = validity.from_s;
    *ret_until_s = validity.until_s;
    return 0;
}

void wf_tls_destroy(struct wf_tls *tls)
{
    if (!tls)
        return;
    wfi_tls_identity_unref(tls->current);
    for (size_t i = 0; i < tls->count; i++) {
        wfi_free((char *)(uintptr_t)tls->certificates[i].chain_file);
        wfi_free((char *)(uintptr_t)tls->certificates[i].key_file);
    }
    wf_mutex_fini(&tls->lock);
    wfi_free(tls);
}
