/* SPDX-License-Identifier: MIT */
/*
 * Streams and listeners on loopback, between threads, fibers and both. "Is blocked" is looked up in
 * the wait lists, never guessed by sleeping.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/net.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "net/stream.h"
#include "os/sanitizer.h"
#include "os/socket.h"
#include "parties.h"
#include "sched/cancel.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif
#ifndef SLOW
#define SLOW 0
#endif

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static void address_of(struct wf_listener *l, char text[WF_ADDRESS_TEXT_BYTES])
{
    struct wf_address at;
    wf_listener_address(l, &at);
    wf_address_format(&at, text, WF_ADDRESS_TEXT_BYTES);
}

static struct wf_listener *listen_at(const char *endpoint)
{
    struct wf_listener *l = NULL;
    struct wf_error error = {0};
    int err = wf_listener_open(endpoint, NULL, &l, &error);
    if (err)
        print_error("%s\n", error.text);
    assert_int_equal(err, 0);
    return l;
}

static struct wf_stream *dial(struct wf_listener *l)
{
    char text[WF_ADDRESS_TEXT_BYTES];
    struct wf_stream *s = NULL;
    struct wf_error error = {0};
    address_of(l, text);
    int err = wf_dial(text, NULL, &s, soon(), &error);
    if (err)
        print_error("%s\n", error.text);
    assert_int_equal(err, 0);
    return s;
}

static struct wf_stream *accept_one(struct wf_listener *l)
{
    struct wf_stream *s = NULL;
    assert_int_equal(wf_listener_accept(l, &s, soon()), 0);
    return s;
}

/* Goes round until a party waits on the desc; works before the party has begun. */
static void until_blocked(struct wfi_poll_desc *d, enum wfi_desc_direction direction)
{
    for (bool blocked = false; !blocked; wfi_yield()) {
        wfi_lock_lock(&d->lock);
        blocked = !wfi_wait_list_empty(&d->directions[direction].waiters);
        wfi_lock_unlock(&d->lock);
    }
}

static struct wfi_poll_desc *desc_of_listener(struct wf_listener *l)
{
    return ((struct wfi_handle *)l)->desc; /* the handle is a listener's first member */
}

/* Echo */

static void serve_echo(void *arg)
{
    struct wf_stream *s = accept_one(arg);
    char buf[1000];
    ssize_t n;
    while ((n = wf_stream_read(s, buf, sizeof buf, soon())) > 0)
        assert_int_equal(wf_stream_write(s, buf, (size_t)n, soon()), 0);
    assert_int_equal(n, 0);
    wf_stream_close(s);
}

static void talk_to_echo(void *arg)
{
    struct wf_stream *s = dial(arg);
    char out[300], in[300];
    for (int i = 0; i < 50; i++) {
        memset(out, 'a' + i % 26, sizeof out);
        assert_int_equal(wf_stream_write(s, out, sizeof out, soon()), 0);
        assert_int_equal(wf_stream_read_full(s, in, sizeof in, soon()), sizeof in);
        assert_memory_equal(in, out, sizeof in);
    }
    assert_int_equal(wf_stream_shutdown(s, WF_SHUTDOWN_WRITE), 0);
    assert_int_equal(wf_stream_read_full(s, in, 1, soon()), 0);
    wf_stream_close(s);
}

static void echo_at(const char *endpoint)
{
    enum { PAIRS = 5 };
    struct party servers[PAIRS], clients[PAIRS];
    struct wf_listener *l = listen_at(endpoint);
    for (int i = 0; i < PAIRS; i++) {
        party_start(&servers[i], serve_echo, l);
        party_start(&clients[i], talk_to_echo, l);
    }
    for (int i = 0; i < PAIRS; i++) {
        party_join(&clients[i]);
        party_join(&servers[i]);
    }
    wf_listener_close(l);
}

static void echo(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "unix:@weft-stream-test-%d", (int)getpid());
    echo_at("127.0.0.1:0");
    echo_at("localhost:0");
    echo_at(name);
    int v6 = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has_v6 = v6 >= 0 && bind(v6, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    close(v6);
    if (has_v6)
        echo_at("[::1]:0");
}

/* Big transfers */

enum { BIG_BYTES = SLOW ? 2 << 20 : 8 << 20 };

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void send_big(void *arg)
{
    struct wf_stream *s = arg;
    static const size_t sizes[] = {1, 70000, 333, 4096, 1 << 20};
    unsigned char *buf = malloc(1 << 20);
    size_t at = 0;
    for (int i = 0; at < BIG_BYTES; i++) {
        size_t len = sizes[i % 5] < BIG_BYTES - at ? sizes[i % 5] : BIG_BYTES - at;
        for (size_t k = 0; k < len; k++)
            buf[k] = pattern(at + k);
        assert_int_equal(wf_stream_write(s, buf, len, soon()), 0);
        at += len;
    }
    free(buf);
    assert_int_equal(wf_stream_shutdown(s, WF_SHUTDOWN_WRITE), 0);
}

static void receive_big(void *arg)
{
    struct wf_stream *s = arg;
    unsigned char *buf = malloc(100000);
    size_t at = 0, wrong = 0;
    ssize_t n;
    while ((n = wf_stream_read(s, buf, 100000, soon())) > 0) {
        for (ssize_t k = 0; k < n; k++)
            wrong += buf[k] != pattern(at + (size_t)k);
        at += (size_t)n;
    }
    free(buf);
    assert_int_equal(n, 0);
    assert_int_equal(at, BIG_BYTES);
    assert_int_equal(wrong, 0);
}

static void big_transfers_both_ways(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_stream *ends[2] = {dial(l), accept_one(l)};
    struct party parties[4];
    for (int i = 0; i < 2; i++) {
        party_start(&parties[i], send_big, ends[i]);
        party_start(&parties[2 + i], receive_big, ends[i]);
    }
    for (int i = 0; i < 4; i++)
        party_join(&parties[i]);
    wf_stream_close(ends[0]);
    wf_stream_close(ends[1]);
    wf_listener_close(l);
}

/* Splice */

