/* SPDX-License-Identifier: MIT */
/*
 * Certificates and sessions, without a server: what is refused and by which words; and a session
 * whose client is cut, slow, rude or gone, on a pair of streams.
 */
#include "http/tls.h"

#include <assert.h>
#include <time.h>

#include <weft/fibers.h>
#include <weft/inline.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "http/tls_client_test.h"

static char folder[] = "/tmp/weft-tls-XXXXXX";
static struct certificate site, other, rsa, locked, old;
static SSL_CTX *trusting; /* of clients that ask nothing about certificates */
static struct wf_tls *tls;
static struct wf_executor *fibers;

/* Whether OpenSSL's allocations are among those that fail. It does not always say then that memory
 * was what it lacked. */
static bool openssl_may_fail;

static void *give(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return openssl_may_fail && wfi_alloc_should_fail() ? NULL : malloc(bytes);
}

static void *give_again(void *ptr, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return openssl_may_fail && wfi_alloc_should_fail() ? NULL : realloc(ptr, bytes);
}

static void take_back(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    free(ptr);
}

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *out = fopen(at(name), "w");
    assert_true(out && fputs(text, out) >= 0);
    fclose(out);
}

static void copy(const char *from, const char *to, const char *mode)
{
    char text[8192];
    FILE *in = fopen(from, "r"), *out = fopen(to, mode);
    assert_true(in && out);
    fwrite(text, 1, fread(text, 1, sizeof text, in), out);
    fclose(in);
    fclose(out);
}

static struct wf_tls *make_tls(const char *chain, const char *key)
{
    struct wf_tls *made = NULL;
    struct wf_error error = {0};
    if (wf_tls_create(&(struct wf_tls_options){.chain_file = chain, .key_file = key}, &made,
                      &error))
        fail_msg("%s", error.text);
    return made;
}

/* ---- certificates ---- */

static void refused(const char *chain, const char *key, int code, const char *text)
{
    struct wf_tls *made = NULL;
    struct wf_error error = {0};
    struct wf_tls_options options = {.chain_file = chain, .key_file = key};
    assert_int_equal(wf_tls_create(&options, &made, &error), code);
    assert_null(made);
    if (!strstr(error.text, text))
        fail_msg("expected \"%s\" in \"%s\"", text, error.text);
}

static void errors_name_the_file_and_the_rule(void **state)
{
    (void)state;
    char wrong[8192];
    put("empty", "");
    put("text", "no certificate\n");
    copy(site.chain, at("chain-cut"), "w");
    FILE *out = fopen(at("chain-cut"), "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", out);
    fclose(out);
    memset(wrong, 'x', sizeof wrong);
    out = fopen(at("huge"), "w");
    for (int i = 0; i < 200; i++)
        fwrite(wrong, 1, sizeof wrong, out);
    fclose(out);

    refused(NULL, site.key, -EINVAL, "TLS takes a file");
    refused("/nowhere/x.pem", site.key, -ENOENT, "/nowhere/x.pem: ");
    refused(site.chain, "/nowhere/x.key", -ENOENT, "/nowhere/x.key: ");
    refused(at("empty"), site.key, WF_EPARSE, "empty: there is no certificate in PEM form in it");
    refused(at("text"), site.key, WF_EPARSE, "text: there is no certificate in PEM form in it");
    refused(site.chain, at("text"), WF_EPARSE, "text: there is no private key in PEM form in it");
    refused(site.chain, site.chain, WF_EPARSE, "there is no private key in PEM form in it");
    refused(at("chain-cut"), site.key, WF_EPARSE, "a certificate of the chain cannot be read");
    refused(at("huge"), site.key, WF_ETOOBIG, "huge: larger than");
    refused(folder, site.key, -EISDIR, folder);
    refused(site.chain, other.key, WF_ETLS, "the key does not belong to the certificate in ");
    refused(site.chain, rsa.key, WF_ETLS, "the key does not belong to the certificate in ");
    refused(locked.chain, locked.key, WF_ETLS, "locked.key: the key needs a passphrase");
    struct wf_tls *made;
    struct wf_tls_options options = {.chain_file = site.chain, .version_min = 17};
    assert_int_equal(wf_tls_create(&options, &made, NULL), -EINVAL);
    options = (struct wf_tls_options){.chain_file = site.chain,
                                      .key_file = site.key,
                                      .more = &(struct wf_tls_certificate){0},
                                      .more_count = 1};
    assert_int_equal(wf_tls_create(&options, &made, NULL), -EINVAL);
    options.more = NULL;
    assert_int_equal(wf_tls_create(&options, &made, NULL), -EINVAL);
    assert_int_equal(ERR_peek_error(), 0);
    wf_tls_destroy(NULL);
}

