/* SPDX-License-Identifier: MIT */
/* TLS for `weft serve`: the certificate, and its files read again at SIGHUP. */
#ifndef WEFT_CMD_SERVE_SECURE_H
#define WEFT_CMD_SERVE_SECURE_H

#include <weft/server.h>

/* Makes every listener of `server` speak TLS. Says on standard error when the certificate is not
 * valid now. Returns 0, or an error of wf_tls_create or of the system, with its text. */
int secure_open(struct wf_server *server, const char *chain_file, const char *key_file,
                struct wf_error *reterr);

/* After the server is gone. Fine without secure_open, too. */
void secure_close(void);

#endif