struct relay {
    struct wf_stream *from, *to;
    int64_t max, moved;
};

static void run_relay(void *arg)
{
    struct relay *r = arg;
    r->moved = wf_stream_splice(r->from, r->to, r->max, soon());
    assert_int_equal(wf_stream_shutdown(r->to, WF_SHUTDOWN_WRITE), 0);
}

static void splice_big(void **state)
{
    (void)state;
    struct wf_stream *in[2], *out[2];
    assert_int_equal(wf_stream_pair(in), 0);
    assert_int_equal(wf_stream_pair(out), 0);
    struct relay relay = {in[1], out[0], INT64_MAX, 0};
    struct party parties[3];
    party_start(&parties[0], send_big, in[0]);
    party_start(&parties[1], run_relay, &relay);
    party_start(&parties[2], receive_big, out[1]);
    for (int i = 0; i < 3; i++)
        party_join(&parties[i]);
    assert_int_equal(relay.moved, BIG_BYTES);
    for (int i = 0; i < 2; i++) {
        wf_stream_close(in[i]);
        wf_stream_close(out[i]);
    }
}

static void splice_no_more_than_asked(void **state)
{
    (void)state;
    struct wf_stream *in[2], *out[2];
    char buf[8];
    assert_int_equal(wf_stream_pair(in), 0);
    assert_int_equal(wf_stream_pair(out), 0);
    assert_int_equal(wf_stream_write(in[0], "hello world", 11, WF_NOW), 0);
    assert_int_equal(wf_stream_splice(in[1], out[0], 5, WF_NOW), 5);
    assert_int_equal(wf_stream_splice(in[1], out[0], 0, WF_NOW), 0);
    assert_int_equal(wf_stream_read(out[1], buf, sizeof buf, WF_NOW), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(wf_stream_splice(in[1], out[0], 100, WF_NOW), -ETIMEDOUT);
    wf_stream_close(out[1]);
    assert_int_equal(wf_stream_write(in[0], "x", 1, WF_NOW), 0);
    assert_int_equal(wf_stream_splice(in[1], out[0], 100, WF_NOW), -EPIPE);
    wf_stream_close(in[0]);
    wf_stream_close(in[1]);
    wf_stream_close(out[0]);
}

/* Deadlines */

static void expect_timeout(int64_t begin, int err)
{
    assert_int_equal(err, -ETIMEDOUT);
    assert_true(wf_now() - begin >= WF_MILLISECONDS(10));
}

static void meet_deadlines(void *arg)
{
    (void)arg;
    struct wf_stream *pair[2], *none = NULL;
    static char block[1 << 16];
    char byte;
    assert_int_equal(wf_stream_pair(pair), 0);
    int64_t begin = wf_now();
    wf_deadline at = wf_after(WF_MILLISECONDS(10));
    expect_timeout(begin, (int)wf_stream_read(pair[0], &byte, 1, at));
    assert_int_equal(wf_stream_read(pair[0], &byte, 1, at), -ETIMEDOUT);
    assert_int_equal(wf_stream_read_full(pair[0], &byte, 1, WF_NOW), -ETIMEDOUT);

    /* What is there is there, whatever the deadline says. */
    assert_int_equal(wf_stream_write(pair[1], "x", 1, WF_NOW), 0);
    assert_int_equal(wf_stream_read(pair[0], &byte, 1, WF_NOW), 1);

    begin = wf_now();
    at = wf_after(WF_MILLISECONDS(10));
    int err;
    while (!(err = wf_stream_write(pair[0], block, sizeof block, at)))
        ;
    expect_timeout(begin, err);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);

    struct wf_listener *l = listen_at("127.0.0.1:0");
    begin = wf_now();
    expect_timeout(begin, wf_listener_accept(l, &none, wf_after(WF_MILLISECONDS(10))));
    assert_null(none);
    wf_listener_close(l);
}

static void deadlines(void **state)
{
    (void)state;
    struct party p;
    party_start(&p, meet_deadlines, NULL);
    party_join(&p);
}

/* Closing and cancelling under a party that waits */

struct blocked {
    struct wf_stream *stream;
    struct wf_listener *listener;
    enum wfi_desc_direction direction;
    struct wfi_cancel level;
    WFI_ATOMIC(bool) entered;
    int err;
};

static void block(void *arg)
{
    static const char block[1 << 16];
    struct blocked *b = arg;
    char byte;
    wfi_cancel_enter(&b->level, NULL, false, WF_FOREVER);
    wfi_store(&b->entered, true);
    struct wf_stream *got;
    if (b->listener)
        b->err = wf_listener_accept(b->listener, &got, soon());
    else if (b->direction == WFI_DESC_READ)
        b->err = (int)wf_stream_read(b->stream, &byte, 1, soon());
    else
        while (!(b->err = wf_stream_write(b->stream, block, sizeof block, soon())))
            ;
    wfi_cancel_leave(&b->level);
}

static void closing_wakes(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    assert_int_equal(wf_stream_pair(pair), 0);
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct blocked blocked[] = {
        {.stream = pair[0], .direction = WFI_DESC_READ},
        {.stream = pair[0], .direction = WFI_DESC_READ},
        {.stream = pair[0], .direction = WFI_DESC_WRITE},
        {.listener = l},
        {.listener = l},
    };
    struct party parties[5];
    for (int i = 0; i < 5; i++)
        party_start(&parties[i], block, &blocked[i]);
    until_blocked(pair[0]->handle.desc, WFI_DESC_READ);
    until_blocked(pair[0]->handle.desc, WFI_DESC_WRITE);
    until_blocked(desc_of_listener(l), WFI_DESC_READ);
    while (!wfi_load(&blocked[0].entered) || !wfi_load(&blocked[1].entered) ||
           !wfi_load(&blocked[3].entered) || !wfi_load(&blocked[4].entered))
        wfi_yield();
    /* The second of two may not have begun its call; hold the objects until it has. */
    while (wfi_load(&pair[0]->handle.desc->parties) >> 1 < 4 ||
           wfi_load(&desc_of_listener(l)->parties) >> 1 < 3)
        wfi_yield();
    wf_stream_close(pair[0]);
    wf_listener_close(l);
    for (int i = 0; i < 5; i++) {
        party_join(&parties[i]);
        assert_int_equal(blocked[i].err, -EPIPE);
    }
    char byte;
    ssize_t n;
    while ((n = wf_stream_read(pair[1], &byte, 1, soon())) == 1)
        ;
    assert_int_equal(n, 0);
    wf_stream_close(pair[1]);
}

