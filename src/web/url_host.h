/* SPDX-License-Identifier: MIT */
/*
 * The odd forms of a URL's authority, off the fast path of web/url.c: user information, escapes in
 * the host name, IPv4 numbers as C writes them, IPv6 addresses. All write canonical text.
 */
#ifndef WFI_WEB_URL_HOST_H
#define WFI_WEB_URL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wrong with a URL and where: `rule` is a static text, NULL while all is well. */
struct wfi_url_fault {
    int code;
    const char *rule;
    const char *at;
};

/* What a byte may be in a URL without an escape. */
enum {
    WFI_URL_PATH = 1,       /* in a path or query, but for the slash */
    WFI_URL_HOST = 2,       /* in a host name, no matter in which spelling */
    WFI_URL_SCHEME = 4,     /* in a scheme, not at its start */
    WFI_URL_UNRESERVED = 8, /* its escape means the byte itself */
    WFI_URL_USER = 16,      /* in user information */
    WFI_URL_HOST_FAST = 32, /* in the host names of the fast path */
};
extern const uint8_t wfi_url_kind[256];

/* The value of a hexadecimal digit, or -1. */
int wfi_url_hex(unsigned char c);

/* Writes a number in decimal digits, at most ten; returns the place behind them. */
char *wfi_url_decimal(char *out, unsigned number);

/* Writes one byte as an escape; returns the place behind it. Needs three bytes. */
char *wfi_url_escape(char *out, unsigned char c);

/*
 * Writes the escape or the stray % at `in` to `out` in its canonical spelling: one or three bytes.
 * Returns the place behind it in `in` and moves *out.
 */
const char *wfi_url_copy_escape(const char *in, const char *end, char **out);

/*
 * Writes the authority in..end, "user@host:port" in any legal form, to `out`. Returns the place
 * behind the host, before the port is written, or NULL with *fault set.
 *
 * ret_user_len, ret_host   where the parts came to lie: user information at `out`.
 * ret_port                 the port, or -1 where none is written.
 */
char *wfi_url_authority(const char *in, const char *end, char *out, char *limit,
                        size_t *ret_user_len, char **ret_host, int *ret_port,
                        struct wfi_url_fault *fault);

/*
 * A host name at host..end that ends in a number must be an IPv4 address, and is rewritten in
 * dotted form, up to `limit`. Returns the length of the host, rewritten or not, or
 *   WF_EPARSE    it ends in a number but is no address
 *   WF_ETOOBIG   there is no room for the dotted form
 */
int wfi_url_ipv4(char *host, const char *end, const char *limit);

#endif
