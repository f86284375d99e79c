/* SPDX-License-Identifier: MIT */
#include "packet.h"

#include <string.h>

/* The length of a text that is not there. */
#define NO_TEXT UINT64_MAX

static void put(struct packet *packet, const void *ptr, size_t len)
{
    if (packet->ptr && len)
        memcpy(packet->ptr + packet->len, ptr, len);
    packet->len += len;
}

void packet_put_number(struct packet *packet, uint64_t number)
{
    put(packet, &number, sizeof number);
}

void packet_put_bytes(struct packet *packet, const void *ptr, size_t len)
{
    packet_put_number(packet, len);
    put(packet, ptr, len);
    put(packet, "", 1);
}

void packet_put_text(struct packet *packet, const char *text)
{
    if (text)
        packet_put_bytes(packet, text, strlen(text));
    else
        packet_put_number(packet, NO_TEXT);
}

struct packet_walk packet_open(const void *ptr, size_t len)
{
    return (struct packet_walk){.at = ptr, .end = len ? (const char *)ptr + len : ptr};
}

uint64_t packet_number(struct packet_walk *walk)
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
static const char *take(struct packet_walk *walk, uint64_t len)
{
    if (walk->broken || len >= (size_t)(walk->end - walk->at) || walk->at[len] != '\0') {
        walk->broken = true;
        return NULL;
    }
    const char *ptr = walk->at;
    walk->at += len + 1;
    return ptr;
}

const char *packet_bytes(struct packet_walk *walk, size_t *ret_len)
{
    uint64_t len = packet_number(walk);
    const char *ptr = take(walk, len);
    *ret_len = ptr ? (size_t)len : 0;
    return ptr;
}

const char *packet_text(struct packet_walk *walk)
{
    uint64_t len = packet_number(walk);
    if (len == NO_TEXT)
        return NULL;
    const char *text = take(walk, len);
    if (text && strlen(text) != len) {
        walk->broken = true;
        return NULL;
    }
    return text;
}

bool packet_none(struct packet_walk *walk)
{
    struct packet_walk ahead = *walk;
    if (packet_number(&ahead) != NO_TEXT || ahead.broken)
        return false;
    *walk = ahead;
    return true;
}

bool packet_is_read(const struct packet_walk *walk)
{
    return !walk->broken && walk->at == walk->end;
}