static void cancelling_wakes(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    assert_int_equal(wf_stream_pair(pair), 0);
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct blocked blocked[] = {
        {.stream = pair[0], .direction = WFI_DESC_READ},
        {.stream = pair[0], .direction = WFI_DESC_WRITE},
        {.listener = l},
    };
    struct party parties[3];
    for (int i = 0; i < 3; i++)
        party_start(&parties[i], block, &blocked[i]);
    until_blocked(pair[0]->handle.desc, WFI_DESC_READ);
    until_blocked(pair[0]->handle.desc, WFI_DESC_WRITE);
    until_blocked(desc_of_listener(l), WFI_DESC_READ);
    for (int i = 0; i < 3; i++)
        wfi_cancel_ask(&blocked[i].level);
    for (int i = 0; i < 3; i++) {
        party_join(&parties[i]);
        assert_int_equal(blocked[i].err, -ECANCELED);
    }
    /* The stream has taken no harm. */
    char byte;
    assert_int_equal(wf_stream_write(pair[1], "x", 1, soon()), 0);
    assert_int_equal(wf_stream_read(pair[0], &byte, 1, soon()), 1);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
    wf_listener_close(l);
}

static void a_shutdown_is_seen_by_who_waits(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    assert_int_equal(wf_stream_pair(pair), 0);
    struct blocked reader = {.stream = pair[0], .direction = WFI_DESC_READ};
    struct party p;
    party_start(&p, block, &reader);
    until_blocked(pair[0]->handle.desc, WFI_DESC_READ);
    assert_int_equal(wf_stream_shutdown(pair[0], WF_SHUTDOWN_READ), 0);
    party_join(&p);
    assert_int_equal(reader.err, 0);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
}

static void a_half_closed_stream_still_reads(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_stream *client = dial(l), *server = accept_one(l);
    char buf[8];
    assert_int_equal(wf_stream_write(client, "ask", 3, soon()), 0);
    assert_int_equal(wf_stream_shutdown(client, WF_SHUTDOWN_WRITE), 0);
    assert_int_equal(wf_stream_write(client, "x", 1, soon()), -EPIPE);
    assert_int_equal(wf_stream_read_full(server, buf, 3, soon()), 3);
    assert_int_equal(wf_stream_read(server, buf, 1, soon()), 0);
    assert_int_equal(wf_stream_write(server, "answer", 6, soon()), 0);
    wf_stream_close(server);
    assert_int_equal(wf_stream_read_full(client, buf, 8, soon()), WF_ESHORT);
    assert_int_equal(wf_stream_read(client, buf, 8, soon()), 0);
    wf_stream_close(client);
    wf_listener_close(l);
}

static void a_peer_that_has_gone_is_an_error_and_no_signal(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    assert_int_equal(wf_stream_pair(pair), 0);
    wf_stream_close(pair[1]);
    assert_int_equal(wf_stream_write(pair[0], "x", 1, soon()), -EPIPE);
    wf_stream_close(pair[0]);

    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_stream *client = dial(l), *server = accept_one(l);
    struct linger at_once = {.l_onoff = 1};
    setsockopt(wf_stream_fd(server), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    wf_stream_close(server);
    char byte;
    assert_int_equal(wf_stream_read(client, &byte, 1, soon()), -ECONNRESET);
    wf_stream_close(client);
    wf_listener_close(l);
}

static void parts_are_written_in_order(void **state)
{
    (void)state;
    enum { PARTS = 200, PART_BYTES = 3000 };
    struct wf_stream *pair[2];
    struct wf_part parts[PARTS];
    static char text[PARTS * PART_BYTES], back[PARTS * PART_BYTES];
    size_t total = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)pattern(i);
    for (int i = 0; i < PARTS; i++) {
        parts[i].data = text + total;
        parts[i].len = i % 3 == 0 ? 0 : PART_BYTES;
        total += parts[i].len;
    }
    assert_int_equal(wf_stream_pair(pair), 0);
    /* More than the sockets hold, so that it ends in the middle of a part. */
    assert_int_equal(wf_stream_writev(pair[0], parts, PARTS, WF_NOW), -ETIMEDOUT);
    wf_stream_close(pair[0]);
    ssize_t n;
    size_t got = 0;
    while ((n = wf_stream_read(pair[1], back + got, sizeof back - got, soon())) > 0)
        got += (size_t)n;
    assert_in_range(got, 1, total - 1);
    assert_memory_equal(back, text, got);
    wf_stream_close(pair[1]);

    assert_int_equal(wf_stream_pair(pair), 0);
    assert_int_equal(wf_stream_writev(pair[0], parts, 70, soon()), 0);
    assert_int_equal(wf_stream_writev(pair[0], NULL, 0, soon()), 0);
    wf_stream_close(pair[0]);
    assert_int_equal(wf_stream_read_full(pair[1], back, 46 * PART_BYTES, soon()), 46 * PART_BYTES);
    assert_int_equal(wf_stream_read(pair[1], back, 1, soon()), 0);
    assert_memory_equal(back, text, 46 * PART_BYTES);
    wf_stream_close(pair[1]);
}

/* Many connections */

struct crowd {
    struct wf_listener *listener;
    WFI_ATOMIC(int) served;
    int each;
};

static void serve_crowd(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < c->each; i++) {
        struct wf_stream *s = accept_one(c->listener);
        char byte;
        assert_int_equal(wf_stream_read_full(s, &byte, 1, soon()), 1);
        assert_int_equal(wf_stream_write(s, &byte, 1, soon()), 0);
        wf_stream_close(s);
        wfi_fetch_add(&c->served, 1);
    }
}

