/* SPDX-License-Identifier: MIT */
/* What all kinds of test site share: spelling, unknown URLs, page parts, the manifest. */
#include "site/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "site/kinds.h"

static const struct site_kind_table *const kinds[] = {
    [SITE_BLOG] = &site_blog,   [SITE_DEEP] = &site_deep,       [SITE_LATENCY] = &site_latency,
    [SITE_SITES] = &site_sites, [SITE_HOSTILE] = &site_hostile,
};

#define KIND_COUNT ((int)(sizeof(kinds) / sizeof(kinds[0])))

int site_kind_from_name(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return i;
    return -1;
}

const char *site_kind_name(enum site_kind kind)
{
    return kinds[kind]->name;
}

const char *site_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 307:
        return "Temporary Redirect";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

bool site_read_number(const char *text, size_t len, uint32_t *ret_number)
{
    if (len == 0 || len > 9 || (len > 1 && text[0] == '0'))
        return false;
    uint32_t number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    *ret_number = number;
    return true;
}

const struct site_header *site_find_header(const struct site_request *request, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct site_header *header = &request->headers[i];
        if (header->name_len == len && strncasecmp(header->name, name, len) == 0)
            return header;
    }
    return NULL;
}

/* ---- spelling ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Copies with escapes in their one spelling. */
static void put_escaped(struct site_buffer *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        int high = -1, low = -1;
        if (c == '%' && i + 2 < len && (high = hex_value(text[i + 1])) >= 0 &&
            (low = hex_value(text[i + 2])) >= 0) {
            int value = high * 16 + low;
            if (unreserved(value))
                site_put_char(out, (char)value);
            else
                site_put_format(out, "%%%02X", (unsigned)value);
            i += 2;
        } else if (c >= 0x80 || c <= ' ' || c == 0x7f) {
            site_put_format(out, "%%%02X", c);
        } else {
            site_put_char(out, (char)c);
        }
    }
}

/* Removes dot segments from the path that starts at `start`; it begins with a slash. */
static void remove_dots(struct site_buffer *buf, size_t start)
{
    char *path = buf->data + start;
    size_t len = buf->len - start, to = 0, from = 0;
    while (from < len) {
        size_t end = from + 1; /* path[from] is a slash */
        while (end < len && path[end] != '/')
            end++;
        size_t segment = end - from - 1;
        bool last = end == len;
        if (segment == 1 && path[from + 1] == '.') {
            if (last)
                path[to++] = '/';
        } else if (segment == 2 && path[from + 1] == '.' && path[from + 2] == '.') {
            while (to > 0 && path[--to] != '/')
                ;
            if (last)
                path[to++] = '/';
        } else {
            memmove(path + to, path + from, end - from);
            to += end - from;
        }
        from = end;
    }
    if (to == 0)
        path[to++] = '/';
    buf->len = start + to;
}

void site_canonical(struct site_buffer *out, const char *target, size_t len)
{
    const char *scheme = memmem(target, len, "://", 3);
    const char *slash = memchr(target, '/', len);
    if (scheme && slash == scheme + 1) {
        const char *rest = scheme + 3;
        size_t left = len - (size_t)(rest - target);
        size_t skip = 0;
        while (skip < left && rest[skip] != '/' && rest[skip] != '?' && rest[skip] != '#')
            skip++;
        target = rest + skip;
        len = left - skip;
    }
    const char *hash = memchr(target, '#', len);
    if (hash)
        len = (size_t)(hash - target);
    const char *query = memchr(target, '?', len);
    size_t path_len = query ? (size_t)(query - target) : len;
    size_t start = out->len;
    if (path_len == 0 || target[0] != '/')
        site_put_char(out, '/');
    put_escaped(out, target, path_len);
    if (out->failed)
        return;
    remove_dots(out, start);
    if (query)
        put_escaped(out, query, len - path_len);
}

/* ---- parts of pages ---- */

void site_page_target(struct site_page *page, uint32_t id)
{
    site_put(&page->targets, &id, sizeof(id));
}

void site_page_head(struct site_page *page, struct site_random *random)
{
    struct site_buffer *body = &page->body;
    site_put_text(body,
                  "<!DOCTYPE html>\n<html lang=\"zh-cn\">\n<head>\n"
                  "    <meta charset=\"utf-8\" />\n"
                  "    <meta name=\"viewport\" content=\"width=device-width\" />\n    <title>");
    site_escape(body, page->title.data, page->title.len, random);
    site_put_text(body, "</title>\n    <link rel=\"stylesheet\" href=\"/css/site.css\" />\n"
                        "</head>\n<body>\n");
}

