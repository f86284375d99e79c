/* SPDX-License-Identifier: MIT */
/*
 * The frontier: its rules one by one, then random sites crawled in random order against a model
 * (prints the seed, set WEFT_TEST_SEED to replay). Includes the source, so that its allocations can
 * be made to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned long allocations, fail_at;

static void *failing_calloc(size_t count, size_t bytes)
{
    if (++allocations == fail_at)
        return NULL;
    return calloc(count, bytes);
}

#define calloc failing_calloc
#include "crawl/frontier.c"
#undef calloc

static const struct frontier_options any_depth = {.seed = 1, .depth_max = FRONTIER_ANY_DEPTH};

static struct frontier *create(const struct frontier_options *options)
{
    struct frontier *f = NULL;
    assert_int_equal(frontier_create(options, &f), 0);
    return f;
}

/* Parts of a canonical text. */
static struct wf_url url_of(const char *text)
{
    struct wf_url url;
    if (wf_url_split(text, strlen(text), &url))
        fail_msg("%s", text);
    return url;
}

static int seed(struct frontier *f, const char *text)
{
    const struct wf_url url = url_of(text);
    return frontier_add_seed(f, &url);
}

static int link_to(struct frontier *f, const struct frontier_item *from, const char *text)
{
    const struct wf_url url = url_of(text);
    return frontier_add_link(f, from, &url);
}

static int redirect_to(struct frontier *f, struct frontier_item *from, const char *text)
{
    const struct wf_url url = url_of(text);
    return frontier_add_redirect(f, from, &url);
}

static struct frontier_item *pop(struct frontier *f, const char *expected)
{
    struct frontier_item *item = NULL;
    assert_int_equal(frontier_pop(f, 0, &item, NULL), 0);
    assert_string_equal(item->text, expected);
    assert_ptr_equal(item->url.text, item->text);
    assert_int_equal(item->url.len, strlen(expected));
    return item;
}