static void join_crowd(void *arg)
{
    struct crowd *c = arg;
    struct wf_stream *s = dial(c->listener);
    char byte = 'c';
    assert_int_equal(wf_stream_write(s, &byte, 1, soon()), 0);
    assert_int_equal(wf_stream_read_full(s, &byte, 1, soon()), 1);
    wf_stream_close(s);
}

/* Connections come in bursts while the acceptors are busy; none of them is forgotten. */
static void several_acceptors_share_a_listener(void **state)
{
    (void)state;
    enum { ACCEPTORS = 4, EACH = 25 };
    struct crowd crowd = {.listener = listen_at("127.0.0.1:0"), .each = EACH};
    static struct party acceptors[ACCEPTORS], clients[ACCEPTORS * EACH];
    for (int i = 0; i < ACCEPTORS; i++)
        party_start(&acceptors[i], serve_crowd, &crowd);
    for (int i = 0; i < ACCEPTORS * EACH; i++)
        party_start(&clients[i], join_crowd, &crowd);
    for (int i = 0; i < ACCEPTORS * EACH; i++)
        party_join(&clients[i]);
    for (int i = 0; i < ACCEPTORS; i++)
        party_join(&acceptors[i]);
    assert_int_equal(wfi_load(&crowd.served), ACCEPTORS * EACH);
    wf_listener_close(crowd.listener);
}

enum { MANY = SLOW ? 200 : 1000, MANY_UNDER_VALGRIND = 50 };

struct hold {
    struct wf_listener *listener;
    WFI_ATOMIC(int) open;
    struct wf_stream *streams[MANY];
    struct party parties[MANY];
};
static struct hold hold;

/* Each connection is kept open until all are. */
static void hold_one(void *arg)
{
    struct wf_stream *s = arg;
    char byte;
    assert_int_equal(wf_stream_read_full(s, &byte, 1, soon()), 1);
    assert_int_equal(wf_stream_write(s, &byte, 1, soon()), 0);
}

static void a_thousand_connections(void **state)
{
    (void)state;
    struct rlimit limit;
    int many = MANY;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * MANY + 100 && limit.rlim_max >= 2 * MANY + 100) {
        limit.rlim_cur = 2 * MANY + 100;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < 2 * MANY + 100)
        many = ((int)limit.rlim_cur - 100) / 2;
    if (wfi_under_valgrind())
        many = MANY_UNDER_VALGRIND;
    if (parties_mode == PARTIES_THREADS || parties_mode == PARTIES_MIXED)
        many = many < 100 ? many : 100; /* threads are what this is not about */
    hold.listener = listen_at("127.0.0.1:0");
    static struct wf_stream *clients[MANY];
    for (int i = 0; i < many; i++) {
        clients[i] = dial(hold.listener);
        hold.streams[i] = accept_one(hold.listener);
        party_start(&hold.parties[i], hold_one, hold.streams[i]);
    }
    for (int i = 0; i < many; i++)
        until_blocked(hold.streams[i]->handle.desc, WFI_DESC_READ);
    for (int i = 0; i < many; i++)
        assert_int_equal(wf_stream_write(clients[i], "x", 1, soon()), 0);
    for (int i = 0; i < many; i++) {
        char byte = 0;
        assert_int_equal(wf_stream_read_full(clients[i], &byte, 1, soon()), 1);
        assert_int_equal(byte, 'x');
        party_join(&hold.parties[i]);
        wf_stream_close(clients[i]);
        wf_stream_close(hold.streams[i]);
    }
    wf_listener_close(hold.listener);
}

/* Numbers used again */

static void open_talk_close(void *arg)
{
    (void)arg;
    for (int i = 0; i < (SLOW ? 50 : 300); i++) {
        struct wf_stream *pair[2];
        char byte;
        assert_int_equal(wf_stream_pair(pair), 0);
        assert_int_equal(wf_stream_read(pair[0], &byte, 1, WF_NOW), -ETIMEDOUT);
        assert_int_equal(wf_stream_write(pair[1], "x", 1, soon()), 0);
        assert_int_equal(wf_stream_read(pair[0], &byte, 1, soon()), 1);
        assert_int_equal(wf_stream_read(pair[0], &byte, 1, wf_after(WF_MICROSECONDS(i % 50))),
                         -ETIMEDOUT);
        wf_stream_close(pair[i % 2]);
        wf_stream_close(pair[1 - i % 2]);
    }
}

static void numbers_are_used_again(void **state)
{
    (void)state;
    struct party parties[8];
    for (int i = 0; i < 8; i++)
        party_start(&parties[i], open_talk_close, NULL);
    for (int i = 0; i < 8; i++)
        party_join(&parties[i]);
}

/* Errors of dialling */

static void a_refused_port(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_address at;
    struct wf_stream *s = NULL;
    struct wf_error error = {0};
    char endpoint[64], expected[128];
    wf_listener_address(l, &at);
    wf_listener_close(l);
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", wf_address_port(&at));
    assert_int_equal(wf_dial(endpoint, NULL, &s, soon(), &error), -ECONNREFUSED);
    assert_null(s);
    assert_int_equal(error.code, -ECONNREFUSED);
    snprintf(expected, sizeof expected, "%s: Connection refused", endpoint);
    assert_string_equal(error.text, expected);
    assert_string_equal(error.origin, endpoint);

    /* A name: every address is tried and named. Without IPv6 the cause of the second differs. */
    snprintf(endpoint, sizeof endpoint, "localhost:%u", wf_address_port(&at));
    int err = wf_dial(endpoint, NULL, &s, soon(), &error);
    assert_true(err == -ECONNREFUSED || err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT ||
                err == -ENETUNREACH);
    snprintf(expected, sizeof expected,
             "%s: 127.0.0.1:%u: Connection refused; [::1]:%u: ", endpoint, wf_address_port(&at),
             wf_address_port(&at));
    assert_memory_equal(error.text, expected, strlen(expected));
    assert_string_equal(error.origin, endpoint);
}

