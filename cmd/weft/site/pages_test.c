/* SPDX-License-Identifier: MIT */
/*
 * The test site's pages. The walk in here reads pages with a reader and a resolver of its own,
 * which share no line with what wrote them, and builds the manifest it believes in; the two texts
 * have to be equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "site/pages.h"

static void get(const struct site *site, const char *target, const char *host,
                struct site_response *response)
{
    struct site_header header = {"Host", host, 4, strlen(host)};
    struct site_request request = {.method = "GET",
                                   .target = target,
                                   .target_len = strlen(target),
                                   .headers = &header,
                                   .header_count = 1,
                                   .in_flight = 1};
    assert_int_equal(site_answer(site, &request, response), 0);
}

/* ---- a reader of pages ---- */

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 63));
    out[2] = (char)(0x80 | (code & 63));
    return 3;
}

/* Decodes the character references in text[0..len) into `out`, terminated. */
static void decode(const char *text, size_t len, char *out)
{
    static const struct {
        const char *name;
        unsigned code;
    } names[] = {{"amp", '&'},   {"lt", '<'},       {"gt", '>'},       {"quot", '"'},
                 {"copy", 0xa9}, {"mdash", 0x2014}, {"hellip", 0x2026}};
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '&') {
            out[to++] = text[i];
            continue;
        }
        const char *end = memchr(text + i, ';', len - i);
        unsigned code = 0;
        assert_non_null(end);
        if (text[i + 1] == '#' && text[i + 2] == 'x')
            code = (unsigned)strtoul(text + i + 3, NULL, 16);
        else if (text[i + 1] == '#')
            code = (unsigned)strtoul(text + i + 2, NULL, 10);
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            if (strlen(names[n].name) == (size_t)(end - text) - i - 1 &&
                memcmp(names[n].name, text + i + 1, strlen(names[n].name)) == 0)
                code = names[n].code;
        assert_int_not_equal(code, 0);
        to += put_utf8(out + to, code);
        i = (size_t)(end - text);
    }
    out[to] = 0;
}

struct link {
    char href[512], text[512];
    bool is_post;
};

struct found {
    char title[512];
    struct link links[256];
    unsigned count;
};

/* The end of the element whose start tag ended before `at`. */
static const char *skip_raw(const char *at, const char *name)
{
    char close[48];
    snprintf(close, sizeof(close), "</%s", name);
    const char *end = strstr(at, close);
    assert_non_null(end);
    return end;
}

static const char *read_attribute(const char *at, char *name, char *value)
{
    size_t len = 0;
    while (*at == ' ' || *at == '/')
        at++;
    while (*at != ' ' && *at != '=' && *at != '>')
        name[len++] = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at), at++;
    name[len] = 0;
    value[0] = 0;
    while (*at == ' ' && strspn(at, " ") && at[strspn(at, " ")] == '=')
        at++;
    if (*at != '=')
        return at;
    at += 1 + strspn(at + 1, " ");
    const char *end;
    if (*at == '"' || *at == '\'') {
        end = strchr(at + 1, *at);
        decode(at + 1, (size_t)(end - at) - 1, value);
        return end + 1;
    }
    end = at + strcspn(at, " >");
    decode(at, (size_t)(end - at), value);
    return end;
}

static bool has_class(const char *list, const char *name)
{
    static char padded[4200];
    char wanted[64];
    snprintf(padded, sizeof(padded), " %s ", list);
    snprintf(wanted, sizeof(wanted), " %s ", name);
    return strstr(padded, wanted) != NULL;
}

