/* SPDX-License-Identifier: MIT */
/*
 * URLs: tables of single cases, the reference-resolution examples of RFC 3986 section 5.4, and
 * properties of random references (print the seed, set WEFT_TEST_SEED to replay).
 */
#include <weft/url.h>

#include "base/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct example {
    const char *ref, *expected;
};

#define CHECK_ALL(base, table)                                          \
    do {                                                                \
        for (size_t i_ = 0; i_ < sizeof(table) / sizeof *(table); i_++) \
            check((base), (table)[i_].ref, (table)[i_].expected);       \
    } while (0)

static void assert_same_url(const struct wf_url *a, const struct wf_url *b)
{
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->scheme_len, b->scheme_len);
    assert_int_equal(a->user_at, b->user_at);
    assert_int_equal(a->user_len, b->user_len);
    assert_int_equal(a->host_at, b->host_at);
    assert_int_equal(a->host_len, b->host_len);
    assert_int_equal(a->port, b->port);
    assert_int_equal(a->path_at, b->path_at);
    assert_int_equal(a->path_len, b->path_len);
    assert_int_equal(a->query_at, b->query_at);
    assert_int_equal(a->query_len, b->query_len);
    assert_int_equal(a->has_query, b->has_query);
    assert_int_equal(a->https, b->https);
}

/* What holds for every canonical URL, whatever it came from. */
static void assert_canonical(const char *text, size_t len, const struct wf_url *url)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._~!$&'()*+,;=:@/?%[]";
    assert_int_equal(strlen(text), len);
    assert_int_equal(strspn(text, allowed), len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%')
            continue;
        assert_true(len - i > 2 && strspn(text + i + 1, "0123456789ABCDEF") >= 2);
        const char c = (char)strtol((char[]){text[i + 1], text[i + 2], 0}, NULL, 16);
        assert_true(c == 0 || !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-._~",
                                      c));
    }
    assert_int_equal(url->path_len > 0 ? text[url->path_at] : 0, '/');
    for (size_t i = 0; i < url->host_len; i++)
        assert_true(text[url->host_at + i] < 'A' || text[url->host_at + i] > 'Z');

    /* Once more gives the same bytes; taking it apart gives the same parts. */
    char again[WF_URL_BYTES_MAX];
    struct wf_url twice, split;
    assert_int_equal(wf_url_canonical(NULL, text, len, again, sizeof again, &twice, NULL), len);
    assert_string_equal(again, text);
    assert_same_url(&twice, url);
    assert_int_equal(wf_url_split(text, len, &split), 0);
    assert_same_url(&split, url);
    /* As a reference on any page it is itself. */
    assert_int_equal(wf_url_canonical(&split, text, len, again, sizeof again, NULL, NULL), len);
    assert_string_equal(again, text);
}

static void parse(const char *text, char *out, struct wf_url *ret)
{
    struct wf_error err = {0};
    int len = wf_url_canonical(NULL, text, strlen(text), out, WF_URL_BYTES_MAX, ret, &err);
    if (len < 0)
        fail_msg("%s", err.text);
}

static void check(const struct wf_url *base, const char *ref, const char *expected)
{
    char out[WF_URL_BYTES_MAX];
    struct wf_url url;
    struct wf_error err = {0};
    int len = wf_url_canonical(base, ref, strlen(ref), out, sizeof out, &url, &err);
    if (len < 0)
        fail_msg("'%s' should give %s: %s", ref, expected, err.text);
    if (strcmp(out, expected) != 0)
        fail_msg("'%s' should give %s, not %s", ref, expected, out);
    assert_int_equal(len, strlen(expected));
    assert_ptr_equal(url.text, out);
    assert_canonical(out, (size_t)len, &url);

    /* Too small a buffer is an error, never a cut text; a sanitizer sees what is written behind it.
     * Dot segments pass through the buffer before they are taken out: some room more is fair. */
    int n = WF_ETOOBIG;
    for (size_t size = 0; n == WF_ETOOBIG; size++) {
        char *tight = malloc(size ? size : 1);
        assert_non_null(tight);
        n = wf_url_canonical(base, ref, strlen(ref), tight, size, NULL, NULL);
        if (n != WF_ETOOBIG) {
            assert_int_equal(n, len);
            assert_string_equal(tight, expected);
            assert_in_range(size, (size_t)len + 1, (size_t)len + 16);
        }
        free(tight);
    }
}

