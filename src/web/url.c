/* SPDX-License-Identifier: MIT */
/*
 * Resolving and canonical spelling of http and https URLs in one pass over the reference (contract
 * in weft/url.h): what the base gives is copied, then every byte of the reference is looked at once
 * and written once.
 *
 *   reference     scheme? //authority? path ?query #fragment
 *   out           scheme://  user@ host :port  path  ?query
 *
 * Dot segments are taken out on the way: when a segment ends, `segment` still tells where it began
 * in `out`; "." moves `out` back to there, ".." one segment further, never before the first slash.
 * Escapes are decoded before that, so that %2e is a dot here as it is in browsers.
 *
 * `limit` leaves room for the final NUL. Everything odd about an authority is in url_host.c.
 */
#include <weft/url.h>

#include "base/assert.h"
#include "base/hash.h"
#include "web/url_host.h"

#include <errno.h>
#include <string.h>

/* One pass: where it is in the reference and in the output. */
struct pass {
    const char *in, *end;
    char *text;  /* the output's first byte */
    char *out;   /* the next byte goes here */
    char *limit; /* the output's last byte, kept for the NUL */
    struct wf_url url;
    struct wfi_url_fault fault;
};

static bool fail(struct pass *p, int code, const char *rule, const char *at)
{
    p->fault = (struct wfi_url_fault){code, rule, at};
    return false;
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static uint16_t offset(const struct pass *p, const char *at)
{
    return (uint16_t)(at - p->text);
}

static bool put(struct pass *p, const char *bytes, size_t len)
{
    if ((size_t)(p->limit - p->out) < len)
        return fail(p, WF_ETOOBIG, "it is too long", p->in);
    memcpy(p->out, bytes, len);
    p->out += len;
    return true;
}

/* Copies the bytes that stand as they are. In locals, because through char pointers the compiler
 * must take each store for one to the pass itself. */
static inline bool copy_plain(struct pass *p)
{
    const char *in = p->in;
    char *out = p->out;
    const size_t left = (size_t)(p->end - in), room = (size_t)(p->limit - out);
    const char *stop = in + (left < room ? left : room);

    while (in < stop && wfi_url_kind[(unsigned char)*in] & WFI_URL_PATH)
        *out++ = *in++;
    p->in = in;
    p->out = out;
    if (wfi_unlikely(out == p->limit && in < p->end))
        return fail(p, WF_ETOOBIG, "it is too long", in);
    return true;
}

/* Copies one escape, or escapes one byte that cannot stand as it is. */
static bool copy_escaped(struct pass *p)
{
    char escape[3], *end = escape;
    const char *next = p->in + 1;
    if (*p->in == '%')
        next = wfi_url_copy_escape(p->in, p->end, &end);
    else
        end = wfi_url_escape(escape, (unsigned char)*p->in);
    if (!put(p, escape, (size_t)(end - escape)))
        return false;
    p->in = next;
    return true;
}

/* The segment from `segment` to out has ended: takes it out again if it was "." or "..". Returns
 * true if so, and then out stands behind a slash. */
static bool drop_dots(struct pass *p, const char *path, char *segment)
{
    const ptrdiff_t len = p->out - segment;
    if (len == 1 && segment[0] == '.') {
        p->out = segment;
        return true;
    }
    if (len == 2 && segment[0] == '.' && segment[1] == '.') {
        p->out = segment;
        if (p->out - 1 > path) {
            p->out--;
            while (p->out[-1] != '/')
                p->out--;
        }
        return true;
    }
    return false;
}

/* Out stands behind a slash of the path that begins at `path`; the reference goes on with path
 * bytes. */
static bool copy_path(struct pass *p, const char *path)
{
    char *segment = p->out;

    for (;;) {
        if (!copy_plain(p))
            return false;
        if (p->in == p->end || *p->in == '?' || *p->in == '#')
            break;
        if (is_slash(*p->in)) {
            if (!drop_dots(p, path, segment))
                *p->out++ = '/'; /* copy_plain has left room for one byte */
            segment = p->out;
            p->in++;
        } else if (!copy_escaped(p)) {
            return false;
        }
    }
    drop_dots(p, path, segment);
    return true;
}

static bool copy_query(struct pass *p)
{
    if (!put(p, "?", 1))
        return false;
    p->in++;
    p->url.has_query = true;
    for (;;) {
        if (!copy_plain(p))
            return false;
        if (p->in == p->end || *p->in == '#')
            return true;
        if (*p->in == '/' || *p->in == '?')
            *p->out++ = *p->in++;
        else if (!copy_escaped(p))
            return false;
    }
}

/* The host, which the reference has at `at`, is written and ends at out; writes the port, -1 being
 * none. */
static bool end_authority(struct pass *p, char *host, int port, const char *at)
{
    const int host_len = wfi_url_ipv4(host, p->out, p->limit);
    if (host_len == WF_ETOOBIG)
        return fail(p, WF_ETOOBIG, "it is too long", at);
    if (host_len < 0)
        return fail(p, WF_EPARSE, "the host ends in a number but is no IPv4 address", at);
    p->out = host + host_len;
    const int usual = p->url.https ? 443 : 80;
    p->url.host_at = offset(p, host);
    p->url.host_len = (uint16_t)(p->out - host);
    p->url.port = (uint16_t)(port < 0 ? usual : port);
    if (port >= 0 && port != usual) {
        char text[6] = ":";
        const char *text_end = wfi_url_decimal(text + 1, (unsigned)port);
        if (!put(p, text, (size_t)(text_end - text)))
            return false;
    }
    return true;
}

/* "host" or "host:port" in plain letters; false when the authority is of another kind. */
static bool plain_authority(struct pass *p, int *ret_port)
{
    const char *in = p->in;
    char *out = p->out;
    int port = -1;

    for (; in < p->end && wfi_url_kind[(unsigned char)*in] & WFI_URL_HOST_FAST; in++) {
        if (out == p->limit)
            return false;
        const char c = *in;
        *out++ = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    if (out == p->out)
        return false;
    if (in < p->end && *in == ':') {
        for (in++; in < p->end && *in >= '0' && *in <= '9'; in++) {
            port = (port < 0 ? 0 : port) * 10 + (*in - '0');
            if (port > 65535)
                return false;
        }
    }
    if (in < p->end && !is_slash(*in) && *in != '?' && *in != '#')
        return false;
    p->in = in;
    p->out = out;
    *ret_port = port;
    return true;
}

/* The reference stands at its authority. */
static bool copy_authority(struct pass *p)
{
    const char *at = p->in;
    char *host = p->out;
    size_t user_len = 0;
    int port;

    if (!plain_authority(p, &port)) {
        const char *end = p->in;
        while (end < p->end && !is_slash(*end) && *end != '?' && *end != '#')
            end++;
        char *out =
            wfi_url_authority(p->in, end, p->out, p->limit, &user_len, &host, &port, &p->fault);
        if (!out)
            return false;
        p->url.user_at = offset(p, p->out);
        p->url.user_len = (uint16_t)user_len;
        p->out = out;
        p->in = end;
    } else {
        p->url.user_at = offset(p, host);
    }
    return end_authority(p, host, port, at);
}

/* Everything behind the authority: the path in full, then the query. */
static bool copy_rest(struct pass *p)
{
    char *path = p->out;
    if (!put(p, "/", 1))
        return false;
    if (p->in < p->end && is_slash(*p->in))
        p->in++;
    p->url.path_at = offset(p, path);
    if (!copy_path(p, path))
        return false;
    p->url.path_len = (uint16_t)(p->out - path);
    return p->in == p->end || *p->in != '?' || copy_query(p);
}

static bool copy_absolute(struct pass *p, bool https)
{
    while (p->in < p->end && is_slash(*p->in))
        p->in++;
    p->url.https = https;
    p->url.scheme_len = https ? 5 : 4;
    return put(p, https ? "https://" : "http://", https ? 8 : 7) && copy_authority(p) &&
           copy_rest(p);
}

/* No scheme, or the base's own: what is missing comes from the base. */
static bool copy_relative(struct pass *p, const struct wf_url *base)
{
    const size_t left = (size_t)(p->end - p->in);

    if (left >= 2 && is_slash(p->in[0]) && is_slash(p->in[1]))
        return copy_absolute(p, base->https);

    p->url = *base;
    p->url.has_query = false;
    if (left > 0 && is_slash(p->in[0]))
        return put(p, base->text, base->path_at) && copy_rest(p);

    if (left == 0 || *p->in == '#') {
        p->url.has_query = base->has_query;
        return put(p, base->text, base->len);
    }
    if (*p->in == '?')
        return put(p, base->text, base->path_at + (size_t)base->path_len) && copy_query(p);

    const char *path = base->text + base->path_at;
    const char *slash = memrchr(path, '/', base->path_len);
    if (!put(p, base->text, (size_t)(slash + 1 - base->text)))
        return false;
    if (!copy_path(p, p->text + base->path_at))
        return false;
    p->url.path_len = (uint16_t)(p->out - p->text - base->path_at);
    return p->in == p->end || *p->in != '?' || copy_query(p);
}

/* The length of the scheme the reference begins with, or 0. */
static size_t scheme_len(const char *in, const char *end)
{
    const char *p = in;
    if (p == end || (*p | 0x20) < 'a' || (*p | 0x20) > 'z')
        return 0;
    while (p < end && wfi_url_kind[(unsigned char)*p] & WFI_URL_SCHEME)
        p++;
    return p < end && *p == ':' ? (size_t)(p - in) : 0;
}

static bool same_letters(const char *text, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((text[i] | 0x20) != lower[i])
            return false;
    return true;
}

/* The whole pass over a reference without control characters or white space around it. */
static bool run(struct pass *p, const struct wf_url *base)
{
    const size_t len = scheme_len(p->in, p->end);
    if (len == 0) {
        if (base)
            return copy_relative(p, base);
        return p->in == p->end
                   ? fail(p, WF_EPARSE, "it is empty", p->in)
                   : fail(p, WF_EPARSE, "it does not begin with http:// or https://", p->in);
    }
    const bool https = len == 5;
    if ((len != 4 && len != 5) || !same_letters(p->in, "https", len))
        return fail(p, -EPROTONOSUPPORT, "its scheme is neither http nor https", p->in);
    p->in += len + 1;
    if (base && base->https == https)
        return copy_relative(p, base);
    return copy_absolute(p, https);
}

static int finish(struct pass *p, struct wf_url *ret_url)
{
    const size_t len = (size_t)(p->out - p->text);
    *p->out = '\0';
    if (ret_url) {
        p->url.text = p->text;
        p->url.len = (uint16_t)len;
        const size_t path_end = p->url.path_at + (size_t)p->url.path_len;
        p->url.query_at = (uint16_t)(p->url.has_query ? path_end + 1 : len);
        p->url.query_len = (uint16_t)(len - p->url.query_at);
        *ret_url = p->url;
    }
    return (int)len;
}

/* Whether any byte is a control character: what browsers drop is among them. Eight at a time. */
static bool has_control(const char *in, size_t len)
{
    uint64_t found = 0;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        const uint64_t v = wfi_hash_load8((const unsigned char *)in + i);
        /* The high bit of a byte becomes one where the byte was below 0x20. */
        found |= (v - 0x2020202020202020u) & ~v & 0x8080808080808080u;
    }
    for (; i < len; i++)
        found |= (unsigned char)in[i] < 0x20;
    return found != 0;
}

static bool is_dropped(char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

/* `at` is in a copy of ref without the dropped bytes: the offset it has in ref itself. */
static size_t original_offset(const char *ref, size_t len, size_t at)
{
    size_t i = 0;
    for (size_t kept = 0; i < len; i++) {
        if (is_dropped(ref[i]))
            continue;
        if (kept++ == at)
            break;
    }
    return i;
}

/*
 * The same for a reference that has control characters: first a copy without those that are
 * dropped. A function of its own, so that the copy does not weigh on the usual path's stack frame.
 */
static __attribute__((noinline)) bool run_cleaned(struct pass *p, const struct wf_url *base)
{
    char copy[WF_URL_BYTES_MAX];
    const char *ref = p->in;
    const size_t ref_len = (size_t)(p->end - p->in);
    size_t len = 0;

    for (size_t i = 0; i < ref_len; i++) {
        if (is_dropped(ref[i]))
            continue;
        if (len == sizeof copy)
            return fail(p, WF_ETOOBIG, "it is too long", &ref[i]);
        copy[len++] = ref[i];
    }
    p->in = copy;
    p->end = copy + len;
    const bool ok = run(p, base);
    if (!ok)
        p->fault.at = ref + original_offset(ref, ref_len, (size_t)(p->fault.at - copy));
    return ok;
}

static int report(const struct wfi_url_fault *fault, const char *ref, size_t len,
                  struct wf_error *err)
{
    if (!err)
        return fault->code;
    /* Enough to know the URL again; what a terminal would act on is shown as a question mark. */
    char shown[160];
    size_t n = len < sizeof shown - 1 ? len : sizeof shown - 1;
    for (size_t i = 0; i < n; i++)
        shown[i] = (unsigned char)ref[i] < 0x20 || ref[i] == 0x7f ? '?' : ref[i];
    shown[n] = '\0';
    return wf_error_set(err, fault->code, "URL '%s%s': %s (at byte %zu)", shown,
                        n < len ? "..." : "", fault->rule, (size_t)(fault->at - ref));
}

int wf_url_canonical(const struct wf_url *base, const char *ref, size_t ref_len, char *out,
                     size_t out_size, struct wf_url *ret_url, struct wf_error *reterr)
{
    struct pass p = {.in = ref, .end = ref + ref_len, .text = out, .out = out};

    while (p.in < p.end && (unsigned char)*p.in <= ' ')
        p.in++;
    while (p.end > p.in && (unsigned char)p.end[-1] <= ' ')
        p.end--;
    if (out_size == 0) {
        fail(&p, WF_ETOOBIG, "it is too long", ref);
        return report(&p.fault, ref, ref_len, reterr);
    }
    p.limit = out + (out_size < WF_URL_BYTES_MAX ? out_size : WF_URL_BYTES_MAX) - 1;

    const bool ok =
        has_control(p.in, (size_t)(p.end - p.in)) ? run_cleaned(&p, base) : run(&p, base);
    return ok ? finish(&p, ret_url) : report(&p.fault, ref, ref_len, reterr);
}

int wf_url_split(const char *text, size_t len, struct wf_url *ret_url)
{
    struct wf_url url = {.text = text, .len = (uint16_t)len};

    if (len >= WF_URL_BYTES_MAX || len < 8 || memcmp(text, "http", 4) != 0)
        return -EINVAL;
    url.https = text[4] == 's';
    url.scheme_len = url.https ? 5 : 4;
    size_t at = url.scheme_len;
    if (memcmp(text + at, "://", 3) != 0)
        return -EINVAL;
    at += 3;
    const char *slash = memchr(text + at, '/', len - at);
    if (!slash)
        return -EINVAL;
    url.path_at = (uint16_t)(slash - text);

    url.user_at = (uint16_t)at;
    const char *end_user = memchr(text + at, '@', url.path_at - at);
    if (end_user) {
        url.user_len = (uint16_t)(end_user - text - at);
        at += url.user_len + (size_t)1;
    }
    url.host_at = (uint16_t)at;
    const char *host_end =
        text + at < slash && text[at] == '[' ? memchr(text + at, ']', url.path_at - at) : text + at;
    const char *colon = host_end ? memchr(host_end, ':', (size_t)(slash - host_end)) : NULL;
    url.host_len = (uint16_t)((colon ? colon : slash) - text - (ptrdiff_t)at);
    if (!host_end || url.host_len == 0)
        return -EINVAL;
    unsigned port = url.https ? 443 : 80;
    if (colon) {
        port = 0;
        for (const char *p = colon + 1; p < slash; p++) {
            if (*p < '0' || *p > '9' || port > 6553)
                return -EINVAL;
            port = port * 10 + (unsigned)(*p - '0');
        }
        if (colon + 1 == slash || port > 65535)
            return -EINVAL;
    }
    url.port = (uint16_t)port;

    const char *question = memchr(slash, '?', len - url.path_at);
    url.has_query = question != NULL;
    url.path_len = (uint16_t)((question ? (size_t)(question - text) : len) - url.path_at);
    url.query_at = (uint16_t)(question ? (size_t)(question - text) + 1 : len);
    url.query_len = (uint16_t)(len - url.query_at);
    *ret_url = url;
    return 0;
}

bool wf_url_same_host(const struct wf_url *a, const struct wf_url *b)
{
    if (a->host_len != b->host_len ||
        memcmp(a->text + a->host_at, b->text + b->host_at, a->host_len) != 0)
        return false;
    const bool usual_a = a->port == (a->https ? 443 : 80),
               usual_b = b->port == (b->https ? 443 : 80);
    return a->port == b->port || (usual_a && usual_b);
}

uint64_t wf_url_fingerprint(const char *text, size_t len, uint64_t seed)
{
    return wfi_hash_bytes(text, len, seed);
}