static void read_page(const struct site_buffer *body, struct found *found)
{
    static char name[512], value[4096];
    char *page = malloc(body->len + 1);
    memcpy(page, body->data, body->len);
    page[body->len] = 0;
    memset(found, 0, sizeof(*found));
    for (const char *at = page; (at = strchr(at, '<'));) {
        if (strncmp(at, "<!--", 4) == 0) {
            at = strstr(at, "-->") + 3;
            continue;
        }
        char tag[32];
        size_t len = strcspn(at + 1, " >");
        assert_true(len < sizeof(tag));
        for (size_t i = 0; i < len; i++)
            tag[i] = (char)(at[1 + i] >= 'A' && at[1 + i] <= 'Z' ? at[1 + i] + 32 : at[1 + i]);
        tag[len] = 0;
        at += 1 + len;
        struct link link = {0};
        bool has_href = false;
        while (*at != '>') {
            at = read_attribute(at, name, value);
            if (strcmp(name, "href") == 0) {
                assert_true(strlen(value) < sizeof(link.href));
                strcpy(link.href, value);
                has_href = true;
            } else if (strcmp(name, "class") == 0) {
                link.is_post = has_class(value, "post-item-title");
            }
            at += strspn(at, " ");
        }
        at++;
        if (strcmp(tag, "title") == 0) {
            const char *end = skip_raw(at, "title");
            decode(at, (size_t)(end - at), found->title);
        } else if (strcmp(tag, "script") == 0 || strcmp(tag, "style") == 0 ||
                   strcmp(tag, "textarea") == 0) {
            at = skip_raw(at, tag);
        } else if (strcmp(tag, "a") == 0 && has_href) {
            if (link.is_post)
                decode(at, (size_t)(strchr(at, '<') - at), link.text);
            assert_true(found->count < 256);
            found->links[found->count++] = link;
        }
    }
    free(page);
}

/* ---- a resolver: the canonical path of `href` on the page at `base`, or false if elsewhere ----
 */

#define HOST "weft.test:8123"