static void each_url_is_handed_out_once(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    struct frontier_item *item;

    assert_int_equal(seed(f, "http://h/"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://h/"), FRONTIER_SEEN);
    item = pop(f, "http://h/");
    assert_int_equal(item->depth, 0);
    assert_int_equal(link_to(f, item, "http://h/"), FRONTIER_SEEN);
    assert_int_equal(link_to(f, item, "http://h/a?b"), FRONTIER_NEW);
    assert_int_equal(link_to(f, item, "http://h/a?b"), FRONTIER_SEEN);
    assert_int_equal(link_to(f, item, "https://h/s"), FRONTIER_NEW);
    assert_int_equal(link_to(f, item, "http://u:p@h/whole"), FRONTIER_NEW);
    frontier_done(f, item);
    item = pop(f, "http://h/a?b");
    assert_int_equal(item->depth, 1);
    assert_int_equal(link_to(f, item, "http://h/a?b"), FRONTIER_SEEN);
    frontier_done(f, item);
    frontier_done(f, pop(f, "https://h/s"));
    frontier_done(f, pop(f, "http://u:p@h/whole"));
    frontier_done(f, NULL);
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EPIPE);

    const struct frontier_counts *c = frontier_counts(f);
    assert_int_equal(c->known, 4);
    assert_int_equal(c->done, 4);
    assert_int_equal(c->queued, 0);
    assert_int_equal(c->in_flight, 0);
    assert_int_equal(c->seen, 4);
    frontier_destroy(f);
    frontier_destroy(NULL);
}

static void finished_only_when_nothing_is_in_flight(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    struct frontier_item *first, *none = NULL;
    int64_t when = 0;

    assert_int_equal(frontier_pop(f, 0, &none, &when), -EPIPE);
    assert_int_equal(seed(f, "http://h/"), FRONTIER_NEW);
    first = pop(f, "http://h/");
    assert_int_equal(frontier_pop(f, 0, &none, &when), -EAGAIN);
    assert_true(when == INT64_MAX);
    assert_null(none);
    assert_int_equal(link_to(f, first, "http://h/late"), FRONTIER_NEW);
    frontier_done(f, first);
    first = pop(f, "http://h/late");
    assert_int_equal(frontier_pop(f, 0, &none, NULL), -EAGAIN);
    frontier_done(f, first);
    assert_int_equal(frontier_pop(f, 0, &none, NULL), -EPIPE);
    frontier_destroy(f);
}

static void scope_is_the_hosts_of_the_seeds(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    assert_int_equal(seed(f, "http://h/"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://i:8080/x"), FRONTIER_NEW);
    struct frontier_item *h = pop(f, "http://h/"), *i = pop(f, "http://i:8080/x");

    assert_int_equal(link_to(f, h, "http://j/"), FRONTIER_OUT_OF_SCOPE);
    assert_int_equal(link_to(f, h, "http://www.h/"), FRONTIER_OUT_OF_SCOPE);
    assert_int_equal(link_to(f, h, "http://h:81/"), FRONTIER_OUT_OF_SCOPE);
    assert_int_equal(link_to(f, h, "http://i/"), FRONTIER_OUT_OF_SCOPE);
    assert_int_equal(link_to(f, h, "http://i:8080/y"), FRONTIER_NEW);
    assert_int_equal(link_to(f, i, "https://h/z"), FRONTIER_NEW);
    assert_int_equal(redirect_to(f, i, "http://j/"), FRONTIER_OUT_OF_SCOPE);
    assert_int_equal(frontier_counts(f)->out_of_scope, 5);
    /* Refused is not remembered: with a seed of its own the host comes in. */
    assert_int_equal(seed(f, "http://j/"), FRONTIER_NEW);
    frontier_done(f, h);
    frontier_done(f, i);
    frontier_destroy(f);

    f = create(&(struct frontier_options){.depth_max = 5, .any_host = true});
    assert_int_equal(seed(f, "http://h/"), FRONTIER_NEW);
    h = pop(f, "http://h/");
    assert_int_equal(link_to(f, h, "http://j/"), FRONTIER_NEW);
    frontier_done(f, h);
    frontier_done(f, pop(f, "http://j/"));
    frontier_destroy(f);
}

static void hosts_take_turns(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    assert_int_equal(seed(f, "http://a/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://a/2"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://a/3"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://b/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://c/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://c/2"), FRONTIER_NEW);
    static const char *const order[] = {"http://a/1", "http://b/1", "http://c/1",
                                        "http://a/2", "http://c/2", "http://a/3"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        frontier_done(f, pop(f, order[i]));
    frontier_destroy(f);
}

static void depth_is_limited(void **state)
{
    (void)state;
    struct frontier *f = create(&(struct frontier_options){.depth_max = 1});
    assert_int_equal(seed(f, "http://h/"), FRONTIER_NEW);
    struct frontier_item *item = pop(f, "http://h/");
    assert_int_equal(link_to(f, item, "http://h/1"), FRONTIER_NEW);
    frontier_done(f, item);
    item = pop(f, "http://h/1");
    assert_int_equal(link_to(f, item, "http://h/2"), FRONTIER_TOO_DEEP);
    assert_int_equal(redirect_to(f, item, "http://h/1b"), FRONTIER_NEW); /* as deep as its source */
    frontier_done(f, item);
    item = pop(f, "http://h/1b");
    assert_int_equal(item->depth, 1);
    assert_int_equal(item->redirects, 1);
    assert_int_equal(link_to(f, item, "http://h/2"), FRONTIER_TOO_DEEP);
    frontier_done(f, item);
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EPIPE);
    assert_int_equal(frontier_counts(f)->too_deep, 2);
    frontier_destroy(f);
}

static void redirects_end(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    assert_int_equal(seed(f, "http://h/0"), FRONTIER_NEW);
    char text[32] = "http://h/0";
    struct frontier_item *item = NULL;
    for (int i = 1; i <= FRONTIER_REDIRECTS_MAX + 1; i++) {
        item = pop(f, text);
        assert_int_equal(item->redirects, i - 1);
        snprintf(text, sizeof text, "http://h/%d", i);
        assert_int_equal(redirect_to(f, item, text),
                         i <= FRONTIER_REDIRECTS_MAX ? FRONTIER_NEW : FRONTIER_REDIRECTED_LONG);
        frontier_done(f, item);
    }
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EPIPE);
    assert_int_equal(seed(f, "http://h/loop"), FRONTIER_NEW);
    item = pop(f, "http://h/loop");
    assert_int_equal(redirect_to(f, item, "http://h/loop"), FRONTIER_SEEN);
    frontier_done(f, item);
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EPIPE);
    frontier_destroy(f);
}

static void pages_are_limited_redirects_not_counted(void **state)
{
    (void)state;
    struct frontier *f =
        create(&(struct frontier_options){.depth_max = FRONTIER_ANY_DEPTH, .pages_max = 2});
    assert_int_equal(seed(f, "http://h/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://h/2"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://h/3"), FRONTIER_NEW);
    struct frontier_item *one = pop(f, "http://h/1"), *two = pop(f, "http://h/2"), *item = NULL;
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EAGAIN);
    assert_int_equal(redirect_to(f, one, "http://h/2"), FRONTIER_SEEN);
    assert_int_equal(redirect_to(f, one, "http://h/2"), FRONTIER_SEEN); /* counts once */
    item = pop(f, "http://h/3");
    frontier_done(f, one);
    frontier_done(f, item);
    assert_int_equal(link_to(f, two, "http://h/4"), FRONTIER_NEW);
    frontier_done(f, two);
    assert_int_equal(frontier_pop(f, 0, &item, NULL), -EPIPE);
    assert_int_equal(frontier_counts(f)->done, 3);
    assert_int_equal(frontier_counts(f)->redirected, 1);
    assert_int_equal(frontier_counts(f)->queued, 1);
    frontier_destroy(f);
}

static void closed_hands_out_nothing_more(void **state)
{
    (void)state;
    struct frontier *f = create(&any_depth);
    assert_int_equal(seed(f, "http://h/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://h/2"), FRONTIER_NEW);
    struct frontier_item *item = pop(f, "http://h/1"), *none = NULL;
    frontier_close(f);
    assert_int_equal(frontier_pop(f, 0, &none, NULL), -EAGAIN);
    frontier_done(f, item);
    assert_int_equal(frontier_pop(f, 0, &none, NULL), -EPIPE);
    frontier_destroy(f);
}

static void a_host_is_left_in_peace_between_urls(void **state)
{
    (void)state;
    struct frontier *f =
        create(&(struct frontier_options){.depth_max = FRONTIER_ANY_DEPTH, .delay_ns = 100});
    assert_int_equal(seed(f, "http://a/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://a/2"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://b/1"), FRONTIER_NEW);
    assert_int_equal(seed(f, "http://b/2"), FRONTIER_NEW);
    static const struct {
        int64_t now;
        const char *expected; /* NULL: none, until `when` */
        int64_t when;
    } steps[] = {{1000, "http://a/1", 0}, {1040, "http://b/1", 0}, {1050, NULL, 1100},
                 {1099, NULL, 1100},      {1100, "http://a/2", 0}, {1100, NULL, 1140},
                 {1150, "http://b/2", 0}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct frontier_item *item = NULL;
        int64_t when = 0;
        int err = frontier_pop(f, steps[i].now, &item, &when);
        assert_int_equal(err, steps[i].expected ? 0 : -EAGAIN);
        if (item)
            assert_string_equal(item->text, steps[i].expected);
        assert_true(when == steps[i].when);
        frontier_done(f, item);
    }
    struct frontier_item *item;
    assert_int_equal(frontier_pop(f, 1150, &item, NULL), -EPIPE);
    frontier_destroy(f);
}

static void long_urls_and_many_hosts(void **state)
{
    (void)state;
    static char text[WF_URL_BYTES_MAX];
    struct frontier *f = create(&any_depth);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "http://host%03d:%d/%d", i, 1000 + i, i);
        assert_int_equal(seed(f, text), FRONTIER_NEW);
        text[strlen(text)] = i % 2 ? 'x' : '\0'; /* every other one of the full length */
        if (i % 2)
            assert_int_equal(seed(f, text), FRONTIER_NEW);
    }
    for (int i = 0; i < 450; i++) {
        struct frontier_item *item = NULL;
        assert_int_equal(frontier_pop(f, 0, &item, NULL), 0);
        assert_int_equal(item->url.len, i < 300 ? strlen(item->text) : WF_URL_BYTES_MAX - 1);
        frontier_done(f, item);
    }
    struct frontier_item *none;
    assert_int_equal(frontier_pop(f, 0, &none, NULL), -EPIPE);
    frontier_destroy(f);
}

static void memory_for_a_known_url_is_bounded(void **state)
{
    (void)state;
    enum { URLS = 200000 };
    struct frontier *f = create(&any_depth);
    size_t most = 0;
    char text[128];
    for (int i = 0; i < URLS; i++) {
        struct frontier_item *item = NULL;
        snprintf(text, sizeof text, "http://www.example.org/a/rather/long/path/to/a/page/%d.html",
                 i);
        assert_int_equal(seed(f, text), FRONTIER_NEW);
        /* A queue of a thousand moves along. */
        if (i >= 1000) {
            assert_int_equal(frontier_pop(f, 0, &item, NULL), 0);
            frontier_done(f, item);
        }
        if (i > 10000) {
            const size_t per_url = frontier_bytes(f) / (size_t)i;
            most = per_url > most ? per_url : most;
        }
    }
    print_message("at most %zu bytes a URL\n", most);
    assert_in_range(most, 8, 32);
    frontier_destroy(f);
}

/* A site: what each of its URLs answers, and what a crawl of it must find. */
enum { PAGES = 400, LINKS_MAX = 6, NEVER = 1000000 };

struct page {
    char text[48];
    int links[LINKS_MAX], link_count;
    int redirect; /* -1: a page */
    bool in_scope;
    unsigned depth;   /* the model's: fewest links from page 0, redirects free; NEVER */
    unsigned fetched; /* how often */
};

static uint64_t random_state;

static unsigned draw(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 20) % n);
}

static void make_site(struct page *pages)
{
    static const char *const hosts[] = {"a", "a", "a:8080", "b", "elsewhere"};
    memset(pages, 0, PAGES * sizeof *pages);
    for (int i = 0; i < PAGES; i++) {
        struct page *page = &pages[i];
        const unsigned host = i == 0 ? 0 : i == 1 ? 3 : i == 2 ? 2 : draw(5);
        page->in_scope = host < 4;
        snprintf(page->text, sizeof page->text, "%s://%s/page/%d",
                 host < 2 && draw(2) ? "https" : "http", hosts[host], i);
        page->redirect = draw(5) == 0 ? (int)draw(PAGES) : -1;
        page->link_count = page->redirect >= 0 ? 0 : (int)draw(LINKS_MAX + 1);
        /* Mostly to near pages, so that the site is deep. */
        for (int k = 0; k < page->link_count; k++)
            page->links[k] = draw(8) ? (i + (int)draw(12)) % PAGES : (int)draw(PAGES);
        page->depth = NEVER;
    }
    /* The model: relax until nothing changes. Pages 0, 1 and 2 are the seeds. */
    for (int i = 0; i < 3; i++)
        pages[i].depth = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < PAGES; i++) {
            if (pages[i].depth == NEVER)
                continue;
            for (int k = pages[i].redirect >= 0 ? -1 : 0; k < pages[i].link_count; k++) {
                struct page *to = &pages[k < 0 ? pages[i].redirect : pages[i].links[k]];
                const unsigned depth = pages[i].depth + (k < 0 ? 0 : 1);
                if (to->in_scope && depth < to->depth) {
                    to->depth = depth;
                    changed = true;
                }
            }
        }
    }
}