void site_page_fill(struct site_page *page, size_t bytes, struct site_random *random)
{
    static const char open[] = "<script>\nvar filler = '<a class=\"post-item-title\" "
                               "href=\"/trap/script\">no link<\\/a>";
    static const char close[] = "';\n</script>\n</body>\n</html>\n";
    struct site_buffer *body = &page->body;
    site_put(body, open, sizeof(open) - 1);
    /* A page that outgrew its size is left long: the unit test of sizes then says so. */
    size_t end = bytes - (sizeof(close) - 1);
    static const char digits[] =
        "0123456789abcdef0f1e2d3c4b5a69788796a5b4c3d2e1f0fedcba98765432100123456789abcdef";
    while (body->len < end && !body->failed) {
        size_t left = end - body->len;
        site_put(body, digits + site_below(random, 16), left < 64 ? left : 64);
    }
    site_put(body, close, sizeof(close) - 1);
}

void site_page_plain(struct site_page *page, int status)
{
    page->status = status;
    site_buffer_clear(&page->title);
    site_put_format(&page->title, "%d %s", status, site_reason(status));
    site_put_format(&page->body,
                    "<html>\n<head><title>%d %s</title></head>\n"
                    "<body><h1>%d %s</h1></body>\n</html>\n",
                    status, site_reason(status), status, site_reason(status));
}

static void page_clear(struct site_page *page)
{
    page->status = 200;
    page->behaviour = SITE_ANSWER;
    page->content_type = "text/html; charset=utf-8";
    page->links = 0;
    site_buffer_clear(&page->location);
    site_buffer_clear(&page->body);
    site_buffer_clear(&page->title);
    site_buffer_clear(&page->posts);
    site_buffer_clear(&page->targets);
    site_buffer_clear(&page->away);
}

static void page_free(struct site_page *page)
{
    site_buffer_free(&page->location);
    site_buffer_free(&page->body);
    site_buffer_free(&page->title);
    site_buffer_free(&page->posts);
    site_buffer_free(&page->targets);
    site_buffer_free(&page->away);
}

static bool page_failed(const struct site_page *page)
{
    return page->location.failed || page->body.failed || page->title.failed || page->posts.failed ||
           page->targets.failed || page->away.failed;
}

/* ---- answers ---- */

uint32_t site_url_count(const struct site *site)
{
    return kinds[site->kind]->url_count(site);
}

void site_url_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    kinds[site->kind]->path(site, id, out);
}

#define AUTHORITY_MAX 256

/* The host and port the client knows the site by; what is not one is not repeated in a page. */
static void read_authority(const struct site_request *request, char authority[AUTHORITY_MAX])
{
    const struct site_header *host = site_find_header(request, "host");
    bool good = host && host->value_len > 0 && host->value_len < AUTHORITY_MAX;
    for (size_t i = 0; good && i < host->value_len; i++) {
        char c = host->value[i];
        good = unreserved(c) || c == ':' || c == '[' || c == ']';
    }
    if (good) {
        memcpy(authority, host->value, host->value_len);
        authority[host->value_len] = 0;
    } else {
        strcpy(authority, "127.0.0.1");
    }
}

/* The sites kind also answers by host name: Host: www.baidu.com, path /. */
static void prefix_host(const struct site *site, const char *authority, struct site_buffer *path)
{
    if (site->kind != SITE_SITES || path->len != 1)
        return;
    struct site_buffer with_host = {0};
    site_put_format(&with_host, "/%.*s/", (int)strcspn(authority, ":"), authority);
    if (!with_host.failed && site_sites.find(site, with_host.data, with_host.len) >= 0) {
        site_buffer_clear(path);
        site_put(path, with_host.data, with_host.len);
    }
    site_buffer_free(&with_host);
}

static void swap_buffers(struct site_buffer *a, struct site_buffer *b)
{
    struct site_buffer swapped = *a;
    *a = *b;
    *b = swapped;
}

static int answer_path(const struct site *site, const struct site_request *request,
                       const char *authority, const struct site_buffer *path,
                       struct site_response *response, struct site_page *page)
{
    const struct site_kind_table *kind = kinds[site->kind];
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    bool posts = strcmp(request->method, "POST") == 0;
    size_t post_len = sizeof(SITE_POST_PATH) - 1;
    bool is_post_path = site->kind == SITE_BLOG && path->len == post_len &&
                        memcmp(path->data, SITE_POST_PATH, post_len) == 0;
    if (is_post_path && posts) {
        site_blog_post(site, request, page);
    } else if (is_post_path || !reads) {
        site_page_plain(page, 405);
    } else if (path->len == 14 && memcmp(path->data, "/manifest.json", 14) == 0) {
        page->content_type = "application/json";
        return site_manifest(site, &page->body);
    } else {
        response->id = kind->find(site, path->data, path->len);
        if (response->id < 0)
            site_page_plain(page, 404);
        else
            kind->render(site, (uint32_t)response->id, request, authority, page);
    }
    return 0;
}

