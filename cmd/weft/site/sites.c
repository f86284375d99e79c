/* SPDX-License-Identifier: MIT */
/*
 * The twelve sites of the downloader text, eleven of them distinct, as folders of one: each answers
 * with as many bytes as the text's serial run printed. news.baidu.com answers 149 bytes while five
 * or more requests are in flight, as it did when the text's author fetched it on five threads.
 */
#include "site/kinds.h"

#include <string.h>

#define CROWD 5
#define CROWDED_BYTES 149

static const struct {
    const char *host;
    uint32_t bytes;
    bool shy; /* answers short in a crowd */
} hosts[] = {
    {"www.baidu.com", 2443, false},       {"packages.example", 18818, false},
    {"www.sina.com.cn", 572160, false},   {"www.163.com", 695359, false},
    {"news.qq.com", 6216, false},         {"www.ifeng.com", 251170, false},
    {"www.ce.cn", 107852, false},         {"news.baidu.com", 73977, true},
    {"www.people.com.cn", 152458, false}, {"news.163.com", 208375, false},
    {"news.sohu.com", 175232, false},
};

#define HOST_COUNT ((uint32_t)(sizeof(hosts) / sizeof(hosts[0])))

static uint32_t url_count(const struct site *site)
{
    (void)site;
    return HOST_COUNT + 1;
}

static void put_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    (void)site;
    site_put_char(out, '/');
    if (id > 0)
        site_put_format(out, "%s/", hosts[id - 1].host);
}

static int64_t find(const struct site *site, const char *path, size_t len)
{
    (void)site;
    if (len == 1)
        return path[0] == '/' ? 0 : -1;
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        size_t host_len = strlen(hosts[i].host);
        if (len == host_len + 2 && path[len - 1] == '/' &&
            memcmp(path + 1, hosts[i].host, host_len) == 0)
            return i + 1;
    }
    return -1;
}

static void render_index(struct site_page *page, struct site_random *random)
{
    site_put_text(&page->title, "Twelve sites");
    site_page_head(page, random);
    for (uint32_t i = 0; i < HOST_COUNT; i++) {
        site_put_format(&page->body, "<a href=\"/%s/\">%s</a>\n", hosts[i].host, hosts[i].host);
        page->links++;
        site_page_target(page, i + 1);
    }
    site_put_text(&page->body, "</body>\n</html>\n");
}

static void render(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page)
{
    (void)authority;
    struct site_random random = {site_mix(site->seed ^ 0x73697465, id)};
    if (id == 0) {
        render_index(page, &random);
        return;
    }
    if (hosts[id - 1].shy && request->in_flight >= CROWD) {
        site_put_text(&page->body, "<html><head><title>Wait</title></head><body>Too many ");
        while (page->body.len < CROWDED_BYTES)
            site_put_char(&page->body, page->body.failed ? 0 : '.');
        return;
    }
    site_put_text(&page->title, hosts[id - 1].host);
    site_page_head(page, &random);
    site_put_text(&page->body, "<p>");
    if (hosts[id - 1].bytes > 4096)
        site_words(&page->body, hosts[id - 1].bytes - 4096, &random);
    site_put_text(&page->body, "</p>\n");
    site_page_fill(page, hosts[id - 1].bytes, &random);
}

const struct site_kind_table site_sites = {
    .name = "sites",
    .url_count = url_count,
    .find = find,
    .path = put_path,
    .render = render,
};
