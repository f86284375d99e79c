/* SPDX-License-Identifier: MIT */
/*
 * Names of workers, and of files named after them, with Celery's signs in them. Pure.
 *
 *              in a worker's name              in the name of its file
 *     %h       the host, with its domain       the same
 *     %n       the host, without it            the worker, up to the @
 *     %d       the domain                      the same
 *     %p                                       the worker's whole name
 *     %i %I                                    0 and nothing: there is one process that logs
 *     %%       a percent sign                  the same
 */
#ifndef WFI_CELERY_NODE_NAME_H
#define WFI_CELERY_NODE_NAME_H

#include <weft/error.h>

#define WFI_NODE_NAME_BYTES 128

/*
 * A worker's name: without an @ in `text` one is put behind it, with the host's name; without
 * anything before the @, or without a text, it is "celery".
 *
 * Returns 0, or -EINVAL when a sign is unknown, or the name empty or too long.
 */
int wfi_node_name(const char *text, const char *host, char ret[WFI_NODE_NAME_BYTES],
                  struct wf_error *reterr);

/* The name of a worker's file. Returns 0, or -EINVAL as above. */
int wfi_node_file(const char *text, const char *node, char *ret, size_t size,
                  struct wf_error *reterr);

#endif
