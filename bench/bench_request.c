/* SPDX-License-Identifier: MIT */
/*
 * What a server spends on a request before its handler runs and on the head of the answer, without
 * sockets: reading the head of a request as wrk sends it and as a browser does, finding the route,
 * writing the head. What it is held against is the floor of any such reader: the same bytes copied
 * once and searched for the ends of their lines.
 */
#include "figure.h"

#include <weft/router.h>

#include "http/date.h"
#include "http/request.h"
#include "http/response.h"

enum { ROUNDS = 200000, TRIES = 5 };

static const char wrk[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
static const char browser[] =
    "GET /sitehome/p/1234?page=2 HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\n"
    "Accept: "
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "\r\n";

static volatile uint64_t sink;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static double read_heads(const char *bytes, size_t len)
{
    struct wfi_request_parser *parser;
    int64_t best = INT64_MAX;
    if (wfi_request_parser_create(NULL, &parser, NULL) != 0)
        fail("no parser");
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        for (int round = 0; round < ROUNDS; round++) {
            size_t consumed;
            struct wfi_text body;
            if (wfi_request_feed(parser, bytes, len, &consumed, &body) != WFI_REQUEST_HEAD ||
                wfi_request_feed(parser, bytes, 0, &consumed, &body) != WFI_REQUEST_END)
                fail("refused");
            sink += wfi_request_head(parser)->field_count;
            wfi_request_next(parser);
        }
        const int64_t took = clock_ns() - begin;
        best = took < best ? took : best;
    }
    wfi_request_parser_destroy(parser);
    return (double)best / ROUNDS;
}

static double copy_and_search(const char *bytes, size_t len)
{
    char copy[1024];
    int64_t best = INT64_MAX;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        for (int round = 0; round < ROUNDS; round++) {
            memcpy(copy, bytes, len);
            uint64_t lines = 0;
            for (const char *at = copy; (at = memchr(at, '\n', len - (size_t)(at - copy)));
                 at++, lines++)
                ;
            sink += lines;
        }
        const int64_t took = clock_ns() - begin;
        best = took < best ? took : best;
    }
    return (double)best / ROUNDS;
}

static double find_routes(void)
{
    static const char *const patterns[] = {"/",
                                           "/healthz",
                                           "/metrics",
                                           "/users",
                                           "/users/{id:uint}",
                                           "/users/{id:uint}/posts",
                                           "/users/{name}",
                                           "/static/{rest:path}",
                                           "/is_prime/{list}"};
    static const char *const paths[] = {"/",
                                        "/users/123",
                                        "/users/weft",
                                        "/users/7/posts",
                                        "/static/css/site.css",
                                        "/is_prime/1,2,3"};
    enum { PATHS = sizeof paths / sizeof *paths };
    struct wf_router *router;
    int64_t best = INT64_MAX;
    if (wf_router_create(&router, NULL) != 0)
        fail("no router");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (wf_router_add(router, "GET", patterns[i], router, NULL) != 0)
            fail(patterns[i]);
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        for (int round = 0; round < ROUNDS; round++) {
            const char *path = paths[round % PATHS];
            struct wf_route_match match;
            if (wf_router_find(router, "GET", 3, path, strlen(path), &match) != 0)
                fail(path);
            sink += match.param_count;
        }
        const int64_t took = clock_ns() - begin;
        best = took < best ? took : best;
    }
    wf_router_destroy(router);
    return (double)best / ROUNDS;
}

static double write_heads(void)
{
    static const struct wfi_request_field fields[] = {{{"Server", 6}, {"weft", 4}},
                                                      {{"Content-Type", 12}, {"text/plain", 10}}};
    struct wfi_buffer out = {0};
    char date[WFI_DATE_BYTES];
    int64_t best = INT64_MAX;
    wfi_date_format(784111777, date);
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const int64_t begin = clock_ns();
        for (int round = 0; round < ROUNDS; round++) {
            enum wfi_response_body body;
            bool keep_alive;
            out.len = 0;
            if (wfi_response_write_head(&out,
                                        &(struct wfi_response){.status = 200,
                                                               .fields = fields,
                                                               .field_count = 2,
                                                               .body_len = 12,
                                                               .date = date,
                                                               .minor = 1,
                                                               .keep_alive = true},
                                        &body, &keep_alive) != 0)
                fail("not written");
            sink += out.len;
        }
        const int64_t took = clock_ns() - begin;
        best = took < best ? took : best;
    }
    free(out.data);
    return (double)best / ROUNDS;
}

static void run_request(int argc, char **argv)
{
    (void)argc, (void)argv;
    figure("request.wrk", read_heads(wrk, sizeof wrk - 1), "ns");
    figure("request.wrk.floor", copy_and_search(wrk, sizeof wrk - 1), "ns");
    figure("request.browser", read_heads(browser, sizeof browser - 1), "ns");
    figure("request.browser.floor", copy_and_search(browser, sizeof browser - 1), "ns");
    figure("request.route", find_routes(), "ns");
    figure("request.response_head", write_heads(), "ns");
}

int main(int argc, char **argv)
{
    return run_workloads((const struct workload[]){{"request", run_request}, {NULL, NULL}}, argc,
                         argv);
}
