/* SPDX-License-Identifier: MIT */
/*
 * The crawl's frontier (contract and invariants in frontier.h).
 *
 *   known     fingerprints of all URLs taken in: open addressing, 0 for a free slot
 *   later     by_level: of those that wait for the next level; they join the known ones when it
 *             begins
 *   taken     by_level: of those among the later ones that a redirect has brought to this level
 *             since
 *   skipped   by_level: the ones taken on the level before; their second record is passed over
 *   scope     fingerprints of the seeds' hosts, in a table of the same kind
 *   hosts     a host's record, found by the same fingerprint; never freed before the end
 *   turn      ring of the hosts that have URLs waiting on the current level
 *
 * A waiting URL is a record of 8 bytes and its path in a chain of chunks; scheme and host are the
 * host's. With by_level a host has two chains, for this level and for the next, which swap when the
 * level is done; otherwise all goes through the first.
 *
 * A pop looks through the ring for a host whose time has come: cheap, because a crawl in the scope
 * of its seeds has few hosts, and without a delay the first one is always right.
 */
#include "crawl/frontier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A chain's chunks double from the first size, so that many small hosts stay small, up to the last,
 * from where the chunks' own heads do not matter any more. */
enum { FIRST_CHUNK_BYTES = 256, LAST_CHUNK_BYTES = 16 * 1024 };
enum { FIRST_SLOTS = 64 };

struct fingerprints {
    uint64_t *slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t count;
};

struct chunk {
    struct chunk *next;
    uint32_t size, begin, end; /* the records are in bytes[begin..end) */
    char bytes[];
};

struct chain {
    struct chunk *first, *last;
    uint64_t count; /* records */
};

/* Before the text of each waiting URL. */
struct record {
    uint16_t len;
    uint8_t redirects;
    uint8_t form;
    uint32_t depth;
};

/* What the text of a record is: a path and query on this host, or with user information the whole.
 */
enum { FORM_HTTP, FORM_HTTPS, FORM_WHOLE };

struct frontier_host {
    uint64_t fingerprint;
    struct frontier_host *all_next;              /* all hosts, for the end */
    struct frontier_host *turn_next, *turn_prev; /* NULL while not in the ring */
    struct chain waiting[2];                     /* by_level: by the lowest bit of the level */
    int64_t next_allowed_ns;                     /* not to be asked before */
    uint16_t authority_len;
    char authority[]; /* "host" or "host:port" */
};

struct frontier {
    struct frontier_options options;
    struct frontier_counts counts;
    struct fingerprints known, scope;
    struct fingerprints later, taken, skipped; /* by_level only */
    struct frontier_host **hosts;              /* open addressing by fingerprint */
    size_t host_slots, host_count;
    struct frontier_host *all;
    struct frontier_host *turn; /* whose turn it is; NULL when no host has URLs on this level */
    uint64_t pages;             /* handed out, minus redirects: what pages_max limits */
    uint32_t level;             /* by_level: the depth that is handed out now */
    bool closed;
    size_t bytes;
};

/* The heap, counted. */

static void *take(struct frontier *f, size_t bytes)
{
    void *ptr = calloc(1, bytes);
    if (ptr)
        f->bytes += bytes;
    return ptr;
}

static void give(struct frontier *f, void *ptr, size_t bytes)
{
    if (ptr)
        f->bytes -= bytes;
    free(ptr);
}

/* Fingerprints. */

/* Where the fingerprint is, or the free slot for it. There is one: the table is never full. */
static uint64_t *probe(const struct fingerprints *set, uint64_t fingerprint)
{
    size_t at = fingerprint & (set->slot_count - 1);
    while (set->slots[at] != 0 && set->slots[at] != fingerprint)
        at = (at + 1) & (set->slot_count - 1);
    return &set->slots[at];
}

static bool has(const struct fingerprints *set, uint64_t fingerprint)
{
    return set->slot_count > 0 && *probe(set, fingerprint) == fingerprint;
}

