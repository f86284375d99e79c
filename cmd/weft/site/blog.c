/* SPDX-License-Identifier: MIT */
/*
 * The blog: `/` and list pages /sitehome/p/N of about 70 KB, each with 20 links of class
 * post-item-title, and the POST by which the blog's own script asks for a list.
 *
 * `/` is the list of page 1, byte for byte. The posts themselves are on another host, so a crawl
 * that stays on its host holds the lists alone.
 */
#include "site/kinds.h"

#include <string.h>
#include <strings.h>

#define POSTS_PER_PAGE 20
#define LIST_PREFIX "/sitehome/p/"

static uint32_t url_count(const struct site *site)
{
    return site->pages + 1;
}

static int64_t find(const struct site *site, const char *path, size_t len)
{
    size_t prefix = sizeof(LIST_PREFIX) - 1;
    uint32_t number;
    if (len == 1 && path[0] == '/')
        return 0;
    if (len > prefix && memcmp(path, LIST_PREFIX, prefix) == 0 &&
        site_read_number(path + prefix, len - prefix, &number) && number >= 1 &&
        number <= site->pages)
        return number;
    return -1;
}

static void put_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    (void)site;
    if (id == 0)
        site_put_char(out, '/');
    else
        site_put_format(out, LIST_PREFIX "%u", (unsigned)id);
}

/* The sizes the texts printed are kept; the rest lies between the least and the largest of them. */
static size_t page_bytes(const struct site *site, uint32_t number)
{
    static const struct {
        uint32_t number, bytes;
    } printed[] = {
        {3, 69699},  {35, 70044}, {41, 70311}, {42, 70092}, {43, 71057}, {44, 69806},
        {45, 70679}, {46, 69974}, {47, 70024}, {48, 70718}, {49, 70222}, {50, 70022},
    };
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++)
        if (printed[i].number == number)
            return printed[i].bytes;
    return 69699 + site_mix(site->seed ^ 0x626c6f67, number) % (71057 - 69699 + 1);
}

/* One post; its (href, title) pair goes to `posts`. */
static void put_post(const struct site *site, uint32_t number, uint32_t index,
                     struct site_page *page)
{
    static const char *const authors[] = {"lin", "wang-xm", "zhao_q", "chen88", "mei", "liu-yang"};
    struct site_random random = {site_mix(site->seed, (uint64_t)number * 64 + index)};
    struct site_buffer *body = &page->body;
    struct site_buffer title = {0}, href = {0};
    const char *author = authors[site_below(&random, sizeof(authors) / sizeof(authors[0]))];
    unsigned post = 16000000 + number * POSTS_PER_PAGE + index;

    site_title(&title, &random);
    bool query = site_below(&random, 8) == 0;
    site_put_format(&href, "https://posts.example/%s/p/%u.html%s", author, post,
                    query ? "?from=home&page=1" : "");

    site_put_format(body,
                    "<article class=\"post-item\" data-post-id=\"%u\">\n"
                    "<section class=\"post-item-body\">\n<div class=\"post-item-text\">\n",
                    post);
    /* The forms in which hands and templates write one and the same tag. */
    switch (site_below(&random, 4)) {
    case 0:
        site_put_text(body, "<a href='");
        break;
    case 1:
        site_put_text(body, "<A CLASS=\"nav post-item-title\" target=_blank HREF=\"");
        break;
    default:
        site_put_text(body, "<a class=\"post-item-title\" href=\"");
        break;
    }
    bool quote_single = body->len && body->data[body->len - 1] == '\'';
    site_escape(body, href.data, href.len, &random);
    site_put_text(body, quote_single ? "' class='post-item-title'>" : "\" target=\"_blank\">");
    site_escape(body, title.data, title.len, &random);
    site_put_format(body,
                    "</a>\n<p class=\"post-item-summary\">\n"
                    "<a href=\"https://posts.example/%s/\"><img src=\"/trap/face.png\" "
                    "class=\"avatar\" alt=\"\" /></a>\n",
                    author);
    site_put_format(body, "<!-- <a class=\"post-item-title\" href=\"/trap/comment\">%u</a> -->\n",
                    post);
    site_words(body, 1400 + site_below(&random, 700), &random);
    site_put_format(body,
                    "</p>\n</div>\n<footer class=\"post-item-foot\">\n"
                    "<a href=\"https://posts.example/%s/\" class=\"post-item-author\"><span>%s"
                    "</span></a>\n<span class=\"post-meta-item\">2022-05-%02u %02u:%02u</span>\n"
                    "<a id=\"digg_control_%u\" class=\"post-meta-item btn\"><span>%u</span></a>\n"
                    "</footer>\n</section>\n</article>\n",
                    author, author, 1 + site_below(&random, 28), site_below(&random, 24),
                    site_below(&random, 60), post, site_below(&random, 40));
    page->links += 3;

    if (page->posts.len)
        site_put_char(&page->posts, ',');
    site_put_char(&page->posts, '[');
    site_put_json(&page->posts, href.data, href.len);
    site_put_char(&page->posts, ',');
    site_put_json(&page->posts, title.data, title.len);
    site_put_char(&page->posts, ']');
    if (title.failed || href.failed)
        body->failed = true;
    site_buffer_free(&title);
    site_buffer_free(&href);
}

static void put_posts(const struct site *site, uint32_t number, struct site_page *page)
{
    for (uint32_t i = 0; i < POSTS_PER_PAGE; i++)
        put_post(site, number, i, page);
}

