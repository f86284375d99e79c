/* SPDX-License-Identifier: MIT */
/* Routes: what fits which pattern, which one wins, what is refused. */
#include <weft/router.h>

#include "base/alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Routes are values that name themselves: the method and the pattern. */
static struct wf_router *router_of(const char *const routes[], size_t count)
{
    struct wf_router *router;
    assert_int_equal(wf_router_create(&router, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        char method[16];
        const char *pattern = strchr(routes[i], ' ') + 1;
        snprintf(method, sizeof method, "%.*s", (int)(pattern - 1 - routes[i]), routes[i]);
        struct wf_error error = {0};
        if (wf_router_add(router, method, pattern, (void *)(uintptr_t)routes[i], &error) != 0)
            fail_msg("%s: %s", routes[i], error.text);
    }
    return router;
}

static int find(const struct wf_router *router, const char *request, struct wf_route_match *match)
{
    const char *path = strchr(request, ' ') + 1;
    const size_t len = strlen(path);
    char *exact = malloc(len ? len : 1); /* the sanitizers see a read beyond it */
    assert_non_null(exact);
    memcpy(exact, path, len);
    const int err =
        wf_router_find(router, request, (size_t)(path - 1 - request), exact, len, match);
    free(exact);
    return err;
}

#define FIND_ALL(router, table)                                                        \
    do {                                                                               \
        for (size_t i_ = 0; i_ < sizeof(table) / sizeof *(table); i_++)                \
            check((router), (table)[i_].request, (table)[i_].route, (table)[i_].code); \
    } while (0)

struct example {
    const char *request, *route;
    int code;
};

static void check(const struct wf_router *router, const char *request, const char *route, int code)
{
    struct wf_route_match match;
    const int err = find(router, request, &match);
    if (err != code || (err == 0 && strcmp(match.value, route) != 0))
        fail_msg("%s: %d %s", request, err, err == 0 ? (const char *)match.value : "");
    if (err == 0)
        assert_string_equal(match.pattern, strchr(route, ' ') + 1);
}

static void texts_fit_themselves(void **state)
{
    (void)state;
    static const char *const routes[] = {"GET /",   "GET /a",           "GET /a/", "GET /a/b",
                                         "POST /a", "GET /caf\xc3\xa9", "GET /x y"};
    struct wf_router *router = router_of(routes, sizeof routes / sizeof *routes);
    static const struct example examples[] = {
        {"GET /", "GET /", 0},
        {"GET /a", "GET /a", 0},
        {"GET /a/", "GET /a/", 0},
        {"GET /a/b", "GET /a/b", 0},
        {"GET /%61/%62", "GET /a/b", 0},
        {"POST /a", "POST /a", 0},
        {"GET /caf%c3%a9", "GET /caf\xc3\xa9", 0},
        {"GET /x%20y", "GET /x y", 0},
        {"GET /b", NULL, -ENOENT},
        {"GET /aa", NULL, -ENOENT},
        {"GET /A", NULL, -ENOENT},
        {"GET /a/b/", NULL, -ENOENT},
        {"GET //a", NULL, -ENOENT},
        {"GET /a%2fb", NULL, -ENOENT},
        {"PUT /a", NULL, -EPERM},
        {"POST /a/b", NULL, -EPERM},
        {"get /a", NULL, -EPERM},
        {"OPTIONS *", NULL, -ENOENT},
        {"GET /a/../b", NULL, -EINVAL},
        {"GET /a/%2e%2E", NULL, -EINVAL},
        {"GET /%zz", NULL, -EINVAL},
        {"GET /a%00", NULL, -EINVAL},
        {"GET ", NULL, -EINVAL},
        {"GET a", NULL, -EINVAL},
    };
    FIND_ALL(router, examples);
    wf_router_destroy(router);
}

static void parameters_have_types(void **state)
{
    (void)state;
    static const char *const routes[] = {"GET /int/{n:int}", "GET /uint/{n:uint}", "GET /name/{n}",
                                         "GET /rest/{n:path}"};
    struct wf_router *router = router_of(routes, sizeof routes / sizeof *routes);
    static const struct example examples[] = {
        {"GET /int/0", "GET /int/{n:int}", 0},
        {"GET /int/-5", "GET /int/{n:int}", 0},
        {"GET /int/9223372036854775807", "GET /int/{n:int}", 0},
        {"GET /int/-9223372036854775808", "GET /int/{n:int}", 0},
        {"GET /int/9223372036854775808", NULL, -ENOENT},
        {"GET /int/-9223372036854775809", NULL, -ENOENT},
        {"GET /int/", NULL, -ENOENT},
        {"GET /int/-", NULL, -ENOENT},
        {"GET /int/+5", NULL, -ENOENT},
        {"GET /int/05", NULL, -ENOENT},
        {"GET /int/-05", "GET /int/{n:int}", -ENOENT},
        {"GET /int/5x", NULL, -ENOENT},
        {"GET /int/%35", NULL, -ENOENT}, /* digits are not escaped by anyone in good faith */
        {"GET /uint/18446744073709551615", "GET /uint/{n:uint}", 0},
        {"GET /uint/18446744073709551616", NULL, -ENOENT},
        {"GET /uint/-1", NULL, -ENOENT},
        {"GET /name/x", "GET /name/{n}", 0},
        {"GET /name/a%2Fb", "GET /name/{n}", 0},
        {"GET /name/", NULL, -ENOENT},
        {"GET /name/x/y", NULL, -ENOENT},
        {"GET /rest/", "GET /rest/{n:path}", 0},
        {"GET /rest/a/b/c", "GET /rest/{n:path}", 0},
        {"GET /rest/a/", "GET /rest/{n:path}", 0},
        {"GET /rest", NULL, -ENOENT},
        {"GET /rest//etc/passwd", NULL, -ENOENT},
        {"GET /rest/a//b", NULL, -ENOENT},
        {"GET /rest/%2Fetc", NULL, -ENOENT},
        {"GET /rest/a%2f..%2fb", NULL, -ENOENT},
        {"GET /rest/../b", NULL, -EINVAL},
        {"GET /rest/a/%2e%2e/b", NULL, -EINVAL},
    };
    FIND_ALL(router, examples);

    struct wf_route_match match;
    int64_t i = 0;
    uint64_t u = 0;
    assert_int_equal(find(router, "GET /int/-9223372036854775808", &match), 0);
    assert_int_equal(wf_route_param_int(&match, "n", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(wf_route_param_uint(&match, "n", &u), -ENOENT);
    assert_int_equal(wf_route_param_int(&match, "m", &i), -ENOENT);
    assert_int_equal(find(router, "GET /uint/18446744073709551615", &match), 0);
    assert_int_equal(wf_route_param_uint(&match, "n", &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(wf_route_param_int(&match, "n", &i), -ENOENT);
    size_t len = 0;
    assert_int_equal(find(router, "GET /name/a%2Fb%20c", &match), 0);
    assert_string_equal(wf_route_param(&match, "n", &len), "a/b c");
    assert_int_equal(len, 5);
    assert_null(wf_route_param(&match, "N", NULL));
    assert_int_equal(wf_route_param_int(&match, "n", &i), -ENOENT);
    assert_int_equal(find(router, "GET /rest/a/%C3%A9/", &match), 0);
    assert_string_equal(wf_route_param(&match, "n", NULL), "a/\xc3\xa9/");
    assert_int_equal(find(router, "GET /rest/", &match), 0);
    assert_string_equal(wf_route_param(&match, "n", NULL), "");
    wf_router_destroy(router);
}

static void the_more_particular_pattern_wins(void **state)
{
    (void)state;
    /* Added in the order in which they must not be tried. */
    static const char *const routes[] = {
        "GET /u/{rest:path}", "GET /u/{name}",    "GET /u/{n:uint}", "GET /u/{i:int}",
        "GET /u/me",          "GET /u/me/posts",  "GET /u/{name}/x", "GET /u/{i:int}/y",
        "POST /u/{name}",     "* /u/{rest:path}",
    };
    struct wf_router *router = router_of(routes, sizeof routes / sizeof *routes);
    static const struct example examples[] = {
        {"GET /u/me", "GET /u/me", 0},
        {"GET /u/-7", "GET /u/{i:int}", 0},
        {"GET /u/7", "GET /u/{i:int}", 0},
        {"GET /u/9223372036854775808", "GET /u/{n:uint}", 0},
        {"GET /u/you", "GET /u/{name}", 0},
        {"GET /u/me/posts", "GET /u/me/posts", 0},
        {"GET /u/me/x", "GET /u/{name}/x", 0},        /* back from me */
        {"GET /u/7/x", "GET /u/{name}/x", 0},         /* back from the numbers */
        {"GET /u/me/other", "GET /u/{rest:path}", 0}, /* back from all */
        {"POST /u/me", "POST /u/{name}", 0},          /* /u/me has no POST */
        {"PUT /u/me", "* /u/{rest:path}", 0},
        {"GET /v", NULL, -ENOENT},
    };
    FIND_ALL(router, examples);
    struct wf_route_match match;
    assert_int_equal(find(router, "GET /u/7/x", &match), 0);
    assert_int_equal(match.param_count, 1); /* nothing is left of the ways that failed */
    assert_string_equal(wf_route_param(&match, "name", NULL), "7");
    wf_router_destroy(router);
}

static void head_is_served_by_get(void **state)
{
    (void)state;
    static const char *const routes[] = {"GET /a", "* /a", "GET /b", "HEAD /b", "* /c", "POST /d"};
    struct wf_router *router = router_of(routes, sizeof routes / sizeof *routes);
    static const struct example examples[] = {
        {"HEAD /a", "GET /a", 0}, {"PUT /a", "* /a", 0},  {"HEAD /b", "HEAD /b", 0},
        {"GET /b", "GET /b", 0},  {"HEAD /c", "* /c", 0}, {"HEAD /d", NULL, -EPERM},
    };
    FIND_ALL(router, examples);
    wf_router_destroy(router);
}

static void methods_are_listed_for_allow(void **state)
{
    (void)state;
    static const char *const routes[] = {"POST /a", "GET /a", "PUT /{x}", "POST /{x}", "* /b/c"};
    struct wf_router *router = router_of(routes, sizeof routes / sizeof *routes);
    char out[128];
    assert_int_equal(wf_router_methods(router, "/a", 2, out, sizeof out), 29);
    assert_string_equal(out, "POST, GET, HEAD, PUT, OPTIONS");
    wf_router_methods(router, "/b/c", 4, out, sizeof out);
    assert_string_equal(out, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    assert_int_equal(wf_router_methods(router, "/b/d", 4, out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(wf_router_methods(router, "/a/..", 5, out, sizeof out), 0);
    assert_int_equal(wf_router_methods(router, "/a", 2, out, 10), 9);
    assert_string_equal(out, "POST, GET");
    assert_int_equal(wf_router_methods(router, "/a", 2, out, 0), 0);
    wf_router_destroy(router);
}

static void malformed_patterns_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",           "a",
        "*",          "/{",
        "/{}",        "/{a",
        "/a}",        "/{a}b",
        "/b{a}",      "/{a:}",
        "/{a:float}", "/{1a}",
        "/{a b}",     "/{a-b}",
        "/{a}/{a}",   "/{a:path}/b",
        "/{a:path}/", "//a",
        "/a//b",      "/.",
        "/a/../b",    "/a%20b",
        "/a?b",       "/a#b",
        "/{:int}",    "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
    };
    struct wf_router *router;
    struct wf_error error;
    assert_int_equal(wf_router_create(&router, NULL), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error.code = 0;
        if (wf_router_add(router, "GET", wrong[i], router, &error) != -EINVAL)
            fail_msg("%s", wrong[i]);
        assert_int_equal(error.code, -EINVAL);
    }
    char deep[160] = "";
    for (int i = 0; i < 65; i++)
        strcat(deep, "/a");
    assert_int_equal(wf_router_add(router, "GET", deep, router, &error), -EINVAL);
    deep[128] = '\0';
    assert_int_equal(wf_router_add(router, "GET", deep, router, &error), 0);
    assert_int_equal(wf_router_add(router, "G T", "/", router, &error), -EINVAL);
    assert_int_equal(wf_router_add(router, "", "/", router, &error), -EINVAL);
    assert_int_equal(wf_router_add(router, "GET", "/", NULL, &error), -EINVAL);
    assert_int_equal(wf_router_add(router, "GET", "/{a}/x", router, &error), 0);
    assert_int_equal(wf_router_add(router, "GET", "/{b}/x", router, &error), -EEXIST);
    assert_non_null(strstr(error.text, "/{a}/x"));
    assert_int_equal(wf_router_add(router, "PUT", "/{b}/x", router, &error), 0);
    wf_router_destroy(router);
    wf_router_destroy(NULL);
}

static void names_are_those_of_the_route(void **state)
{
    (void)state;
    static const char *const routes[] = {"GET /{a}/{b}", "PUT /{c}/{d}"};
    struct wf_router *router = router_of(routes, 2);
    struct wf_route_match match;
    assert_int_equal(find(router, "PUT /1/2", &match), 0);
    assert_null(wf_route_param(&match, "a", NULL));
    assert_string_equal(wf_route_param(&match, "c", NULL), "1");
    assert_string_equal(wf_route_param(&match, "d", NULL), "2");
    assert_int_equal(find(router, "GET /1/2", &match), 0);
    assert_string_equal(wf_route_param(&match, "b", NULL), "2");
    wf_router_destroy(router);
}

static void long_parameters_are_refused(void **state)
{
    (void)state;
    static const char *const routes[] = {"GET /{a}/{b}"};
    struct wf_router *router = router_of(routes, 1);
    struct wf_route_match match;
    char request[2048];
    for (int len = WF_ROUTE_TEXT_BYTES - 5; len < WF_ROUTE_TEXT_BYTES + 3; len++) {
        snprintf(request, sizeof request, "GET /%0*d/b", len, 0);
        const int err = find(router, request, &match);
        assert_int_equal(err, len + 3 <= WF_ROUTE_TEXT_BYTES ? 0 : -E2BIG);
    }
    wf_router_destroy(router);
}

static void out_of_memory_leaves_a_router_that_works(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wf_router *router = NULL;
        struct wf_route_match match;
        wfi_alloc_watch(n);
        int err = wf_router_create(&router, NULL);
        if (err == 0)
            err = wf_router_add(router, "GET", "/a/{b}/c", router, NULL);
        if (router && err)
            assert_int_equal(find(router, "GET /a/1/c", &match), -ENOENT);
        wf_router_destroy(router);
        const int64_t live = wfi_alloc_live();
        const bool failed = wfi_alloc_unwatch();
        assert_int_equal(live, 0);
        assert_int_equal(err, failed ? -ENOMEM : 0);
        if (!failed)
            break;
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_fit_themselves),
        cmocka_unit_test(parameters_have_types),
        cmocka_unit_test(the_more_particular_pattern_wins),
        cmocka_unit_test(head_is_served_by_get),
        cmocka_unit_test(methods_are_listed_for_allow),
        cmocka_unit_test(malformed_patterns_are_refused),
        cmocka_unit_test(names_are_those_of_the_route),
        cmocka_unit_test(long_parameters_are_refused),
        cmocka_unit_test(out_of_memory_leaves_a_router_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
