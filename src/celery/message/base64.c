/* SPDX-License-Identifier: MIT */
#include "celery/message/base64.h"

#include <errno.h>
#include <stdint.h>

static const char alphabet[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
    'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/',
};

void wfi_base64_encode(const void *bytes, size_t len, char *out)
{
    const unsigned char *in = bytes;
    for (; len >= 3; in += 3, len -= 3) {
        const uint32_t three = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *out++ = alphabet[three >> 18];
        *out++ = alphabet[three >> 12 & 63];
        *out++ = alphabet[three >> 6 & 63];
        *out++ = alphabet[three & 63];
    }
    if (len == 0)
        return;
    const uint32_t rest = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
    *out++ = alphabet[rest >> 18];
    *out++ = alphabet[rest >> 12 & 63];
    *out++ = len == 2 ? alphabet[rest >> 6 & 63] : '=';
    *out = '=';
}

/* The six bits of a character, or 64. */
static uint32_t value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

ssize_t wfi_base64_decode(const char *text, size_t len, void *out)
{
    const unsigned char *in = (const unsigned char *)text;
    unsigned char *to = out;
    size_t padding = 0;

    if (len % 4 != 0)
        return -EINVAL;
    if (len > 0 && in[len - 1] == '=')
        padding = in[len - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < len; i += 4) {
        const size_t letters = i + 4 == len ? 4 - padding : 4;
        uint32_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            const uint32_t value = j < letters ? value_of(in[i + j]) : 0;
            if (value > 63)
                return -EINVAL;
            bits = bits << 6 | value;
        }
        *to++ = (unsigned char)(bits >> 16);
        if (letters > 2)
            *to++ = (unsigned char)(bits >> 8);
        if (letters > 3)
            *to++ = (unsigned char)bits;
    }
    return to - (unsigned char *)out;
}
