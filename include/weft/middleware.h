/* SPDX-License-Identifier: MIT */
/*
 * Middlewares: functions that stand around the handlers of a server, for what many routes have in
 * common. One is called with every request below its path, and calls what stands further in:
 *
 *     static int only_members(struct wf_request *request, struct wf_response *response,
 *                             struct wf_next *next, void *arg)
 *     {
 *         if (!is_member(wf_request_header(request, "Authorization")))
 *             return wf_response_error(response, 401, "members only");
 *         return wf_next_run(next);
 *     }
 *
 *     struct wf_middleware members = {.path = "/api", .layer = only_members};
 *     wf_server_use(server, &members, &error);
 *
 * The one added first is the outermost. They are called for paths without a route too, so that what
 * has to hold below a path holds for all of it; there wf_next_run answers 404 or 405. Requests that
 * are refused because they are malformed reach none.
 *
 * A middleware runs on the fiber of the connection, also where the handler's route names another
 * executor, and in the request's scope: its waits end when the client goes away or the time is up.
 * A context local it sets is seen by the handler.
 */
#ifndef WEFT_MIDDLEWARE_H
#define WEFT_MIDDLEWARE_H

#include <weft/server.h>

WF_BEGIN_DECLS

/* What stands further in: the next middleware, or the handler. Lives until the layer returns. */
struct wf_next;

/*
 * Answers a request, or has it answered by wf_next_run, and may look at the outcome. Header fields
 * are added before wf_next_run; those that middlewares have added stay when the handler fails and
 * the server answers for it.
 *
 * Returns as a wf_handler; mostly what wf_next_run returned.
 */
typedef int (*wf_layer)(struct wf_request *request, struct wf_response *response,
                        struct wf_next *next, void *arg);

struct wf_middleware {
    const struct wf_group *group; /* NULL: none; read by wf_server_use only */

    /* Called for this path and all below it: "/api" for /api and /api/users, not for /apix. NULL:
     * all paths (of the group). It has no parameters. */
    const char *path;
    wf_layer layer;
    void *arg;
};

/*
 * Adds a middleware, inside of those that were added before. The text is copied.
 *
 * Returns 0, or
 *   -EINVAL    no layer, or a path that does not begin with a slash or has parameters
 *   WF_ESTATE  the server has been started
 *   -ENOMEM
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_use(struct wf_server *server, const struct wf_middleware *middleware,
                         struct wf_error *reterr);

/*
 * Has the request answered by what stands further in.
 *
 * Returns what that returned, or WF_ESTATE when it has been called before.
 * Context: fiber only; by the layer it was given to, once.
 */
WF_API int wf_next_run(struct wf_next *next);

/*
 * A layer that answers with the files of a folder, where there is one of that name below the
 * middleware's path, and passes on everything else: `.layer = wf_layer_static, .arg = "/srv/www"`.
 * GET and HEAD only; a path that ends with a slash means index.html there, a folder that has one
 * is redirected to its path with a slash. As with wf_serve_folder, names that begin with a dot are
 * passed on, but for /.well-known/, and links are followed.
 *
 * folder   a path, a char pointer that stays the caller's
 *
 * Returns as wf_next_run or wf_response_file.
 * Context: fiber only.
 */
WF_API int wf_layer_static(struct wf_request *request, struct wf_response *response,
                           struct wf_next *next, void *folder);

/*
 * A layer that lets through what a limit (weft/limit.h) allows at once and answers the rest with
 * 429 and Retry-After; nobody waits. The limit's key is the client's address (wf_request_client).
 *
 * limit   a struct wf_limit, which stays the caller's
 *
 * Returns as wf_next_run or wf_response_error, or -ENOMEM.
 * Context: fiber only.
 */
WF_API int wf_layer_limit(struct wf_request *request, struct wf_response *response,
                          struct wf_next *next, void *limit);

WF_END_DECLS

#endif