static void one_file_may_hold_all(void **state)
{
    (void)state;
    copy(site.key, at("both"), "w");
    copy(site.chain, at("both"), "a");
    copy(other.chain, at("both"), "a");
    wf_tls_destroy(make_tls(at("both"), NULL));
}

static void what_has_expired_is_told_not_refused(void **state)
{
    (void)state;
    struct wf_tls *made = make_tls(old.chain, old.key);
    int64_t from, until, now = (int64_t)time(NULL);
    assert_int_equal(wf_tls_validity(made, 0, &from, &until), 0);
    assert_true(from <= now - 10 * 86400 && from > now - 10 * 86400 - 600);
    assert_true(until <= now - 5 * 86400 && until > now - 5 * 86400 - 600);
    assert_int_equal(wf_tls_validity(made, 1, &from, &until), -ENOENT);
    wf_tls_destroy(made);
}

/* Reads the files while the n-th allocation fails. Returns whether it went as it should. */
static bool read_without_memory(uint64_t n, bool *ret_done)
{
    struct wf_tls *made = NULL;
    struct wf_error error = {0};
    struct wf_tls_options options = {.chain_file = site.chain, .key_file = site.key};
    wfi_alloc_watch(n);
    int err = wf_tls_create(&options, &made, &error);
    if (!err)
        err = wf_tls_reload(made, &error);
    wf_tls_destroy(made);
    int64_t live = wfi_alloc_live();
    *ret_done = !wfi_alloc_unwatch();
    if (openssl_may_fail)
        return !*ret_done || !err;
    return live == 0 && err == (*ret_done ? 0 : -ENOMEM);
}

static void memory_runs_out_while_files_are_read(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        /* Threads of the tests before may still give back, or take, what is counted here. */
        bool good = false;
        for (int tries = 0; tries < 3 && !good; tries++)
            good = read_without_memory(n, &done);
        assert_true(good);
        n += openssl_may_fail ? n / 16 : 0; /* there are thousands */
    }
}

static void openssl_runs_out_of_memory_while_files_are_read(void **state)
{
    openssl_may_fail = true;
    memory_runs_out_while_files_are_read(state);
    openssl_may_fail = false;
}

/* ---- sessions ---- */

static struct wfi_tls_session *open_session(struct wf_stream *streams[2])
{
    struct wfi_tls_session *session;
    assert_int_equal(wf_stream_pair(streams), 0);
    assert_int_equal(wfi_tls_open(tls, streams[0], WF_SECONDS(60), &session), 0);
    return session;
}

static void close_session(struct wfi_tls_session *session, struct wf_stream *streams[2])
{
    wfi_tls_close(session);
    wf_stream_close(streams[0]);
}

/* The server's side of a test: it shakes hands, gives back the first thing it is told, and takes
 * leave. Returns what the handshake did. */
WF_TASK(int, test_answer_once, (struct wfi_tls_session *, session))
int test_answer_once(struct wf_task *self, struct wfi_tls_session *session, int *ret)
{
    (void)self;
    char buf[100];
    *ret = wfi_tls_handshake(session, in_time());
    if (!*ret) {
        ssize_t n = wfi_tls_read(session, buf, sizeof buf, in_time());
        *ret = n < 0 ? (int)n : wfi_tls_write(session, buf, (size_t)n, in_time());
    }
    if (!*ret)
        *ret = wfi_tls_end(session, in_time());
    return 0;
}
WF_TASK_DEFINE(test_answer_once)

