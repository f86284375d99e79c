/* SPDX-License-Identifier: MIT */
/*
 * http and https URLs: resolving a reference and bringing it into one canonical spelling in the
 * same pass, so that two links to one page become the same bytes. Pure: no allocation, no sockets.
 *
 *     char text[WF_URL_BYTES_MAX];
 *     struct wf_url page, link;
 *     wf_url_canonical(NULL, "HTTP://Example.org:80/a/b", 25, other, sizeof other, &page, &error);
 *     wf_url_canonical(&page, "../c%7E#top", 11, text, sizeof text, &link, NULL);
 *     (text is "http://example.org/c~")
 *
 * The canonical spelling: scheme and host in lower case; no default port; dot segments removed; the
 * escapes of letters, digits, - . _ ~ decoded, all others with upper-case digits; everything that
 * RFC 3986 does not allow to stand as it is escaped (a stray % too); an empty path is "/"; no
 * fragment. References are read as browsers read them: white space around and line breaks inside
 * are dropped, a backslash is a slash, IPv4 addresses may be written as in C.
 */
#ifndef WEFT_URL_H
#define WEFT_URL_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

/* No canonical URL is longer, its NUL included. RFC 9110 asks for at least 8,000 bytes. */
#define WF_URL_BYTES_MAX 8192

/*
 * The parts of a canonical URL: offsets into a text that the caller keeps. A plain value; nothing
 * to free. Should the text move, `text` may be set to its new place.
 */
struct wf_url {
    const char *text;    /* the whole URL, `len` bytes */
    uint16_t len;        /* without a NUL */
    uint16_t scheme_len; /* from 0: "http" or "https" */
    uint16_t user_at;    /* user information, without the @; user_len 0 when there is none */
    uint16_t user_len;
    uint16_t host_at; /* the host; an IPv6 address with its brackets */
    uint16_t host_len;
    uint16_t path_at; /* the path, from its first slash; ends the authority */
    uint16_t path_len;
    uint16_t query_at; /* behind the ?; query_at == len and no ? when has_query is false */
    uint16_t query_len;
    uint16_t port; /* the port to connect to: the default one where none is written */
    bool has_query;
    bool https;
};

/*
 * Resolves `ref` against `base` and writes it to `out` in its canonical spelling, NUL-terminated.
 *
 * base      the canonical URL of the page that holds the reference, or NULL for none.
 * ref       what the page or the user wrote; bytes outside ASCII are taken as they come.
 * out       where the text goes; may not overlap `ref` or the text of `base`. Undefined on error.
 *           Dot segments pass through it before they are taken out, so a buffer that just holds the
 *           result can be too small; WF_URL_BYTES_MAX bytes are as good as any more.
 * ret_url   receives the parts, its text being `out`; may be NULL. Untouched on error.
 * reterr    receives a text that names the rule that was broken and the offset in `ref`.
 *
 * Returns the length of the text, or
 *   WF_EPARSE          it is no URL: empty, no scheme and no base, no host, bad host or port
 *   -EPROTONOSUPPORT   a URL of another scheme (mailto:, javascript:, ...)
 *   -ENOTSUP           the host name holds characters outside ASCII
 *   WF_ETOOBIG         the text does not fit into `out` or is longer than WF_URL_BYTES_MAX
 * Context: any, never blocks.
 */
WF_API int wf_url_canonical(const struct wf_url *base, const char *ref, size_t ref_len, char *out,
                            size_t out_size, struct wf_url *ret_url, struct wf_error *reterr);

/*
 * Finds the parts of a text that wf_url_canonical wrote.
 *
 * ret_url   receives the parts, its text being `text`; untouched on error.
 *
 * Returns 0, or
 *   -EINVAL   the text does not have the form of a canonical URL
 * Context: any, never blocks.
 */
WF_API int wf_url_split(const char *text, size_t len, struct wf_url *ret_url);

/*
 * Whether two canonical URLs belong to one site: the same host, and the same port or each the
 * default port of its scheme (so that a site that answers on http and https is one).
 * Context: any, never blocks.
 */
WF_API bool wf_url_same_host(const struct wf_url *a, const struct wf_url *b);

/*
 * A number that stands for a canonical URL in a set of known ones. Among n URLs the chance that any
 * two share one is about n * n / 2^65: one in 37 million for a million URLs.
 *
 * seed   any number; one that outsiders cannot know keeps a site from building collisions.
 * Context: any, never blocks.
 */
WF_API uint64_t wf_url_fingerprint(const char *text, size_t len, uint64_t seed);

WF_END_DECLS

#endif
