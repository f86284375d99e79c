/* SPDX-License-Identifier: MIT */
/*
 * Where `weft serve` listens: an address, a descriptor by number, or the sockets that whoever
 * started it has passed on, as systemd does it (LISTEN_FDS, sd_listen_fds(3)). A socket that stays
 * open elsewhere while the program is replaced loses no connection: those that have not been
 * accepted wait there for the next process.
 */
#ifndef WEFT_CMD_SERVE_LISTEN_H
#define WEFT_CMD_SERVE_LISTEN_H

#include <weft/server.h>

/*
 * Adds the listeners: those that were passed, and `endpoint`, "ADDR:PORT", "unix:PATH" or "fd:N";
 * NULL: `otherwise`, but only if none was passed. The variables are taken out of the environment.
 *
 * Returns 0, or an error of wf_server_listen or wf_server_adopt; -EINVAL for a malformed number.
 */
int listen_add(struct wf_server *server, const char *endpoint, const char *otherwise,
               struct wf_error *reterr);

#endif
