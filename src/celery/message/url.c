/* SPDX-License-Identifier: MIT */
#include "celery/message/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

/* The address without what may be a password: that must not get into logs. */
static int refuse(struct wf_error *reterr, int code, const char *text, const char *rule)
{
    const char *scheme_end = strstr(text, "://");
    const char *from = scheme_end ? scheme_end + 3 : text;
    const char *at = strrchr(from, '@');
    int shown = scheme_end ? (int)(scheme_end + 3 - text) : 0;
    if (shown > 40)
        shown = 40;
    return wf_error_set(reterr, code, "the address %.*s%s%.120s: %s", shown, text, at ? "...@" : "",
                        at ? at + 1 : from, rule);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %41. Returns false when an escape is wrong, is a NUL, or the result does not fit. */
static bool decode(struct slice from, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.at[i];
        if (c == '%') {
            if (i + 2 >= from.len)
                return false;
            int high = digit_of(from.at[i + 1]), low = digit_of(from.at[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!c || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

/* Decimal, at most `max`; returns -1 for anything else. */
static long number(struct slice text, long max)
{
    long value = 0;
    if (text.len == 0 || text.len > 9)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value = value * 10 + (text.at[i] - '0');
    }
    return value <= max ? value : -1;
}

/* Cuts `text` at the first `c`: returns what stands before it, and leaves what stands behind, or
 * leaves `text` empty with a NULL when there is none. */
static struct slice cut(struct slice *text, char c)
{
    struct slice head = *text;
    const char *found = text->len ? memchr(text->at, c, text->len) : NULL;
    if (found) {
        head.len = (size_t)(found - text->at);
        *text = (struct slice){found + 1, text->len - head.len - 1};
    } else {
        *text = (struct slice){NULL, 0};
    }
    return head;
}

/* user:password@; the last @ ends it, as a password may hold one. Returns false when malformed. */
static bool take_user(struct slice *authority, struct wfi_celery_url *url)
{
    size_t at = authority->len;
    while (at > 0 && authority->at[at - 1] != '@')
        at--;
    if (at == 0)
        return true;
    struct slice who = {authority->at, at - 1};
    *authority = (struct slice){authority->at + at, authority->len - at};
    struct slice user = cut(&who, ':');
    return decode(user, url->user, sizeof url->user) &&
           decode(who, url->password, sizeof url->password);
}

/* host:port, both with defaults; an IPv6 host in brackets. Returns false when malformed. */
static bool take_endpoint(struct slice authority, int default_port, struct wfi_celery_url *url)
{
    size_t host_len = authority.len;
    long port = default_port;
    if (authority.len && authority.at[0] == '[') {
        const char *end = memchr(authority.at, ']', authority.len);
        if (!end)
            return false;
        host_len = (size_t)(end - authority.at) + 1;
    } else {
        const char *colon = authority.len ? memchr(authority.at, ':', authority.len) : NULL;
        if (colon)
            host_len = (size_t)(colon - authority.at);
    }
    if (host_len < authority.len) {
        struct slice digits = {authority.at + host_len + 1, authority.len - host_len - 1};
        if (authority.at[host_len] != ':')
            return false;
        if (digits.len)
            port = number(digits, 65535);
        if (port <= 0)
            return false;
    }
    struct slice host = {authority.at, host_len};
    if (!host.len)
        host = (struct slice){"localhost", 9};
    int n = snprintf(url->endpoint, sizeof url->endpoint, "%.*s:%ld", (int)host.len, host.at, port);
    return n > 0 && (size_t)n < sizeof url->endpoint;
}

static int parse_redis(const char *text, struct slice authority, struct slice path,
                       struct slice query, struct wfi_celery_url *url, struct wf_error *reterr)
{
    url->transport = WFI_TRANSPORT_REDIS;
    if (query.len)
        return refuse(reterr, -EINVAL, text, "parameters behind ? are not known here");
    if (!take_user(&authority, url))
        return refuse(reterr, -EINVAL, text, "the user or password is malformed or too long");
    if (!take_endpoint(authority, 6379, url))
        return refuse(reterr, -EINVAL, text, "the host or port is malformed");
    if (path.len) {
        long database = number(path, 1000000);
        if (database < 0)
            return refuse(reterr, -EINVAL, text, "the database is not a number");
        url->database = (int)database;
    }
    return 0;
}

static int parse_socket(const char *text, struct slice rest, struct slice query,
                        struct wfi_celery_url *url, struct wf_error *reterr)
{
    static const char key[] = "virtual_host=";
    char path[108];
    url->transport = WFI_TRANSPORT_REDIS;
    if (!rest.len || rest.at[0] != '/' || !decode(rest, path, sizeof path))
        return refuse(reterr, -EINVAL, text, "the path of the socket is malformed or too long");
    snprintf(url->endpoint, sizeof url->endpoint, "unix:%s", path);
    if (query.len) {
        long database = -1;
        if (query.len >= sizeof key && memcmp(query.at, key, sizeof key - 1) == 0)
            database = number((struct slice){query.at + sizeof key - 1, query.len - sizeof key + 1},
                              1000000);
        if (database < 0)
            return refuse(reterr, -EINVAL, text, "only virtual_host=NUMBER may follow the ?");
        url->database = (int)database;
    }
    return 0;
}

static int parse_amqp(const char *text, struct slice authority, bool has_path, struct slice path,
                      struct slice query, struct wfi_celery_url *url, struct wf_error *reterr)
{
    url->transport = WFI_TRANSPORT_AMQP;
    if (query.len)
        return refuse(reterr, -EINVAL, text, "parameters behind ? are not known here");
    if (!take_user(&authority, url))
        return refuse(reterr, -EINVAL, text, "the user or password is malformed or too long");
    if (!url->user[0])
        snprintf(url->user, sizeof url->user, "guest");
    if (!url->password[0] && strcmp(url->user, "guest") == 0)
        snprintf(url->password, sizeof url->password, "guest");
    if (!take_endpoint(authority, 5672, url))
        return refuse(reterr, -EINVAL, text, "the host or port is malformed");
    if (!has_path || !path.len)
        snprintf(url->vhost, sizeof url->vhost, "/");
    else if (!decode(path, url->vhost, sizeof url->vhost))
        return refuse(reterr, -EINVAL, text, "the virtual host is malformed or too long");
    return 0;
}

int wfi_celery_url_parse(const char *text, struct wfi_celery_url *ret, struct wf_error *reterr)
{
    struct wfi_celery_url url = {0};
    const char *mark = strstr(text, "://");
    if (!mark)
        return refuse(reterr, -EINVAL, text, "an address begins with redis:// or amqp://");
    struct slice scheme = {text, (size_t)(mark - text)};
    struct slice rest = {mark + 3, strlen(mark + 3)};
#define IS(name) (scheme.len == sizeof name - 1 && memcmp(scheme.at, name, scheme.len) == 0)
    bool redis = IS("redis"), socket = IS("redis+socket"), amqp = IS("amqp") || IS("pyamqp");
    bool rpc = IS("rpc"), secure = IS("rediss") || IS("amqps");
#undef IS
    if (secure)
        return refuse(reterr, -ENOTSUP, text, "connections to brokers do not go over TLS here");
    if (memchr(rest.at, ';', rest.len))
        return refuse(reterr, -ENOTSUP, text, "one address, not a list");
    struct slice before = cut(&rest, '?'), query = rest, path = before;
    struct slice authority = cut(&path, '/');
    int err;
    if (redis) {
        err = parse_redis(text, authority, path, query, &url, reterr);
    } else if (socket) {
        err = parse_socket(text, before, query, &url, reterr);
    } else if (amqp) {
        err = parse_amqp(text, authority, path.at != NULL, path, query, &url, reterr);
    } else if (rpc) {
        url.transport = WFI_TRANSPORT_RPC;
        err = 0;
    } else {
        err = refuse(reterr, -ENOTSUP, text, "the transport is none of redis, amqp and rpc");
    }
    if (!err)
        *ret = url;
    return err;
}

const char *wfi_celery_url_format(const struct wfi_celery_url *url, char out[WFI_CELERY_URL_BYTES])
{
    const char *secret = url->password[0] ? ":**" : "", *at = "@";
    if (!url->user[0] && !url->password[0])
        at = "";
    switch (url->transport) {
    case WFI_TRANSPORT_REDIS:
        if (strncmp(url->endpoint, "unix:", 5) == 0)
            snprintf(out, WFI_CELERY_URL_BYTES, "redis+socket://%s?virtual_host=%d",
                     url->endpoint + 5, url->database);
        else
            snprintf(out, WFI_CELERY_URL_BYTES, "redis://%s%s%s%s/%d", url->user, secret, at,
                     url->endpoint, url->database);
        break;
    case WFI_TRANSPORT_AMQP:
        snprintf(out, WFI_CELERY_URL_BYTES, "amqp://%s%s%s%s/%s", url->user, secret, at,
                 url->endpoint, url->vhost);
        break;
    case WFI_TRANSPORT_RPC:
        snprintf(out, WFI_CELERY_URL_BYTES, "rpc://");
        break;
    }
    return out;
}
