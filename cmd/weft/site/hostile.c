/* SPDX-License-Identifier: MIT */
/*
 * Pages of a server that means ill, one path each, for the tests of clients. `/` links them all;
 * /good is an honest page among them, so that a crawl can show that it went on.
 */
#include "site/kinds.h"

#include <string.h>

static const struct {
    const char *path;
    enum site_behaviour behaviour;
} traps[] = {
    {"/", SITE_ANSWER},           {"/good", SITE_ANSWER},
    {"/hang", SITE_HANG},         {"/early", SITE_EARLY},
    {"/lie-long", SITE_LIE_LONG}, {"/lie-short", SITE_LIE_SHORT},
    {"/garbage", SITE_GARBAGE},   {"/loop", SITE_ANSWER},
    {"/huge", SITE_HUGE},         {"/huge-chunks", SITE_HUGE_CHUNKS},
    {"/slow", SITE_SLOW},         {"/reset", SITE_RESET},
};

#define TRAP_COUNT ((uint32_t)(sizeof(traps) / sizeof(traps[0])))
enum { LOOP = 7 };

static uint32_t url_count(const struct site *site)
{
    (void)site;
    return TRAP_COUNT;
}

static int64_t find(const struct site *site, const char *path, size_t len)
{
    (void)site;
    const char *query = memchr(path, '?', len);
    size_t path_len = query ? (size_t)(query - path) : len;
    for (uint32_t i = 0; i < TRAP_COUNT; i++)
        if (strlen(traps[i].path) == path_len && memcmp(traps[i].path, path, path_len) == 0)
            return !query || i == LOOP ? (int64_t)i : -1;
    return -1;
}

static void put_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    (void)site;
    site_put_text(out, traps[id].path);
}

/* /loop leads to /loop?n=1, that to /loop?n=2, and so on for ever. */
static void render_loop(const struct site_request *request, struct site_page *page)
{
    const char *text = memmem(request->target, request->target_len, "?n=", 3);
    uint32_t number = 0;
    if (text)
        (void)site_read_number(text + 3, request->target_len - (size_t)(text + 3 - request->target),
                               &number);
    site_page_plain(page, 302);
    site_put_format(&page->location, "/loop?n=%u", (unsigned)(number + 1));
    site_put(&page->away, page->location.data, page->location.len);
}

static void render(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page)
{
    (void)authority;
    struct site_random random = {site_mix(site->seed ^ 0x6576696c, id)};
    page->behaviour = traps[id].behaviour;
    if (id == LOOP) {
        render_loop(request, page);
        return;
    }
    if (page->behaviour == SITE_GARBAGE) {
        site_put(&page->body, "\x16\x03\x01 this is not HTTP\0\xff\xfe\r\n\r\n", 27);
        return;
    }
    site_put_format(&page->title, "Hostile %s", traps[id].path);
    site_page_head(page, &random);
    if (id == 0) {
        for (uint32_t i = 1; i < TRAP_COUNT; i++) {
            site_put_format(&page->body, "<a href=\"%s\">%s</a>\n", traps[i].path, traps[i].path);
            page->links++;
            site_page_target(page, i);
        }
    }
    site_page_fill(page, 4096, &random);
}

const struct site_kind_table site_hostile = {
    .name = "hostile",
    .url_count = url_count,
    .find = find,
    .path = put_path,
    .render = render,
};