/* Makes room for one more. Returns 0 or -ENOMEM. */
static int reserve(struct frontier *f, struct fingerprints *set)
{
    if (set->count < set->slot_count / 4 * 3)
        return 0;
    struct fingerprints grown = {.slot_count = set->slot_count ? set->slot_count * 2 : FIRST_SLOTS,
                                 .count = set->count};
    grown.slots = take(f, grown.slot_count * sizeof *grown.slots);
    if (!grown.slots)
        return -ENOMEM;
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i] != 0)
            *probe(&grown, set->slots[i]) = set->slots[i];
    give(f, set->slots, set->slot_count * sizeof *set->slots);
    *set = grown;
    return 0;
}

/* Room was reserved. */
static void insert(struct fingerprints *set, uint64_t fingerprint)
{
    uint64_t *slot = probe(set, fingerprint);
    set->count += *slot == 0;
    *slot = fingerprint;
}

static void clear(struct frontier *f, struct fingerprints *set)
{
    give(f, set->slots, set->slot_count * sizeof *set->slots);
    *set = (struct fingerprints){0};
}

static uint64_t never_zero(uint64_t fingerprint)
{
    return fingerprint != 0 ? fingerprint : 1;
}

/* Of the host and, unless it is the usual one of the scheme, the port: what wf_url_same_host looks
 * at. */
static uint64_t host_fingerprint(const struct frontier *f, const struct wf_url *url)
{
    const uint64_t port = url->port == (url->https ? 443 : 80) ? 0 : url->port;
    return never_zero(wf_url_fingerprint(url->text + url->host_at, url->host_len,
                                         f->options.seed ^ (port << 48)));
}

/* Chains of records. */

static bool chain_push(struct frontier *f, struct chain *chain, const struct record *record,
                       const char *text)
{
    const size_t need = sizeof *record + record->len;
    struct chunk *last = chain->last;
    if (!last || last->size - last->end < need) {
        size_t size = last ? (size_t)last->size * 2 : FIRST_CHUNK_BYTES;
        if (size > LAST_CHUNK_BYTES)
            size = LAST_CHUNK_BYTES;
        if (size < need)
            size = need;
        struct chunk *chunk = take(f, sizeof *chunk + size);
        if (!chunk)
            return false;
        chunk->size = (uint32_t)size;
        if (last)
            last->next = chunk;
        else
            chain->first = chunk;
        chain->last = last = chunk;
    }
    memcpy(last->bytes + last->end, record, sizeof *record);
    memcpy(last->bytes + last->end + sizeof *record, text, record->len);
    last->end += (uint32_t)need;
    chain->count++;
    return true;
}

/* The oldest record of a chain that has one, and its text. */
static struct record chain_first(const struct chain *chain, const char **ret_text)
{
    const struct chunk *chunk = chain->first;
    struct record record;
    memcpy(&record, chunk->bytes + chunk->begin, sizeof record);
    *ret_text = chunk->bytes + chunk->begin + sizeof record;
    return record;
}

static void chain_drop_first(struct frontier *f, struct chain *chain)
{
    struct chunk *chunk = chain->first;
    const char *text;
    chunk->begin += (uint32_t)(sizeof(struct record) + chain_first(chain, &text).len);
    chain->count--;
    if (chunk->begin < chunk->end)
        return;
    chain->first = chunk->next;
    if (!chain->first)
        chain->last = NULL;
    give(f, chunk, sizeof *chunk + chunk->size);
}

static void chain_clear(struct frontier *f, struct chain *chain)
{
    while (chain->first) {
        struct chunk *chunk = chain->first;
        chain->first = chunk->next;
        give(f, chunk, sizeof *chunk + chunk->size);
    }
}

/* Hosts. */