static void put_pager_link(uint32_t number, struct site_page *page)
{
    site_put_format(&page->body, "<a href=\"" LIST_PREFIX "%u\">%u</a>\n", (unsigned)number,
                    (unsigned)number);
    page->links++;
    site_page_target(page, number);
}

/*
 * Every list links the first 64, its neighbours, and 64 of its own further on: every page hangs on
 * page (N - 1) / 64, so a crawl of any size is wide after its first answer.
 */
static void put_pager(const struct site *site, uint32_t number, struct site_page *page)
{
    site_put_text(&page->body, "<div class=\"pager\">\n<a href=\"/\">Home</a>\n");
    page->links++;
    site_page_target(page, 0);
    for (uint32_t n = 1; n <= 64 && n <= site->pages; n++)
        put_pager_link(n, page);
    if (number > 65)
        put_pager_link(number - 1, page);
    if (number >= 64 && number < site->pages)
        put_pager_link(number + 1, page);
    for (uint64_t n = (uint64_t)number * 64 + 1; n <= (uint64_t)number * 64 + 64; n++)
        if (n <= site->pages)
            put_pager_link((uint32_t)n, page);
    site_put_text(&page->body, "</div>\n");
}

static void render(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page)
{
    (void)request;
    (void)authority;
    uint32_t number = id ? id : 1;
    struct site_random random = {site_mix(site->seed ^ 0x6c697374, number)};
    site_put_format(&page->title, "博客首页 <%u> & 列表", (unsigned)number);
    site_page_head(page, &random);
    site_put_text(&page->body, "<div id=\"post_list\" class=\"post-list\">\n");
    put_posts(site, number, page);
    site_put_text(&page->body, "</div>\n");
    put_pager(site, number, page);
    site_page_fill(page, page_bytes(site, number), &random);
}

const struct site_kind_table site_blog = {
    .name = "blog",
    .url_count = url_count,
    .find = find,
    .path = put_path,
    .render = render,
};

/* ---- the POST ---- */

struct json_field {
    const char *name;
    char type; /* s string, n number */
};

static const struct json_field fields[] = {
    {"CategoryType", 's'}, {"ParentCategoryId", 'n'}, {"CategoryId", 'n'},
    {"PageIndex", 'n'},    {"TotalPostCount", 'n'},   {"ItemListActionName", 's'},
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static void skip_space(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\r' || **at == '\n'))
        ++*at;
}

static bool take(const char **at, const char *end, char c)
{
    skip_space(at, end);
    if (*at == end || **at != c)
        return false;
    ++*at;
    return true;
}

static bool take_string(const char **at, const char *end, const char **ret_text, size_t *ret_len)
{
    if (!take(at, end, '"'))
        return false;
    const char *start = *at;
    while (*at < end && **at != '"')
        *at += **at == '\\' ? 2 : 1;
    if (*at >= end)
        return false;
    *ret_text = start;
    *ret_len = (size_t)(*at - start);
    ++*at;
    return true;
}

/* Reads a flat object of strings and numbers; which fields it holds comes back as bits. */
static bool read_body(const char *text, size_t len, unsigned *ret_fields, uint32_t *ret_page)
{
    const char *at = text, *end = text + len;
    unsigned found = 0;
    if (!take(&at, end, '{'))
        return false;
    do {
        const char *name, *value;
        size_t name_len, value_len;
        char type;
        if (!take_string(&at, end, &name, &name_len) || !take(&at, end, ':'))
            return false;
        skip_space(&at, end);
        if (at < end && *at == '"') {
            type = 's';
            if (!take_string(&at, end, &value, &value_len))
                return false;
        } else {
            type = 'n';
            value = at;
            while (at < end && (*at == '-' || (*at >= '0' && *at <= '9')))
                at++;
            value_len = (size_t)(at - value);
            if (value_len == 0)
                return false;
        }
        for (size_t i = 0; i < FIELD_COUNT; i++) {
            if (strlen(fields[i].name) != name_len || memcmp(fields[i].name, name, name_len) != 0)
                continue;
            if (fields[i].type != type)
                return false;
            found |= 1u << i;
            if (strcmp(fields[i].name, "PageIndex") == 0 &&
                !site_read_number(value, value_len, ret_page))
                return false;
        }
    } while (take(&at, end, ','));
    if (!take(&at, end, '}'))
        return false;
    skip_space(&at, end);
    *ret_fields = found;
    return at == end;
}

static void refuse(struct site_page *page, int status, const char *what, const char *name)
{
    page->status = status;
    page->content_type = "text/plain; charset=utf-8";
    site_put_format(&page->body, "%s%s\n", what, name);
}

void site_blog_post(const struct site *site, const struct site_request *request,
                    struct site_page *page)
{
    static const char *const headers[] = {"user-agent", "x-requested-with", "origin",
                                          "pragma",     "referer",          "content-type"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const struct site_header *header = site_find_header(request, headers[i]);
        if (!header || header->value_len == 0) {
            refuse(page, 403, "missing header: ", headers[i]);
            return;
        }
    }
    const struct site_header *type = site_find_header(request, "content-type");
    if (type->value_len < 16 || strncasecmp(type->value, "application/json", 16) != 0) {
        refuse(page, 400, "content-type is not application/json", "");
        return;
    }
    unsigned found = 0;
    uint32_t number = 0;
    if (!read_body(request->body, request->body_len, &found, &number)) {
        refuse(page, 400, "the body is not the JSON object expected", "");
        return;
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (!(found & 1u << i)) {
            refuse(page, 400, "missing field: ", fields[i].name);
            return;
        }
    }
    if (number < 1 || number > site->pages) {
        refuse(page, 404, "no such page", "");
        return;
    }
    put_posts(site, number, page);
}
