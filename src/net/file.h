/* SPDX-License-Identifier: MIT */
/* A file from the inside. */
#ifndef WFI_NET_FILE_H
#define WFI_NET_FILE_H

#include <weft/file.h>

struct wf_file {
    int fd; /* constant */
};

/*
 * A new file in `folder` that nobody else sees: read with wf_file_read, written at its end with
 * wf_file_write, gone when it is closed or the process ends. Returns 0, or the error.
 * Context: thread or fiber; not cancelable.
 */
int wfi_file_make_temporary(const char *folder, struct wf_file **ret_file);

#endif