static bool resolve(const char *base, const char *href, char *out)
{
    char all[2048], path[2048];
    char *segments[64];
    unsigned count = 0;
    const char *colon = strchr(href, ':');
    href += strspn(href, " ");
    size_t to = strcspn(href, ":/?#");
    if (colon && href[to] == ':') {
        if (strncasecmp(href, "http:", 5) != 0)
            return false;
        href += 5;
    }
    if (strncmp(href, "//", 2) == 0) {
        if (strncasecmp(href + 2, HOST, strlen(HOST)) != 0)
            return false;
        href += 2 + strlen(HOST);
        snprintf(all, sizeof(all), "%s%s", *href == '/' ? "" : "/", href);
    } else if (*href == '/') {
        snprintf(all, sizeof(all), "%s", href);
    } else if (*href == '#' || *href == 0) {
        snprintf(all, sizeof(all), "%s", base);
    } else {
        size_t dir = strcspn(base, "?");
        while (base[dir - 1] != '/')
            dir--;
        snprintf(all, sizeof(all), "%.*s%s", (int)dir, base, href);
    }
    all[strcspn(all, "#")] = 0;
    while (strlen(all) && all[strlen(all) - 1] == ' ')
        all[strlen(all) - 1] = 0;
    char *query = strchr(all, '?');
    char kept[512] = "";
    if (query) {
        snprintf(kept, sizeof(kept), "%s", query);
        *query = 0;
    }
    /* Escapes: first all to plain bytes, then those that need it back. */
    size_t len = 0;
    for (const char *c = all; *c; c++) {
        unsigned byte = (unsigned char)*c;
        if (*c == '%') {
            byte = (unsigned)strtoul((char[]){c[1], c[2], 0}, NULL, 16);
            c += 2;
        }
        if (byte >= 0x80)
            len += (size_t)sprintf(path + len, "%%%02X", byte);
        else
            path[len++] = (char)byte;
    }
    path[len] = 0;
    bool folder = len && (path[len - 1] == '/' || (len > 1 && strcmp(path + len - 2, "/.") == 0));
    for (char *save, *part = strtok_r(path, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (strcmp(part, "..") == 0)
            count -= count > 0;
        else if (strcmp(part, ".") != 0)
            segments[count++] = part;
    }
    out[0] = 0;
    for (unsigned i = 0; i < count; i++)
        strcat(strcat(out, "/"), segments[i]);
    if (folder || count == 0)
        strcat(out, "/");
    strcat(out, kept);
    return true;
}

/* ---- the walk ---- */

struct walk {
    char **paths;
    size_t count, cap;
};

/* Open addressing on the path's bytes, so that the walk is quick enough for thousands. */
static bool add(struct walk *walk, size_t *slots, size_t slot_count, const char *path)
{
    size_t h = 5381;
    for (const char *c = path; *c; c++)
        h = h * 33 + (unsigned char)*c;
    for (h %= slot_count; slots[h]; h = (h + 1) % slot_count)
        if (strcmp(walk->paths[slots[h] - 1], path) == 0)
            return false;
    if (walk->count == walk->cap) {
        walk->cap = walk->cap ? walk->cap * 2 : 64;
        walk->paths = realloc(walk->paths, walk->cap * sizeof(*walk->paths));
    }
    walk->paths[walk->count++] = strdup(path);
    slots[h] = walk->count;
    return true;
}

static void walk_site(const struct site *site, struct site_buffer *manifest)
{
    static struct found found;
    size_t slot_count = 1 << 16;
    size_t *slots = calloc(slot_count, sizeof(*slots));
    struct walk walk = {0};
    struct site_response response = {0};
    char path[4096];
    site_put_format(manifest,
                    "{\"kind\":\"%s\",\"seed\":%llu,\"pages\":%u,\"start\":\"/\",\"urls\":[",
                    site_kind_name(site->kind), (unsigned long long)site->seed, site->pages);
    add(&walk, slots, slot_count, "/");
    for (size_t i = 0; i < walk.count; i++) {
        const char *at = walk.paths[i];
        get(site, at, HOST, &response);
        read_page(&response.body, &found);
        site_put_text(manifest, i ? ",\n{\"path\":" : "\n{\"path\":");
        site_put_json(manifest, at, strlen(at));
        site_put_format(manifest, ",\"status\":%d,\"title\":", response.status);
        site_put_json(manifest, found.title, strlen(found.title));
        site_put_format(manifest, ",\"links\":%u", found.count);
        if (response.status == 200)
            site_put_format(manifest, ",\"bytes\":%zu", response.body.len);
        if (response.location.len) {
            char location[512];
            snprintf(location, sizeof(location), "%.*s", (int)response.location.len,
                     response.location.data);
            bool here = resolve(at, location, path);
            const char *to = here ? path : location;
            site_put_text(manifest, ",\"location\":");
            site_put_json(manifest, to, strlen(to));
            if (here)
                add(&walk, slots, slot_count, path);
        }
        if (site->kind == SITE_BLOG)
            site_put_text(manifest, ",\"posts\":[");
        for (unsigned n = 0, posts = 0; n < found.count; n++) {
            const struct link *link = &found.links[n];
            if (resolve(at, link->href, path))
                add(&walk, slots, slot_count, path);
            if (!link->is_post)
                continue;
            site_put_text(manifest, posts++ ? ",[" : "[");
            site_put_json(manifest, link->href, strlen(link->href));
            site_put_char(manifest, ',');
            site_put_json(manifest, link->text, strlen(link->text));
            site_put_char(manifest, ']');
        }
        site_put_text(manifest, site->kind == SITE_BLOG ? "]}" : "}");
    }
    site_put_text(manifest, "\n]}\n");
    assert_false(manifest->failed);
    for (size_t i = 0; i < walk.count; i++)
        free(walk.paths[i]);
    free(walk.paths);
    free(slots);
    site_response_free(&response);
}

static void check_manifest(enum site_kind kind, uint32_t pages, uint64_t seed)
{
    struct site site = {kind, pages, seed};
    struct site_buffer walked = {0}, written = {0};
    walk_site(&site, &walked);
    assert_int_equal(site_manifest(&site, &written), 0);
    size_t same = 0;
    while (same < walked.len && same < written.len && walked.data[same] == written.data[same])
        same++;
    if (same != walked.len || same != written.len)
        fail_msg("walked ...%.*s\nbut the manifest has ...%.*s",
                 (int)(walked.len - same < 300 ? walked.len - same : 300), walked.data + same,
                 (int)(written.len - same < 300 ? written.len - same : 300), written.data + same);
    site_buffer_free(&walked);
    site_buffer_free(&written);
}

/* ---- tests ---- */

static void manifest_is_what_a_walk_finds(void **state)
{
    (void)state;
    check_manifest(SITE_BLOG, 50, 1);
    check_manifest(SITE_BLOG, 130, 9);
    check_manifest(SITE_LATENCY, 50, 1);
    check_manifest(SITE_DEEP, 1, 1);
    check_manifest(SITE_DEEP, 20, 1);
    check_manifest(SITE_DEEP, 2000, 1);
    check_manifest(SITE_DEEP, 777, 5);
    check_manifest(SITE_SITES, 1, 1);
}

static void every_url_of_the_deep_site_is_reachable(void **state)
{
    (void)state;
    struct site site = {SITE_DEEP, 5000, 3};
    struct site_buffer manifest = {0};
    assert_int_equal(site_manifest(&site, &manifest), 0);
    uint32_t lines = 0, status[1000] = {0};
    for (size_t i = 0; i + 10 < manifest.len; i++) {
        lines += manifest.data[i] == '\n';
        if (memcmp(manifest.data + i, "\"status\":", 9) == 0)
            status[atoi(manifest.data + i + 9)]++;
    }
    assert_int_equal(lines, site_url_count(&site));
    assert_int_equal(status[200], 5000);
    assert_true(status[301] > 50 && status[302] > 50 && status[307] > 50);
    assert_int_equal(status[404], 250);
    site_buffer_free(&manifest);
}

static void blog_pages_have_the_printed_sizes(void **state)
{
    (void)state;
    static const uint32_t printed[][2] = {{3, 69699}, {35, 70044}, {43, 71057}, {45, 70679}};
    struct site site = {SITE_BLOG, 2000, 1};
    struct site_response response = {0};
    char target[64];
    for (uint32_t n = 1; n <= 2000; n++) {
        snprintf(target, sizeof(target), "/sitehome/p/%u", n);
        get(&site, target, HOST, &response);
        assert_int_equal(response.status, 200);
        assert_in_range(response.body.len, 69699, 71057);
        for (size_t i = 0; i < 4; i++)
            if (printed[i][0] == n)
                assert_int_equal(response.body.len, printed[i][1]);
    }
    site_response_free(&response);
}

/* The texts ask for /#p1 .. /#p50; no fragment is ever sent, and the list is the first one. */
static void root_is_the_first_list(void **state)
{
    (void)state;
    struct site site = {SITE_BLOG, 50, 1};
    struct site_response root = {0}, first = {0};
    get(&site, "/#p7", HOST, &root);
    get(&site, "/sitehome/p/1", HOST, &first);
    assert_int_equal(root.body.len, first.body.len);
    assert_memory_equal(root.body.data, first.body.data, root.body.len);
    assert_int_equal(root.id, 0);
    assert_int_equal(first.id, 1);
    site_response_free(&root);
    site_response_free(&first);
}

static void same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    static const char *const targets[] = {"/", "/s0/p3/", "/go/2", "/sitehome/p/7"};
    for (int kind = SITE_BLOG; kind <= SITE_HOSTILE; kind++) {
        for (size_t i = 0; i < 4; i++) {
            struct site site = {(enum site_kind)kind, 60, 42}, other = {site.kind, 60, 43};
            struct site_response a = {0}, b = {0}, c = {0};
            get(&site, targets[i], HOST, &a);
            get(&site, targets[i], HOST, &b);
            get(&other, targets[i], HOST, &c);
            assert_int_equal(a.status, b.status);
            assert_int_equal(a.body.len, b.body.len);
            assert_memory_equal(a.body.data, b.body.data, a.body.len);
            bool seeded = (kind == SITE_BLOG || kind == SITE_DEEP) && a.status == 200;
            bool same = a.body.len == c.body.len && !memcmp(a.body.data, c.body.data, a.body.len);
            if (seeded)
                assert_false(same);
            site_response_free(&a);
            site_response_free(&b);
            site_response_free(&c);
        }
    }
}