int site_answer(const struct site *site, const struct site_request *request,
                struct site_response *response)
{
    struct site_page page = {0};
    struct site_buffer path = {0};
    char authority[AUTHORITY_MAX];
    swap_buffers(&page.body, &response->body);
    swap_buffers(&page.location, &response->location);
    page_clear(&page);
    response->id = -1;
    read_authority(request, authority);
    site_canonical(&path, request->target, request->target_len);
    if (!path.failed)
        prefix_host(site, authority, &path);
    int err = path.failed ? -1 : answer_path(site, request, authority, &path, response, &page);
    bool failed = err < 0 || page_failed(&page);
    response->status = page.status;
    response->behaviour = page.behaviour;
    response->content_type = page.content_type;
    swap_buffers(&page.body, &response->body);
    swap_buffers(&page.location, &response->location);
    page_free(&page);
    site_buffer_free(&path);
    return failed ? -ENOMEM : 0;
}

void site_response_free(struct site_response *response)
{
    site_buffer_free(&response->body);
    site_buffer_free(&response->location);
}

/* ---- the manifest ---- */

static void put_entry(const struct site *site, uint32_t id, const struct site_page *page,
                      struct site_buffer *path, struct site_buffer *out)
{
    site_buffer_clear(path);
    site_url_path(site, id, path);
    site_put_text(out, "{\"path\":");
    site_put_json(out, path->data, path->len);
    site_put_format(out, ",\"status\":%d,\"title\":", page->status);
    site_put_json(out, page->title.data, page->title.len);
    site_put_format(out, ",\"links\":%u", (unsigned)page->links);
    if (page->status == 200)
        site_put_format(out, ",\"bytes\":%zu", page->body.len);
    if (page->location.len) {
        site_put_text(out, ",\"location\":");
        if (page->away.len) {
            site_put_json(out, page->away.data, page->away.len);
        } else {
            uint32_t target;
            memcpy(&target, page->targets.data, sizeof(target));
            site_buffer_clear(path);
            site_url_path(site, target, path);
            site_put_json(out, path->data, path->len);
        }
    }
    if (site->kind == SITE_BLOG) {
        site_put_text(out, ",\"posts\":[");
        site_put(out, page->posts.data, page->posts.len);
        site_put_char(out, ']');
    }
    site_put_char(out, '}');
}

int site_manifest(const struct site *site, struct site_buffer *out)
{
    static const struct site_request request = {.method = "GET", .target = "/", .target_len = 1};
    uint32_t count = site_url_count(site), head = 0, tail = 0;
    struct site_page page = {0};
    struct site_buffer path = {0};
    bool failed = true;
    uint32_t *queue = malloc(count * sizeof(*queue));
    bool *seen = calloc(count, sizeof(*seen));
    if (!queue || !seen)
        goto out;
    site_put_format(out, "{\"kind\":\"%s\",\"seed\":%llu,\"pages\":%u,\"start\":\"/\",\"urls\":[",
                    site_kind_name(site->kind), (unsigned long long)site->seed,
                    (unsigned)site->pages);
    queue[tail++] = 0; /* the id of `/` in every kind */
    seen[0] = true;
    while (head < tail) {
        uint32_t id = queue[head++];
        page_clear(&page);
        kinds[site->kind]->render(site, id, &request, "127.0.0.1", &page);
        if (page_failed(&page))
            goto out;
        site_put_text(out, head == 1 ? "\n" : ",\n");
        put_entry(site, id, &page, &path, out);
        for (size_t at = 0; at < page.targets.len; at += sizeof(uint32_t)) {
            uint32_t target;
            memcpy(&target, page.targets.data + at, sizeof(target));
            if (!seen[target]) {
                seen[target] = true;
                queue[tail++] = target;
            }
        }
    }
    site_put_text(out, "\n]}\n");
    failed = out->failed || path.failed;
out:
    page_free(&page);
    site_buffer_free(&path);
    free(queue);
    free(seen);
    return failed ? -ENOMEM : 0;
}