static void endpoints_that_cannot_be(void **state)
{
    (void)state;
    struct wf_stream *s = NULL;
    struct wf_listener *l = NULL;
    struct wf_error error;
    assert_int_equal(wf_dial("nowhere", NULL, &s, soon(), &error), -EINVAL);
    assert_non_null(strstr(error.text, "nowhere"));
    assert_int_equal(wf_dial("no..such.invalid:80", NULL, &s, soon(), &error), WF_ERESOLVE);
    assert_memory_equal(error.text, "no..such.invalid: ", 18);
    assert_string_equal(error.origin, "no..such.invalid:80");
    assert_int_equal(wf_dial("unix:", NULL, &s, soon(), &error), -EINVAL);
    assert_int_equal(wf_dial("unix:/nonexistent/socket", NULL, &s, soon(), &error), -ENOENT);
    assert_non_null(strstr(error.text, "unix:/nonexistent/socket: "));
    assert_int_equal(wf_dial("unix:/nonexistent/socket", NULL, &s, soon(), NULL), -ENOENT);
    assert_int_equal(wf_listener_open("example.org:80", NULL, &l, &error), -EINVAL);
    assert_int_equal(wf_listener_open("unix:/nonexistent/socket", NULL, &l, &error), -ENOENT);
    struct wf_listener *taken = listen_at("127.0.0.1:0");
    char text[WF_ADDRESS_TEXT_BYTES], expected[256];
    address_of(taken, text);
    assert_int_equal(wf_listener_open(text, NULL, &l, &error), -EADDRINUSE);
    snprintf(expected, sizeof expected, "listen at %s: Address already in use", text);
    assert_string_equal(error.text, expected);
    wf_listener_close(taken);
    assert_null(s);
    assert_null(l);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(wf_stream_adopt(pipe_fds[0], &s), -ENOTSOCK);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* A listener that does not accept: its queue fills, and the dialler waits, for Unix sockets too. */
static void dial_full_queue(void *arg)
{
    struct wf_stream *held[64], *s = NULL;
    struct wf_error error = {0};
    int count = 0, err;
    while (count < 64 && !(err = wf_dial(arg, NULL, &s, wf_after(WF_MILLISECONDS(20)), &error)))
        held[count++] = s;
    assert_in_range(count, 1, 63);
    assert_int_equal(err, -ETIMEDOUT);
    assert_int_equal(error.code, -ETIMEDOUT);
    while (count)
        wf_stream_close(held[--count]);
}

static void dialling_meets_its_deadline(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "unix:@weft-full-%d", (int)getpid());
    struct wf_listener *l = NULL;
    struct wf_listener_options options = {.backlog = 1};
    assert_int_equal(wf_listener_open(name, &options, &l, NULL), 0);
    struct party p;
    party_start(&p, dial_full_queue, name);
    party_join(&p);
    wf_listener_close(l);

    char text[WF_ADDRESS_TEXT_BYTES];
    assert_int_equal(wf_listener_open("127.0.0.1:0", &options, &l, NULL), 0);
    address_of(l, text);
    party_start(&p, dial_full_queue, text);
    party_join(&p);
    wf_listener_close(l);
}

/* The first address hangs; it gets its share of the time, and the second still has its own. */
static void an_address_that_hangs_does_not_use_up_the_time(void **state)
{
    (void)state;
    struct wf_listener *l = NULL;
    struct wf_listener_options options = {.backlog = 1};
    struct wf_address at;
    struct wf_stream *held[64], *s = NULL;
    struct wf_error error = {0};
    char endpoint[64], expected[160];
    int count = 0, err = 0;
    assert_int_equal(wf_listener_open("127.0.0.1:0", &options, &l, NULL), 0);
    wf_listener_address(l, &at);
    while (count < 64 &&
           !wf_dial_address(&at, NULL, &held[count], wf_after(WF_MILLISECONDS(20)), NULL))
        count++;
    assert_in_range(count, 1, 63);

    snprintf(endpoint, sizeof endpoint, "localhost:%u", wf_address_port(&at));
    err = wf_dial(endpoint, NULL, &s, wf_after(WF_MILLISECONDS(200)), &error);
    assert_int_not_equal(err, 0);
    assert_int_not_equal(err, -ETIMEDOUT);
    snprintf(expected, sizeof expected,
             "%s: 127.0.0.1:%u: Connection timed out; [::1]:%u: ", endpoint, wf_address_port(&at),
             wf_address_port(&at));
    assert_memory_equal(error.text, expected, strlen(expected));
    while (count)
        wf_stream_close(held[--count]);
    wf_listener_close(l);
}

/* The number stays taken while a party is inside, or the party would read from a stranger's. */
static void the_number_is_closed_by_the_last(void **state)
{
    (void)state;
    struct wf_stream *ends[2];
    assert_int_equal(wf_stream_pair(ends), 0);
    int fd = wf_stream_fd(ends[0]);
    assert_int_equal(wfi_handle_enter(&ends[0]->handle), 0);
    wf_stream_close(ends[0]);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    wfi_stream_leave(ends[0]);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    wf_stream_close(ends[1]);
}

/* What was written and has not arrived is not kept for a peer that does not read. */
static void breaking_off_drops_what_is_unsent(void **state)
{
    (void)state;
    static char much[1 << 20];
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_stream *client = dial(l), *server = accept_one(l);
    int err;
    do
        err = wf_stream_write(server, much, sizeof much, WF_NOW);
    while (!err);
    assert_int_equal(err, -ETIMEDOUT);
    wf_stream_break(server);
    ssize_t n;
    do
        n = wf_stream_read(client, much, sizeof much, soon());
    while (n > 0);
    assert_int_equal(n, -ECONNRESET);
    wf_stream_close(client);
    wf_stream_break(NULL);
    wf_listener_close(l);
}

/* Options and names */