static void rfc3986_normal_examples(void **state)
{
    (void)state;
    static const struct example table[] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
    };
    char text[WF_URL_BYTES_MAX];
    struct wf_url base;
    parse("http://a/b/c/d;p?q", text, &base);
    CHECK_ALL(&base, table);
}

static void rfc3986_abnormal_examples(void **state)
{
    (void)state;
    static const struct example table[] = {
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g"},
        {"g#s/../x", "http://a/b/c/g"},
        {"http:g", "http://a/b/c/g"}, /* the lenient reading, as browsers have it */
    };
    char text[WF_URL_BYTES_MAX];
    struct wf_url base;
    parse("http://a/b/c/d;p?q", text, &base);
    CHECK_ALL(&base, table);
}

static void spellings_of_one_url(void **state)
{
    (void)state;
    static const struct example table[] = {
        {"http://example.com", "http://example.com/"},
        {"HTTP://EXAMPLE.com/", "http://example.com/"},
        {"http://example.com:80/", "http://example.com/"},
        {"http://example.com:/", "http://example.com/"},
        {"http://example.com:0080", "http://example.com/"},
        {"https://example.com:443/", "https://example.com/"},
        {"https://example.com:80/", "https://example.com:80/"},
        {"http://example.com:443/", "http://example.com:443/"},
        {"http://example.com:8080/Path", "http://example.com:8080/Path"},
        {"http://example.com?q", "http://example.com/?q"},
        {"http://example.com#f", "http://example.com/"},
        {"http://example.com/?", "http://example.com/?"},
        {"http://example.com/?#", "http://example.com/?"},
        {"http://example.com/a/./b/../c", "http://example.com/a/c"},
        {"http://example.com/a/%2e/b/%2E%2e/c", "http://example.com/a/c"},
        {"http://example.com/a/.%2e", "http://example.com/"},
        {"http://example.com/a//b/../c", "http://example.com/a//c"},
        {"http://example.com//", "http://example.com//"},
        {"http://example.com//..", "http://example.com/"},
        {"http://example.com/...", "http://example.com/..."},
        {"http://example.com/%7Euser/%41%2d%5f", "http://example.com/~user/A-_"},
        {"http://example.com/%2f%3a%e4", "http://example.com/%2F%3A%E4"},
        {"http://example.com/a b\"<>`{}|^[]",
         "http://example.com/a%20b%22%3C%3E%60%7B%7D%7C%5E%5B%5D"},
        {"http://example.com/100%", "http://example.com/100%25"},
        {"http://example.com/%zz%4", "http://example.com/%25zz%254"},
        {"http://example.com/%%34%31", "http://example.com/%2541"},
        {"http://example.com/\xc3\xa4?\xc3\xa4", "http://example.com/%C3%A4?%C3%A4"},
        {"http://example.com/a?b?c/d\\e%7e[]#x?y", "http://example.com/a?b?c/d%5Ce~%5B%5D"},
        {"http:\\\\example.com\\a\\..\\b", "http://example.com/b"},
        {"http:example.com/a", "http://example.com/a"},
        {"http:/example.com/a", "http://example.com/a"},
        {"http:////example.com/a", "http://example.com/a"},
        {" \t http://example.com/a \r\n ", "http://example.com/a"},
        {"ht\ntp://exa\tmple.com/a\r\nb", "http://example.com/ab"},
        {"http://example.com/a\x01\x7f", "http://example.com/a%01%7F"},
        {"http://example.com./", "http://example.com./"},
        {"http://under_score.example/", "http://under_score.example/"},
        {"http://ex%41mple.com/", "http://example.com/"},
        {"http://a!$&'()*+,;=~b/", "http://a!$&'()*+,;=~b/"},
    };
    CHECK_ALL(NULL, table);
}