static void a_client_may_be_cut_into_bytes(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wfi_tls_session *session = open_session(streams);
    test_answer_once_future answering = test_answer_once_submit(fibers, session);
    int answered;
    tls_begin(&client, trusting, streams[1]);
    client.at_once = 1;
    assert_int_equal(tls_connect(&client), 1);
    tls_say_text(&client, "word");
    tls_expect(&client, "word");
    tls_expect_end(&client);
    assert_int_equal(test_answer_once_result(&answering, &answered, in_time(), NULL), 0);
    assert_int_equal(answered, 0);
    tls_hang_up(&client);
    close_session(session, streams);
}

/* What a client says first. */
static size_t hello_of_a_client(char *buf, size_t size)
{
    SSL *ssl = SSL_new(trusting);
    BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    assert_int_equal(SSL_connect(ssl), -1);
    int n = BIO_read(out, buf, (int)size);
    SSL_free(ssl);
    ERR_clear_error();
    assert_true(n > 100 && (size_t)n < size);
    return (size_t)n;
}

static void a_client_may_go_after_any_byte(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    char hello[4096];
    size_t len = hello_of_a_client(hello, sizeof hello);
    for (size_t cut = 0; cut <= len; cut++) {
        struct wfi_tls_session *session = open_session(streams);
        assert_int_equal(wf_stream_write(streams[1], hello, cut, in_time()), 0);
        assert_int_equal(wf_stream_shutdown(streams[1], WF_SHUTDOWN_WRITE), 0);
        assert_int_equal(wfi_tls_handshake(session, in_time()), WF_ESHORT);
        wf_stream_close(streams[1]);
        close_session(session, streams);
    }
}

static void a_client_that_waits_is_given_up(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    char hello[4096];
    size_t len = hello_of_a_client(hello, sizeof hello);
    const size_t cuts[] = {0, 1, 5, len - 1, len};
    for (size_t i = 0; i < 5; i++) {
        struct wfi_tls_session *session = open_session(streams);
        assert_int_equal(wf_stream_write(streams[1], hello, cuts[i], in_time()), 0);
        assert_int_equal(wfi_tls_handshake(session, WF_NOW), -ETIMEDOUT);
        close_session(session, streams);
        wf_stream_close(streams[1]);
    }
}

/* Any byte of the first message turned over: refused or read past, never more than that. */
static void a_hello_may_be_spoilt_anywhere(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    char hello[4096];
    size_t len = hello_of_a_client(hello, sizeof hello);
    for (size_t i = 0; i < len; i++) {
        struct wfi_tls_session *session = open_session(streams);
        hello[i] = (char)~hello[i];
        assert_int_equal(wf_stream_write(streams[1], hello, len, in_time()), 0);
        hello[i] = (char)~hello[i];
        assert_int_equal(wf_stream_shutdown(streams[1], WF_SHUTDOWN_WRITE), 0);
        int err = wfi_tls_handshake(session, in_time());
        if (err != WF_ETLS && err != WF_ESHORT)
            fail_msg("byte %zu: %d", i, err);
        wf_stream_close(streams[1]);
        close_session(session, streams);
    }
}

static void what_is_no_tls_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        size_t len;
    } table[] = {
#define TEXT(text, code) {text, code, sizeof text - 1}
        TEXT("GET / HTTP/1.1\r\nHost: h\r\n\r\n", WF_EPROTOCOL),
        TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", WF_EPROTOCOL),
        TEXT("D", WF_EPROTOCOL),
        TEXT("\n\n\n\n\n\n\n\n\n\n\n\n", WF_ETLS),
        TEXT("\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff", WF_ETLS),
        TEXT("\x15\x03\x03\x00\x02\x02\x28", WF_ETLS),
        TEXT("\x17\x03\x03\x00\x05hello", WF_ETLS),
#undef TEXT
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct wf_stream *streams[2];
        struct wfi_tls_session *session = open_session(streams);
        assert_int_equal(wf_stream_write(streams[1], table[i].text, table[i].len, in_time()), 0);
        int err = wfi_tls_handshake(session, in_time());
        if (err != table[i].code)
            fail_msg("%zu: %d", i, err);
        /* It stays so. */
        assert_int_equal(wfi_tls_read(session, &(char){0}, 1, in_time()), -EPIPE);
        assert_int_equal(wfi_tls_write(session, "x", 1, in_time()), -EPIPE);
        assert_int_equal(wfi_tls_end(session, in_time()), 0);
        wf_stream_close(streams[1]);
        close_session(session, streams);
    }
}

