/* SPDX-License-Identifier: MIT */
/*
 * Which route a request takes: patterns of paths in, for a method and a path the value that was
 * given with the pattern, and the parameters found in the path.
 *
 *     wf_router_create(&router, NULL);
 *     wf_router_add(router, "GET", "/users/{id:uint}", show_user, &error);
 *     wf_router_add(router, "GET", "/files/{rest:path}", send_file, &error);
 *     err = wf_router_find(router, "GET", 3, "/users/7", 8, &match);
 *     if (!err && wf_route_param_uint(&match, "id", &id) == 0)
 *         ...
 *
 * A pattern is a path whose segments stand for themselves or are parameters:
 *
 *     {name}        one segment, not empty
 *     {name:int}    one segment that is a decimal int64_t, without superfluous zeros or a plus sign
 *     {name:uint}   the same, not negative
 *     {name:path}   all that is left, perhaps nothing, without an empty segment but the last and
 *                   without %2F; only as the last segment
 *
 * Where several patterns fit, the one whose first different segment is more particular wins: a text
 * before int, before uint, before a segment, before path. A parameter whose type does not fit
 * is not there: /users/x is not found above, rather than wrong.
 *
 * A path is compared segment by segment after its escapes are undone, so that %2F in a segment does
 * not end it. An escape that is none, one of NUL, and the segments . and .. are refused wherever
 * they stand; so a {rest:path} is a relative name that leads nowhere but below, unless a symbolic
 * link does. A path with a slash at its end is another path than the same one without.
 *
 * A router is filled by one caller; from then on any number of them may search it at once.
 */
#ifndef WEFT_ROUTER_H
#define WEFT_ROUTER_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_router;

/* No pattern has more parameters. */
#define WF_ROUTE_PARAMS_MAX 8

/* A path whose parameters are longer, escapes undone, is not found. */
#define WF_ROUTE_TEXT_BYTES 1024

/* What a search found. A plain value; what it points to is its own `text` or the router's. */
struct wf_route_match {
    void *value;         /* as given to wf_router_add */
    const char *pattern; /* as given to wf_router_add: a name for logs and counters */
    uint32_t param_count;
    struct {
        const char *name;
        uint16_t at, len; /* in text; a NUL follows */
        bool is_int, is_uint;
        int64_t number; /* of either; of a uint above INT64_MAX its two's complement */
    } params[WF_ROUTE_PARAMS_MAX];
    char text[WF_ROUTE_TEXT_BYTES];
};

/*
 * Makes an empty router.
 *
 * Returns 0, or -ENOMEM.
 * Context: any, never blocks.
 */
WF_API int wf_router_create(struct wf_router **ret_router, struct wf_error *reterr);

/*
 * Frees a router; nobody may be searching it. The values are the caller's to free. NULL is fine.
 * Context: any, never blocks.
 */
WF_API void wf_router_destroy(struct wf_router *router);

/*
 * Adds a route.
 *
 * method    "GET" and so on, or "*" for every method that the pattern has not otherwise. A route
 *           for GET is also that for HEAD, unless HEAD has one of its own.
 * pattern   copied.
 * value     what a search is to find; not NULL.
 *
 * Returns 0, or
 *   -EINVAL   the pattern or the method is malformed, or value is NULL; the text says what.
 *             Patterns are written without escapes, so % ? and # are refused, as are braces in text
 *   -EEXIST   the method has a route for that pattern, or for one that differs in names only
 *   -ENOMEM
 * Context: any, never blocks; one caller, nobody searching.
 */
WF_API int wf_router_add(struct wf_router *router, const char *method, const char *pattern,
                         void *value, struct wf_error *reterr);

/*
 * Finds the route of a request.
 *
 * path        as it stands in the request, escapes and all, without the query.
 * ret_match   receives the route and the parameters; undefined on error.
 *
 * Returns 0, or
 *   -ENOENT    no pattern fits: 404
 *   -EPERM     a pattern fits, but not for this method: 405; wf_router_methods says for which
 *   -EINVAL    a path that is refused, see above: 400
 *   -E2BIG     the parameters are longer than WF_ROUTE_TEXT_BYTES: 414
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_router_find(const struct wf_router *router, const char *method, size_t method_len,
                          const char *path, size_t path_len, struct wf_route_match *ret_match);

/*
 * Lists the methods that have a route for a path, as the field Allow wants them: "GET, HEAD". Among
 * them is OPTIONS, which a server answers by itself.
 *
 * out   receives the list and a NUL; cut after a whole method where it does not fit.
 *
 * Returns the length of the list, 0 when no pattern fits the path.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_router_methods(const struct wf_router *router, const char *path, size_t path_len,
                                char *out, size_t out_size);

/*
 * The text of a parameter, escapes undone, NUL-terminated; it may hold any byte but NUL. NULL when
 * the pattern has none of that name.
 *
 * ret_len   receives its length; may be NULL.
 * Context: any, never blocks.
 */
WF_API const char *wf_route_param(const struct wf_route_match *match, const char *name,
                                  size_t *ret_len);

/*
 * The value of an int parameter.
 *
 * Returns 0, or -ENOENT when the pattern has no int parameter of that name.
 * Context: any, never blocks.
 */
WF_API int wf_route_param_int(const struct wf_route_match *match, const char *name, int64_t *ret);

/*
 * The value of a uint parameter.
 *
 * Returns 0, or -ENOENT when the pattern has no uint parameter of that name.
 * Context: any, never blocks.
 */
WF_API int wf_route_param_uint(const struct wf_route_match *match, const char *name, uint64_t *ret);

WF_END_DECLS

#endif