static void options_reach_the_sockets(void **state)
{
    (void)state;
    struct wf_listener_options how = {.stream = {.keepalive_s = 17, .unsent_bytes = 4096}};
    struct wf_stream_options with_delay = {.delay = true, .send_bytes = 65536};
    struct wf_listener *l = NULL;
    struct wf_stream *s = NULL;
    char text[WF_ADDRESS_TEXT_BYTES];
    int value = 0;
    assert_int_equal(wf_listener_open("127.0.0.1:0", &how, &l, NULL), 0);
    address_of(l, text);
    assert_int_equal(wf_dial(text, &with_delay, &s, soon(), NULL), 0);
    struct wf_stream *server = accept_one(l);
    assert_int_equal(wfi_socket_get(wf_stream_fd(s), WFI_SOCKET_NODELAY, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(wfi_socket_get(wf_stream_fd(s), WFI_SOCKET_SEND_BYTES, &value), 0);
    assert_in_range(value, 65536, 4 * 65536);
    assert_int_equal(wfi_socket_get(wf_stream_fd(server), WFI_SOCKET_NODELAY, &value), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(wfi_socket_get(wf_stream_fd(server), WFI_SOCKET_KEEPALIVE_IDLE, &value), 0);
    assert_int_equal(value, 17);
    assert_int_equal(wfi_socket_get(wf_stream_fd(server), WFI_SOCKET_UNSENT_BYTES, &value), 0);
    assert_int_equal(value, 4096);
    struct wf_address a, b;
    assert_int_equal(wf_stream_local(s, &a), 0);
    assert_int_equal(wf_stream_peer(server, &b), 0);
    assert_true(wf_address_equal(&a, &b));
    wf_stream_close(s);
    wf_stream_close(server);
    wf_listener_close(l);
}

static void unix_paths_come_and_go(void **state)
{
    (void)state;
    char dir[] = "/tmp/weft-stream-XXXXXX", path[64], endpoint[80];
    struct stat info;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(endpoint, sizeof endpoint, "unix:%s", path);
    struct wf_listener *l = listen_at(endpoint), *second = NULL;
    assert_int_equal(wf_listener_open(endpoint, NULL, &second, NULL), -EADDRINUSE);
    assert_int_equal(stat(path, &info), 0);
    wf_listener_close(l);
    assert_int_equal(stat(path, &info), -1);

    /* Left behind by a program that was killed: taken over. */
    struct wfi_sockaddr at;
    int fd;
    assert_int_equal(wfi_sockaddr_parse(endpoint, &at), 0);
    assert_int_equal(wfi_socket_listen(&at, &(struct wfi_socket_listen_options){0}, &fd), 0);
    wfi_fd_close(fd);
    assert_int_equal(stat(path, &info), 0);
    l = listen_at(endpoint);
    struct wf_stream *client = dial(l);
    wf_stream_close(client);

    /* Replaced by somebody else's file: left alone. */
    assert_int_equal(unlink(path), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    wf_listener_close(l);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(wf_listener_open(endpoint, NULL, &second, NULL), -EADDRINUSE);
    unlink(path);
    rmdir(dir);
}

/* Descriptors run out */

struct hungry {
    struct wf_listener *listener;
    struct wf_stream *stream;
    WFI_ATOMIC(struct wfi_waiter *) self;
};

static void accept_hungry(void *arg)
{
    struct hungry *h = arg;
    wfi_store(&h->self, wfi_self());
    h->stream = accept_one(h->listener);
}

static void until_hungry(struct hungry *h)
{
    for (;;) {
        struct wfi_waiter *self = wfi_load(&h->self);
        const char *reason = self ? wfi_load(&self->reason) : NULL;
        if (reason && strcmp(reason, "descriptor") == 0)
            return;
        wfi_yield();
    }
}

static void accept_waits_for_descriptors(void **state)
{
    (void)state;
    if (wfi_under_valgrind()) {
        print_message("valgrind does not enforce RLIMIT_NOFILE\n");
        skip();
    }
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    struct wf_stream *pair[2], *client, *none = NULL;
    struct hungry h = {.listener = listen_at("127.0.0.1:0")};
    assert_int_equal(wf_stream_pair(pair), 0);
    /* A party's first wait makes descriptors of its own: let it have them before they run out. */
    struct party warm, p;
    party_start(&warm, accept_hungry, &h);
    until_blocked(desc_of_listener(h.listener), WFI_DESC_READ);
    party_start(&p, meet_deadlines, NULL);
    party_join(&p);
    client = dial(h.listener);
    party_join(&warm);
    wf_stream_close(client);
    wf_stream_close(h.stream);

    client = dial(h.listener);
    low = before;
    int filler = dup(0); /* the lowest free number: the limit goes right behind it */
    low.rlim_cur = (rlim_t)filler + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    assert_int_equal(dup(0), -1);

    assert_int_equal(wf_listener_accept(h.listener, &none, wf_after(WF_MILLISECONDS(1))), -EMFILE);
    h.self = NULL;
    party_start(&p, accept_hungry, &h);
    until_hungry(&h);
    close(filler); /* nobody tells; it looks again by itself */
    party_join(&p);
    wf_stream_close(client);
    wf_stream_close(h.stream);

    setrlimit(RLIMIT_NOFILE, &before);
    client = dial(h.listener);
    int fd = dup(0);
    close(fd);
    low.rlim_cur = (rlim_t)fd;
    setrlimit(RLIMIT_NOFILE, &low);
    h.self = NULL;
    party_start(&p, accept_hungry, &h);
    until_hungry(&h);
    wf_stream_close(pair[0]);
    party_join(&p);
    setrlimit(RLIMIT_NOFILE, &before);
    wf_stream_close(h.stream);
    wf_stream_close(client);
    wf_stream_close(pair[1]);
    wf_listener_close(h.listener);
}

/* Without a descriptor for the pipe, bytes go through a buffer. */
static void splice_without_a_pipe(void **state)
{
    (void)state;
    if (wfi_under_valgrind()) {
        print_message("valgrind does not enforce RLIMIT_NOFILE\n");
        skip();
    }
    struct wf_stream *in[2], *out[2];
    struct rlimit before, low;
    char buf[8];
    assert_int_equal(wf_stream_pair(in), 0);
    assert_int_equal(wf_stream_pair(out), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    int free_number = dup(0);
    close(free_number);
    low = before;
    low.rlim_cur = (rlim_t)free_number;
    setrlimit(RLIMIT_NOFILE, &low);
    assert_int_equal(wf_stream_write(in[0], "hello world", 11, WF_NOW), 0);
    assert_int_equal(wf_stream_splice(in[1], out[0], 5, WF_NOW), 5);
    assert_int_equal(wf_stream_read(out[1], buf, sizeof buf, WF_NOW), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(wf_stream_shutdown(in[0], WF_SHUTDOWN_WRITE), 0);
    assert_int_equal(wf_stream_splice(in[1], out[0], 100, WF_NOW), 6);
    wf_stream_close(out[1]);
    assert_int_equal(wf_stream_splice(in[1], out[0], 100, WF_NOW), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    wf_stream_close(in[0]);
    wf_stream_close(in[1]);
    wf_stream_close(out[0]);
}

/* A stream outlives the runtime whose worker was its home. */
static void streams_outlive_runtimes(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    char byte;
    assert_int_equal(wf_stream_pair(pair), 0);
    for (int round = 0; round < 3; round++) {
        struct blocked reader = {.stream = pair[0], .direction = WFI_DESC_READ};
        struct party p;
        assert_int_equal(parties_set_up(PARTIES_FIBERS_1), 0);
        party_start(&p, block, &reader);
        until_blocked(pair[0]->handle.desc, WFI_DESC_READ);
        assert_non_null(pair[0]->handle.desc->home);
        assert_int_equal(wf_stream_write(pair[1], "x", 1, soon()), 0);
        party_join(&p);
        assert_int_equal(reader.err, 1);
        parties_tear_down(state);
        assert_null(pair[0]->handle.desc->home);
        assert_int_equal(wf_stream_write(pair[1], "y", 1, soon()), 0);
        assert_int_equal(wf_stream_read(pair[0], &byte, 1, soon()), 1);
    }
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
}

/* A fiber that never has to wait does not keep its worker to itself. */
static WFI_ATOMIC(bool) stop_playing;

static void play_with_itself(void *arg)
{
    struct wf_stream **pair = arg;
    char byte = 'x';
    while (!wfi_load(&stop_playing)) {
        assert_int_equal(wf_stream_write(pair[0], &byte, 1, soon()), 0);
        assert_int_equal(wf_stream_read(pair[1], &byte, 1, soon()), 1);
    }
}

static void say_stop(void *arg)
{
    (void)arg;
    wfi_store(&stop_playing, true);
}

static void busy_streams_give_way(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    struct party player, other;
    assert_int_equal(wf_stream_pair(pair), 0);
    wfi_store(&stop_playing, false);
    party_start(&player, play_with_itself, pair);
    party_start(&other, say_stop, NULL);
    party_join(&player);
    party_join(&other);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
}

/* Out of memory at every place in turn. */
static void memory_runs_out(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    char text[WF_ADDRESS_TEXT_BYTES];
    address_of(l, text);
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_stream *s = NULL, *server = NULL, *pair[2] = {NULL, NULL};
        struct wf_listener *second = NULL;
        struct wf_error error = {0};
        wfi_alloc_watch(n);
        int err = wf_listener_open("127.0.0.1:0", NULL, &second, &error);
        if (!err)
            err = wf_dial(text, NULL, &s, soon(), &error);
        if (!err)
            err = wf_listener_accept(l, &server, soon());
        if (!err)
            err = wf_stream_pair(pair);
        wf_stream_close(s);
        wf_stream_close(server);
        wf_stream_close(pair[0]);
        wf_stream_close(pair[1]);
        wf_listener_close(second);
        assert_int_equal(wfi_alloc_live(), 0);
        done = !wfi_alloc_unwatch();
        assert_int_equal(err, done ? 0 : -ENOMEM);
        /* A failed accept has taken its connection with it; a failed dial after it has not. */
        while (wf_listener_accept(l, &s, WF_NOW) == 0)
            wf_stream_close(s);
    }
    wf_listener_close(l);
}

struct waiting {
    struct wf_stream *stream;
    int first, second;
    char byte;
};

static void wait_then_read(void *arg)
{
    struct waiting *w = arg;
    w->first = wf_stream_wait(w->stream, soon());
    assert_int_equal(wf_stream_read(w->stream, &w->byte, 1, WF_NOW), 1);
    w->second = wf_stream_wait(w->stream, soon());
    assert_int_equal(wf_stream_read(w->stream, &w->byte, 1, WF_NOW), 0);
}

/* Waiting takes nothing; bytes that are there, and the end, end it. */
static void a_stream_is_waited_for(void **state)
{
    (void)state;
    struct wf_stream *pair[2];
    struct party p;
    assert_int_equal(wf_stream_pair(pair), 0);
    assert_int_equal(wf_stream_wait(pair[0], WF_NOW), -ETIMEDOUT);
    struct waiting w = {.stream = pair[0], .first = 1, .second = 1};
    party_start(&p, wait_then_read, &w);
    until_blocked(pair[0]->handle.desc, WFI_DESC_READ);
    assert_int_equal(wf_stream_write(pair[1], "x", 1, soon()), 0);
    assert_int_equal(wf_stream_shutdown(pair[1], WF_SHUTDOWN_WRITE), 0);
    party_join(&p);
    assert_int_equal(w.first, 0);
    assert_int_equal(w.byte, 'x');
    assert_int_equal(w.second, 0);
    wf_stream_close(pair[0]);
    wf_stream_close(pair[1]);
}

static void look_for_the_peer(void *arg)
{
    struct wf_stream *s = arg;
    char buf[8];
    assert_int_equal(wf_stream_read(s, buf, 1, soon()), 1);
    /* The first look asks the system, the second may rely on it. */
    assert_false(wf_stream_peer_ended(s));
    assert_false(wf_stream_peer_ended(s));
    /* Unread bytes do not hide the end behind them. */
    assert_int_equal(wf_stream_wait(s, soon()), 0);
    assert_false(wf_stream_peer_ended(s));
    assert_int_equal(wf_stream_write(s, "y", 1, soon()), 0);
    while (!wf_stream_peer_ended(s))
        wfi_yield();
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, WF_NOW), 1);
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, WF_NOW), 0);
    assert_true(wf_stream_peer_ended(s));
}

static void a_peer_that_ended_is_seen_without_reading(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct wf_stream *client = dial(l), *s = accept_one(l);
    struct party p;
    char byte;
    assert_false(wf_stream_peer_ended(s));
    party_start(&p, look_for_the_peer, s);
    until_blocked(s->handle.desc, WFI_DESC_READ);
    assert_int_equal(wf_stream_write(client, "ab", 2, soon()), 0);
    assert_int_equal(wf_stream_read(client, &byte, 1, soon()), 1);
    assert_int_equal(wf_stream_shutdown(client, WF_SHUTDOWN_WRITE), 0);
    party_join(&p);
    wf_stream_close(client);
    wf_stream_close(s);
    wf_listener_close(l);
}

struct reading {
    struct wf_stream *client, *server;
    WFI_ATOMIC(int) step; /* odd: the client's turn */
};

static void client_turn(struct reading *r)
{
    int step = wfi_fetch_add(&r->step, 1) + 1;
    while (wfi_load(&r->step) == step)
        wfi_yield();
}

static void read_short(void *arg)
{
    struct reading *r = arg;
    struct wf_stream *s = r->server;
    char buf[8];
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, soon()), 1);
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, WF_NOW), -ETIMEDOUT);
    client_turn(r); /* writes a byte: there, although no worker may have heard of it */
    assert_int_equal(wf_stream_wait(s, WF_NOW), 0);
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, WF_NOW), 1);
    client_turn(r); /* bytes with an urgent one among them, at which each read stops */
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, soon()), 2);
    assert_memory_equal(buf, "ab", 2);
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, soon()), 2);
    assert_memory_equal(buf, "cd", 2);
    client_turn(r); /* a byte and the end, perhaps with one edge */
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, soon()), 1);
    assert_int_equal(wf_stream_read(s, buf, sizeof buf, soon()), 0);
    assert_int_equal(wf_stream_wait(s, soon()), 0);
}

