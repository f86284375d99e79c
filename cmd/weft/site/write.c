/* SPDX-License-Identifier: MIT */
/*
 * A path becomes a file name so: escapes are decoded, a folder is its index.html, and a query
 * follows the path after a comma, where nginx finds it by `try_files $uri,$args`.
 */
#include "site/write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

struct writer {
    const struct site *site;
    const char *dir;
    char *path; /* of the file at hand, PATH_BYTES long */
    struct site_buffer conf;
    struct site_buffer last_query; /* the path whose queries were last given a location */
};

static int make_folder(const char *path)
{
    return mkdir(path, 0777) && errno != EEXIST ? -errno : 0;
}

/* Makes every folder that `path` names, its last part being a file. */
static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int err = make_folder(path);
        if (err)
            return err;
        *slash = '/';
    }
    return 0;
}

static int write_file(struct writer *w, const void *data, size_t len)
{
    int err = make_folders(w->path);
    if (err)
        return err;
    FILE *file = fopen(w->path, "wb");
    if (!file)
        return -errno;
    bool wrong = fwrite(data, 1, len, file) != len;
    wrong = fclose(file) != 0 || wrong;
    return wrong ? -EIO : 0;
}

static int hex(char c)
{
    return c >= 'A' ? c - 'A' + 10 : c - '0';
}

/* The canonical path has its escapes in upper case, so they are read without a doubt. */
static void file_name(struct writer *w, const char *path, size_t len)
{
    size_t to = (size_t)snprintf(w->path, PATH_BYTES, "%s/root", w->dir);
    for (size_t i = 0; i < len && to + 12 < PATH_BYTES; i++) {
        if (path[i] == '%') {
            w->path[to++] = (char)(hex(path[i + 1]) * 16 + hex(path[i + 2]));
            i += 2;
        } else {
            w->path[to++] = path[i] == '?' ? ',' : path[i];
        }
    }
    w->path[to] = 0;
    if (path[len - 1] == '/')
        strcpy(w->path + to, "index.html");
}

static void put_query_location(struct writer *w, const char *path, size_t len)
{
    if (w->last_query.len == len && memcmp(w->last_query.data, path, len) == 0)
        return;
    site_buffer_clear(&w->last_query);
    site_put(&w->last_query, path, len);
    site_put_format(&w->conf, "        location = %.*s { try_files $uri,$args =404; }\n", (int)len,
                    path);
}

static int write_url(struct writer *w, uint32_t id, const struct site_header *host,
                     struct site_buffer *path, struct site_response *response)
{
    site_buffer_clear(path);
    site_url_path(w->site, id, path);
    if (path->failed)
        return -ENOMEM;
    struct site_request request = {.method = "GET",
                                   .target = path->data,
                                   .target_len = path->len,
                                   .headers = host,
                                   .header_count = 1,
                                   .in_flight = 1};
    int err = site_answer(w->site, &request, response);
    if (err)
        return err;
    if (response->location.len > 0) {
        site_put_format(&w->conf, "        location = %.*s { return %d \"%.*s\"; }\n",
                        (int)path->len, path->data, response->status, (int)response->location.len,
                        response->location.data);
        return 0;
    }
    if (response->status != 200)
        return 0;
    file_name(w, path->data, path->len);
    const char *query = memchr(path->data, '?', path->len);
    if (query)
        put_query_location(w, path->data, (size_t)(query - path->data));
    return write_file(w, response->body.data, response->body.len);
}

/*
 * One process, so that whoever started it stops it by its id, and so that it reads the files as
 * that same user. gzip_static serves FILE.gz where somebody has made it. No cache of open files: it
 * would take a descriptor a page, and leave none for clients.
 */
static void put_conf_head(struct writer *w, const char *dir, int port)
{
    site_put_format(&w->conf,
                    "daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr crit;\n"
                    "events { worker_connections 2048; }\n"
                    "http {\n"
                    "    access_log off;\n"
                    "    client_body_temp_path %s/temp;\n    proxy_temp_path %s/temp;\n"
                    "    fastcgi_temp_path %s/temp;\n    uwsgi_temp_path %s/temp;\n"
                    "    scgi_temp_path %s/temp;\n"
                    "    types { }\n    default_type \"text/html; charset=utf-8\";\n"
                    "    sendfile on;\n    tcp_nopush on;\n    gzip_static on;\n"
                    "    keepalive_requests 1000000;\n"
                    "    server {\n"
                    "        listen 127.0.0.1:%d backlog=1024;\n"
                    "        root %s/root;\n        index index.html;\n"
                    "        absolute_redirect off;\n"
                    "        location = /manifest.json {\n"
                    "            default_type application/json;\n"
                    "            alias %s/manifest.json;\n        }\n",
                    dir, dir, dir, dir, dir, dir, port, dir, dir);
}

static int write_all(struct writer *w, const char *dir, int port)
{
    struct site_buffer path = {0}, manifest = {0};
    struct site_response response = {0};
    char authority[32];
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", port);
    struct site_header host = {"Host", authority, 4, strlen(authority)};
    int err = 0;
    put_conf_head(w, dir, port);
    for (uint32_t id = 0; !err && id < site_url_count(w->site); id++)
        err = write_url(w, id, &host, &path, &response);
    site_put_text(&w->conf, "    }\n}\n");
    if (!err)
        err = site_manifest(w->site, &manifest);
    if (!err && w->conf.failed)
        err = -ENOMEM;
    if (!err) {
        snprintf(w->path, PATH_BYTES, "%s/manifest.json", dir);
        err = write_file(w, manifest.data, manifest.len);
    }
    if (!err) {
        snprintf(w->path, PATH_BYTES, "%s/nginx.conf", dir);
        err = write_file(w, w->conf.data, w->conf.len);
    }
    site_buffer_free(&path);
    site_buffer_free(&manifest);
    site_response_free(&response);
    return err;
}

int site_write(const struct site *site, const char *dir, int port, char *ret_path)
{
    struct writer w = {.site = site, .path = ret_path};
    snprintf(ret_path, PATH_BYTES, "%s/root/", dir);
    int err = make_folders(ret_path);
    if (err)
        return err;
    /* nginx reads its file from elsewhere: the folder's name has to be absolute. */
    char *absolute = realpath(dir, NULL);
    if (!absolute)
        return -errno;
    w.dir = absolute;
    err = write_all(&w, absolute, port);
    free(absolute);
    site_buffer_free(&w.conf);
    site_buffer_free(&w.last_query);
    return err;
}