/* ---- sessions that are begun ---- */

WF_TASK(int, test_handshake, (struct wfi_tls_session *, session))
int test_handshake(struct wf_task *self, struct wfi_tls_session *session, int *ret)
{
    (void)self;
    *ret = wfi_tls_handshake(session, in_time());
    return 0;
}
WF_TASK_DEFINE(test_handshake)

static int begin_with(struct tls_client *client, SSL_CTX *context,
                      struct wfi_tls_session **ret_session, struct wf_stream *streams[2],
                      int *ret_client)
{
    int shaken = 1;
    *ret_session = open_session(streams);
    test_handshake_future shaking = test_handshake_submit(fibers, *ret_session);
    tls_begin(client, context, streams[1]);
    *ret_client = tls_connect(client);
    if (*ret_client != 1)
        (void)wf_stream_shutdown(streams[1], WF_SHUTDOWN_WRITE);
    assert_int_equal(test_handshake_result(&shaking, &shaken, in_time(), NULL), 0);
    return shaken;
}

static struct wfi_tls_session *begin(struct tls_client *client, struct wf_stream *streams[2])
{
    struct wfi_tls_session *session;
    int connected;
    assert_int_equal(begin_with(client, trusting, &session, streams, &connected), 0);
    assert_int_equal(connected, 1);
    return session;
}

static void an_end_is_told_from_a_cut(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    char buf[100];
    struct wfi_tls_session *session = begin(&client, streams);
    tls_say_text(&client, "last");
    tls_take_leave(&client);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 4);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 0);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 0);
    close_session(session, streams);

    session = begin(&client, streams);
    tls_say_text(&client, "not last");
    tls_hang_up(&client);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 8);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), WF_ESHORT);
    close_session(session, streams);

    /* Within a record, and with one that was changed on its way. */
    session = begin(&client, streams);
    size_t n;
    assert_int_equal(SSL_write_ex(client.ssl, "secret", 6, &n), 1);
    int len = BIO_read(SSL_get_wbio(client.ssl), buf, sizeof buf);
    assert_int_equal(wf_stream_write(streams[1], buf, (size_t)len - 1, in_time()), 0);
    assert_int_equal(wfi_tls_read(session, buf + 50, 50, WF_NOW), -ETIMEDOUT);
    buf[len - 1] ^= 1;
    assert_int_equal(wf_stream_write(streams[1], buf + len - 1, 1, in_time()), 0);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), WF_EPROTOCOL);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), -EPIPE);
    assert_int_equal(tls_read_more(&client), WF_EPROTOCOL);
    assert_non_null(strstr(tls_alert(), "bad record mac"));
    tls_hang_up(&client);
    close_session(session, streams);
}

static void a_client_that_has_ended_may_still_be_answered(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    char buf[100];
    struct wfi_tls_session *session = begin(&client, streams);
    tls_say_text(&client, "question");
    SSL_shutdown(client.ssl);
    assert_int_equal(tls_send(&client), 0);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 8);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 0);
    assert_int_equal(wfi_tls_write(session, "answer", 6, in_time()), 0);
    assert_int_equal(wfi_tls_end(session, in_time()), 0);
    tls_expect(&client, "answer");
    tls_expect_end(&client);
    tls_hang_up(&client);
    close_session(session, streams);
}

