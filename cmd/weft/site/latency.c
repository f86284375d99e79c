/* SPDX-License-Identifier: MIT */
/*
 * The latency site: `/` links all of /p/1 .. /p/N, small pages, so that what a crawl takes is the
 * waiting alone. The delay is the server's.
 */
#include "site/kinds.h"

#include <string.h>

static uint32_t url_count(const struct site *site)
{
    return site->pages + 1;
}

static int64_t find(const struct site *site, const char *path, size_t len)
{
    uint32_t number;
    if (len == 1 && path[0] == '/')
        return 0;
    if (len > 3 && memcmp(path, "/p/", 3) == 0 && site_read_number(path + 3, len - 3, &number) &&
        number >= 1 && number <= site->pages)
        return number;
    return -1;
}

static void put_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    (void)site;
    if (id == 0)
        site_put_char(out, '/');
    else
        site_put_format(out, "/p/%u", (unsigned)id);
}

static void put_link(struct site_page *page, uint32_t id)
{
    if (id == 0)
        site_put_text(&page->body, "<a href=\"/\">all</a>\n");
    else
        site_put_format(&page->body, "<a href=\"/p/%u\">%u</a>\n", (unsigned)id, (unsigned)id);
    page->links++;
    site_page_target(page, id);
}

static void render(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page)
{
    (void)request;
    (void)authority;
    struct site_random random = {site_mix(site->seed ^ 0x77616974, id)};
    site_put_format(&page->title, "Slow %u: ", (unsigned)id);
    site_title(&page->title, &random);
    site_page_head(page, &random);
    if (id == 0) {
        for (uint32_t n = 1; n <= site->pages; n++)
            put_link(page, n);
    } else {
        put_link(page, 0);
        site_put_text(&page->body, "<p>");
        site_words(&page->body, 400, &random);
        site_put_text(&page->body, "</p>\n");
    }
    site_put_text(&page->body, "</body>\n</html>\n");
}

const struct site_kind_table site_latency = {
    .name = "latency",
    .url_count = url_count,
    .find = find,
    .path = put_path,
    .render = render,
};
