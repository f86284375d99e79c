/* SPDX-License-Identifier: MIT */
/*
 * The deep site: pages of 10 KB with about 20 links each, in the many spellings one URL can have.
 *
 * Ids: pages first, then redirects, then URLs that answer 404.
 *
 * How everything comes to be reached from `/`: page i links to its children 4i+1 .. 4i+4, page 16k
 * to redirect k, page 20m+7 to missing m. A hidden page is linked by nobody; the redirect that the
 * page 64 boundary before it links to leads there, so who does not follow redirects misses it and
 * all that hangs below.
 */
#include "site/kinds.h"

#include <string.h>

#define PAGE_BYTES 10240
#define LINKS_MAX 48

static uint32_t redirect_count(const struct site *site)
{
    return (site->pages + 15) / 16;
}

static uint32_t missing_count(const struct site *site)
{
    return (site->pages + 12) / 20;
}

static uint32_t url_count(const struct site *site)
{
    return site->pages + redirect_count(site) + missing_count(site);
}

/* ---- paths: five forms, chosen by the last digit of the number ---- */

static void put_page_path(uint32_t i, struct site_buffer *out)
{
    unsigned section = i / 100, n = i;
    if (i == 0) {
        site_put_char(out, '/');
        return;
    }
    switch (i % 10) {
    case 3:
        site_put_format(out, "/s%u/p%u/", section, n);
        break;
    case 5:
        site_put_format(out, "/s%u/view?id=%u&v=2", section, n);
        break;
    case 7:
        site_put_format(out, "/s%u/%%E9%%A1%%B5-%u.html", section, n);
        break;
    case 8:
        site_put_format(out, "/s%u/~p%u.html", section, n);
        break;
    default:
        site_put_format(out, "/s%u/p%u.html", section, n);
        break;
    }
}

static void put_path(const struct site *site, uint32_t id, struct site_buffer *out)
{
    uint32_t redirects = redirect_count(site);
    if (id < site->pages)
        put_page_path(id, out);
    else if (id < site->pages + redirects)
        site_put_format(out, "/go/%u", (unsigned)(id - site->pages));
    else
        site_put_format(out, "/missing/%u.html", (unsigned)(id - site->pages - redirects));
}

/*
 * The last number in a path names the id, all else follows from it: build that id's path and
 * compare.
 */
static int64_t find(const struct site *site, const char *path, size_t len)
{
    if (len == 1)
        return path[0] == '/' ? 0 : -1;
    size_t end = len;
    const char *version = memmem(path, len, "&v=2", 4);
    if (version)
        end = (size_t)(version - path);
    while (end > 0 && (path[end - 1] < '0' || path[end - 1] > '9'))
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] >= '0' && path[start - 1] <= '9')
        start--;
    uint32_t number, id;
    if (!site_read_number(path + start, end - start, &number))
        return -1;
    if (len > 4 && memcmp(path, "/go/", 4) == 0 && number < redirect_count(site))
        id = site->pages + number;
    else if (len > 9 && memcmp(path, "/missing/", 9) == 0 && number < missing_count(site))
        id = site->pages + redirect_count(site) + number;
    else if (number > 0 && number < site->pages)
        id = number;
    else
        return -1;
    struct site_buffer real = {0};
    put_path(site, id, &real);
    bool same = real.len == len && memcmp(real.data, path, len) == 0;
    site_buffer_free(&real);
    return same ? (int64_t)id : -1;
}

/* ---- the graph ---- */

enum redirect_end { TO_HIDDEN, TO_KNOWN, TO_MISSING, TO_AWAY };

/* Where the chain of redirects 4m .. 4m+3 ends. */
static enum redirect_end chain_end(const struct site *site, uint32_t m)
{
    if (m % 10 == 5 && missing_count(site) > 0)
        return TO_MISSING;
    if (m % 10 == 9)
        return TO_AWAY;
    return m % 2 == 0 && (uint64_t)m * 64 + 63 < site->pages ? TO_HIDDEN : TO_KNOWN;
}

static bool hidden(const struct site *site, uint32_t page)
{
    return page % 64 == 63 && chain_end(site, page / 64) == TO_HIDDEN;
}

/* Returns false when the redirect leads to another site. */
static bool redirect_target(const struct site *site, uint32_t k, uint32_t *ret_id)
{
    uint32_t m = k / 4;
    if (k % 4 != 0) {
        *ret_id = site->pages + k - 1;
        return true;
    }
    switch (chain_end(site, m)) {
    case TO_HIDDEN:
        *ret_id = m * 64 + 63;
        return true;
    case TO_KNOWN:
        /* A page the crawl has met before it met the redirect, but never a hidden one. */
        *ret_id = (uint32_t)(site_mix(site->seed ^ 0x676f, m) % ((uint64_t)m * 64 + 1)) & ~1u;
        return true;
    case TO_MISSING:
        *ret_id = site->pages + redirect_count(site) + m % missing_count(site);
        return true;
    default:
        return false;
    }
}

/* ---- spelling ---- */

