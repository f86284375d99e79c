/* SPDX-License-Identifier: MIT */
/*
 * URLs: any bytes as a reference, on a page whose URL is the input's first line. What comes out
 * must be canonical: the same bytes again when it goes in, on any page; and its parts those that
 * wf_url_split finds. Small buffers must be refused, not overrun.
 */
#include <weft/url.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_same(const struct wf_url *a, const struct wf_url *b)
{
    check(a->len == b->len && a->scheme_len == b->scheme_len && a->user_at == b->user_at &&
          a->user_len == b->user_len && a->host_at == b->host_at && a->host_len == b->host_len &&
          a->path_at == b->path_at && a->path_len == b->path_len && a->query_at == b->query_at &&
          a->query_len == b->query_len && a->port == b->port && a->has_query == b->has_query &&
          a->https == b->https);
}

static void check_canonical(const struct wf_url *url)
{
    char text[WF_URL_BYTES_MAX];
    struct wf_url again;
    check(url->text[url->len] == '\0' && strlen(url->text) == url->len);
    check(wf_url_split(url->text, url->len, &again) == 0);
    check_same(url, &again);
    check(wf_url_canonical(NULL, url->text, url->len, text, sizeof text, &again, NULL) == url->len);
    check(memcmp(text, url->text, url->len) == 0);
    check_same(url, &again);
    check(wf_url_canonical(url, url->text, url->len, text, sizeof text, &again, NULL) == url->len);
    check(memcmp(text, url->text, url->len) == 0);
    check(wf_url_same_host(url, &again));
    check(url->host_len > 0 && url->path_len > 0 && url->text[url->path_at] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *ref = (const char *)data;
    const char *line = size > 0 ? memchr(ref, '\n', size) : NULL;
    const size_t base_len = line ? (size_t)(line - ref) : 0;
    char base_text[WF_URL_BYTES_MAX], text[WF_URL_BYTES_MAX];
    struct wf_url base, url;
    struct wf_error err = {0};
    const bool have_base = base_len > 0 && wf_url_canonical(NULL, ref, base_len, base_text,
                                                            sizeof base_text, &base, NULL) > 0;

    if (have_base)
        check_canonical(&base);
    if (line) {
        size -= base_len + 1;
        ref = line + 1;
    }
    const int len =
        wf_url_canonical(have_base ? &base : NULL, ref, size, text, sizeof text, &url, &err);
    if (len < 0) {
        check(err.code == len && strstr(err.text, "(at byte "));
        return 0;
    }
    check(len == url.len && url.text == text);
    check_canonical(&url);

    const size_t small = (size_t)len / 2;
    char *tight = malloc(small ? small : 1);
    check(tight != NULL);
    check(wf_url_canonical(have_base ? &base : NULL, ref, size, tight, small, NULL, NULL) ==
          WF_ETOOBIG);
    free(tight);
    return 0;
}