static void user_information(void **state)
{
    (void)state;
    static const struct example table[] = {
        {"http://u@h/", "http://u@h/"},
        {"http://u:p@h:81/", "http://u:p@h:81/"},
        {"http://U:P%41%2f@H:80/", "http://U:PA%2F@h/"},
        {"http://@h/", "http://h/"},
        {"http://:@h/", "http://h/"},
        {"http://u:@h/", "http://u@h/"},
        {"http://u:a:b@h/", "http://u:a:b@h/"},
        {"http://u@v@h/", "http://u%40v@h/"},
        {"http://u:80@h:80/", "http://u:80@h/"},
        {"http://u:p@[::1]:81/", "http://u:p@[::1]:81/"},
    };
    CHECK_ALL(NULL, table);
    char text[WF_URL_BYTES_MAX];
    struct wf_url base;
    parse("http://u:p@h:81/a/b", text, &base);
    assert_int_equal(base.user_len, 3);
    assert_memory_equal(text + base.user_at, "u:p", 3);
    assert_memory_equal(text + base.host_at, "h:", 2);
    check(&base, "c", "http://u:p@h:81/a/c");
    check(&base, "//i", "http://i/");
}

static void numbers_as_hosts(void **state)
{
    (void)state;
    static const struct example table[] = {
        {"http://127.0.0.1:8080/", "http://127.0.0.1:8080/"},
        {"http://127.1/", "http://127.0.0.1/"},
        {"http://0x7f.1/", "http://127.0.0.1/"},
        {"http://0X7F000001/", "http://127.0.0.1/"},
        {"http://2130706433/", "http://127.0.0.1/"},
        {"http://017700000001/", "http://127.0.0.1/"},
        {"http://127.0.0.1./", "http://127.0.0.1/"},
        {"http://0/", "http://0.0.0.0/"},
        {"http://0x./", "http://0.0.0.0/"},
        {"http://1.65535/", "http://1.0.255.255/"},
        {"http://1.2.65535/", "http://1.2.255.255/"},
        {"http://4294967295/", "http://255.255.255.255/"},
        {"http://1.2.3.4.com/", "http://1.2.3.4.com/"},
        {"http://a1/", "http://a1/"},
        {"http://1a/", "http://1a/"},
        {"http://[::1]/", "http://[::1]/"},
        {"http://[0:0:0:0:0:0:0:1]:80/", "http://[::1]/"},
        {"http://[2001:DB8:0:0:1:0:0:1]/", "http://[2001:db8::1:0:0:1]/"},
        {"http://[1:0:0:2:0:0:0:3]/", "http://[1:0:0:2::3]/"},
        {"http://[::]/", "http://[::]/"},
        {"http://[1::]:81/", "http://[1::]:81/"},
        {"http://[1:2:3:4:5:6:7:0]/", "http://[1:2:3:4:5:6:7:0]/"},
        {"http://[::ffff:192.168.1.2]/", "http://[::ffff:c0a8:102]/"},
        {"http://[1:2:3:4:5:6:1.2.3.4]/", "http://[1:2:3:4:5:6:102:304]/"},
    };
    CHECK_ALL(NULL, table);
}