static void deep_pages_are_10_kb_with_about_20_links(void **state)
{
    (void)state;
    static struct found found;
    struct site site = {SITE_DEEP, 300, 1};
    struct site_response response = {0};
    struct site_buffer path = {0};
    for (uint32_t id = 0; id < 300; id++) {
        site_buffer_clear(&path);
        site_url_path(&site, id, &path);
        site_put_char(&path, 0);
        get(&site, path.data, HOST, &response);
        assert_int_equal(response.id, id);
        assert_int_equal(response.body.len, 10240);
        read_page(&response.body, &found);
        assert_in_range(found.count, 17, 24);
    }
    site_buffer_free(&path);
    site_response_free(&response);
}

/* Whatever spelling a page is asked for in, it is counted as the same page. */
static void spellings_name_one_url(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"/s0/p3/", "/s0/./p3/"},
        {"/s0/p3/", "/x/../s0/p3/"},
        {"/s0/p3/", "/s0/%70%33/"},
        {"/s0/p3/", "http://127.0.0.1/s0/p3/"},
        {"/s0/p3/", "HTTP://LOCALHOST:80/s0/p3/#top"},
        {"/s0/%E9%A1%B5-7.html", "/s0/%e9%a1%b5-7.html"},
        {"/s0/%E9%A1%B5-7.html", "/s0/\xe9\xa1\xb5-7.html"},
        {"/s0/~p8.html", "/s0/%7ep8.html"},
        {"/s0/view?id=5&v=2", "/s0/%76iew?id=5&v=2#x"},
        {"/", ""},
        {"/", "http://127.0.0.1"},
        {"/", "/.."},
        {"/", "/a/.."},
        {"/?q", "http://127.0.0.1?q"},
    };
    struct site_buffer a = {0}, b = {0};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        site_buffer_clear(&a);
        site_buffer_clear(&b);
        site_canonical(&a, same[i][0], strlen(same[i][0]));
        site_canonical(&b, same[i][1], strlen(same[i][1]));
        assert_int_equal(a.len, strlen(same[i][0]));
        assert_memory_equal(a.data, same[i][0], a.len);
        assert_int_equal(b.len, a.len);
        assert_memory_equal(a.data, b.data, a.len);
    }
    struct site site = {SITE_DEEP, 50, 1};
    struct site_response response = {0};
    get(&site, "/s0/./%70%33/", HOST, &response);
    assert_int_equal(response.id, 3);
    get(&site, "/s0/p4", HOST, &response);
    assert_int_equal(response.status, 404);
    assert_int_equal(response.id, -1);
    get(&site, "/trap/x", HOST, &response);
    assert_int_equal(response.id, -1);
    site_buffer_free(&a);
    site_buffer_free(&b);
    site_response_free(&response);
}

