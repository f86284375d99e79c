/* SPDX-License-Identifier: MIT */
/* Addresses, networks, and whose word is taken for a client's address. */
#include "http/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct wfi_text text_of(const char *text)
{
    return (struct wfi_text){text, strlen(text)};
}

static struct wfi_ip ip_of(const char *text)
{
    struct wfi_ip ip;
    if (!wfi_ip_parse(text_of(text), &ip))
        fail_msg("%s", text);
    return ip;
}

static void addresses_are_read_and_written(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"1.2.3.4", "1.2.3.4"},
        {"1.2.3.4:80", "1.2.3.4"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"[::1]:8080", "::1"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"2001:DB8::1", "2001:db8::1"},
        {"[2001:db8::1]:1", "2001:db8::1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char out[WFI_IP_BYTES];
        const struct wfi_ip ip = ip_of(pairs[i][0]);
        wfi_ip_format(&ip, out);
        assert_string_equal(out, pairs[i][1]);
    }
    static const char *const wrong[] = {
        "",          "1.2.3",   "1.2.3.4.5", "1.2.3.256", "1.2.3.4:",       "1.2.3.4:x",
        "[::1",      "[::1]80", "[1.2.3.4]", "::1]",      "unknown",        "_hidden",
        "1.2.3.4 5", "[]",      ":80",       "[::1]:",    "1.2.3.4:123456", "01.2.3.4x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wfi_ip ip;
        if (wfi_ip_parse(text_of(wrong[i]), &ip))
            fail_msg("%s", wrong[i]);
    }
    struct wfi_ip ip;
    assert_false(wfi_ip_parse((struct wfi_text){"1.2.3.4\0a", 9}, &ip));
}

static void networks_hold_what_begins_alike(void **state)
{
    (void)state;
    static const struct {
        const char *network, *ip;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::10.0.0.0", false},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4", "1.2.3.5", false},
        {"0.0.0.0/0", "9.9.9.9", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", true},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fc00::1", false},
        {"::1/128", "::1", true},
        {"::1", "::2", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_network network;
        assert_true(wfi_network_parse(text_of(cases[i].network), &network));
        const struct wfi_ip ip = ip_of(cases[i].ip);
        if (wfi_network_has(&network, &ip) != cases[i].has)
            fail_msg("%s %s", cases[i].network, cases[i].ip);
    }
    static const char *const wrong[] = {"",           "/8",          "10.0.0.0/",    "10.0.0.0/33",
                                        "10.0.0.1/8", "10.0.0.0/x",  "10.0.0.0/08",  "::/129",
                                        "fd00::1/8",  "10.0.0.0/-1", "10/8",         "10.0.0.0/8/8",
                                        "[::1]",      "1.2.3.4:80",  "10.0.0.0/1000"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wfi_network network;
        if (wfi_network_parse(text_of(wrong[i]), &network))
            fail_msg("%s", wrong[i]);
    }
}

/* `fields`: the values of X-Forwarded-For, up to NULL. */
static void check(const char *peer, const char *const fields[], const char *expected)
{
    struct wfi_network trusted[2];
    struct wfi_request_field room[6] = {{text_of("Host"), text_of("h")}};
    struct wfi_request_head head = {.fields = room, .field_count = 1};
    assert_true(wfi_network_parse(text_of("10.0.0.0/8"), &trusted[0]));
    assert_true(wfi_network_parse(text_of("::1"), &trusted[1]));
    for (; *fields; fields++)
        room[head.field_count++] =
            (struct wfi_request_field){text_of("X-Forwarded-For"), text_of(*fields)};
    struct wfi_ip client, ip;
    if (peer)
        ip = ip_of(peer);
    const bool known = wfi_forwarded_client(&head, peer ? &ip : NULL, trusted, 2, &client);
    assert_int_equal(known, expected != NULL);
    if (known) {
        char out[WFI_IP_BYTES];
        wfi_ip_format(&client, out);
        assert_string_equal(out, expected);
    }
}

#define CHECK(peer, expected, ...) \
    check((peer), (const char *const[]){__VA_ARGS__, NULL}, (expected))

static void only_trusted_peers_are_believed(void **state)
{
    (void)state;
    check("8.8.8.8", (const char *const[]){NULL}, "8.8.8.8");
    check("10.0.0.1", (const char *const[]){NULL}, "10.0.0.1");
    CHECK("8.8.8.8", "8.8.8.8", "1.1.1.1");
    CHECK("10.0.0.1", "1.1.1.1", "1.1.1.1");
    CHECK("::1", "1.1.1.1", "1.1.1.1:4711");
    CHECK("10.0.0.1", "2001:db8::1", "[2001:db8::1]:80");
}

static void the_list_is_read_from_its_end(void **state)
{
    (void)state;
    CHECK("10.0.0.1", "2.2.2.2", "1.1.1.1, 2.2.2.2");
    CHECK("10.0.0.1", "1.1.1.1", "1.1.1.1, 10.0.0.2 ,10.0.0.3");
    CHECK("10.0.0.1", "2.2.2.2", "1.1.1.1", "2.2.2.2, 10.0.0.2");
    CHECK("10.0.0.1", "2.2.2.2", "1.1.1.1, 2.2.2.2", "10.0.0.2");
    CHECK("10.0.0.1", "10.0.0.9", "10.0.0.9, 10.0.0.2");
}

static void what_cannot_be_read_ends_it(void **state)
{
    (void)state;
    CHECK("10.0.0.1", "10.0.0.1", "unknown");
    CHECK("10.0.0.1", "10.0.0.2", "1.1.1.1, x, 10.0.0.2");
    CHECK("10.0.0.1", "10.0.0.2", "1.1.1.1,, 10.0.0.2");
    CHECK("10.0.0.1", "10.0.0.1", "1.1.1.1, ");
    CHECK("10.0.0.1", "10.0.0.1", "");
}

static void a_peer_without_address_is_trusted(void **state)
{
    (void)state;
    check(NULL, (const char *const[]){NULL}, NULL);
    CHECK(NULL, "1.1.1.1", "1.1.1.1");
    CHECK(NULL, "1.1.1.1", "1.1.1.1, 10.0.0.1");
    CHECK(NULL, NULL, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(networks_hold_what_begins_alike),
        cmocka_unit_test(only_trusted_peers_are_believed),
        cmocka_unit_test(the_list_is_read_from_its_end),
        cmocka_unit_test(what_cannot_be_read_ends_it),
        cmocka_unit_test(a_peer_without_address_is_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