static void wrong_urls_name_rule_and_place(void **state)
{
    (void)state;
    static const struct {
        const char *ref;
        int code;
        const char *rule;
        int at;
    } table[] = {
        {"", WF_EPARSE, "empty", 0},
        {"  ", WF_EPARSE, "empty", 2},
        {"example.com/a", WF_EPARSE, "does not begin with http://", 0},
        {"/a", WF_EPARSE, "does not begin with http://", 0},
        {"mailto:a@b", -EPROTONOSUPPORT, "neither http nor https", 0},
        {" javascript:void(0)", -EPROTONOSUPPORT, "neither http nor https", 1},
        {"localhost:8080", -EPROTONOSUPPORT, "neither http nor https", 0},
        {"httpx://a/", -EPROTONOSUPPORT, "neither http nor https", 0},
        {"http2://a/", -EPROTONOSUPPORT, "neither http nor https", 0},
        {"http:", WF_EPARSE, "host is empty", 5},
        {"http://", WF_EPARSE, "host is empty", 7},
        {"http:///", WF_EPARSE, "host is empty", 8},
        {"http://?q", WF_EPARSE, "host is empty", 7},
        {"http://:80/", WF_EPARSE, "host is empty", 7},
        {"http://u@/", WF_EPARSE, "host is empty", 9},
        {"http://u@:80/", WF_EPARSE, "host is empty", 9},
        {"http://a b/", WF_EPARSE, "no host name has", 8},
        {"http://a\x01/", WF_EPARSE, "no host name has", 8},
        {"http://a\n\x01/", WF_EPARSE, "no host name has", 9},
        {"http://a%20b/", WF_EPARSE, "no host name has", 8},
        {"http://a%00b/", WF_EPARSE, "no host name has", 8},
        {"http://a%b/", WF_EPARSE, "begins no escape", 8},
        {"http://a<b/", WF_EPARSE, "no host name has", 8},
        {"http://b\xc3\xbc"
         "cher.example/",
         -ENOTSUP, "not ASCII", 8},
        {"http://b%C3%BCcher.example/", -ENOTSUP, "not ASCII", 8},
        {"http://a:b/", WF_EPARSE, "port is not a number", 9},
        {"http://a:80x/", WF_EPARSE, "port is not a number", 11},
        {"http://a:1:2/", WF_EPARSE, "port is not a number", 10},
        {"http://a:65536/", WF_EPARSE, "above 65535", 13},
        {"http://a:99999999999999999999/", WF_EPARSE, "above 65535", 13},
        {"http://1.2.3.256/", WF_EPARSE, "no IPv4 address", 7},
        {"http://1.2.3.4.5/", WF_EPARSE, "no IPv4 address", 7},
        {"http://256.1/", WF_EPARSE, "no IPv4 address", 7},
        {"http://4294967296/", WF_EPARSE, "no IPv4 address", 7},
        {"http://08/", WF_EPARSE, "no IPv4 address", 7},
        {"http://a.1/", WF_EPARSE, "no IPv4 address", 7},
        {"http://1..2/", WF_EPARSE, "no IPv4 address", 7},
        {"http://0xffffffffffffffffffff/", WF_EPARSE, "no IPv4 address", 7},
        {"http://[/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1:2:3:4:5:6:7]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1:2:3:4:5:6:7:8:9]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1::2::3]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1:2:3:4:5:6:7:8::]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[::12345]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[:1]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1:]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[::1.2.3]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[::1.2.3.04]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[1:2:3:4:5:6:7:1.2.3.4]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[fe80::1%25eth0]/", WF_EPARSE, "no IPv6 address", 7},
        {"http://[::1]x/", WF_EPARSE, "no IPv6 address", 7},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char out[WF_URL_BYTES_MAX], place[32];
        struct wf_url url = {.port = 7};
        struct wf_error err = {0};
        snprintf(place, sizeof place, "(at byte %d)", table[i].at);
        int code =
            wf_url_canonical(NULL, table[i].ref, strlen(table[i].ref), out, sizeof out, &url, &err);
        if (code != table[i].code || !strstr(err.text, table[i].rule) || !strstr(err.text, place))
            fail_msg("'%s' gave %d: %s", table[i].ref, code, err.text);
        assert_int_equal(err.code, code);
        assert_int_equal(url.port, 7);
        assert_int_equal(strcspn(err.text, "\r\n\t\x01"), strlen(err.text));
        assert_int_equal(code, wf_url_canonical(NULL, table[i].ref, strlen(table[i].ref), out,
                                                sizeof out, NULL, NULL));
    }
}

