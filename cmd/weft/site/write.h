/* SPDX-License-Identifier: MIT */
/* A test site as files, with the nginx configuration that serves them as `weft site` would. */
#ifndef WEFT_CMD_SITE_WRITE_H
#define WEFT_CMD_SITE_WRITE_H

#include "site/pages.h"

/*
 * Makes DIR/root (the pages), DIR/manifest.json and DIR/nginx.conf, which listens on
 * 127.0.0.1:port and is started by `nginx -p DIR -c nginx.conf`. DIR is made when it is missing.
 *
 * Returns 0, or a negative errno; `ret_path` (at least 4096 bytes) then names what could not be
 * written.
 */
int site_write(const struct site *site, const char *dir, int port, char *ret_path);

#endif
