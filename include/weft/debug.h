/* SPDX-License-Identifier: MIT */
/*
 * A server that shows what its program does: a live page, and all tasks as text and JSON.
 *
 *     wf_server_debug(server, "/debug", &error);
 *
 *     /debug/            the page: workers, executors and their queues, tasks, requests and how
 *                        long they take; plain HTML, CSS and JavaScript that come from here alone
 *     /debug/tasks       every live task, fiber and thread: name, state, age, what it waits for;
 *                        as text, or as JSON where ?format=json or Accept asks for it
 *     /debug/snapshot    what the page shows, once, as JSON
 *     /debug/events      the same as server-sent events, one a second
 *
 * For this machine alone: the client's address is one of the loopback network, or its socket is a
 * Unix one; X-Forwarded-For, if there is one, names no other; and Host is localhost or a loopback
 * address, so that no page of another site can have its browser ask. Everybody else gets 403.
 * Behind a proxy on the same machine that tells nothing of its clients (no X-Forwarded-For, a Host
 * of its own making) all of them look local: such a proxy is to keep the path to itself.
 *
 * /debug/tasks is sent as it is found, in pieces, so that its memory does not grow with the number
 * of tasks. The page shows the most telling ones of each name. Looking costs some hundred
 * nanoseconds a task and fiber, for the page once a second, however many look, and nothing while
 * nobody does.
 */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/server.h>

WF_BEGIN_DECLS

/*
 * Adds the routes. They show the whole program, and this server's requests.
 *
 * prefix   begins with a slash and does not end with one
 *
 * Returns 0, or
 *   -EINVAL    the prefix is none
 *   -EEXIST    a path has a route, or the server has these routes already
 *   WF_ESTATE  the server has been started
 *   -ENOMEM
 * After a failure some of the routes may be there.
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_debug(struct wf_server *server, const char *prefix, struct wf_error *reterr);

WF_END_DECLS

#endif