static void too_long_is_an_error(void **state)
{
    (void)state;
    static char ref[3 * WF_URL_BYTES_MAX], out[3 * WF_URL_BYTES_MAX];
    struct wf_url url;
    struct wf_error err = {0};
    memset(ref, 'a', sizeof ref);
    memcpy(ref, "http://h/", 9);
    /* The longest that fits, NUL included; one more; and the same through the cleaning copy. */
    assert_int_equal(wf_url_canonical(NULL, ref, WF_URL_BYTES_MAX - 1, out, sizeof out, &url, &err),
                     WF_URL_BYTES_MAX - 1);
    assert_canonical(out, WF_URL_BYTES_MAX - 1, &url);
    assert_int_equal(wf_url_canonical(NULL, ref, WF_URL_BYTES_MAX, out, sizeof out, &url, &err),
                     WF_ETOOBIG);
    assert_non_null(strstr(err.text, "too long"));
    ref[20] = '\n';
    assert_int_equal(wf_url_canonical(NULL, ref, WF_URL_BYTES_MAX, out, sizeof out, &url, &err),
                     WF_URL_BYTES_MAX - 1);
    assert_int_equal(wf_url_canonical(NULL, ref, sizeof ref, out, sizeof out, &url, &err),
                     WF_ETOOBIG);
    /* A long host, a long query, a long user name; each cut wherever the room ends. */
    static const char *const forms[] = {"http://HOSTHOSTHOST.example:8080/%41/../b?q=%2f",
                                        "http://us er:p@ss@ho%41st/", "http://[2001:db8::1]:99/",
                                        "http://0x7f.1:99/a"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const size_t len = strlen(forms[i]);
        int whole = wf_url_canonical(NULL, forms[i], len, out, sizeof out, NULL, NULL);
        assert_true(whole > 0);
        for (size_t size = 0; size <= (size_t)whole; size++) {
            char *tight = malloc(size ? size : 1);
            assert_non_null(tight);
            assert_int_equal(wf_url_canonical(NULL, forms[i], len, tight, size, NULL, NULL),
                             WF_ETOOBIG);
            free(tight);
        }
    }
}

static void parts_and_same_host(void **state)
{
    (void)state;
    char ta[WF_URL_BYTES_MAX], tb[WF_URL_BYTES_MAX];
    struct wf_url a, b;
    parse("https://u@Host.example:8443/a/b?x=1&y#z", ta, &a);
    assert_string_equal(ta, "https://u@host.example:8443/a/b?x=1&y");
    assert_int_equal(a.scheme_len, 5);
    assert_memory_equal(ta + a.host_at, "host.example:", a.host_len + 1);
    assert_memory_equal(ta + a.path_at, "/a/b?", a.path_len + 1);
    assert_string_equal(ta + a.query_at, "x=1&y");
    assert_int_equal(a.query_len, 5);
    assert_int_equal(a.port, 8443);
    assert_true(a.https);
    parse("http://h/a", ta, &a);
    assert_false(a.has_query);
    assert_int_equal(a.query_at, a.len);
    assert_int_equal(a.port, 80);

    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"http://h/a", "http://H:80/b?c", true},      {"http://h/", "https://h/", true},
        {"http://h/", "http://h:8080/", false},       {"http://h:8080/", "https://h:8080/", true},
        {"http://h/", "http://www.h/", false},        {"http://u@h/", "http://h/", true},
        {"http://h:443/", "https://h/", true},        {"http://[::1]/", "http://[0::1]/", true},
        {"http://127.0.0.1/", "http://127.1/", true}, {"http://h/", "http://i/", false},
        {"https://h:80/", "https://h/", false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        parse(pairs[i].a, ta, &a);
        parse(pairs[i].b, tb, &b);
        if (wf_url_same_host(&a, &b) != pairs[i].same || wf_url_same_host(&b, &a) != pairs[i].same)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
    assert_true(wf_url_fingerprint("http://h/a", 10, 1) == wf_url_fingerprint("http://h/a", 10, 1));
    assert_true(wf_url_fingerprint("http://h/a", 10, 1) != wf_url_fingerprint("http://h/b", 10, 1));
}

