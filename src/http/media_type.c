/* SPDX-License-Identifier: MIT */
#include "http/media_type.h"

/* Sorted by suffix. Text is taken for UTF-8, as editors have written it for twenty years. */
const struct wfi_media_type wfi_media_types[] = {
    {"7z", "application/x-7z-compressed", false},
    {"aac", "audio/aac", false},
    {"atom", "application/atom+xml", true},
    {"avif", "image/avif", false},
    {"bmp", "image/bmp", true},
    {"br", "application/octet-stream", false},
    {"bz2", "application/x-bzip2", false},
    {"c", "text/plain; charset=utf-8", true},
    {"css", "text/css; charset=utf-8", true},
    {"csv", "text/csv; charset=utf-8", true},
    {"deb", "application/vnd.debian.binary-package", false},
    {"epub", "application/epub+zip", false},
    {"flac", "audio/flac", false},
    {"gif", "image/gif", false},
    {"gz", "application/gzip", false},
    {"h", "text/plain; charset=utf-8", true},
    {"htm", "text/html; charset=utf-8", true},
    {"html", "text/html; charset=utf-8", true},
    {"ico", "image/vnd.microsoft.icon", true},
    {"ics", "text/calendar; charset=utf-8", true},
    {"jpeg", "image/jpeg", false},
    {"jpg", "image/jpeg", false},
    {"js", "text/javascript; charset=utf-8", true},
    {"json", "application/json", true},
    {"jsonl", "application/jsonl", true},
    {"jsonld", "application/ld+json", true},
    {"log", "text/plain; charset=utf-8", true},
    {"m4a", "audio/mp4", false},
    {"map", "application/json", true},
    {"md", "text/markdown; charset=utf-8", true},
    {"mjs", "text/javascript; charset=utf-8", true},
    {"mp3", "audio/mpeg", false},
    {"mp4", "video/mp4", false},
    {"oga", "audio/ogg", false},
    {"ogg", "audio/ogg", false},
    {"ogv", "video/ogg", false},
    {"opus", "audio/ogg", false},
    {"otf", "font/otf", true},
    {"pdf", "application/pdf", false},
    {"png", "image/png", false},
    {"rss", "application/rss+xml", true},
    {"rtf", "application/rtf", true},
    {"svg", "image/svg+xml", true},
    {"tar", "application/x-tar", true},
    {"tif", "image/tiff", false},
    {"tiff", "image/tiff", false},
    {"toml", "application/toml", true},
    {"tsv", "text/tab-separated-values; charset=utf-8", true},
    {"ttf", "font/ttf", true},
    {"txt", "text/plain; charset=utf-8", true},
    {"vtt", "text/vtt; charset=utf-8", true},
    {"wasm", "application/wasm", true},
    {"wav", "audio/wav", false},
    {"webm", "video/webm", false},
    {"webmanifest", "application/manifest+json", true},
    {"webp", "image/webp", false},
    {"woff", "font/woff", false},
    {"woff2", "font/woff2", false},
    {"xhtml", "application/xhtml+xml", true},
    {"xml", "application/xml", true},
    {"xz", "application/x-xz", false},
    {"yaml", "application/yaml", true},
    {"yml", "application/yaml", true},
    {"zip", "application/zip", false},
    {"zst", "application/zstd", false},
};
const size_t wfi_media_type_count = sizeof wfi_media_types / sizeof *wfi_media_types;
static const struct wfi_media_type other = {"", "application/octet-stream", false};

static int compare(struct wfi_text suffix, const char *known)
{
    for (size_t i = 0; i < suffix.len; i++) {
        if (known[i] == '\0') /* here, as the suffix may hold a NUL of its own */
            return 1;
        const int order = wfi_lower(suffix.ptr[i]) - known[i];
        if (order != 0)
            return order;
    }
    return known[suffix.len] == '\0' ? 0 : -1;
}

const struct wfi_media_type *wfi_media_type_of(struct wfi_text name)
{
    size_t dot = name.len;
    while (dot > 0 && name.ptr[dot - 1] != '.' && name.ptr[dot - 1] != '/')
        dot--;
    /* A dot at the start hides a file; it begins no suffix. */
    if (dot < 2 || name.ptr[dot - 1] == '/' || name.ptr[dot - 2] == '/')
        return &other;
    const struct wfi_text suffix = {name.ptr + dot, name.len - dot};
    size_t low = 0, high = wfi_media_type_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(suffix, wfi_media_types[middle].suffix);
        if (order == 0)
            return &wfi_media_types[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return &other;
}

static bool ends_with(struct wfi_text text, const char *end)
{
    const size_t len = strlen(end);
    return text.len >= len &&
           wfi_text_is_nocase((struct wfi_text){text.ptr + text.len - len, len}, end);
}

bool wfi_media_type_is_compressible(struct wfi_text type)
{
    struct wfi_text rest = type, essence;
    if (!wfi_text_item(&rest, ';', &essence))
        return false;
    /* An event stream is many small texts, each wanted at once. */
    if (wfi_text_is_nocase(essence, "text/event-stream"))
        return false;
    if (essence.len > 5 && wfi_text_is_nocase((struct wfi_text){essence.ptr, 5}, "text/"))
        return true;
    if (ends_with(essence, "+json") || ends_with(essence, "+xml"))
        return true;
    for (size_t i = 0; i < wfi_media_type_count; i++)
        if (wfi_text_is_nocase(essence, wfi_media_types[i].type))
            return wfi_media_types[i].compressible;
    return false;
}