/* A client that does not read: the write ends at its deadline, and there is no more to be said. */
static void a_write_has_its_deadline(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wfi_tls_session *session = begin(&client, streams);
    char *much = calloc(1, 65536);
    int err = 0;
    for (int i = 0; i < 1000 && !err; i++)
        err = wfi_tls_write(session, much, 65536, WF_NOW);
    free(much);
    assert_int_equal(err, -ETIMEDOUT);
    assert_int_equal(wfi_tls_write(session, "x", 1, in_time()), -EPIPE);
    assert_int_equal(wfi_tls_end(session, in_time()), 0);
    tls_hang_up(&client);
    close_session(session, streams);
}

static void a_client_that_is_gone_breaks_the_write_and_nothing_else(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wfi_tls_session *session = begin(&client, streams);
    tls_hang_up(&client);
    int err = 0;
    while (!err)
        err = wfi_tls_write(session, "word", 4, in_time());
    assert_true(err == -EPIPE || err == -ECONNRESET);
    close_session(session, streams);
}

static void an_idle_session_gives_its_buffers_back(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    char buf[100];
    wfi_alloc_watch(0);
    struct wfi_tls_session *session = begin(&client, streams);
    for (int i = 0; i < 2; i++) {
        tls_say_text(&client, "word");
        assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 4);
        assert_int_equal(wfi_tls_write(session, buf, 4, in_time()), 0);
        tls_expect(&client, "word");
        assert_int_equal(wfi_tls_read(session, buf, sizeof buf, WF_NOW), -ETIMEDOUT);
        assert_false(wfi_tls_has_input(session));
        int64_t before = wfi_alloc_live();
        wfi_tls_trim(session);
        assert_int_equal(wfi_alloc_live(), before - 2);
    }
    /* What has come is kept. */
    tls_say_text(&client, "two");
    tls_say_text(&client, "words");
    assert_int_equal(wfi_tls_read(session, buf, 1, in_time()), 1);
    assert_true(wfi_tls_has_input(session));
    wfi_tls_trim(session);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 2);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 5);
    wfi_alloc_unwatch();
    tls_hang_up(&client);
    close_session(session, streams);
}

/* Fibers of one worker share the thread's queue of errors: what another left there is no error of
 * this session. */
static void errors_of_others_are_not_taken_for_its_own(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    char buf[100];
    struct wfi_tls_session *session = begin(&client, streams);
    tls_say_text(&client, "word");
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 4);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, WF_NOW), -ETIMEDOUT);
    ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
    assert_int_equal(wfi_tls_write(session, "word", 4, in_time()), 0);
    tls_expect(&client, "word");
    tls_hang_up(&client);
    close_session(session, streams);
}

/* ---- what is agreed on ---- */

/* `said` is the version and the protocol that were agreed on, or the alert. */
static int handshake_of(SSL_CTX *context, int *ret_client, char *said, size_t size)
{
    struct wf_stream *streams[2];
    struct wfi_tls_session *session;
    struct tls_client client;
    const unsigned char *name = NULL;
    unsigned int len = 0;
    int err = begin_with(&client, context, &session, streams, ret_client);
    /* The last word of TLS 1.3 is the client's, so what is wrong with it is heard when it reads. */
    if (err && *ret_client == 1)
        *ret_client = tls_read_more(&client);
    SSL_get0_alpn_selected(client.ssl, &name, &len);
    if (err)
        snprintf(said, size, "%s", tls_alert());
    else
        snprintf(said, size, "%s %.*s", SSL_get_version(client.ssl), (int)len, (const char *)name);
    tls_hang_up(&client);
    close_session(session, streams);
    return err;
}

static SSL_CTX *client_context(int min, int max, const char *protocols)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, min);
    SSL_CTX_set_max_proto_version(context, max);
    if (protocols)
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)protocols,
                                (unsigned)strlen(protocols));
    return context;
}