static void split_refuses_other_texts(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "http",
                                        "http://",
                                        "http://h",
                                        "ftp://h/aa",
                                        "http://:80/a",
                                        "http://u@/a",
                                        "http://h:/a",
                                        "http://h:x/",
                                        "http://h:65536/",
                                        "httpz://h/a",
                                        "http://[::1/a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wf_url url = {.port = 7};
        if (wf_url_split(wrong[i], strlen(wrong[i]), &url) != -EINVAL)
            fail_msg("'%s'", wrong[i]);
        assert_int_equal(url.port, 7);
    }
}

/* Random references made of the pieces that matter, resolved against random pages. */
static void random_references_keep_the_properties(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "http:", "https:",   "HTTP:", "mailto:", "/",    "//",       "\\", "..",
        ".",     "%2e",      "?",     "#",       "@",    ":",        "80", "443",
        "65535", "h",        "H.com", "127.1",   "0x7f", "[::1]",    "[",  "]",
        "a",     "bcd",      "%41",   "%2f",     "%",    "%4",       " ",  "\t",
        "\n",    "\xc3\xa4", "&=",    "~",       "|",    "\x7f\x01", ";p", "index.html"};
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 3986;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);

    char base_text[WF_URL_BYTES_MAX], out[WF_URL_BYTES_MAX];
    struct wf_url base, url;
    unsigned good = 0, rounds = 30000;
    parse("http://h/a/b/c?d", base_text, &base);
    for (unsigned round = 0; round < rounds; round++) {
        char ref[256];
        size_t len = 0;
        for (uint64_t n = 1 + wfi_random_below(&random, 12); n > 0; n--) {
            const char *piece = pieces[wfi_random_below(&random, sizeof pieces / sizeof *pieces)];
            memcpy(ref + len, piece, strlen(piece));
            len += strlen(piece);
        }
        /* On the heap and of its own size, so that a sanitizer sees a read behind the end. */
        char *exact = malloc(len);
        assert_non_null(exact);
        memcpy(exact, ref, len);
        struct wf_error err = {0};
        const bool with_base = wfi_random_below(&random, 4) > 0;
        int n = wf_url_canonical(with_base ? &base : NULL, exact, len, out, sizeof out, &url, &err);
        free(exact);
        if (n < 0) {
            assert_int_equal(err.code, n);
            assert_non_null(strstr(err.text, "(at byte "));
            continue;
        }
        good++;
        assert_canonical(out, (size_t)n, &url);
        if (n < 200) {
            memcpy(base_text, out, (size_t)n + 1);
            base = url;
            base.text = base_text;
        }
    }
    assert_in_range(good, rounds / 4, rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3986_normal_examples),
        cmocka_unit_test(rfc3986_abnormal_examples),
        cmocka_unit_test(spellings_of_one_url),
        cmocka_unit_test(user_information),
        cmocka_unit_test(numbers_as_hosts),
        cmocka_unit_test(wrong_urls_name_rule_and_place),
        cmocka_unit_test(too_long_is_an_error),
        cmocka_unit_test(parts_and_same_host),
        cmocka_unit_test(split_refuses_other_texts),
        cmocka_unit_test(random_references_keep_the_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