static const struct site_header post_headers[] = {
    {"User-Agent", "weft", 10, 4},
    {"X-Requested-With", "XMLHttpRequest", 16, 14},
    {"Origin", "https://www.cnblogs.com", 6, 23},
    {"Pragma", "no-cache", 6, 8},
    {"Referer", "https://www.cnblogs.com/", 7, 24},
    {"Content-Type", "application/json; charset=UTF-8", 12, 31},
};

static void post(const struct site_header *headers, size_t count, const char *body,
                 struct site_response *response)
{
    struct site site = {SITE_BLOG, 50, 1};
    struct site_request request = {.method = "POST",
                                   .target = "/AggSite/AggSitePostList",
                                   .target_len = 24,
                                   .headers = headers,
                                   .header_count = count,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .in_flight = 1};
    assert_int_equal(site_answer(&site, &request, response), 0);
}

#define POST_BODY(page)                                                                            \
    "{\"CategoryType\":\"SiteHome\",\"ParentCategoryId\":0,\"CategoryId\":808,\"PageIndex\":" page \
    ",\"TotalPostCount\":4000,\"ItemListActionName\":\"AggSitePostList\"}"

static void post_gives_a_list_whose_length_depends_on_its_page(void **state)
{
    (void)state;
    static struct found found;
    struct site_response response = {0};
    size_t lengths[51] = {0}, distinct = 0;
    for (unsigned n = 1; n <= 50; n++) {
        char body[512];
        snprintf(body, sizeof(body), POST_BODY("%u"), n);
        post(post_headers, 6, body, &response);
        assert_int_equal(response.status, 200);
        read_page(&response.body, &found);
        assert_int_equal(found.count, 60);
        lengths[n] = response.body.len;
        bool known = false;
        for (unsigned m = 1; m < n; m++)
            known = known || lengths[m] == lengths[n];
        distinct += !known;
    }
    assert_true(distinct > 40);
    site_response_free(&response);
}

