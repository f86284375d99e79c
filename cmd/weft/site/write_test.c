/* SPDX-License-Identifier: MIT */
/* A site written as files: every page is there, byte for byte, under the name nginx looks for. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "site/write.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/weft-site-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Reads DIR/name into `out`; false when there is no such file. */
static bool read_file(const char *name, struct site_buffer *out)
{
    char path[4200], part[4096];
    size_t got;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    site_buffer_clear(out);
    if (!file)
        return false;
    while ((got = fread(part, 1, sizeof(part), file)) > 0)
        site_put(out, part, got);
    fclose(file);
    return true;
}

static void check_page(const struct site *site, const char *target, const char *name)
{
    static const struct site_header host = {"Host", "127.0.0.1:8123", 4, 14};
    struct site_request request = {.method = "GET",
                                   .target = target,
                                   .target_len = strlen(target),
                                   .headers = &host,
                                   .header_count = 1};
    struct site_response response = {0};
    struct site_buffer file = {0};
    assert_int_equal(site_answer(site, &request, &response), 0);
    assert_int_equal(response.status, 200);
    assert_true(read_file(name, &file));
    assert_int_equal(file.len, response.body.len);
    assert_memory_equal(file.data, response.body.data, file.len);
    site_response_free(&response);
    site_buffer_free(&file);
}

static void every_form_of_path_has_its_file(void **state)
{
    (void)state;
    struct site site = {SITE_DEEP, 200, 1};
    char path[4096];
    assert_int_equal(site_write(&site, folder, 8123, path), 0);
    check_page(&site, "/", "root/index.html");
    check_page(&site, "/s0/p1.html", "root/s0/p1.html");
    check_page(&site, "/s1/p103/", "root/s1/p103/index.html");
    check_page(&site, "/s1/view?id=105&v=2", "root/s1/view,id=105&v=2");
    check_page(&site, "/s0/%E9%A1%B5-7.html", "root/s0/\xe9\xa1\xb5-7.html");
    check_page(&site, "/s0/~p8.html", "root/s0/~p8.html");
}

static void manifest_and_configuration_are_written(void **state)
{
    (void)state;
    struct site site = {SITE_DEEP, 200, 1};
    struct site_buffer file = {0}, manifest = {0};
    char path[4096];
    assert_int_equal(site_write(&site, folder, 8123, path), 0);
    assert_int_equal(site_manifest(&site, &manifest), 0);
    assert_true(read_file("manifest.json", &file));
    assert_int_equal(file.len, manifest.len);
    assert_memory_equal(file.data, manifest.data, file.len);
    assert_true(read_file("nginx.conf", &file));
    site_put_char(&file, 0);
    assert_non_null(strstr(file.data, "listen 127.0.0.1:8123 "));
    assert_non_null(strstr(file.data, "location = /go/1 { return 302 "));
    assert_non_null(strstr(file.data, "location = /s1/view { try_files $uri,$args =404; }"));
    assert_false(read_file("root/missing/0.html", &file));
    site_buffer_free(&file);
    site_buffer_free(&manifest);
}

static void unwritable_folder_is_named(void **state)
{
    (void)state;
    struct site site = {SITE_BLOG, 2, 1};
    char dir[128], path[4096];
    snprintf(dir, sizeof(dir), "%s/file", folder);
    FILE *file = fopen(dir, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(site_write(&site, dir, 8123, path), -ENOTDIR);
    assert_non_null(strstr(path, "/file"));
}

int main(void)
{
#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_form_of_path_has_its_file),
        IN_FOLDER(manifest_and_configuration_are_written),
        IN_FOLDER(unwritable_folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