static void versions_and_protocols_are_agreed_on_or_refused(void **state)
{
    (void)state;
    static const struct {
        int min, max;
        const char *protocols;
        int server;
        const char *said; /* version and protocol, or the alert */
    } table[] = {
        {0, 0, NULL, 0, "TLSv1.3 "},
        {0, TLS1_2_VERSION, NULL, 0, "TLSv1.2 "},
        {0, 0, "\x02h2\x08http/1.1", 0, "TLSv1.3 http/1.1"},
        {0, TLS1_2_VERSION, "\x08http/1.1", 0, "TLSv1.2 http/1.1"},
        {0, 0, "\x02h2", WF_ETLS, "no application protocol"},
        {0, TLS1_2_VERSION, "\x02h2\x03xyz", WF_ETLS, "no application protocol"},
        {TLS1_VERSION, TLS1_1_VERSION, NULL, WF_ETLS, "protocol version"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        SSL_CTX *context = client_context(table[i].min, table[i].max, table[i].protocols);
        char said[100];
        int client;
        int server = handshake_of(context, &client, said, sizeof said);
        if (server != table[i].server || (client == 1) != !server || !strstr(said, table[i].said))
            fail_msg("%zu: server %d, client %d: %s", i, server, client, said);
        SSL_CTX_free(context);
    }
    ERR_clear_error();
}

static void a_newer_version_can_be_asked_for(void **state)
{
    (void)state;
    struct wf_tls *before = tls;
    struct wf_tls_options options = {
        .chain_file = site.chain, .key_file = site.key, .version_min = WF_TLS_1_3};
    SSL_CTX *older = client_context(0, TLS1_2_VERSION, NULL);
    char said[100];
    int client;
    assert_int_equal(wf_tls_create(&options, &tls, NULL), 0);
    assert_int_equal(handshake_of(trusting, &client, said, sizeof said), 0);
    assert_int_equal(handshake_of(older, &client, said, sizeof said), WF_ETLS);
    SSL_CTX_free(older);
    wf_tls_destroy(tls);
    tls = before;
}

/* TLS 1.2: the client is told no, and may go on without. */
static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct wfi_tls_session *session;
    struct tls_client client;
    char buf[100];
    int connected;
    SSL_CTX *context = client_context(0, TLS1_2_VERSION, NULL);
    assert_int_equal(begin_with(&client, context, &session, streams, &connected), 0);
    assert_int_equal(connected, 1);
    assert_int_equal(wfi_tls_write(session, "before", 6, in_time()), 0);
    tls_expect(&client, "before");
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    assert_int_equal(SSL_do_handshake(client.ssl), -1);
    assert_int_equal(tls_send(&client), 0);
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, WF_NOW), -ETIMEDOUT);
    assert_int_equal(tls_read_more(&client), WF_EPROTOCOL);
    assert_non_null(strstr(tls_alert(), "no renegotiation"));
    tls_hang_up(&client);
    close_session(session, streams);
    SSL_CTX_free(context);
    ERR_clear_error();
}

/* A client that wants new keys gets them, and one that wants them all the time costs no memory. */
static void keys_may_be_changed(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    char buf[100];
    struct wfi_tls_session *session = begin(&client, streams);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        tls_say_text(&client, "word");
        assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 4);
        assert_int_equal(wfi_tls_write(session, buf, 4, in_time()), 0);
        tls_expect(&client, "word");
    }
    tls_hang_up(&client);
    close_session(session, streams);
}

/* ---- names, and files that are read again ---- */

/* The name in the certificate that a client is shown who asks for `name`. */
static const char *shown_to(const char *name)
{
    static char shown[100];
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wfi_tls_session *session = open_session(streams);
    test_handshake_future shaking = test_handshake_submit(fibers, session);
    int shaken;
    tls_begin(&client, trusting, streams[1]);
    if (name)
        SSL_set_tlsext_host_name(client.ssl, name);
    assert_int_equal(tls_connect(&client), 1);
    assert_int_equal(test_handshake_result(&shaking, &shaken, in_time(), NULL), 0);
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(client.ssl)),
                              NID_commonName, shown, sizeof shown);
    tls_hang_up(&client);
    close_session(session, streams);
    return shown;
}

