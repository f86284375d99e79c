/* SPDX-License-Identifier: MIT */
/*
 * A tree of segments: each node stands for one segment of one or more patterns, at its depth, and
 * its children are in the order in which they are tried. As a node's depth says which segment of a
 * path it is compared with, a search visits each node at most once, however much it has to go back.
 *
 * Parameters are only noted on the way, where they stand in the path; their escapes are undone when
 * the route has been found.
 */
#include <weft/router.h>

#include <errno.h>

#include "base/alloc.h"
#include "http/escape.h"
#include "http/target.h"

/* In the order of precedence. */
enum kind { TEXT, INT, UINT, SEGMENT, REST };

enum { SEGMENTS_MAX = 64 }; /* of a pattern: how deep a search can call itself */

struct route {
    struct route *next;
    void *value;
    char *method;
    char *pattern;
    char *names; /* of the parameters, each with its NUL, one after another */
};

struct node {
    struct node *children, *next;
    struct route *routes;
    enum kind kind;
    size_t len;
    char text[];
};

struct wf_router {
    struct node *root; /* before the first segment */
};

int wf_router_create(struct wf_router **ret_router, struct wf_error *reterr)
{
    struct wf_router *router = wfi_zalloc(sizeof *router);
    if (router)
        router->root = wfi_zalloc(sizeof *router->root);
    if (!router || !router->root) {
        wfi_free(router);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    *ret_router = router;
    return 0;
}

static void destroy_route(struct route *route)
{
    if (!route)
        return;
    wfi_free(route->method);
    wfi_free(route->pattern);
    wfi_free(route->names);
    wfi_free(route);
}

static void destroy_node(struct node *node)
{
    while (node) {
        struct node *next = node->next;
        destroy_node(node->children);
        while (node->routes) {
            struct route *route = node->routes;
            node->routes = route->next;
            destroy_route(route);
        }
        wfi_free(node);
        node = next;
    }
}

void wf_router_destroy(struct wf_router *router)
{
    if (!router)
        return;
    destroy_node(router->root);
    wfi_free(router);
}

/* Takes the segment behind the slash that `path` begins with. */
static struct wfi_text take_segment(struct wfi_text *path)
{
    const char *start = path->ptr + 1;
    const char *end = memchr(start, '/', path->len - 1);
    const struct wfi_text segment = {start, end ? (size_t)(end - start) : path->len - 1};
    path->ptr += 1 + segment.len;
    path->len -= 1 + segment.len;
    return segment;
}

/* One segment of a pattern. */
struct piece {
    enum kind kind;
    struct wfi_text text; /* of a parameter its name */
};

static bool is_name(struct wfi_text name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = wfi_lower(name.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

/* Returns NULL, or what is wrong with it. */
static const char *read_piece(struct wfi_text segment, bool is_last, struct piece *ret)
{
    static const char *const types[] = {[INT] = "int", [UINT] = "uint", [REST] = "path"};
    if (segment.len == 0 || *segment.ptr != '{') {
        for (size_t i = 0; i < segment.len; i++)
            if (strchr("{}%?#", segment.ptr[i])) /* no NUL in a pattern */
                return "a character that a text cannot hold";
        if (segment.len == 0 && !is_last)
            return "an empty segment";
        if (wfi_text_is(segment, ".") || wfi_text_is(segment, ".."))
            return "the segment . or ..";
        *ret = (struct piece){TEXT, segment};
        return NULL;
    }
    if (segment.ptr[segment.len - 1] != '}')
        return "a { without a } at the end of the segment";
    struct wfi_text name = {segment.ptr + 1, segment.len - 2};
    const char *colon = memchr(name.ptr, ':', name.len);
    enum kind kind = SEGMENT;
    if (colon) {
        const struct wfi_text type = {colon + 1, name.len - (size_t)(colon + 1 - name.ptr)};
        name.len = (size_t)(colon - name.ptr);
        for (kind = INT; kind <= REST; kind++)
            if (types[kind] && wfi_text_is(type, types[kind]))
                break;
        if (kind > REST)
            return "a type other than int, uint and path";
        if (kind == REST && !is_last)
            return "a path that is not the last segment";
    }
    if (!is_name(name))
        return "a parameter whose name is none";
    *ret = (struct piece){kind, name};
    return NULL;
}

/* Reads a whole pattern. Returns NULL, or what is wrong with it. */
static const char *read_pattern(const char *pattern, struct piece pieces[SEGMENTS_MAX],
                                size_t *ret_count)
{
    struct wfi_text rest = {pattern, strlen(pattern)};
    size_t count = 0, params = 0;
    if (rest.len == 0 || *rest.ptr != '/')
        return "no slash at the start";
    while (rest.len > 0) {
        if (count == SEGMENTS_MAX)
            return "too many segments";
        const struct wfi_text segment = take_segment(&rest);
        const char *wrong = read_piece(segment, rest.len == 0, &pieces[count]);
        if (wrong)
            return wrong;
        if (pieces[count].kind != TEXT && ++params > WF_ROUTE_PARAMS_MAX)
            return "too many parameters";
        for (size_t i = 0; i < count && pieces[count].kind != TEXT; i++)
            if (pieces[i].kind != TEXT && pieces[i].text.len == pieces[count].text.len &&
                memcmp(pieces[i].text.ptr, pieces[count].text.ptr, pieces[i].text.len) == 0)
                return "two parameters of one name";
        count++;
    }
    *ret_count = count;
    return NULL;
}

/* The child for a piece, made if need be; NULL when out of memory. */
static struct node *child_for(struct node *parent, const struct piece *piece)
{
    const size_t len = piece->kind == TEXT ? piece->text.len : 0;
    struct node **link = &parent->children;
    for (; *link && (*link)->kind <= piece->kind; link = &(*link)->next)
        if ((*link)->kind == piece->kind && (*link)->len == len &&
            (len == 0 || memcmp((*link)->text, piece->text.ptr, len) == 0))
            return *link;
    struct node *node = wfi_zalloc(sizeof *node + len);
    if (!node)
        return NULL;
    node->kind = piece->kind;
    node->len = len;
    if (len > 0)
        memcpy(node->text, piece->text.ptr, len);
    node->next = *link;
    *link = node;
    return node;
}

static char *join_names(const struct piece *pieces, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].kind == TEXT ? 0 : pieces[i].text.len + 1;
    char *names = wfi_zalloc(size), *p = names;
    for (size_t i = 0; names && i < count; i++)
        if (pieces[i].kind != TEXT) {
            memcpy(p, pieces[i].text.ptr, pieces[i].text.len);
            p += pieces[i].text.len + 1;
        }
    return names;
}

static bool is_method(const char *method)
{
    if (strcmp(method, "*") == 0)
        return true;
    for (const char *p = method; *p; p++)
        if (!wfi_is_token_char(*p))
            return false;
    return *method != '\0';
}

int wf_router_add(struct wf_router *router, const char *method, const char *pattern, void *value,
                  struct wf_error *reterr)
{
    struct piece pieces[SEGMENTS_MAX];
    size_t count = 0;
    if (!value)
        return wf_error_set(reterr, -EINVAL, "route %s: no value", pattern);
    if (!is_method(method))
        return wf_error_set(reterr, -EINVAL, "route %s: \"%s\" is no method", pattern, method);
    const char *wrong = read_pattern(pattern, pieces, &count);
    if (wrong)
        return wf_error_set(reterr, -EINVAL, "route %s: %s", pattern, wrong);

    struct node *node = router->root;
    for (size_t i = 0; node && i < count; i++)
        node = child_for(node, &pieces[i]); /* nodes without routes do no harm */
    for (struct route *route = node ? node->routes : NULL; route; route = route->next)
        if (strcmp(route->method, method) == 0)
            return wf_error_set(reterr, -EEXIST, "route %s: %s has it as %s", pattern, method,
                                route->pattern);
    struct route *route = node ? wfi_zalloc(sizeof *route) : NULL;
    if (route) {
        route->value = value;
        route->method = wfi_strdup(method);
        route->pattern = wfi_strdup(pattern);
        route->names = join_names(pieces, count);
    }
    if (!route || !route->method || !route->pattern || !route->names) {
        destroy_route(route);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    struct route **link = &node->routes; /* at the end: wf_router_methods lists them as added */
    while (*link)
        link = &(*link)->next;
    *link = route;
    return 0;
}

/* A search under way. */
struct search {
    struct wfi_text method; /* ptr NULL: every node that fits is handed to `visit` */
    size_t param_count;
    struct {
        enum kind kind;
        struct wfi_text text; /* in the path */
        int64_t number;
    } params[WF_ROUTE_PARAMS_MAX];
    const struct route *found;
    bool fits; /* some pattern does, for whatever method */
    void (*visit)(void *arg, const struct node *node);
    void *arg;
};

static bool is_text(const struct node *node, struct wfi_text segment)
{
    if (segment.len < node->len)
        return false;
    for (size_t i = 0; i < node->len; i++)
        if (segment.len == 0 || wfi_escape_take(&segment, NULL) != (unsigned char)node->text[i])
            return false;
    return segment.len == 0;
}

static bool is_number(struct wfi_text segment, bool has_sign, int64_t *ret)
{
    const bool negative = has_sign && segment.len > 0 && *segment.ptr == '-';
    uint64_t n = 0;
    size_t i = negative;
    if (i == segment.len || (segment.ptr[i] == '0' && segment.len > 1))
        return false;
    for (; i < segment.len; i++) {
        const char c = segment.ptr[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (unsigned)(c - '0'), &n))
            return false;
    }
    if (has_sign && n > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? 0 - n : n);
    return true;
}

/* What is left of a path, as {name:path} takes it: a relative name. */
static bool is_rest(struct wfi_text rest)
{
    if (rest.len > 0 && *rest.ptr == '/')
        return false;
    for (size_t i = 0; i < rest.len; i++)
        if ((rest.ptr[i] == '/' && i + 1 < rest.len && rest.ptr[i + 1] == '/') ||
            (rest.ptr[i] == '%' && rest.len - i > 2 && rest.ptr[i + 1] == '2' &&
             wfi_lower(rest.ptr[i + 2]) == 'f'))
            return false;
    return true;
}

/* Whether the segment fits the node, and what it means. */
static bool fits(const struct node *node, struct wfi_text segment, struct wfi_text rest,
                 struct wfi_text *ret_text, int64_t *ret_number)
{
    *ret_text = segment;
    switch (node->kind) {
    case TEXT:
        return is_text(node, segment);
    case INT:
        return is_number(segment, true, ret_number);
    case UINT:
        return is_number(segment, false, ret_number);
    case SEGMENT:
        return segment.len > 0;
    case REST:
        *ret_text = (struct wfi_text){segment.ptr, segment.len + rest.len};
        return is_rest(*ret_text);
    }
    return false;
}

static const struct route *route_for(const struct node *node, struct wfi_text method)
{
    const struct route *get = NULL, *any = NULL;
    for (const struct route *route = node->routes; route; route = route->next) {
        if (wfi_text_is(method, route->method))
            return route;
        if (strcmp(route->method, "GET") == 0 && wfi_text_is(method, "HEAD"))
            get = route;
        if (strcmp(route->method, "*") == 0)
            any = route;
    }
    return get ? get : any;
}

static bool search_below(struct search *search, const struct node *node, struct wfi_text path)
{
    if (path.len == 0) {
        if (!node->routes)
            return false;
        search->fits = true;
        if (search->visit)
            search->visit(search->arg, node);
        else
            search->found = route_for(node, search->method);
        return search->found != NULL;
    }
    struct wfi_text rest = path;
    const struct wfi_text segment = take_segment(&rest);
    for (const struct node *child = node->children; child; child = child->next) {
        struct wfi_text text;
        int64_t number = 0;
        if (!fits(child, segment, rest, &text, &number))
            continue;
        const size_t count = search->param_count;
        if (child->kind != TEXT) {
            search->params[count].kind = child->kind;
            search->params[count].text = text;
            search->params[count].number = number;
            search->param_count++;
        }
        const struct wfi_text behind = child->kind == REST ? (struct wfi_text){"", 0} : rest;
        if (search_below(search, child, behind))
            return true;
        search->param_count = count;
    }
    return false;
}

/* Undoes the escapes of the parameters. */
static int fill(const struct search *search, struct wf_route_match *match)
{
    size_t used = 0;
    const char *name = search->found->names;
    match->value = search->found->value;
    match->pattern = search->found->pattern;
    match->param_count = (uint32_t)search->param_count;
    for (size_t i = 0; i < search->param_count; i++) {
        const ssize_t len =
            wfi_unescape(search->params[i].text, match->text + used, sizeof match->text - used);
        if (len < 0)
            return (int)len;
        match->params[i].name = name;
        match->params[i].at = (uint16_t)used;
        match->params[i].len = (uint16_t)len;
        match->params[i].is_int = search->params[i].kind == INT;
        match->params[i].is_uint = search->params[i].kind == UINT;
        match->params[i].number = search->params[i].number;
        used += (size_t)len + 1;
        name += strlen(name) + 1;
    }
    return 0;
}

int wf_router_find(const struct wf_router *router, const char *method, size_t method_len,
                   const char *path, size_t path_len, struct wf_route_match *ret_match)
{
    const struct wfi_text whole = {path, path_len};
    if (wfi_text_is(whole, "*"))
        return -ENOENT;
    if (!wfi_path_is_plain(whole))
        return -EINVAL;
    struct search search;
    search.method = (struct wfi_text){method, method_len};
    search.param_count = 0;
    search.found = NULL;
    search.fits = false;
    search.visit = NULL;
    if (!search_below(&search, router->root, whole))
        return search.fits ? -EPERM : -ENOENT;
    return fill(&search, ret_match);
}

/* The list that wf_router_methods writes. */
struct list {
    char *out;
    size_t len, size;
};

static bool is_listed(const struct list *list, const char *method)
{
    struct wfi_text rest = {list->out, list->len}, item;
    while (wfi_text_item(&rest, ',', &item))
        if (wfi_text_is(item, method))
            return true;
    return false;
}

static void list_method(struct list *list, const char *method)
{
    const size_t len = strlen(method), comma = list->len > 0 ? 2 : 0;
    if (is_listed(list, method) || list->size < list->len + comma + len + 1)
        return;
    memcpy(list->out + list->len, ", ", comma);
    memcpy(list->out + list->len + comma, method, len + 1);
    list->len += comma + len;
}

static void list_routes(void *arg, const struct node *node)
{
    static const char *const all[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"};
    for (const struct route *route = node->routes; route; route = route->next) {
        if (strcmp(route->method, "*") == 0) {
            for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                list_method(arg, all[i]);
            continue;
        }
        list_method(arg, route->method);
        if (strcmp(route->method, "GET") == 0)
            list_method(arg, "HEAD");
    }
}

size_t wf_router_methods(const struct wf_router *router, const char *path, size_t path_len,
                         char *out, size_t out_size)
{
    const struct wfi_text whole = {path, path_len};
    struct list list = {.out = out, .size = out_size};
    struct search search = {.visit = list_routes, .arg = &list};
    if (out_size == 0)
        return 0;
    *out = '\0';
    if (wfi_path_is_plain(whole))
        search_below(&search, router->root, whole);
    if (search.fits)
        list_method(&list, "OPTIONS");
    return list.len;
}

const char *wf_route_param(const struct wf_route_match *match, const char *name, size_t *ret_len)
{
    for (uint32_t i = 0; i < match->param_count; i++)
        if (strcmp(match->params[i].name, name) == 0) {
            if (ret_len)
                *ret_len = match->params[i].len;
            return match->text + match->params[i].at;
        }
    return NULL;
}

int wf_route_param_int(const struct wf_route_match *match, const char *name, int64_t *ret)
{
    for (uint32_t i = 0; i < match->param_count; i++)
        if (match->params[i].is_int && strcmp(match->params[i].name, name) == 0) {
            *ret = match->params[i].number;
            return 0;
        }
    return -ENOENT;
}

int wf_route_param_uint(const struct wf_route_match *match, const char *name, uint64_t *ret)
{
    for (uint32_t i = 0; i < match->param_count; i++)
        if (match->params[i].is_uint && strcmp(match->params[i].name, name) == 0) {
            *ret = (uint64_t)match->params[i].number;
            return 0;
        }
    return -ENOENT;
}