/* What an answer brings, each call tried again when memory ran out. */
static void answer(struct frontier *f, struct page *pages, struct frontier_item *item)
{
    struct page *page = &pages[atoi(strrchr(item->text, '/') + 1)];
    assert_string_equal(item->text, page->text);
    page->fetched++;
    int verdict = 0;
    if (page->redirect >= 0) {
        do
            verdict = redirect_to(f, item, pages[page->redirect].text);
        while (verdict == -ENOMEM);
        assert_true(verdict == FRONTIER_NEW || verdict == FRONTIER_SEEN ||
                    verdict == FRONTIER_OUT_OF_SCOPE);
    }
    for (int k = 0; k < page->link_count; k++) {
        do
            verdict = link_to(f, item, pages[page->links[k]].text);
        while (verdict == -ENOMEM);
        assert_int_equal(verdict == FRONTIER_OUT_OF_SCOPE, !pages[page->links[k]].in_scope);
    }
    frontier_done(f, item);
}

/* Crawls with up to `window` in flight, the answers in random order. */
static void crawl(struct page *pages, const struct frontier_options *options, unsigned window)
{
    struct frontier_item *flying[32];
    unsigned in_flight = 0, fetched = 0;
    struct frontier *f = NULL;
    int err;

    do
        err = frontier_create(options, &f);
    while (err == -ENOMEM);
    for (int i = 0; i < 3; i++) {
        do
            err = seed(f, pages[i].text);
        while (err == -ENOMEM);
        assert_int_equal(err, FRONTIER_NEW);
    }
    for (;;) {
        struct frontier_item *item = NULL;
        do
            err = in_flight < window ? frontier_pop(f, 0, &item, NULL) : -EAGAIN;
        while (err == -ENOMEM);
        assert_int_equal(frontier_counts(f)->in_flight, in_flight + (err == 0));
        assert_int_equal(frontier_counts(f)->known, frontier_counts(f)->queued +
                                                        frontier_counts(f)->in_flight +
                                                        frontier_counts(f)->done);
        if (err == -EPIPE)
            break;
        if (err == 0) {
            flying[in_flight++] = item;
            fetched++;
            const struct page *page = &pages[atoi(strrchr(item->text, '/') + 1)];
            if (options->by_level)
                assert_int_equal(item->depth, page->depth);
            else
                assert_in_range(item->depth, page->depth, NEVER - 1);
        }
        if (err == -EAGAIN || (in_flight > 0 && draw(2))) {
            assert_true(in_flight > 0);
            const unsigned which = draw(in_flight);
            struct frontier_item *done = flying[which];
            flying[which] = flying[--in_flight];
            answer(f, pages, done);
        }
    }
    assert_int_equal(in_flight, 0);
    const struct frontier_counts *c = frontier_counts(f);
    assert_int_equal(c->done, fetched);
    assert_int_equal(c->queued, 0);
    frontier_destroy(f);
}

