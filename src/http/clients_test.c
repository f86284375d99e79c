/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>

#include <weft/time.h>

#include "base/alloc.h"
#include "http/clients.h"

static struct wfi_ip ip(const char *text)
{
    struct wfi_ip ip;
    assert_true(wfi_ip_parse((struct wfi_text){text, strlen(text)}, &ip));
    return ip;
}

static struct wfi_clients *make(const struct wfi_clients_limits *limits)
{
    struct wfi_clients *clients = NULL;
    assert_int_equal(wfi_clients_create(limits, &clients), 0);
    return clients;
}

static void connections_of_an_address_are_counted(void **state)
{
    (void)state;
    struct wfi_clients *clients = make(&(struct wfi_clients_limits){.connections_max = 2});
    struct wfi_ip a = ip("10.0.0.1"), b = ip("10.0.0.2");
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_ADMITTED);
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_ADMITTED);
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_TURNED_AWAY);
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_TURNED_AWAY);
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_DROPPED);
    assert_int_equal(wfi_clients_enter(clients, &b), WFI_ADMITTED);
    for (int i = 0; i < 3; i++)
        wfi_clients_leave(clients, &a); /* the dropped one does not count */
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_ADMITTED);
    wfi_clients_destroy(clients);
    wfi_clients_destroy(NULL);
}

static void an_ipv6_client_is_its_network(void **state)
{
    (void)state;
    struct wfi_clients *clients = make(&(struct wfi_clients_limits){.connections_max = 1});
    struct wfi_ip a = ip("2001:db8::1"), b = ip("2001:db8::ffff:1"), c = ip("2001:db8:0:1::1");
    struct wfi_ip v4 = ip("1.2.3.4"), near = ip("1.2.3.5");
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_ADMITTED);
    assert_int_equal(wfi_clients_enter(clients, &b), WFI_TURNED_AWAY);
    assert_int_equal(wfi_clients_enter(clients, &c), WFI_ADMITTED);
    assert_int_equal(wfi_clients_enter(clients, &v4), WFI_ADMITTED);
    assert_int_equal(wfi_clients_enter(clients, &near), WFI_ADMITTED);
    wfi_clients_destroy(clients);
}

static void a_bucket_is_emptied_and_fills_again(void **state)
{
    (void)state;
    struct wfi_clients *clients =
        make(&(struct wfi_clients_limits){.per_second = 10, .burst = 3, .connections_max = 1});
    struct wfi_ip a = ip("10.0.0.1"), b = ip("10.0.0.2");
    int64_t now = WF_SECONDS(1000), tenth = WF_MILLISECONDS(100);
    assert_int_equal(wfi_clients_enter(clients, &a), WFI_ADMITTED); /* changes no bucket */
    for (int i = 0; i < 3; i++)
        assert_int_equal(wfi_clients_ask(clients, &a, now), 0);
    assert_int_equal(wfi_clients_ask(clients, &a, now), tenth);
    assert_int_equal(wfi_clients_ask(clients, &a, now + tenth / 2), tenth / 2); /* costs nothing */
    assert_int_equal(wfi_clients_ask(clients, &b, now), 0);
    assert_int_equal(wfi_clients_ask(clients, &a, now + tenth), 0);
    assert_int_equal(wfi_clients_ask(clients, &a, now + tenth), tenth);
    /* In the long run no more than the rate, however they come. */
    int let_through = 0;
    for (int64_t at = now + WF_SECONDS(10); at < now + WF_SECONDS(20); at += WF_MILLISECONDS(1))
        let_through += wfi_clients_ask(clients, &a, at) == 0;
    assert_in_range(let_through, 100, 103);
    wfi_clients_destroy(clients);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct wfi_clients *clients = make(&(struct wfi_clients_limits){
        .per_second = 0.001, .burst = 1, .connections_max = 9, .addresses_max = 100});
    struct wfi_ip kept = ip("10.9.9.9"), other = ip("10.0.0.0");
    assert_int_equal(wfi_clients_enter(clients, &kept), WFI_ADMITTED);
    assert_int_equal(wfi_clients_ask(clients, &kept, 1), 0);
    for (int i = 0; i < 1000; i++) {
        other.bytes[14] = (uint8_t)(i >> 8);
        other.bytes[15] = (uint8_t)i;
        assert_int_equal(wfi_clients_ask(clients, &other, 2 + i), 0);
        assert_true(wfi_clients_count(clients) <= 100);
    }
    /* The last of them is still known, and so is who has a connection. */
    assert_true(wfi_clients_ask(clients, &other, 1002) > 0);
    assert_true(wfi_clients_ask(clients, &kept, 1002) > 0);
    wfi_clients_leave(clients, &kept);
    /* When all buckets are full again, those who come take the places of those who left. */
    for (int i = 0; i < 60; i++) {
        other.bytes[14] = 99;
        other.bytes[15] = (uint8_t)i;
        assert_int_equal(wfi_clients_ask(clients, &other, WF_SECONDS(1000000)), 0);
    }
    assert_in_range(wfi_clients_count(clients), 60, 62);
    wfi_clients_destroy(clients);
}

static void without_memory_nobody_is_counted(void **state)
{
    (void)state;
    struct wfi_clients_limits limits = {.connections_max = 1, .per_second = 1};
    struct wfi_ip a = ip("10.0.0.1");
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wfi_clients *clients = NULL;
        wfi_alloc_watch(n);
        int err = wfi_clients_create(&limits, &clients);
        if (!err && wfi_clients_enter(clients, &a) == WFI_ADMITTED)
            wfi_clients_leave(clients, &a);
        if (!err)
            assert_int_equal(wfi_clients_ask(clients, &a, 5), 0);
        wfi_clients_destroy(clients);
        assert_int_equal(wfi_alloc_live(), 0);
        done = !wfi_alloc_unwatch();
    }
}

static void a_rate_that_is_none_is_refused(void **state)
{
    (void)state;
    struct wfi_clients *clients;
    static const double wrong[] = {-1, NAN, INFINITY, 1e-12, 1e10};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            wfi_clients_create(&(struct wfi_clients_limits){.per_second = wrong[i]}, &clients),
            -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_of_an_address_are_counted),
        cmocka_unit_test(an_ipv6_client_is_its_network),
        cmocka_unit_test(a_bucket_is_emptied_and_fills_again),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(without_memory_nobody_is_counted),
        cmocka_unit_test(a_rate_that_is_none_is_refused),
    };
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