static void post_without_one_header_or_field_is_refused(void **state)
{
    (void)state;
    struct site_response response = {0};
    for (size_t without = 0; without < 6; without++) {
        struct site_header headers[6];
        size_t count = 0;
        for (size_t i = 0; i < 6; i++)
            if (i != without)
                headers[count++] = post_headers[i];
        post(headers, count, POST_BODY("1"), &response);
        assert_int_equal(response.status, 403);
    }
    static const char *const fields[] = {"CategoryType", "ParentCategoryId", "CategoryId",
                                         "PageIndex",    "TotalPostCount",   "ItemListActionName"};
    for (size_t i = 0; i < 6; i++) {
        char body[] = POST_BODY("1"), quoted[64];
        snprintf(quoted, sizeof(quoted), "\"%s\"", fields[i]);
        strstr(body, quoted)[1] = 'x';
        post(post_headers, 6, body, &response);
        assert_int_equal(response.status, 400);
    }
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"PageIndex\":1",
        POST_BODY("\"1\""),
        POST_BODY("-1"),
        POST_BODY("1") "x",
        "{\"PageIndex\":1,}",
        "{\"a\\",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        post(post_headers, 6, bad[i], &response);
        assert_int_equal(response.status, 400);
    }
    post(post_headers, 6, POST_BODY("51"), &response);
    assert_int_equal(response.status, 404);
    struct site site = {SITE_BLOG, 50, 1};
    get(&site, "/AggSite/AggSitePostList", HOST, &response);
    assert_int_equal(response.status, 405);
    site_response_free(&response);
}

static void twelve_sites_answer_the_printed_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        size_t bytes;
    } sites[] = {
        {"www.baidu.com", 2443}, {"packages.example", 18818}, {"www.sina.com.cn", 572160},
        {"www.163.com", 695359}, {"news.qq.com", 6216},       {"www.ifeng.com", 251170},
        {"www.ce.cn", 107852},   {"news.baidu.com", 73977},   {"www.people.com.cn", 152458},
        {"www.ce.cn", 107852},   {"news.163.com", 208375},    {"news.sohu.com", 175232},
    };
    struct site site = {SITE_SITES, 1, 1};
    struct site_response response = {0};
    for (size_t i = 0; i < 12; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/%s/", sites[i].host);
        get(&site, path, HOST, &response);
        assert_int_equal(response.status, 200);
        assert_int_equal(response.body.len, sites[i].bytes);
        get(&site, "/", sites[i].host, &response);
        assert_int_equal(response.body.len, sites[i].bytes);
    }
    site_response_free(&response);
}

static void one_site_answers_short_in_a_crowd(void **state)
{
    (void)state;
    struct site site = {SITE_SITES, 1, 1};
    struct site_response response = {0};
    for (uint32_t in_flight = 1; in_flight < 8; in_flight++) {
        struct site_request request = {.method = "GET",
                                       .target = "/news.baidu.com/",
                                       .target_len = 16,
                                       .in_flight = in_flight};
        assert_int_equal(site_answer(&site, &request, &response), 0);
        assert_int_equal(response.body.len, in_flight < 5 ? 73977 : 149);
    }
    site_response_free(&response);
}

static void hostile_loop_never_ends(void **state)
{
    (void)state;
    struct site site = {SITE_HOSTILE, 1, 1};
    struct site_response response = {0};
    get(&site, "/loop", HOST, &response);
    assert_int_equal(response.status, 302);
    assert_memory_equal(response.location.data, "/loop?n=1", response.location.len);
    get(&site, "/loop?n=41", HOST, &response);
    assert_memory_equal(response.location.data, "/loop?n=42", response.location.len);
    get(&site, "/hang", HOST, &response);
    assert_int_equal(response.behaviour, SITE_HANG);
    site_response_free(&response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_is_what_a_walk_finds),
        cmocka_unit_test(every_url_of_the_deep_site_is_reachable),
        cmocka_unit_test(blog_pages_have_the_printed_sizes),
        cmocka_unit_test(root_is_the_first_list),
        cmocka_unit_test(same_seed_gives_the_same_bytes),
        cmocka_unit_test(deep_pages_are_10_kb_with_about_20_links),
        cmocka_unit_test(spellings_name_one_url),
        cmocka_unit_test(post_gives_a_list_whose_length_depends_on_its_page),
        cmocka_unit_test(post_without_one_header_or_field_is_refused),
        cmocka_unit_test(twelve_sites_answer_the_printed_sizes),
        cmocka_unit_test(one_site_answers_short_in_a_crowd),
        cmocka_unit_test(hostile_loop_never_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
