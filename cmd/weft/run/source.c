/* SPDX-License-Identifier: MIT */
#include "run/source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

/* ---- lists ---- */

bool source_is_mark(const char *word)
{
    static const char *const marks[] = {":::", "::::", ":::+", "::::+"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (strcmp(word, marks[i]) == 0)
            return true;
    return false;
}

int source_open_lists(struct source *source, char *const *words, size_t count,
                      struct wf_error *reterr)
{
    *source = (struct source){.words = words, .fd = -1, .total = 1};
    source->lists = calloc(count + 1, sizeof(*source->lists));
    if (!source->lists)
        return wf_error_set(reterr, -ENOMEM, NULL);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], ":::") == 0)
            source->lists[source->list_count++].first = i + 1;
        else if (source_is_mark(words[i]))
            return wf_error_set(reterr, -EINVAL, "%s is not known here; there are ::: and -a FILE",
                                words[i]);
        else
            source->lists[source->list_count - 1].count++;
    }
    for (size_t i = 0; i < source->list_count; i++)
        if (__builtin_mul_overflow(source->total, (uint64_t)source->lists[i].count, &source->total))
            return wf_error_set(reterr, -EINVAL, "more combinations than can be counted");
    return 0;
}

static int take_combination(struct source *source, struct words *ret)
{
    uint64_t weight = source->total, rest = source->at++;
    for (size_t i = 0; i < source->list_count; i++) {
        const struct source_list *list = &source->lists[i];
        weight /= list->count;
        const char *word = source->words[list->first + rest / weight];
        words_add(ret, word, strlen(word));
        rest %= weight;
    }
    return SOURCE_RECORD;
}

static int take_words(struct source *source, size_t count, struct words *ret)
{
    for (size_t i = 0; i < count && source->at < source->total; i++) {
        const char *word = source->words[source->lists[0].first + source->at++];
        words_add(ret, word, strlen(word));
    }
    return SOURCE_RECORD;
}

/* ---- a descriptor ---- */

void source_open_fd(struct source *source, int fd, char delimiter)
{
    *source = (struct source){.fd = fd, .delimiter = delimiter};
}

void source_fini(struct source *source)
{
    free(source->lists);
    free(source->buf);
    *source = (struct source){.fd = -1};
}

size_t source_args(const struct source *source)
{
    return source->lists ? source->list_count : 1;
}

static int too_long(const struct source *source, struct wf_error *reterr)
{
    return wf_error_set(reterr, WF_ETOOBIG, "argument %llu is longer than %d bytes",
                        (unsigned long long)source->taken + source->found + 1, SOURCE_ARG_MAX);
}

static int take_one(struct source *source, struct words *ret, struct wf_error *reterr)
{
    const char *at = source->buf + source->start;
    size_t left = source->len - source->start;
    const char *end = memchr(at, source->delimiter, left);
    size_t len = end ? (size_t)(end - at) : left;
    source->taken++;
    if (len > SOURCE_ARG_MAX) {
        source->taken--;
        return too_long(source, reterr);
    }
    if (memchr(at, 0, len))
        return wf_error_set(reterr, WF_EPARSE,
                            "argument %llu has a NUL in it; see -0 for lists made with NULs",
                            (unsigned long long)source->taken);
    words_add(ret, at, len);
    source->start += len + (end ? 1 : 0);
    return 0;
}

int source_take(struct source *source, size_t count, struct words *ret, struct wf_error *reterr)
{
    words_clear(ret);
    if (source->lists) {
        if (source->at == source->total)
            return SOURCE_END;
        int got =
            source->list_count > 1 ? take_combination(source, ret) : take_words(source, count, ret);
        return ret->failed ? wf_error_set(reterr, -ENOMEM, NULL) : got;
    }
    const char *end;
    while (
        source->found < count && source->seen < source->len &&
        (end = memchr(source->buf + source->seen, source->delimiter, source->len - source->seen))) {
        source->seen = (size_t)(end - source->buf) + 1;
        source->found++;
    }
    if (source->found < count && !source->ended) {
        if (source->len - source->seen > SOURCE_ARG_MAX)
            return too_long(source, reterr);
        return SOURCE_MORE;
    }
    source->found = 0;
    if (source->start == source->len)
        return SOURCE_END;
    for (size_t i = 0; i < count && source->start < source->len; i++) {
        int err = take_one(source, ret, reterr);
        if (err)
            return err;
    }
    source->seen = source->start;
    return ret->failed ? wf_error_set(reterr, -ENOMEM, NULL) : SOURCE_RECORD;
}

/* Room for a block behind what is unread, which moves to the front. */
static int make_room(struct source *source)
{
    if (source->start) {
        memmove(source->buf, source->buf + source->start, source->len - source->start);
        source->len -= source->start;
        source->seen -= source->start;
        source->start = 0;
    }
    if (source->size - source->len >= BLOCK_BYTES)
        return 0;
    size_t size = source->size ? source->size * 2 : 2 * BLOCK_BYTES;
    char *grown = realloc(source->buf, size);
    if (!grown)
        return -ENOMEM;
    source->buf = grown;
    source->size = size;
    return 0;
}

int source_fill(struct source *source, int stop_fd)
{
    int err = make_room(source);
    if (err)
        return err;
    for (;;) {
        struct pollfd fds[] = {{.fd = source->fd, .events = POLLIN},
                               {.fd = stop_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[1].revents)
            return -ECANCELED;
        ssize_t count = read(source->fd, source->buf + source->len, BLOCK_BYTES);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count < 0)
            return -errno;
        source->len += (size_t)count;
        source->ended = count == 0;
        return 0;
    }
}
