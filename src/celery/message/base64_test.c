/* SPDX-License-Identifier: MIT */
/* Base64: the examples of RFC 4648, every byte at every place, and what is refused. */
#include "celery/message/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void encodes_and_decodes_the_rfcs_examples(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char out[16] = {0};
        const size_t len = strlen(pairs[i][0]);
        wfi_base64_encode(pairs[i][0], len, out);
        assert_string_equal(out, pairs[i][1]);
        assert_int_equal(wfi_base64_encoded_len(len), strlen(pairs[i][1]));
        char back[16] = {0};
        assert_int_equal(wfi_base64_decode(out, strlen(out), back), len);
        assert_string_equal(back, pairs[i][0]);
    }
}

static void every_byte_comes_back_from_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        for (size_t len = 1; len <= 7; len++)
            for (size_t at = 0; at < len; at++) {
                unsigned char in[8], text[16];
                memset(in, 0xa5, sizeof in);
                in[at] = (unsigned char)byte;
                wfi_base64_encode(in, len, (char *)text);
                /* In place. */
                assert_int_equal(wfi_base64_decode((char *)text, wfi_base64_encoded_len(len), text),
                                 len);
                assert_memory_equal(text, in, len);
            }
}

static void refuses_what_is_no_base64(void **state)
{
    (void)state;
    static const char *const wrong[] = {"Z",
                                        "Zg",
                                        "Zg=",
                                        "Zg= =",
                                        "====",
                                        "Z===",
                                        "=Zg=",
                                        "Zm9v=",
                                        "Zg==Zg==",
                                        "Zm9\n",
                                        "Zm-v",
                                        "Zm_v",
                                        ("Z\x80"
                                         "9v")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char out[16];
        if (wfi_base64_decode(wrong[i], strlen(wrong[i]), out) != -EINVAL)
            fail_msg("%s was taken", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes_the_rfcs_examples),
        cmocka_unit_test(every_byte_comes_back_from_every_place),
        cmocka_unit_test(refuses_what_is_no_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