static void check_fetched(const struct page *pages, uint32_t depth_max)
{
    for (int i = 0; i < PAGES; i++) {
        const bool expected = pages[i].depth != NEVER && pages[i].depth <= depth_max;
        if (pages[i].fetched != expected)
            fail_msg("%s at depth %u was fetched %u times", pages[i].text, pages[i].depth,
                     pages[i].fetched);
    }
}

static void random_sites_are_crawled_exactly(void **state)
{
    (void)state;
    static struct page pages[PAGES];
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t test_seed = given ? strtoull(given, NULL, 0) : 20807;
    print_message("seed %llu\n", (unsigned long long)test_seed);
    random_state = test_seed * 2 + 1;
    unsigned deepest = 0;

    for (int round = 0; round < 200; round++) {
        make_site(pages);
        const unsigned window = 1 + draw(32);
        struct frontier_options options = {.seed = draw(1000), .depth_max = FRONTIER_ANY_DEPTH};
        crawl(pages, &options, window);
        check_fetched(pages, UINT32_MAX);

        /* Level by level the same pages, at their least depth; and cut off exactly at a limit. */
        options.by_level = true;
        for (int limited = 0; limited < 2; limited++) {
            for (int i = 0; i < PAGES; i++) {
                if (pages[i].depth != NEVER && pages[i].depth > deepest)
                    deepest = pages[i].depth;
                pages[i].fetched = 0;
            }
            crawl(pages, &options, window);
            check_fetched(pages, options.depth_max);
            options.depth_max = draw(8);
        }
    }
    assert_in_range(deepest, 6, PAGES); /* the sites are worth it */
}

