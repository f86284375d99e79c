/* SPDX-License-Identifier: MIT */
/* A file from the inside, for the files of this folder. */
#ifndef WFI_NET_FILE_H
#define WFI_NET_FILE_H

#include <weft/file.h>

struct wf_file {
    int fd; /* constant */
};

#endif
