/* SPDX-License-Identifier: MIT */
#include "http/head_lines.h"

#include <stdint.h>
#include <string.h>

enum state {
    LINE_START,
    IN_METHOD, /* of the request line, the only one that is not a field */
    IN_TARGET,
    IN_LINE,
    AFTER_CR,
    AFTER_LAST_CR, /* of the empty line */
};

/* What may stand inside of a line: the tab, visible ASCII, the space, and what is not ASCII. */
static bool is_plain(char byte)
{
    const unsigned char c = (unsigned char)byte;
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

void wfi_head_lines_init(struct wfi_head_lines *lines, size_t target_len_max,
                         size_t field_count_max)
{
    *lines = (struct wfi_head_lines){.state = LINE_START,
                                     .line_count_max = field_count_max + 1,
                                     .target_len_max = target_len_max};
}

void wfi_head_lines_init_trailers(struct wfi_head_lines *lines, size_t field_count_max)
{
    *lines = (struct wfi_head_lines){
        .state = LINE_START, .line_count = 1, .line_count_max = field_count_max + 1};
}

/* What is wrong with a first byte of a line; MORE if nothing is. */
static enum wfi_head_lines_end wrong_at_start(const struct wfi_head_lines *lines, char c)
{
    if (c == '\r')
        return lines->line_count == 0 ? WFI_HEAD_LINES_EMPTY : WFI_HEAD_LINES_MORE;
    if ((c == ' ' || c == '\t') && lines->line_count > 0)
        return WFI_HEAD_LINES_FOLDED;
    if (lines->line_count >= lines->line_count_max)
        return WFI_HEAD_LINES_TOO_MANY;
    return WFI_HEAD_LINES_MORE;
}

/* Whether any of eight bytes is not plain; of a tab it says so too. What it computes is exact as to
 * whether there is one, though not as to which. */
static bool has_other(const char *bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    const uint64_t rubout = word ^ (ones * 0x7f);
    return (((word - ones * ' ') & ~word) | ((rubout - ones) & ~rubout)) & tops;
}

/* Inside of a line: returns where that ends, or what is refused stands. */
static size_t pass_within(struct wfi_head_lines *lines, const char *bytes, size_t i, size_t len)
{
    if (lines->state == IN_METHOD) {
        while (i < len && is_plain(bytes[i]) && bytes[i] != ' ')
            i++;
        if (i == len || bytes[i] != ' ')
            return i;
        lines->state = IN_TARGET;
        i++;
    }
    if (lines->state == IN_TARGET) {
        for (; i < len && is_plain(bytes[i]) && bytes[i] != ' '; i++)
            if (lines->target_len++ == lines->target_len_max)
                return i;
        if (i == len || bytes[i] != ' ')
            return i;
        lines->state = IN_LINE;
    }
    for (;;) {
        while (len - i >= sizeof(uint64_t) && !has_other(bytes + i))
            i += sizeof(uint64_t);
        const size_t stop = len - i < sizeof(uint64_t) ? len : i + sizeof(uint64_t);
        while (i < stop && is_plain(bytes[i]))
            i++;
        if (i < stop || i == len)
            return i;
    }
}

size_t wfi_head_lines_pass(struct wfi_head_lines *lines, const char *bytes, size_t len,
                           enum wfi_head_lines_end *ret_end)
{
    size_t i = 0;
    while (i < len) {
        const char c = bytes[i];
        switch (lines->state) {
        case LINE_START: {
            const enum wfi_head_lines_end wrong = wrong_at_start(lines, c);
            if (wrong != WFI_HEAD_LINES_MORE) {
                *ret_end = wrong;
                return i;
            }
            lines->state = c == '\r' ? AFTER_LAST_CR : lines->line_count == 0 ? IN_METHOD : IN_LINE;
            i += c == '\r';
            break;
        }
        case IN_METHOD:
        case IN_TARGET:
        case IN_LINE:
            i = pass_within(lines, bytes, i, len);
            if (i == len)
                break;
            if (bytes[i] != '\r') {
                *ret_end = bytes[i] == '\n'     ? WFI_HEAD_LINES_LF
                           : is_plain(bytes[i]) ? WFI_HEAD_LINES_TARGET
                                                : WFI_HEAD_LINES_CONTROL;
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

int wfi_head_lines_status(enum wfi_head_lines_end end)
{
    return end == WFI_HEAD_LINES_TOO_MANY ? 431 : end == WFI_HEAD_LINES_TARGET ? 414 : 400;
}

const char *wfi_head_lines_reason(enum wfi_head_lines_end end)
{
    switch (end) {
    case WFI_HEAD_LINES_TOO_MANY:
        return "more fields than the limit";
    case WFI_HEAD_LINES_TARGET:
        return "the target is longer than the limit";
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