static void each_name_has_its_certificate(void **state)
{
    (void)state;
    struct wf_tls *before = tls;
    const struct wf_tls_certificate more[] = {{other.chain, other.key}, {rsa.chain, rsa.key}};
    struct wf_tls_options options = {
        .chain_file = site.chain, .key_file = site.key, .more = more, .more_count = 2};
    assert_int_equal(wf_tls_create(&options, &tls, NULL), 0);
    assert_string_equal(shown_to("site.test"), "site.test");
    assert_string_equal(shown_to("other.test"), "other.test");
    assert_string_equal(shown_to("a.rsa.test"), "*.rsa.test");
    assert_string_equal(shown_to("nobody.test"), "site.test");
    assert_string_equal(shown_to(NULL), "site.test");
    wf_tls_destroy(tls);
    tls = before;
}

static void files_are_read_again_for_new_sessions(void **state)
{
    (void)state;
    struct wf_tls *before = tls;
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wf_error error = {0};
    char chain[128], key[128], buf[10];
    snprintf(chain, sizeof chain, "%s", at("now.pem"));
    snprintf(key, sizeof key, "%s", at("now.key"));
    copy(site.chain, chain, "w");
    copy(site.key, key, "w");
    tls = make_tls(chain, key);
    struct wfi_tls_session *session = begin(&client, streams);
    struct wf_stream *waiting_streams[2];
    struct wfi_tls_session *waiting = open_session(waiting_streams);
    assert_string_equal(shown_to("x"), "site.test");

    copy(other.chain, chain, "w"); /* the key is still the old one */
    assert_int_equal(wf_tls_reload(tls, &error), WF_ETLS);
    assert_non_null(strstr(error.text, "now.key: the key does not belong"));
    assert_string_equal(shown_to("x"), "site.test");
    copy(other.key, key, "w");
    assert_int_equal(wf_tls_reload(tls, &error), 0);
    assert_string_equal(shown_to("x"), "other.test");

    /* Sessions from before go on, and outlive it all. */
    wf_tls_destroy(tls);
    tls = before;
    tls_say_text(&client, "word");
    assert_int_equal(wfi_tls_read(session, buf, sizeof buf, in_time()), 4);
    tls_hang_up(&client);
    close_session(session, streams);
    close_session(waiting, waiting_streams);
    wf_stream_close(waiting_streams[1]);
}

/* A client comes back with the ticket it was given, without a certificate being shown. */
static void tickets_are_taken(void **state)
{
    (void)state;
    struct wf_stream *streams[2];
    struct tls_client client;
    struct wfi_tls_session *session = begin(&client, streams);
    assert_int_equal(wfi_tls_write(session, "word", 4, in_time()), 0);
    tls_expect(&client, "word"); /* and the tickets before it */
    SSL_SESSION *ticket = SSL_get1_session(client.ssl);
    assert_true(SSL_SESSION_is_resumable(ticket));
    tls_take_leave(&client);
    close_session(session, streams);

    int shaken;
    session = open_session(streams);
    test_handshake_future shaking = test_handshake_submit(fibers, session);
    tls_begin(&client, trusting, streams[1]);
    SSL_set_session(client.ssl, ticket);
    assert_int_equal(tls_connect(&client), 1);
    assert_int_equal(test_handshake_result(&shaking, &shaken, in_time(), NULL), 0);
    assert_int_equal(shaken, 0);
    assert_true(SSL_session_reused(client.ssl));
    SSL_SESSION_free(ticket);
    tls_hang_up(&client);
    close_session(session, streams);
}

/* ---- memory ---- */

