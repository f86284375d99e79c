/* SPDX-License-Identifier: MIT */
/*
 * The lines of a head, byte by byte: each ends with CR LF and holds neither of the two alone, no
 * control character but the tab, and does not begin with white space; an empty line ends the head.
 * What passed is for the next parser, which then need not care. Two parsers that split lines in
 * different ways are how requests are smuggled.
 */
#ifndef WFI_HTTP_HEAD_LINES_H
#define WFI_HTTP_HEAD_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct wfi_head_lines {
    unsigned char state;
    size_t line_count; /* that are complete */
    size_t line_count_max;
    size_t target_len; /* of what stands between the first and the second space of the first line */
    size_t target_len_max;
};

enum wfi_head_lines_end {
    WFI_HEAD_LINES_MORE,     /* all bytes passed, or as many as were given */
    WFI_HEAD_LINES_COMPLETE, /* the empty line passed */
    WFI_HEAD_LINES_TOO_MANY, /* this and the others: the byte behind those that passed is refused */
    WFI_HEAD_LINES_TARGET,
    WFI_HEAD_LINES_CR,
    WFI_HEAD_LINES_LF,
    WFI_HEAD_LINES_CONTROL,
    WFI_HEAD_LINES_FOLDED,
    WFI_HEAD_LINES_EMPTY,
};

void wfi_head_lines_init(struct wfi_head_lines *lines, size_t target_len_max,
                         size_t field_count_max);
/* Without a request line. */
void wfi_head_lines_init_trailers(struct wfi_head_lines *lines, size_t field_count_max);

/* Returns how many of the bytes passed, up to the end of the head or the first that is refused. */
size_t wfi_head_lines_pass(struct wfi_head_lines *lines, const char *bytes, size_t len,
                           enum wfi_head_lines_end *ret_end);

/* The status to answer with, and one sentence for the log. */
int wfi_head_lines_status(enum wfi_head_lines_end end);
const char *wfi_head_lines_reason(enum wfi_head_lines_end end);

#endif
