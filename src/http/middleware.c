/* SPDX-License-Identifier: MIT */
/*
 * The chain around a handler. It is a list in the order in which the middlewares were added; each
 * call looks for the next one whose path fits, so that nothing is made per request, and a server
 * without middlewares asks one pointer.
 *
 * A path is compared as the request has it decoded. The router compares segments decoded one by
 * one, so it may see a slash inside of a segment where this sees one between two: a middleware may
 * be called for more than stands below its path, never for less.
 */
#include <weft/middleware.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/file.h>
#include <weft/limit.h>

#include "base/alloc.h"
#include "http/connection.h"
#include "http/response.h"

/* Longer than any path the system takes. */
#define PATH_BYTES 4096

struct wf_next {
    struct wfi_connection *connection;
    const struct wfi_middleware *at, *rest;
    bool ran;
};

int wf_server_use(struct wf_server *server, const struct wf_middleware *given,
                  struct wf_error *reterr)
{
    struct wfi_buffer path = {0};
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    if (!given->layer)
        return wf_error_set(reterr, -EINVAL, "a middleware has a layer");
    int err = wfi_group_path(given->group, given->path ? given->path : "", &path);
    if (!err)
        err = wfi_buffer_append_byte(&path, '\0');
    struct wfi_middleware *mine = err ? NULL : wfi_zalloc(sizeof *mine + path.len);
    if (!mine) {
        wfi_buffer_reset(&path);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    memcpy(mine->path, path.data, path.len);
    mine->path_len = path.len - 1;
    wfi_buffer_reset(&path);
    if (mine->path_len && mine->path[mine->path_len - 1] == '/')
        mine->path[--mine->path_len] = '\0';
    if ((mine->path_len && mine->path[0] != '/') || strpbrk(mine->path, "{}%?#")) {
        err = wf_error_set(reterr, -EINVAL, "middleware at %s: no plain path", mine->path);
        wfi_free(mine);
        return err;
    }
    mine->layer = given->layer;
    mine->arg = given->arg;
    struct wfi_middleware **link = &server->middlewares;
    while (*link)
        link = &(*link)->next;
    *link = mine;
    return 0;
}

static bool fits(const struct wfi_middleware *m, const char *path)
{
    return m->path_len == 0 || (strncmp(path, m->path, m->path_len) == 0 &&
                                (path[m->path_len] == '/' || path[m->path_len] == '\0'));
}

static int run_from(struct wfi_connection *c, const struct wfi_middleware *m)
{
    while (m && !fits(m, c->request.path))
        m = m->next;
    if (!m)
        return wfi_connection_handle(c);
    struct wf_next next = {.connection = c, .at = m, .rest = m->next};
    return m->layer(&c->request, &c->response, &next, m->arg);
}

int wfi_middleware_run(struct wfi_connection *c)
{
    return run_from(c, c->server->middlewares);
}

int wf_next_run(struct wf_next *next)
{
    if (next->ran)
        return WF_ESTATE;
    next->ran = true;
    return run_from(next->connection, next->rest);
}

/* ---- files ---- */

/* Whether each slash of the decoded path is one of the request, and no segment but the last is
 * empty: as {name:path} has it. */
static bool names_one_file(const struct wfi_request_head *head, const char *rest)
{
    for (size_t i = 0; i + 2 < head->path.len; i++)
        if (head->path.ptr[i] == '%' && head->path.ptr[i + 1] == '2' &&
            wfi_lower(head->path.ptr[i + 2]) == 'f')
            return false;
    return *rest == '/' && !strstr(rest, "//");
}

int wf_layer_static(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                    void *folder)
{
    const struct wfi_request_head *head = request->head;
    char path[PATH_BYTES];
    struct wf_file_info info;
    bool reads = head->method == WFI_METHOD_GET || head->method == WFI_METHOD_HEAD;
    /* The parts . and .. are refused before any middleware is called. */
    const char *rest = request->path + next->at->path_len;
    if (!reads || !names_one_file(head, rest) || wfi_path_is_hidden(rest + 1))
        return wf_next_run(next);
    const char *index = rest[strlen(rest) - 1] == '/' ? "index.html" : "";
    int n = snprintf(path, sizeof path, "%s%s%s", (const char *)folder, rest, index);
    if (n < 0 || (size_t)n + sizeof "/index.html" > sizeof path)
        return wf_next_run(next);
    int err = wf_response_file(response, path, NULL);
    if (err == -EISDIR && !*index) {
        strcpy(path + n, "/index.html");
        if (wf_file_look(path, &info) || info.directory)
            return wf_next_run(next);
        return wfi_response_add_slash(request, response);
    }
    return err == -ENOENT || err == -EISDIR ? wf_next_run(next) : err;
}

/* ---- limits ---- */

int wf_layer_limit(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                   void *limit)
{
    const char *key = wf_request_client(request);
    int err = wf_limit_try_acquire(limit, key);
    if (err == -EAGAIN) {
        err = wf_response_header(response, "Retry-After", "1");
        return err ? err : wf_response_error(response, 429, "%s", wfi_status_text(429));
    }
    if (err)
        return err;
    int code = wf_next_run(next);
    (void)wf_limit_release(limit, key); /* it is held: by this call */
    return code;
}