static void put_upper(struct site_buffer *out, const char *text)
{
    for (; *text; text++)
        site_put_char(out, *text >= 'a' && *text <= 'z' ? (char)(*text - 32) : *text);
}

/* The path with one letter or digit escaped, and its escapes in lower case. */
static void put_escaped_path(struct site_buffer *out, const char *path, size_t len, bool upper)
{
    size_t victim = 1;
    for (size_t i = 0; i < len; i++) {
        if (i == victim && path[i] != '%')
            site_put_format(out, upper ? "%%%02X" : "%%%02x", (unsigned)(unsigned char)path[i]);
        else if (i > 0 && path[i] >= 'A' && path[i] <= 'F' && memchr(path, '%', i))
            site_put_char(out, (char)(path[i] + 32));
        else
            site_put_char(out, path[i]);
    }
}

/* The path with %E9%A1%B5 as the three bytes it stands for. */
static void put_raw_path(struct site_buffer *out, const char *path, size_t len)
{
    const char *escape = memmem(path, len, "%E9%A1%B5", 9);
    if (!escape) {
        site_put(out, path, len);
        return;
    }
    site_put(out, path, (size_t)(escape - path));
    site_put_text(out, "\xe9\xa1\xb5");
    site_put(out, escape + 9, len - (size_t)(escape + 9 - path));
}

/* The path as seen from `base`: up to the root and down again, or just the name. */
static void put_relative_path(struct site_buffer *out, const char *base, size_t base_len,
                              const char *path, size_t len)
{
    const char *query = memchr(base, '?', base_len);
    size_t base_dir = query ? (size_t)(query - base) : base_len;
    while (base[base_dir - 1] != '/')
        base_dir--;
    if (len > base_dir && memcmp(base, path, base_dir) == 0) {
        site_put(out, path + base_dir, len - base_dir);
        return;
    }
    site_put_text(out, "./");
    for (size_t i = 1; i < base_dir; i++)
        if (base[i] == '/')
            site_put_text(out, "../");
    site_put(out, path + 1, len - 1);
}

/* Writes one of the spellings of `path`, seen from the page at `base`; it may end in a fragment. */
static void put_spelling(struct site_buffer *out, const struct site_buffer *base,
                         const struct site_buffer *path, const char *authority,
                         struct site_random *random)
{
    bool has_port = strchr(authority, ':') != NULL;
    const char *text = path->data;
    size_t len = path->len;
    switch (site_below(random, 20)) {
    case 0:
        site_put_format(out, "http://%s", authority);
        site_put(out, text, len);
        break;
    case 1:
        site_put_text(out, "HTTP://");
        put_upper(out, authority);
        site_put(out, text, len);
        break;
    case 2:
        site_put_format(out, "http://%s%s", authority, has_port ? "" : ":80");
        site_put(out, text, len);
        break;
    case 3:
        site_put_format(out, "//%s", authority);
        site_put(out, text, len);
        break;
    case 4:
        site_put_text(out, "/nowhere/./..");
        site_put(out, text, len);
        break;
    case 5:
        site_put_text(out, "/.");
        site_put(out, text, len);
        break;
    case 6:
        put_escaped_path(out, text, len, site_below(random, 2));
        break;
    case 7:
        site_put(out, text, len);
        site_put_format(out, "#part-%u", (unsigned)site_below(random, 9));
        break;
    case 8:
        put_raw_path(out, text, len);
        break;
    case 9:
        site_put_char(out, ' ');
        site_put(out, text, len);
        site_put_char(out, ' ');
        break;
    case 10:
    case 11:
    case 12:
        put_relative_path(out, base->data, base->len, text, len);
        break;
    default:
        site_put(out, text, len);
        break;
    }
}

/* ---- pages ---- */

struct writer {
    const struct site *site;
    struct site_page *page;
    const char *authority;
    struct site_random random;
    struct site_buffer base, path, href, label;
};

/* An <a> element in one of the forms in which they are written. */
static void put_link(struct writer *w)
{
    struct site_buffer *body = &w->page->body;
    uint32_t form = site_below(&w->random, 6);
    if (w->href.len && (w->href.data[0] == ' ' || memchr(w->href.data, '\'', w->href.len)))
        form = 5;
    site_put_text(body, "<p>");
    site_words(body, 40, &w->random);
    if (form == 0) {
        site_put_text(body, "<A HREF='");
        site_escape(body, w->href.data, w->href.len, &w->random);
        site_put_text(body, "'>");
    } else if (form == 1 && w->href.len) {
        site_put_text(body, "<a rel=next href=");
        site_escape(body, w->href.data, w->href.len, &w->random);
        site_put_text(body, " title=\"a > b\">"); /* no slash may end an unquoted value */
    } else {
        site_put_text(body, form == 2 ? "<a title='x' href = \"" : "<a href=\"");
        site_escape(body, w->href.data, w->href.len, &w->random);
        site_put_text(body, "\">");
    }
    site_buffer_clear(&w->label);
    site_title(&w->label, &w->random);
    site_escape(body, w->label.data, w->label.len, &w->random);
    site_put_text(body, "</a> ");
    site_words(body, 120, &w->random);
    site_put_text(body, "</p>\n");
    w->page->links++;
}