static void wait_for_turn(struct reading *r, int step)
{
    while (wfi_load(&r->step) != step)
        wfi_yield();
}

/* Returns when the bytes have arrived, and lets the other side go on. */
static void arrived(struct reading *r)
{
    while (!wfi_socket_readable(r->server->handle.fd))
        wfi_yield();
    wfi_fetch_add(&r->step, 1);
}

/* After a read that took less than it could, the system is not asked again before an edge. */
static void a_short_read_hides_nothing(void **state)
{
    (void)state;
    struct wf_listener *l = listen_at("127.0.0.1:0");
    struct reading r = {.client = dial(l), .server = accept_one(l)};
    int client = wf_stream_fd(r.client);
    struct party p;
    party_start(&p, read_short, &r);
    until_blocked(r.server->handle.desc, WFI_DESC_READ);
    assert_int_equal(send(client, "x", 1, 0), 1);
    wait_for_turn(&r, 1);
    assert_int_equal(send(client, "y", 1, 0), 1);
    arrived(&r);
    wait_for_turn(&r, 3);
    assert_int_equal(send(client, "ab", 2, 0), 2);
    assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(client, "cd", 2, 0), 2);
    arrived(&r);
    wait_for_turn(&r, 5);
    assert_int_equal(send(client, "z", 1, 0), 1);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    arrived(&r);
    party_join(&p);
    wf_stream_close(r.client);
    wf_stream_close(r.server);
    wf_listener_close(l);
}

