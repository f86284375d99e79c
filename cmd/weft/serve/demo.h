/* SPDX-License-Identifier: MIT */
/* The services of `weft serve --demo`: those of the source texts, which are examples too. */
#ifndef WEFT_CMD_SERVE_DEMO_H
#define WEFT_CMD_SERVE_DEMO_H

#include <weft/server.h>

/* Adds their routes. */
int demo_open(struct wf_server *server, struct wf_error *reterr);

/* Ends what they need, once the server has ended; also when demo_open failed or was not called. */
void demo_close(void);

#endif
