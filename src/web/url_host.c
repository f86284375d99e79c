/* SPDX-License-Identifier: MIT */
/*
 * The odd forms of a URL's authority (contract in url_host.h). Rules: RFC 3986, and where browsers
 * are more lenient, the URL standard of the WHATWG for http and https.
 *
 * A host name is held to what RFC 3986 calls a registered name, after its escapes are decoded.
 * Names outside ASCII are refused with a code of their own, because turning them into their xn--
 * form needs tables that this pure layer does not have.
 */
#include "web/url_host.h"

#include <weft/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALNUM(c) \
    (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z') || ((c) >= '0' && (c) <= '9'))
#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUB_DELIM(c)                                                                      \
    ((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || \
     (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define KIND(c)                                                                       \
    ((UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '@' ? WFI_URL_PATH : 0) | \
     (UNRESERVED(c) || SUB_DELIM(c) ? WFI_URL_HOST : 0) |                             \
     (ALNUM(c) || (c) == '+' || (c) == '-' || (c) == '.' ? WFI_URL_SCHEME : 0) |      \
     (UNRESERVED(c) ? WFI_URL_UNRESERVED : 0) |                                       \
     (UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' ? WFI_URL_USER : 0) |               \
     (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' ? WFI_URL_HOST_FAST : 0))
#define KIND4(c) KIND(c), KIND((c) + 1), KIND((c) + 2), KIND((c) + 3)
#define KIND16(c) KIND4(c), KIND4((c) + 4), KIND4((c) + 8), KIND4((c) + 12)
#define KIND64(c) KIND16(c), KIND16((c) + 16), KIND16((c) + 32), KIND16((c) + 48)

const uint8_t wfi_url_kind[256] = {KIND64(0), KIND64(64), KIND64(128), KIND64(192)};

static char *fail(struct wfi_url_fault *fault, int code, const char *rule, const char *at)
{
    *fault = (struct wfi_url_fault){code, rule, at};
    return NULL;
}

static char *too_long(struct wfi_url_fault *fault, const char *at)
{
    return fail(fault, WF_ETOOBIG, "it is too long", at);
}

int wfi_url_hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *wfi_url_decimal(char *out, unsigned number)
{
    char digits[10];
    size_t len = 0;
    do {
        digits[sizeof digits - ++len] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(out, digits + sizeof digits - len, len);
    return out + len;
}

char *wfi_url_escape(char *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    out[0] = '%';
    out[1] = digits[c >> 4];
    out[2] = digits[c & 15];
    return out + 3;
}

/* The byte that the escape at `in` stands for, or -1 if there is none. */
static int escaped_byte(const char *in, const char *end)
{
    if (end - in < 3)
        return -1;
    const int high = wfi_url_hex((unsigned char)in[1]), low = wfi_url_hex((unsigned char)in[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

const char *wfi_url_copy_escape(const char *in, const char *end, char **out)
{
    const int byte = escaped_byte(in, end);
    if (byte < 0) {
        *out = wfi_url_escape(*out, '%');
        return in + 1;
    }
    if (wfi_url_kind[byte] & WFI_URL_UNRESERVED)
        *(*out)++ = (char)byte;
    else
        *out = wfi_url_escape(*out, (unsigned char)byte);
    return in + 3;
}

static char *put(char *out, const char *limit, const char *bytes, size_t len)
{
    if ((size_t)(limit - out) < len)
        return NULL;
    memcpy(out, bytes, len);
    return out + len;
}

static char *copy_user(const char *in, const char *end, char *out, char *limit,
                       struct wfi_url_fault *fault)
{
    while (in < end) {
        const unsigned char c = (unsigned char)*in;
        const char *at = in++;
        char text[3] = {(char)c}, *text_end = text + 1;
        if (c == '%') {
            text_end = text;
            in = wfi_url_copy_escape(at, end, &text_end);
        } else if (!(wfi_url_kind[c] & WFI_URL_USER)) {
            text_end = wfi_url_escape(text, c);
        }
        out = put(out, limit, text, (size_t)(text_end - text));
        if (!out)
            return too_long(fault, at);
    }
    return out;
}

/*
 * An IPv6 address in its shortest spelling (RFC 5952): the longest run of two or more zero groups,
 * the first of equals, becomes "::".
 */
static char *write_ipv6(const uint16_t group[8], char *out)
{
    int run_at = 8, run_len = 1;
    for (int i = 0; i < 8; i++) {
        int len = 0;
        while (i + len < 8 && group[i + len] == 0)
            len++;
        if (len > run_len) {
            run_at = i;
            run_len = len;
        }
    }
    *out++ = '[';
    for (int i = 0; i < 8; i++) {
        if (i == run_at) {
            *out++ = ':';
            *out++ = ':';
            i += run_len - 1;
            continue;
        }
        if (i > 0 && out[-1] != ':')
            *out++ = ':';
        out += snprintf(out, 5, "%x", (unsigned)group[i]);
    }
    *out++ = ']';
    return out;
}

/* Reads "a.b.c.d" of decimal bytes, all of in..end, into two groups. */
static bool read_ipv4_tail(const char *in, const char *end, uint16_t *group)
{
    unsigned part[4];
    for (int i = 0; i < 4; i++) {
        if (i > 0 && (in == end || *in++ != '.'))
            return false;
        const char *first = in;
        part[i] = 0;
        while (in < end && *in >= '0' && *in <= '9' && in - first < 3)
            part[i] = part[i] * 10 + (unsigned)(*in++ - '0');
        if (in == first || part[i] > 255 || (*first == '0' && in - first > 1))
            return false;
    }
    group[0] = (uint16_t)(part[0] << 8 | part[1]);
    group[1] = (uint16_t)(part[2] << 8 | part[3]);
    return in == end;
}

/* Reads the address between the brackets. */
static bool read_ipv6(const char *in, const char *end, uint16_t group[8])
{
    int count = 0, gap = -1;

    if (end - in >= 2 && in[0] == ':' && in[1] == ':') {
        gap = 0;
        in += 2;
    }
    while (in < end) {
        unsigned value = 0;
        const char *first = in;
        while (in < end && in - first < 4 && wfi_url_hex((unsigned char)*in) >= 0)
            value = value * 16 + (unsigned)wfi_url_hex((unsigned char)*in++);
        if (in < end && *in == '.') {
            if (count > 6 || !read_ipv4_tail(first, end, &group[count]))
                return false;
            count += 2;
            break;
        }
        if (in == first || count == 8)
            return false;
        group[count++] = (uint16_t)value;
        if (in == end)
            break;
        if (*in++ != ':' || in == end)
            return false;
        if (*in == ':') {
            if (gap >= 0)
                return false;
            gap = count;
            in++;
        }
    }
    if (gap < 0)
        return count == 8;
    if (count == 8)
        return false;
    memmove(&group[8 - (count - gap)], &group[gap], (size_t)(count - gap) * sizeof *group);
    memset(&group[gap], 0, (size_t)(8 - count) * sizeof *group);
    return true;
}

static char *copy_host(const char *in, const char *end, char *out, char *limit,
                       struct wfi_url_fault *fault)
{
    char *host = out;

    if (*in == '[') {
        uint16_t group[8];
        if (end[-1] != ']' || !read_ipv6(in + 1, end - 1, group))
            return fail(fault, WF_EPARSE, "the brackets hold no IPv6 address", in);
        char text[8 * 4 + 7 + 2 + 1]; /* groups, colons, brackets, the NUL of the last snprintf */
        out = put(out, limit, text, (size_t)(write_ipv6(group, text) - text));
        return out ? out : too_long(fault, in);
    }
    while (in < end) {
        if (limit - out < 1)
            return too_long(fault, in);
        int c = (unsigned char)*in;
        const char *at = in++;
        if (c == '%') {
            c = escaped_byte(at, end);
            if (c < 0)
                return fail(fault, WF_EPARSE, "the host has a % that begins no escape", at);
            in = at + 3;
        }
        if (c >= 0x80)
            return fail(fault, -ENOTSUP, "the host name is not ASCII (its xn-- form would do)", at);
        if (!(wfi_url_kind[c] & WFI_URL_HOST))
            return fail(fault, WF_EPARSE, "the host holds a character that no host name has", at);
        *out++ = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return out > host ? out : fail(fault, WF_EPARSE, "the host is empty", in);
}

char *wfi_url_authority(const char *in, const char *end, char *out, char *limit,
                        size_t *ret_user_len, char **ret_host, int *ret_port,
                        struct wfi_url_fault *fault)
{
    /* The last @ ends the user information: a password may hold one. */
    const char *at = memrchr(in, '@', (size_t)(end - in));
    size_t user_len = 0;
    if (at) {
        const char *user_end = at;
        const char *colon = memchr(in, ':', (size_t)(at - in));
        if (colon && colon + 1 == at)
            user_end = colon; /* "user:@" says no more than "user@" */
        char *user = out;
        out = copy_user(in, user_end, out, limit, fault);
        if (!out)
            return NULL;
        user_len = (size_t)(out - user);
        if (user_len > 0) {
            if (limit - out < 1)
                return too_long(fault, at);
            *out++ = '@';
        }
        in = at + 1;
    }

    /* Inside the brackets of an IPv6 address a colon begins no port. */
    const char *bracket = in < end && *in == '[' ? memrchr(in, ']', (size_t)(end - in)) : NULL;
    const char *search = bracket ? bracket : in;
    const char *colon = memchr(search, ':', (size_t)(end - search));
    int port = -1;
    for (const char *p = colon ? colon + 1 : end; p < end; p++) {
        if (*p < '0' || *p > '9')
            return fail(fault, WF_EPARSE, "the port is not a number", p);
        port = (port < 0 ? 0 : port) * 10 + (*p - '0');
        if (port > 65535)
            return fail(fault, WF_EPARSE, "the port is above 65535", p);
    }
    const char *host_end = colon ? colon : end;
    if (in == host_end)
        return fail(fault, WF_EPARSE, "the host is empty", in);

    char *host = out;
    out = copy_host(in, host_end, out, limit, fault);
    if (!out)
        return NULL;
    *ret_user_len = user_len;
    *ret_host = host;
    *ret_port = port;
    return out;
}

/* One number of an IPv4 address: decimal, 0 octal, 0x hexadecimal ("0x" is 0). False: no number. */
static bool read_number(const char *in, const char *end, uint64_t *ret)
{
    unsigned base = 10;
    uint64_t value = 0;

    if (in == end)
        return false;
    if (end - in >= 2 && in[0] == '0' && in[1] == 'x') {
        base = 16;
        in += 2;
    } else if (end - in >= 2 && in[0] == '0') {
        base = 8;
        in++;
    }
    for (; in < end; in++) {
        const int digit = wfi_url_hex((unsigned char)*in);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        if (value <= UINT32_MAX) /* beyond that it is too large already, however it goes on */
            value = value * base + (unsigned)digit;
    }
    *ret = value;
    return true;
}

/* Whether the last label is a number: all digits, or 0x and hexadecimal digits. */
static bool ends_in_number(const char *host, const char *end)
{
    const char *label = end;
    while (label > host && label[-1] != '.')
        label--;
    if (label == end || *label < '0' || *label > '9')
        return false;
    size_t digits = 0;
    while (label + digits < end && label[digits] >= '0' && label[digits] <= '9')
        digits++;
    uint64_t value;
    return label + digits == end || read_number(label, end, &value);
}

int wfi_url_ipv4(char *host, const char *end, const char *limit)
{
    const char *last = end > host && end[-1] == '.' ? end - 1 : end;
    if (!ends_in_number(host, last))
        return (int)(end - host);

    uint64_t part[4];
    int count = 0;
    for (const char *in = host;; in++) {
        const char *dot = memchr(in, '.', (size_t)(last - in));
        const char *part_end = dot ? dot : last;
        if (count == 4 || !read_number(in, part_end, &part[count++]))
            return WF_EPARSE;
        if (!dot)
            break;
        in = dot;
    }
    /* The last number fills all the bytes that the others left. */
    uint64_t address = part[count - 1];
    if (address >= (uint64_t)1 << 8 * (5 - count))
        return WF_EPARSE;
    for (int i = 0; i < count - 1; i++) {
        if (part[i] > 255)
            return WF_EPARSE;
        address |= part[i] << 8 * (3 - i);
    }
    char text[15], *text_end = text;
    for (int shift = 24; shift >= 0; shift -= 8) {
        text_end = wfi_url_decimal(text_end, (unsigned)(address >> shift & 255));
        if (shift > 0)
            *text_end++ = '.';
    }
    const int len = (int)(text_end - text);
    if (limit - host < len)
        return WF_ETOOBIG;
    memcpy(host, text, (size_t)len);
    return len;
}
