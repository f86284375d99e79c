/* SPDX-License-Identifier: MIT */
#include "parcel.h"

#include <string.h>

/* The length of a text that is not there. */
#define NO_TEXT UINT64_MAX

static void put(struct parcel *parcel, const void *ptr, size_t len)
{
    if (parcel->ptr && len)
        memcpy(parcel->ptr + parcel->len, ptr, len);
    parcel->len += len;
}

void parcel_put_number(struct parcel *parcel, uint64_t number)
{
    put(parcel, &number, sizeof number);
}

void parcel_put_bytes(struct parcel *parcel, const void *ptr, size_t len)
{
    parcel_put_number(parcel, len);
    put(parcel, ptr, len);
    put(parcel, "", 1);
}

void parcel_put_text(struct parcel *parcel, const char *text)
{
    if (text)
        parcel_put_bytes(parcel, text, strlen(text));
    else
        parcel_put_number(parcel, NO_TEXT);
}

struct parcel_walk parcel_open(const void *ptr, size_t len)
{
    return (struct parcel_walk){.at = ptr, .end = len ? (const char *)ptr + len : ptr};
}

uint64_t parcel_number(struct parcel_walk *walk)
{
    uint64_t number = 0;
    if (walk->broken || (size_t)(walk->end - walk->at) < sizeof number) {
        walk->broken = true;
        return 0;
    }
    memcpy(&number, walk->at, sizeof number);
    walk->at += sizeof number;
    return number;
}

/* With the length read: the bytes behind it. */
static const char *take(struct parcel_walk *walk, uint64_t len)
{
    if (walk->broken || len >= (size_t)(walk->end - walk->at) || walk->at[len] != '\0') {
        walk->broken = true;
        return NULL;
    }
    const char *ptr = walk->at;
    walk->at += len + 1;
    return ptr;
}

const char *parcel_bytes(struct parcel_walk *walk, size_t *ret_len)
{
    uint64_t len = parcel_number(walk);
    const char *ptr = take(walk, len);
    *ret_len = ptr ? (size_t)len : 0;
    return ptr;
}

const char *parcel_text(struct parcel_walk *walk)
{
    uint64_t len = parcel_number(walk);
    if (len == NO_TEXT)
        return NULL;
    const char *text = take(walk, len);
    if (text && strlen(text) != len) {
        walk->broken = true;
        return NULL;
    }
    return text;
}

bool parcel_is_read(const struct parcel_walk *walk)
{
    return !walk->broken && walk->at == walk->end;
}