static void memory_runs_out_in_a_session(void **state)
{
    (void)state;
    char buf[100];
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_stream *streams[2];
        struct wfi_tls_session *session = NULL;
        char hello[4096];
        size_t len = hello_of_a_client(hello, sizeof hello);
        assert_int_equal(wf_stream_pair(streams), 0);
        assert_int_equal(wf_stream_write(streams[1], hello, len, in_time()), 0);
        wfi_alloc_watch(n);
        int err = wfi_tls_open(tls, streams[0], WF_SECONDS(60), &session);
        if (!err)
            err = wfi_tls_handshake(session, WF_NOW);
        wfi_tls_close(session);
        done = !wfi_alloc_unwatch();
        if (done ? err != -ETIMEDOUT : err != -ENOMEM && !openssl_may_fail)
            fail_msg("allocation %d: %d", (int)n, err);
        wf_stream_close(streams[0]);
        wf_stream_close(streams[1]);
    }
    /* Reading and writing. */
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_stream *streams[2];
        struct tls_client client;
        struct wfi_tls_session *session = begin(&client, streams);
        tls_say_text(&client, "word");
        wfi_tls_trim(session);
        wfi_alloc_watch(n);
        ssize_t got = wfi_tls_read(session, buf, sizeof buf, in_time());
        int err = got < 0 ? (int)got : wfi_tls_write(session, buf, 4, in_time());
        done = !wfi_alloc_unwatch();
        if (done ? err != 0 : err != -ENOMEM && !openssl_may_fail)
            fail_msg("allocation %d: %d", (int)n, err);
        tls_hang_up(&client);
        close_session(session, streams);
    }
}

static void openssl_runs_out_of_memory_in_a_session(void **state)
{
    openssl_may_fail = true;
    memory_runs_out_in_a_session(state);
    openssl_may_fail = false;
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    site = make_certificate(folder, "site", &(struct wanted){.name = "site.test"});
    other = make_certificate(folder, "other", &(struct wanted){.name = "other.test"});
    rsa = make_certificate(folder, "rsa", &(struct wanted){.name = "*.rsa.test", .rsa = true});
    locked = make_certificate(folder, "locked",
                              &(struct wanted){.name = "locked.test", .passphrase = "secret"});
    old = make_certificate(folder, "old",
                           &(struct wanted){.name = "old.test", .from_day = -10, .until_day = -5});
    trusting = SSL_CTX_new(TLS_client_method());
    tls = make_tls(site.chain, site.key);
    return wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    char command[200];
    wf_executor_destroy(fibers);
    wf_tls_destroy(tls);
    SSL_CTX_free(trusting);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_file_and_the_rule),
        cmocka_unit_test(one_file_may_hold_all),
        cmocka_unit_test(what_has_expired_is_told_not_refused),
        cmocka_unit_test(memory_runs_out_while_files_are_read),
        cmocka_unit_test(openssl_runs_out_of_memory_while_files_are_read),
        cmocka_unit_test(a_client_may_be_cut_into_bytes),
        cmocka_unit_test(a_client_may_go_after_any_byte),
        cmocka_unit_test(a_client_that_waits_is_given_up),
        cmocka_unit_test(a_hello_may_be_spoilt_anywhere),
        cmocka_unit_test(what_is_no_tls_is_told_apart),
        cmocka_unit_test(an_end_is_told_from_a_cut),
        cmocka_unit_test(a_client_that_has_ended_may_still_be_answered),
        cmocka_unit_test(a_write_has_its_deadline),
        cmocka_unit_test(a_client_that_is_gone_breaks_the_write_and_nothing_else),
        cmocka_unit_test(an_idle_session_gives_its_buffers_back),
        cmocka_unit_test(errors_of_others_are_not_taken_for_its_own),
        cmocka_unit_test(versions_and_protocols_are_agreed_on_or_refused),
        cmocka_unit_test(a_newer_version_can_be_asked_for),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_may_be_changed),
        cmocka_unit_test(each_name_has_its_certificate),
        cmocka_unit_test(files_are_read_again_for_new_sessions),
        cmocka_unit_test(tickets_are_taken),
        cmocka_unit_test(memory_runs_out_in_a_session),
        cmocka_unit_test(openssl_runs_out_of_memory_in_a_session),
    };
    if (!CRYPTO_set_mem_functions(give, give_again, take_back))
        return 1; /* something has allocated before: the tests of memory would prove nothing */
    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
