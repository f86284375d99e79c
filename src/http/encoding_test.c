/* SPDX-License-Identifier: MIT */
/* Accept-Encoding: who gets gzip. */
#include "http/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void check(const char *accepted, enum wfi_encoding expected, enum wfi_encoding without_gzip)
{
    struct wfi_request_field field = {{"Accept-Encoding", 15}, {"", 0}};
    if (accepted)
        field.value = (struct wfi_text){accepted, strlen(accepted)};
    const struct wfi_request_head head = {.fields = &field, .field_count = accepted != NULL};
    if (wfi_encoding_choose(&head, true) != expected ||
        wfi_encoding_choose(&head, false) != without_gzip)
        fail_msg("%s", accepted ? accepted : "nothing");
}

#define IDENTITY WFI_ENCODING_IDENTITY
#define GZIP WFI_ENCODING_GZIP
#define NONE WFI_ENCODING_NONE

static void gzip_is_for_those_who_ask(void **state)
{
    (void)state;
    check(NULL, IDENTITY, IDENTITY);
    check("", IDENTITY, IDENTITY);
    check("gzip", GZIP, IDENTITY);
    check("GZip", GZIP, IDENTITY);
    check("x-gzip", GZIP, IDENTITY);
    check("gzip, deflate, br, zstd", GZIP, IDENTITY);
    check("deflate,gzip;q=0.001", GZIP, IDENTITY);
    check("br", IDENTITY, IDENTITY);
    check("*", GZIP, IDENTITY);
    check("gzipped", IDENTITY, IDENTITY);
}

static void weights_decide(void **state)
{
    (void)state;
    check("gzip;q=0", IDENTITY, IDENTITY);
    check("gzip;q=0.000", IDENTITY, IDENTITY);
    check("gzip;q=0, *", IDENTITY, IDENTITY);
    check("gzip;q=0.5, identity;q=0.8", IDENTITY, IDENTITY);
    check("gzip;q=0.8, identity;q=0.8", GZIP, IDENTITY);
    check("gzip ; Q=1.000 , identity ; q=0.5", GZIP, IDENTITY);
    check("identity;q=0", NONE, NONE);
    check("gzip, identity;q=0", GZIP, NONE);
    check("*;q=0", NONE, NONE);
    check("gzip, *;q=0", GZIP, NONE);
    check("identity, *;q=0", IDENTITY, IDENTITY);
}

static void malformed_weights_do_not_count(void **state)
{
    (void)state;
    check("gzip;q=2", IDENTITY, IDENTITY);
    check("gzip;q=1.001", IDENTITY, IDENTITY);
    check("gzip;q=", IDENTITY, IDENTITY);
    check("gzip;q=a", IDENTITY, IDENTITY);
    check("gzip;q=0.1234", IDENTITY, IDENTITY);
    check("gzip;q=1x", IDENTITY, IDENTITY);
    check("gzip;q=-1", IDENTITY, IDENTITY);
    check(";q=1", IDENTITY, IDENTITY);
    check(",,;,gzip", GZIP, IDENTITY);
    check("gzip;level=9", GZIP, IDENTITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_is_for_those_who_ask),
        cmocka_unit_test(weights_decide),
        cmocka_unit_test(malformed_weights_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
