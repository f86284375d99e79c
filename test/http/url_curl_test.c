/* SPDX-License-Identifier: MIT */
/*
 * weft's resolving of references beside libcurl's, on random references of the plain kinds (prints
 * the seed, set WEFT_TEST_SEED to replay). libcurl resolves but does not bring escapes and the like
 * into one spelling, so its result goes through wf_url_canonical too, now without a base: what is
 * compared is the resolving, and the parts that both find.
 */
#include <weft/url.h>

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include <cmocka.h>

static const char *const starts[] = {
    "",   "",         "/",
    "/",  "./",       "../",
    "..", "../../..", "//other.example/",
    "?",  "//[::1]",  "http://Other.Example:8080/",
    "",   "page/",    "https://other.example:443",
    ".",  "a:/",      "http://u:p@127.1:80",
};
static const char *const pieces[] = {"/",   "/",  "../", "./",   "..", ".",   "a",   "b.html",
                                     "%41", "~u", ";p",  "page", "-",  "%2F", "_",   "c:d",
                                     "@",   "$",  "=",   "a/b/", "+",  "!",   "(1)", "*"};
static const char *const ends[] = {"", "", "?x=1", "?x=1&y=/../z?", "#f", "?q#f/../g", "?%7e=%2f"};
static const char *const bases[] = {
    "http://site.example/a/b/c?d",
    "http://site.example/",
    "https://site.example:8443/x/y/",
    "http://127.0.0.1:9000/deep/er",
};

/*
 * What libcurl 7.88 reads differently: an empty path segment before dots and a reference that is
 * empty or only a fragment (both by an older reading of the RFC); the slash between dots and a
 * query, which it loses; and a name with a colon in front, which it takes for one of the many
 * schemes it knows.
 */
static bool read_differently(const char *ref)
{
    const char *scheme = strstr(ref, "://");
    const char *path = scheme ? scheme + 3 : strncmp(ref, "//", 2) == 0 ? ref + 2 : ref;
    const size_t len = strcspn(path, "?#");
    const char *empty = strstr(path, "//");
    return (empty && (size_t)(empty - path) < len) || ref[0] == '#' || ref[0] == '\0' ||
           (len >= 2 && memcmp(path + len - 2, "./", 2) == 0 && path[len] == '?') ||
           (!scheme && strcspn(ref, ":") < strcspn(ref, "/?#"));
}

static size_t random_ref(struct wfi_random *random, char *ref)
{
    strcpy(ref, starts[wfi_random_below(random, sizeof starts / sizeof *starts)]);
    if (ref[0] == '?')
        strcat(ref, "q");
    for (uint64_t n = wfi_random_below(random, 7); n > 0; n--)
        strcat(ref, pieces[wfi_random_below(random, sizeof pieces / sizeof *pieces)]);
    strcat(ref, ends[wfi_random_below(random, sizeof ends / sizeof *ends)]);
    return strlen(ref);
}

static void same_part(CURLU *curl, CURLUPart part, unsigned flags, const struct wf_url *url,
                      size_t at, size_t len)
{
    char *text = NULL;
    if (curl_url_get(curl, part, &text, flags) != CURLUE_OK)
        text = NULL;
    const char *expected = text ? text : "";
    if (strlen(expected) != len || memcmp(expected, url->text + at, len) != 0)
        fail_msg("%s: part %d is '%.*s', for libcurl '%s'", url->text, (int)part, (int)len,
                 url->text + at, expected);
    curl_free(text);
}

static void resolves_as_libcurl_does(void **state)
{
    (void)state;
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 1808;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);
    unsigned compared = 0;
    const unsigned rounds = 20000;

    for (unsigned round = 0; round < rounds; round++) {
        char ref[256], base_text[WF_URL_BYTES_MAX], ours[WF_URL_BYTES_MAX],
            theirs[WF_URL_BYTES_MAX];
        struct wf_url base, url;
        const char *base_ref = bases[wfi_random_below(&random, sizeof bases / sizeof *bases)];
        const size_t len = random_ref(&random, ref);
        assert_true(wf_url_canonical(NULL, base_ref, strlen(base_ref), base_text, sizeof base_text,
                                     &base, NULL) > 0);
        if (read_differently(ref))
            continue;

        CURLU *curl = curl_url();
        assert_non_null(curl);
        assert_int_equal(curl_url_set(curl, CURLUPART_URL, base_text, 0), CURLUE_OK);
        char *resolved = NULL;
        if (curl_url_set(curl, CURLUPART_URL, ref, 0) == CURLUE_OK &&
            curl_url_get(curl, CURLUPART_URL, &resolved, 0) == CURLUE_OK) {
            int n = wf_url_canonical(&base, ref, len, ours, sizeof ours, &url, NULL);
            int m = wf_url_canonical(NULL, resolved, strlen(resolved), theirs, sizeof theirs, NULL,
                                     NULL);
            if (n < 0 || m < 0 || strcmp(ours, theirs) != 0)
                fail_msg("'%s' on %s: %s (%d), by libcurl %s: %s (%d)", ref, base_text,
                         n < 0 ? "error" : ours, n, resolved, m < 0 ? "error" : theirs, m);
            compared++;
            assert_int_equal(curl_url_set(curl, CURLUPART_URL, ours, 0), CURLUE_OK);
            same_part(curl, CURLUPART_HOST, 0, &url, url.host_at, url.host_len);
            same_part(curl, CURLUPART_PATH, 0, &url, url.path_at, url.path_len);
            same_part(curl, CURLUPART_QUERY, 0, &url, url.query_at, url.query_len);
            char port[8];
            snprintf(port, sizeof port, "%u", url.port);
            struct wf_url as_text = {.text = port};
            same_part(curl, CURLUPART_PORT, CURLU_DEFAULT_PORT, &as_text, 0, strlen(port));
        }
        curl_free(resolved);
        curl_url_cleanup(curl);
    }
    print_message("%u compared\n", compared);
    assert_in_range(compared, rounds / 3, rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resolves_as_libcurl_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
