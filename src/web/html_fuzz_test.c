/* SPDX-License-Identifier: MIT */
/*
 * The fuzzer's function on pages put together at random, and on what fuzzing has found.
 */
#include "../../fuzz/html_fuzz.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "web/html_feed_test.h"

static struct wfi_random rng;

static void pages_put_together_at_random(void **state)
{
    (void)state;
    static const char *const words[] = {
        "<",
        ">",
        "</",
        "<!--",
        "-->",
        "<a href=x ",
        "</a>",
        "<b>",
        "</b>",
        "<p>",
        "</p>",
        "<div class=b>",
        "</div>",
        "<li>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "\"",
        "'",
        "=",
        " ",
        "\r",
        "<title>",
        "&amp",
        "&#x",
        "41;",
        "\xe4\xbd",
        "\xa0",
        "<script>",
        "<svg>",
        "</script>",
        "</title>",
        "<g/>",
        "</svg>",
        "<![CDATA[",
        "x",
        "<base ",
        "<body id=",
        "</body>",
        "<meta charset=gbk>",
        "<form>",
        "<a class=b><c>",
    };
    char page[600];
    for (int round = 0; round < 300; round++) {
        page[0] = (char)wfi_random_next(&rng);
        page[1] = (char)wfi_random_next(&rng);
        size_t len = 2, most = 2 + wfi_random_below(&rng, sizeof page - 30);
        while (len < most) {
            const char *word = words[wfi_random_below(&rng, sizeof words / sizeof *words)];
            memcpy(page + len, word, strlen(word));
            len += strlen(word);
        }
        LLVMFuzzerTestOneInput((const uint8_t *)page, len);
    }
}

int main(void)
{
    wfi_random_seed(&rng, feed_seed());
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_put_together_at_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
