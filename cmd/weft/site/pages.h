/* SPDX-License-Identifier: MIT */
/*
 * The pages of weft's test site: a request goes in, a response comes out. No socket, no clock and
 * no state: the same kind, seed, number of pages and request give the same bytes for ever, so that
 * what a crawler brought home can be compared with /manifest.json, written from the same source.
 *
 * Every URL of a site has an id, 0 .. site_url_count() - 1, whatever spelling it is asked for in.
 * The server counts by id, which is how a page fetched twice under two spellings is noticed.
 */
#ifndef WEFT_CMD_SITE_PAGES_H
#define WEFT_CMD_SITE_PAGES_H

#include "site/text.h"

enum site_kind { SITE_BLOG, SITE_DEEP, SITE_LATENCY, SITE_SITES, SITE_HOSTILE };

struct site {
    enum site_kind kind;
    uint32_t pages; /* 1 .. SITE_PAGES_MAX */
    uint64_t seed;
};

#define SITE_PAGES_MAX 1000000u

struct site_header {
    const char *name, *value;
    size_t name_len, value_len;
};

struct site_request {
    const char *method; /* terminated */
    const char *target; /* as it stands in the request line: a path or a whole URL */
    size_t target_len;
    const struct site_header *headers;
    size_t header_count;
    const char *body;
    size_t body_len;
    uint32_t in_flight; /* requests the server was answering at once, this one included */
};

/* What a hostile page asks the server to do with its answer. */
enum site_behaviour {
    SITE_ANSWER,      /* send it */
    SITE_HANG,        /* say nothing, for ever */
    SITE_EARLY,       /* close in the middle of the body */
    SITE_LIE_LONG,    /* announce more bytes than come, then close */
    SITE_LIE_SHORT,   /* announce fewer bytes than come */
    SITE_GARBAGE,     /* send the body alone: it is not HTTP */
    SITE_HUGE,        /* 1 GB, announced */
    SITE_HUGE_CHUNKS, /* 1 GB in chunks */
    SITE_SLOW,        /* a byte at a time */
    SITE_RESET,       /* reset the connection */
};

struct site_response {
    int status;
    int64_t id; /* of the URL asked for; -1 when the site has no such URL */
    enum site_behaviour behaviour;
    const char *content_type;
    struct site_buffer location; /* not empty with 301, 302 and 307 */
    struct site_buffer body;
};

/* Returns -1 for an unknown name. */
int site_kind_from_name(const char *name);
const char *site_kind_name(enum site_kind kind);

/*
 * Answers one request. `response` is zeroed or one that was used before; its buffers are reused
 * and belong to the caller, who frees them with site_response_free.
 *
 * Returns 0, or
 *   -ENOMEM   the response is incomplete
 */
int site_answer(const struct site *site, const struct site_request *request,
                struct site_response *response);
void site_response_free(struct site_response *response);

uint32_t site_url_count(const struct site *site);
/* Appends the canonical path, with its query, of a URL of the site. */
void site_url_path(const struct site *site, uint32_t id, struct site_buffer *out);

/*
 * Appends the manifest: one JSON object, its list `urls` holding every URL that can be reached
 * from `/` by links and redirects, in the order of a breadth-first walk.
 *   path      canonical, with its query
 *   status    of a fetch that does not follow redirects
 *   title     the text of <title>, decoded
 *   links     how many <a href> elements the page holds, of any scheme, repeats counted
 *   bytes     of the body, where the status is 200
 *   location  where a redirect leads: canonical path, or a whole URL when it leaves the site
 *   posts     blog only: the [href, title] pairs of a.post-item-title
 *
 * Returns 0, or
 *   -ENOMEM   nothing can be said of what was appended
 */
int site_manifest(const struct site *site, struct site_buffer *out);

/*
 * The canonical spelling of a request target: scheme and host cut off, dot segments removed,
 * percent-escapes of unreserved characters decoded and the others in upper case, bytes above 127
 * escaped, no fragment, `/` for an empty path.
 */
void site_canonical(struct site_buffer *out, const char *target, size_t len);

const char *site_reason(int status);

#endif
