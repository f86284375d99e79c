/* SPDX-License-Identifier: MIT */
/*
 * The addresses of brokers and result stores, as Celery writes them:
 *
 *     redis://[[user]:password@][host][:port][/database]
 *     redis+socket:///path[?virtual_host=database]
 *     amqp://[user[:password]@][host][:port][/[vhost]]      (also pyamqp://)
 *     rpc://                                                (results to the caller's queue)
 *
 * Pure. Names and passwords are percent-decoded. The vhost is what stands behind the first slash:
 * none, or nothing, is "/", and so is "//" at the end, the form that Celery prints.
 */
#ifndef WFI_CELERY_URL_H
#define WFI_CELERY_URL_H

#include <weft/error.h>

enum wfi_transport {
    WFI_TRANSPORT_REDIS,
    WFI_TRANSPORT_AMQP,
    WFI_TRANSPORT_RPC, /* a result store only; has none of the fields below */
};

struct wfi_celery_url {
    enum wfi_transport transport;
    char endpoint[300]; /* as wf_dial reads it: "host:port", "unix:/path" */
    char user[128], password[256];
    int database;    /* Redis */
    char vhost[256]; /* AMQP */
};

/*
 * Reads `text`. Returns 0, or, with a text that names the address (but no password) and the rule,
 *   -EINVAL    it is malformed, or a part is too long
 *   -ENOTSUP   the transport is none of these, or asks for TLS
 */
int wfi_celery_url_parse(const char *text, struct wfi_celery_url *ret, struct wf_error *reterr);

/* Room for what wfi_celery_url_format writes. */
#define WFI_CELERY_URL_BYTES 1024

/* Writes it as Celery shows it, a password as two asterisks. Returns `out`. */
const char *wfi_celery_url_format(const struct wfi_celery_url *url, char out[WFI_CELERY_URL_BYTES]);

#endif