static void a_socket_that_listens_is_adopted(void **state)
{
    (void)state;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct wf_listener *l = NULL;
    int fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(wf_listener_adopt(fd, NULL, &l), -EINVAL);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(wf_listener_adopt(fd, NULL, &l), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    struct wf_stream *client = dial(l), *s = accept_one(l);
    wf_stream_close(client);
    wf_stream_close(s);
    wf_listener_close(l);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(wf_listener_adopt(fd, NULL, &l), -EBADF);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(wf_listener_adopt(pair[0], NULL, &l), -ENOTSOCK);
    close(pair[0]);
    close(pair[1]);
}

static void closing_nothing(void **state)
{
    (void)state;
    wf_stream_close(NULL);
    wf_listener_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTIES_TEST(echo),
        PARTIES_TEST(big_transfers_both_ways),
        PARTIES_TEST(splice_big),
        cmocka_unit_test(splice_no_more_than_asked),
        PARTIES_TEST(deadlines),
        PARTIES_TEST(closing_wakes),
        PARTIES_TEST(cancelling_wakes),
        PARTIES_TEST(a_shutdown_is_seen_by_who_waits),
        PARTIES_TEST(a_short_read_hides_nothing),
        cmocka_unit_test(a_half_closed_stream_still_reads),
        cmocka_unit_test(a_peer_that_has_gone_is_an_error_and_no_signal),
        cmocka_unit_test(parts_are_written_in_order),
        PARTIES_TEST(several_acceptors_share_a_listener),
        PARTIES_TEST(a_thousand_connections),
        PARTIES_TEST(numbers_are_used_again),
        cmocka_unit_test(a_refused_port),
        cmocka_unit_test(endpoints_that_cannot_be),
        PARTIES_TEST(dialling_meets_its_deadline),
        cmocka_unit_test(an_address_that_hangs_does_not_use_up_the_time),
        cmocka_unit_test(the_number_is_closed_by_the_last),
        cmocka_unit_test(breaking_off_drops_what_is_unsent),
        cmocka_unit_test(options_reach_the_sockets),
        cmocka_unit_test(unix_paths_come_and_go),
        PARTIES_TEST(accept_waits_for_descriptors),
        cmocka_unit_test(splice_without_a_pipe),
        cmocka_unit_test(streams_outlive_runtimes),
        PARTIES_TEST(busy_streams_give_way),
        cmocka_unit_test(memory_runs_out),
        PARTIES_TEST(a_stream_is_waited_for),
        PARTIES_TEST(a_peer_that_ended_is_seen_without_reading),
        cmocka_unit_test(a_socket_that_listens_is_adopted),
        cmocka_unit_test(closing_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, parties_wait_alone);
}
