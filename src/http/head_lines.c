/* SPDX-License-Identifier: MIT */
#include "http/head_lines.h"

enum state {
    LINE_START,
    IN_LINE,
    AFTER_CR,
    AFTER_LAST_CR, /* of the empty line */
};

/* What may stand inside of a line: the tab, visible ASCII, the space, and what is not ASCII. */
static bool is_plain(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

void wfi_head_lines_init(struct wfi_head_lines *lines, size_t field_count_max, bool fields_only)
{
    lines->state = LINE_START;
    lines->line_count = fields_only ? 1 : 0;
    lines->line_count_max = field_count_max + 1;
}

/* What is wrong with a first byte of a line; MORE if nothing is. */
static enum wfi_head_lines_end wrong_at_start(const struct wfi_head_lines *lines, unsigned char c)
{
    if (c == '\r')
        return lines->line_count == 0 ? WFI_HEAD_LINES_EMPTY : WFI_HEAD_LINES_MORE;
    if ((c == ' ' || c == '\t') && lines->line_count > 0)
        return WFI_HEAD_LINES_FOLDED;
    if (lines->line_count >= lines->line_count_max)
        return WFI_HEAD_LINES_TOO_MANY;
    return WFI_HEAD_LINES_MORE;
}

size_t wfi_head_lines_pass(struct wfi_head_lines *lines, const char *bytes, size_t len,
                           enum wfi_head_lines_end *ret_end)
{
    size_t i = 0;
    while (i < len) {
        const unsigned char c = (unsigned char)bytes[i];
        switch (lines->state) {
        case LINE_START: {
            const enum wfi_head_lines_end wrong = wrong_at_start(lines, c);
            if (wrong != WFI_HEAD_LINES_MORE) {
                *ret_end = wrong;
                return i;
            }
            lines->state = c == '\r' ? AFTER_LAST_CR : IN_LINE;
            i += c == '\r';
            break;
        }
        case IN_LINE:
            while (i < len && is_plain((unsigned char)bytes[i]))
                i++;
            if (i == len)
                break;
            if (bytes[i] != '\r') {
                *ret_end = bytes[i] == '\n' ? WFI_HEAD_LINES_LF : WFI_HEAD_LINES_CONTROL;
                return i;
            }
            i++;
            lines->state = AFTER_CR;
            break;
        default:
            if (c != '\n') {
                *ret_end = WFI_HEAD_LINES_CR;
                return i;
            }
            i++;
            if (lines->state == AFTER_LAST_CR) {
                *ret_end = WFI_HEAD_LINES_COMPLETE;
                return i;
            }
            lines->state = LINE_START;
            lines->line_count++;
        }
    }
    *ret_end = WFI_HEAD_LINES_MORE;
    return i;
}

const char *wfi_head_lines_reason(enum wfi_head_lines_end end)
{
    switch (end) {
    case WFI_HEAD_LINES_TOO_MANY:
        return "more fields than the limit";
    case WFI_HEAD_LINES_CR:
        return "CR without LF";
    case WFI_HEAD_LINES_LF:
        return "LF without CR";
    case WFI_HEAD_LINES_CONTROL:
        return "a control character";
    case WFI_HEAD_LINES_FOLDED:
        return "a line that begins with white space";
    case WFI_HEAD_LINES_EMPTY:
        return "an empty request line";
    default:
        return "";
    }
}
