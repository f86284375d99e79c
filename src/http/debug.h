/* SPDX-License-Identifier: MIT */
/* The live page from the inside: the files it consists of, and what a server keeps for it. */
#ifndef WFI_HTTP_DEBUG_H
#define WFI_HTTP_DEBUG_H

#include <stddef.h>

struct wfi_debug;

/* A file of src/http/debug, as tools/embed put it into the program. */
struct wfi_debug_file {
    const char *name, *type;
    const char *data;
    size_t len;
};
extern const struct wfi_debug_file wfi_debug_files[]; /* the last has no name */

void wfi_debug_destroy(struct wfi_debug *debug);

#endif