static void failing_memory_loses_nothing(void **state)
{
    (void)state;
    static struct page pages[PAGES];
    for (int by_level = 0; by_level < 2; by_level++) {
        for (fail_at = 1;; fail_at++) {
            random_state = 99;
            make_site(pages);
            allocations = 0;
            const struct frontier_options options = {.depth_max = FRONTIER_ANY_DEPTH,
                                                     .by_level = by_level == 1};
            crawl(pages, &options, 8);
            if (allocations < fail_at)
                break;
            check_fetched(pages, UINT32_MAX);
        }
        assert_true(fail_at > 20);
    }
    fail_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_url_is_handed_out_once),
        cmocka_unit_test(finished_only_when_nothing_is_in_flight),
        cmocka_unit_test(scope_is_the_hosts_of_the_seeds),
        cmocka_unit_test(hosts_take_turns),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(redirects_end),
        cmocka_unit_test(pages_are_limited_redirects_not_counted),
        cmocka_unit_test(closed_hands_out_nothing_more),
        cmocka_unit_test(a_host_is_left_in_peace_between_urls),
        cmocka_unit_test(long_urls_and_many_hosts),
        cmocka_unit_test(memory_for_a_known_url_is_bounded),
        cmocka_unit_test(random_sites_are_crawled_exactly),
        cmocka_unit_test(failing_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