static struct frontier_host **probe_host(struct frontier_host **slots, size_t slot_count,
                                         uint64_t fingerprint)
{
    size_t at = fingerprint & (slot_count - 1);
    while (slots[at] && slots[at]->fingerprint != fingerprint)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static int reserve_host(struct frontier *f)
{
    if (f->host_count < f->host_slots / 4 * 3)
        return 0;
    const size_t slot_count = f->host_slots ? f->host_slots * 2 : FIRST_SLOTS;
    struct frontier_host **slots = take(f, slot_count * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (struct frontier_host *host = f->all; host; host = host->all_next)
        *probe_host(slots, slot_count, host->fingerprint) = host;
    give(f, f->hosts, f->host_slots * sizeof *slots);
    f->hosts = slots;
    f->host_slots = slot_count;
    return 0;
}

static size_t host_bytes(const struct frontier_host *host)
{
    return sizeof *host + host->authority_len;
}

/* The record of the URL's host, made if there is none. NULL when out of memory. */
static struct frontier_host *get_host(struct frontier *f, const struct wf_url *url,
                                      uint64_t fingerprint)
{
    if (reserve_host(f))
        return NULL;
    struct frontier_host **slot = probe_host(f->hosts, f->host_slots, fingerprint);
    if (*slot)
        return *slot;
    const size_t len = (size_t)(url->path_at - url->host_at);
    struct frontier_host *host = take(f, sizeof *host + len);
    if (!host)
        return NULL;
    host->fingerprint = fingerprint;
    host->next_allowed_ns = INT64_MIN;
    host->authority_len = (uint16_t)len;
    memcpy(host->authority, url->text + url->host_at, len);
    host->all_next = f->all;
    f->all = host;
    f->host_count++;
    *slot = host;
    return host;
}

static struct chain *chain_of_level(const struct frontier *f, struct frontier_host *host,
                                    uint32_t level)
{
    return &host->waiting[f->options.by_level ? level & 1 : 0];
}

/* Puts a host last in the ring: before the one whose turn it is. */
static void enter_turn(struct frontier *f, struct frontier_host *host)
{
    if (host->turn_next)
        return;
    if (!f->turn) {
        host->turn_next = host->turn_prev = host;
        f->turn = host;
        return;
    }
    host->turn_next = f->turn;
    host->turn_prev = f->turn->turn_prev;
    host->turn_prev->turn_next = host;
    f->turn->turn_prev = host;
}

static void leave_turn(struct frontier *f, struct frontier_host *host)
{
    if (f->turn == host)
        f->turn = host->turn_next == host ? NULL : host->turn_next;
    host->turn_prev->turn_next = host->turn_next;
    host->turn_next->turn_prev = host->turn_prev;
    host->turn_next = host->turn_prev = NULL;
}

/* Adding. */

static bool in_scope(const struct frontier *f, uint64_t host_print)
{
    return f->options.any_host || has(&f->scope, host_print);
}

static uint64_t fingerprint_of(const struct frontier *f, const struct wf_url *url)
{
    return never_zero(wf_url_fingerprint(url->text, url->len, f->options.seed));
}

/* Puts the URL into its host's chain for `level`. */
static int queue(struct frontier *f, struct frontier_host *host, const struct wf_url *url,
                 uint32_t level, uint32_t depth, uint32_t redirects)
{
    struct record record = {.redirects = (uint8_t)redirects, .depth = depth};
    const char *text = url->text;
    if (url->user_len > 0) {
        record.form = FORM_WHOLE;
        record.len = url->len;
    } else {
        record.form = url->https ? FORM_HTTPS : FORM_HTTP;
        record.len = (uint16_t)(url->len - url->path_at);
        text += url->path_at;
    }
    if (!chain_push(f, chain_of_level(f, host, level), &record, text))
        return -ENOMEM;
    if (level == f->level)
        enter_turn(f, host);
    return 0;
}

static int add(struct frontier *f, const struct wf_url *url, uint64_t host_print, uint32_t depth,
               uint32_t redirects)
{
    if (!in_scope(f, host_print)) {
        f->counts.out_of_scope++;
        return FRONTIER_OUT_OF_SCOPE;
    }
    if (depth > f->options.depth_max) {
        f->counts.too_deep++;
        return FRONTIER_TOO_DEEP;
    }
    /* What is not deeper than this level, a redirect or a late seed, still belongs to it. */
    const bool put_off = f->options.by_level && depth > f->level;
    const uint64_t fingerprint = fingerprint_of(f, url);
    const bool waits_for_later = has(&f->later, fingerprint);
    if (has(&f->known, fingerprint) || (put_off && waits_for_later)) {
        f->counts.seen++;
        return FRONTIER_SEEN;
    }

    struct fingerprints *set = put_off ? &f->later : &f->known;
    struct frontier_host *host = get_host(f, url, host_print);
    if (!host || reserve(f, set) || (waits_for_later && reserve(f, &f->taken)))
        return -ENOMEM;
    if (queue(f, host, url, f->level + put_off, depth, redirects))
        return -ENOMEM;
    insert(set, fingerprint);
    if (waits_for_later) {
        insert(&f->taken, fingerprint);
    } else {
        f->counts.known++;
        f->counts.queued++;
    }
    return FRONTIER_NEW;
}

int frontier_add_seed(struct frontier *f, const struct wf_url *url)
{
    const uint64_t host_print = host_fingerprint(f, url);
    if (reserve(f, &f->scope))
        return -ENOMEM;
    insert(&f->scope, host_print);
    return add(f, url, host_print, 0, 0);
}

int frontier_add_link(struct frontier *f, const struct frontier_item *from,
                      const struct wf_url *url)
{
    const uint32_t depth = from->depth < UINT32_MAX - 1 ? from->depth + 1 : from->depth;
    return add(f, url, host_fingerprint(f, url), depth, 0);
}

int frontier_add_redirect(struct frontier *f, struct frontier_item *from, const struct wf_url *url)
{
    int verdict = FRONTIER_REDIRECTED_LONG;
    if (from->redirects < FRONTIER_REDIRECTS_MAX)
        verdict = add(f, url, host_fingerprint(f, url), from->depth, from->redirects + 1);
    if (verdict >= 0 && !from->redirected) {
        from->redirected = true;
        f->counts.redirected++;
        f->pages--;
    }
    return verdict;
}

/* Handing out. */

static size_t put(char *out, size_t at, const char *text, size_t len)
{
    memcpy(out + at, text, len);
    return at + len;
}

static struct frontier_item *make_item(struct frontier_host *host, const struct chain *chain)
{
    const char *text;
    const struct record record = chain_first(chain, &text);
    struct frontier_item *item = calloc(1, sizeof *item + 8 + host->authority_len + record.len + 1);
    if (!item)
        return NULL;
    size_t len = 0;
    if (record.form != FORM_WHOLE) {
        len = record.form == FORM_HTTPS ? put(item->text, 0, "https://", 8)
                                        : put(item->text, 0, "http://", 7);
        len = put(item->text, len, host->authority, host->authority_len);
    }
    len = put(item->text, len, text, record.len);
    item->text[len] = '\0';
    if (wf_url_split(item->text, len, &item->url)) {
        /* The text was canonical when it came; nobody has touched it since. */
        abort();
    }
    item->depth = record.depth;
    item->redirects = record.redirects;
    item->host = host;
    return item;
}

/* All pages of this level are done and none waits: goes on to the next, if that one has any.
 * Returns 0 or -ENOMEM; then nothing has changed that matters. */
static int next_level(struct frontier *f)
{
    if (!f->options.by_level || f->counts.in_flight > 0 || f->counts.queued == 0)
        return 0;
    for (size_t i = 0; i < f->later.slot_count; i++) {
        if (f->later.slots[i] == 0)
            continue;
        if (reserve(f, &f->known))
            return -ENOMEM;
        insert(&f->known, f->later.slots[i]);
    }
    clear(f, &f->later);
    clear(f, &f->skipped);
    f->skipped = f->taken;
    f->taken = (struct fingerprints){0};
    f->level++;
    for (struct frontier_host *host = f->all; host; host = host->all_next)
        if (chain_of_level(f, host, f->level)->count > 0)
            enter_turn(f, host);
    return 0;
}

/* The first host in the ring that may be asked now; else NULL, and when one may be. */
static struct frontier_host *find_host(const struct frontier *f, int64_t now_ns, int64_t *ret_when)
{
    struct frontier_host *host = f->turn;
    if (!host)
        return NULL;
    do {
        if (host->next_allowed_ns <= now_ns)
            return host;
        if (host->next_allowed_ns < *ret_when)
            *ret_when = host->next_allowed_ns;
        host = host->turn_next;
    } while (host != f->turn);
    return NULL;
}

/* Takes the host's next record out of its chain, and the host out of its turn if it was the last.
 */
static void drop_first(struct frontier *f, struct frontier_host *host)
{
    struct chain *chain = chain_of_level(f, host, f->level);
    chain_drop_first(f, chain);
    if (chain->count == 0)
        leave_turn(f, host);
}

int frontier_pop(struct frontier *f, int64_t now_ns, struct frontier_item **ret_item,
                 int64_t *ret_when)
{
    const bool enough = f->closed || (f->options.pages_max > 0 && f->pages >= f->options.pages_max);
    int64_t when = INT64_MAX;
    struct frontier_host *host = NULL;
    struct frontier_item *item = NULL;

    while (!enough && !item) {
        if (!f->turn && next_level(f))
            return -ENOMEM;
        host = find_host(f, now_ns, &when);
        if (!host)
            break;
        item = make_item(host, chain_of_level(f, host, f->level));
        if (!item)
            return -ENOMEM;
        drop_first(f, host);
        if (has(&f->skipped, fingerprint_of(f, &item->url))) {
            free(item);
            item = NULL;
        }
    }
    if (!item) {
        if (when == INT64_MAX && f->counts.in_flight == 0)
            return -EPIPE;
        if (ret_when)
            *ret_when = when;
        return -EAGAIN;
    }
    if (f->turn == host)
        f->turn = host->turn_next;
    if (f->options.delay_ns > 0 &&
        __builtin_add_overflow(now_ns, f->options.delay_ns, &host->next_allowed_ns))
        host->next_allowed_ns = INT64_MAX - 1; /* INT64_MAX would say that none waits */
    f->counts.queued--;
    f->counts.in_flight++;
    f->pages++;
    *ret_item = item;
    return 0;
}

void frontier_done(struct frontier *f, struct frontier_item *item)
{
    if (!item)
        return;
    f->counts.in_flight--;
    f->counts.done++;
    free(item);
}

void frontier_close(struct frontier *f)
{
    f->closed = true;
}

const struct frontier_counts *frontier_counts(const struct frontier *f)
{
    return &f->counts;
}

size_t frontier_bytes(const struct frontier *f)
{
    return f->bytes;
}

int frontier_create(const struct frontier_options *options, struct frontier **ret_frontier)
{
    struct frontier *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->options = *options;
    f->bytes = sizeof *f;
    *ret_frontier = f;
    return 0;
}

void frontier_destroy(struct frontier *f)
{
    if (!f)
        return;
    while (f->all) {
        struct frontier_host *host = f->all;
        f->all = host->all_next;
        chain_clear(f, &host->waiting[0]);
        chain_clear(f, &host->waiting[1]);
        give(f, host, host_bytes(host));
    }
    give(f, f->hosts, f->host_slots * sizeof *f->hosts);
    clear(f, &f->known);
    clear(f, &f->scope);
    clear(f, &f->later);
    clear(f, &f->taken);
    clear(f, &f->skipped);
    free(f);
}
