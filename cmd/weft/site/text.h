/* SPDX-License-Identifier: MIT */
/*
 * Text for the test site: a growable buffer, a seeded stream of numbers, and the words that titles
 * and paragraphs are made of.
 *
 * A buffer that ran out of memory stays as it was and says `failed`; writing goes on harmlessly,
 * so that a page is built without a check at every word and looked at once, at its end.
 */
#ifndef WEFT_CMD_SITE_TEXT_H
#define WEFT_CMD_SITE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct site_buffer {
    char *data; /* not terminated; NULL while nothing was written */
    size_t len, cap;
    bool failed;
};

void site_buffer_free(struct site_buffer *buf);
void site_buffer_clear(struct site_buffer *buf);
void site_put(struct site_buffer *buf, const void *data, size_t len);
void site_put_text(struct site_buffer *buf, const char *text);
void site_put_char(struct site_buffer *buf, char c);
void site_put_format(struct site_buffer *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; the text is UTF-8. */
void site_put_json(struct site_buffer *buf, const char *text, size_t len);

/* The same numbers for the same seed on every machine. */
struct site_random {
    uint64_t state;
};

uint64_t site_mix(uint64_t a, uint64_t b);
uint64_t site_next(struct site_random *random);
/* 0 .. bound - 1 */
uint32_t site_below(struct site_random *random, uint32_t bound);

/* A title in plain UTF-8: no space at its ends, never two in a row; may hold < > & and quotes. */
void site_title(struct site_buffer *out, struct site_random *random);
/* `text` as HTML: what must be escaped is, now by name, now by number, and some of the rest. */
void site_escape(struct site_buffer *out, const char *text, size_t len, struct site_random *random);
/* Words of about `bytes` bytes, with nothing in them that HTML would notice. */
void site_words(struct site_buffer *out, size_t bytes, struct site_random *random);

#endif
