/* SPDX-License-Identifier: MIT */
/* A resource limit for a process that is about to start. */
#ifndef WEFT_RLIMIT_H
#define WEFT_RLIMIT_H

#include <weft/api.h>

WF_BEGIN_DECLS

#define WF_RLIMIT_NONE UINT64_MAX

/* As setrlimit(2) has it; a hard limit below the soft one lowers the soft one too. */
struct wf_rlimit {
    int resource;        /* RLIMIT_AS, RLIMIT_CPU, ... of <sys/resource.h> */
    uint64_t soft, hard; /* WF_RLIMIT_NONE: none */
};

WF_END_DECLS

#endif
