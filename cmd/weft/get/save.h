/* SPDX-License-Identifier: MIT */
/* Bodies as files of a directory, named after their URLs. */
#ifndef WEFT_CMD_GET_SAVE_H
#define WEFT_CMD_GET_SAVE_H

#include <weft/error.h>

enum { SAVE_NAME_BYTES = 200 };

/*
 * The file name for a URL: host and path, everything but letters, digits, '.', '-' and '_' turned
 * into '_'; `number` above 1 is put behind it, for further answers of one URL.
 */
void save_name(char ret_name[static SAVE_NAME_BYTES], const char *url, unsigned number);

/* Writes the file whole or not at all. Returns 0 or a negative code with a text. Blocks: not on a
 * fiber worker. */
int save_body(const char *directory, const char *name, const void *body, size_t len,
              struct wf_error *reterr);

#endif
