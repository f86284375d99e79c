/* SPDX-License-Identifier: MIT */
/*
 * What one link of a page costs: resolving and canonical spelling, and its fingerprint. The figure
 * is over links of the kinds that pages hold, in turn; what each kind costs is in the remarks.
 */
#include "figure.h"

#include <weft/url.h>

enum { ROUNDS = 400000, TRIES = 5 };

static const struct {
    const char *name, *ref;
} links[] = {
    {"relative", "page/1234.html"},
    {"rooted", "/sitehome/p/1234"},
    {"rooted_query", "/search?q=weft&page=12&sort=date"},
    {"dots", "../../archive/./2024/index.html"},
    {"absolute", "http://www.example.org/cate/108698/post/2024/index.html"},
    {"absolute_upper", "HTTP://WWW.Example.ORG:80/a/%7Euser/b%2fc#top"},
    {"address", "http://127.0.0.1:8080/deep/section/1234.html"},
    {"escaped", "/tag/%e4%bd%a0%e5%a5%bd/a b"},
    {"other_scheme", "mailto:someone@example.org"},
};
enum { LINKS = sizeof links / sizeof *links };

/* Keeps the compiler from dropping the work. */
static volatile uint64_t sink;

static double measure(const struct wf_url *base, size_t first, size_t last)
{
    char out[WF_URL_BYTES_MAX];
    size_t lens[LINKS];
    int64_t best = INT64_MAX;

    for (size_t i = 0; i < LINKS; i++)
        lens[i] = strlen(links[i].ref);
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        uint64_t sum = 0;
        for (int round = 0; round < ROUNDS; round++) {
            for (size_t i = first; i < last; i++) {
                struct wf_url url;
                int n = wf_url_canonical(base, links[i].ref, lens[i], out, sizeof out, &url, NULL);
                sum += (uint64_t)n;
            }
        }
        const int64_t took = clock_ns() - begin;
        sink = sum;
        best = took < best ? took : best;
    }
    return (double)best / ROUNDS / (double)(last - first);
}

static double measure_fingerprint(const struct wf_url *url)
{
    int64_t best = INT64_MAX;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        uint64_t sum = 0;
        for (int round = 0; round < ROUNDS; round++)
            sum += wf_url_fingerprint(url->text, url->len, (uint64_t)round);
        const int64_t took = clock_ns() - begin;
        sink = sum;
        best = took < best ? took : best;
    }
    return (double)best / ROUNDS;
}

static void run_url(int argc, char **argv)
{
    static const char page[] = "http://www.example.org/sitehome/p/12/index.html?view=full";
    char text[WF_URL_BYTES_MAX];
    struct wf_url base;

    (void)argc, (void)argv;
    if (wf_url_canonical(NULL, page, sizeof page - 1, text, sizeof text, &base, NULL) < 0)
        exit(1);
    for (size_t i = 0; i < LINKS; i++)
        printf("# %s %.1f ns: %s\n", links[i].name, measure(&base, i, i + 1), links[i].ref);
    figure("url.canonical", measure(&base, 0, LINKS), "ns");
    figure("url.fingerprint", measure_fingerprint(&base), "ns");
}

int main(int argc, char **argv)
{
    return run_workloads((const struct workload[]){{"url", run_url}, {NULL, NULL}}, argc, argv);
}