static void put_link_to(struct writer *w, uint32_t id)
{
    site_buffer_clear(&w->path);
    site_buffer_clear(&w->href);
    put_path(w->site, id, &w->path);
    if (w->path.failed)
        return;
    put_spelling(&w->href, &w->base, &w->path, w->authority, &w->random);
    put_link(w);
    site_page_target(w->page, id);
}

static void put_link_text(struct writer *w, const char *href)
{
    site_buffer_clear(&w->href);
    site_put_text(&w->href, href);
    put_link(w);
}

/* What looks like a link to those who do not parse, and what leads out of the site. */
static void put_others(struct writer *w, uint32_t i)
{
    static const char *const nowhere[] = {
        "mailto:someone@example.org", "javascript:void(0)", "tel:+1-555-0100",
        "ftp://files.example/readme", "data:text/plain,x",
    };
    struct site_buffer *body = &w->page->body;
    site_put_format(body,
                    "<!-- <a href=\"/trap/comment/%u\">no</a> -->\n"
                    "<textarea><a href=\"/trap/textarea/%u\">no</a></textarea>\n"
                    "<style>a::after { content: '<a href=\"/trap/style/%u\">'; }</style>\n"
                    "<a name=\"top\">no link</a> <img src=\"/trap/picture.png\" alt=\"<a "
                    "href='/trap/alt'>\" data-href=\"/trap/data\">\n",
                    (unsigned)i, (unsigned)i, (unsigned)i);
    site_buffer_clear(&w->href);
    site_put_format(&w->href, "http://other-%u.example/p/%u", (unsigned)(i % 50), (unsigned)i);
    put_link(w);
    put_link_text(w, nowhere[i % (sizeof(nowhere) / sizeof(nowhere[0]))]);
    if (i % 4 == 1) {
        put_link_text(w, i % 8 == 1 ? "" : "#top"); /* the page itself */
        site_page_target(w->page, i);
    }
}

static void put_links(struct writer *w, uint32_t i)
{
    const struct site *site = w->site;
    uint32_t wanted = 18 + site_below(&w->random, 5), redirects = redirect_count(site);
    for (uint64_t child = (uint64_t)i * 4 + 1; child <= (uint64_t)i * 4 + 4; child++)
        if (child < site->pages && !hidden(site, (uint32_t)child))
            put_link_to(w, (uint32_t)child);
    if (i % 16 == 0)
        put_link_to(w, site->pages + i / 16);
    if (i % 20 == 7 && i / 20 < missing_count(site))
        put_link_to(w, site->pages + redirects + i / 20);
    put_others(w, i);
    if (site_below(&w->random, 4) == 0)
        put_link_to(w, site->pages + site_below(&w->random, redirects));
    while (w->page->links < wanted) {
        uint32_t other = site_below(&w->random, site->pages);
        if (hidden(site, other))
            other = 0;
        put_link_to(w, other);
        if (site_below(&w->random, 8) == 0)
            put_link_to(w, other); /* again, most likely spelled otherwise */
    }
}

static void render_page(const struct site *site, uint32_t i, const char *authority,
                        struct site_page *page)
{
    struct writer w = {.site = site, .page = page, .authority = authority};
    w.random.state = site_mix(site->seed ^ 0x64656570, i);
    put_page_path(i, &w.base);
    site_put_format(&page->title, "%u: ", (unsigned)i);
    site_title(&page->title, &w.random);
    site_page_head(page, &w.random);
    site_put_format(&page->body, "<h1>%u</h1>\n", (unsigned)i);
    if (!w.base.failed)
        put_links(&w, i);
    site_page_fill(page, PAGE_BYTES, &w.random);
    if (w.base.failed || w.path.failed || w.href.failed || w.label.failed)
        page->body.failed = true;
    site_buffer_free(&w.base);
    site_buffer_free(&w.path);
    site_buffer_free(&w.href);
    site_buffer_free(&w.label);
}

static void render_redirect(const struct site *site, uint32_t k, const char *authority,
                            struct site_page *page)
{
    static const int statuses[] = {301, 302, 307};
    uint32_t id;
    site_page_plain(page, statuses[k % 3]);
    if (!redirect_target(site, k, &id)) {
        site_put_format(&page->away, "http://elsewhere.example/from/%u", (unsigned)k);
        site_put(&page->location, page->away.data, page->away.len);
        return;
    }
    site_page_target(page, id);
    if (k % 2 == 1)
        site_put_format(&page->location, "http://%s", authority);
    put_path(site, id, &page->location);
    if (k % 8 == 4)
        site_put_text(&page->location, "#from-redirect");
}

static void render(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page)
{
    (void)request;
    if (id < site->pages)
        render_page(site, id, authority, page);
    else if (id < site->pages + redirect_count(site))
        render_redirect(site, id - site->pages, authority, page);
    else
        site_page_plain(page, 404);
}

const struct site_kind_table site_deep = {
    .name = "deep",
    .url_count = url_count,
    .find = find,
    .path = put_path,
    .render = render,
};
