/* SPDX-License-Identifier: MIT */
/*
 * Clients that are slow, on purpose or not, beside clients that are not: what the slow ones cost
 * the server, and whether the others notice.
 *
 *     stress_slow_clients [COUNT [SECONDS]]        10,000 at once; the server's deadlines: 8 s
 *
 * The server is a process of its own, so that /proc says what it takes. COUNT clients of the kinds
 * that last connect, and a tenth as many of those that have closed their side; NORMAL others ask it
 * all the time, on connections kept alive, each again 10 ms after its answer. All slow ones are
 * ended by the server's deadlines, of which it says itself how many are left. Without arguments,
 * each kind runs by itself too, 1,000 at once, with deadlines of 3 s.
 *
 * Prints a line for each run, and ends with status 1 when
 *
 *   - the server's resident memory, page tables included, grew by more than BYTES_MAX for each
 *     connection (with TLS, TLS_BYTES_MAX); what the system keeps for sockets is printed beside it;
 *   - the 99th percentile of the normal clients' answers took longer than ANSWER_MAX, or one of
 *     them had no answer;
 *   - slow clients are left when their time is up, or the server has another number of descriptors
 *     than before.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/fibers.h>
#include <weft/server.h>

enum {
    NORMAL = 50,
    BYTES_MAX = 48 * 1024, /* see include/weft/server.h */
    TLS_BYTES_MAX = 80 * 1024,
    ANSWER_MAX_MS = 500, /* far below what a slow client may take; above a machine's hiccups */
    SLACK_S = 10,        /* behind the last deadline, until the server has noticed */
    PORTS_OF_ONE = 20000,
};

/* A sanitizer's memory says nothing about that of a release. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

extern char **environ;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the server ---- */

/* In the folder that main makes; without the program openssl there is no certificate. */
static char big_file[64], chain_file[64], key_file[64];

static void name_files(const char *folder)
{
    snprintf(big_file, sizeof big_file, "%s/big", folder);
    snprintf(chain_file, sizeof chain_file, "%s/chain", folder);
    snprintf(key_file, sizeof key_file, "%s/key", folder);
}

static bool have_tls(void)
{
    return access(chain_file, R_OK) == 0;
}

static int hello(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "hello");
}

static int take(struct wf_request *request, struct wf_response *response, void *arg)
{
    const char *body;
    size_t len;
    (void)arg;
    int err = wf_request_body(request, &body, &len);
    return err ? err : wf_response_text(response, 200, "taken");
}

static int stream(struct wf_request *request, struct wf_response *response, void *arg)
{
    static const char piece[16 * 1024];
    (void)request, (void)arg;
    int err = wf_response_begin(response, 200, "application/octet-stream", -1);
    while (!err)
        err = wf_response_write(response, piece, sizeof piece);
    return err;
}

static int file(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_file(response, big_file, NULL);
}

static int wait_long(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)response, (void)arg;
    return wf_sleep(WF_FOREVER);
}

static int tell_open(struct wf_request *request, struct wf_response *response, void *server)
{
    struct wf_server_counts counts;
    char text[32];
    (void)request;
    wf_server_count(*(struct wf_server **)server, &counts);
    snprintf(text, sizeof text, "open %llu\n", (unsigned long long)counts.connections_open);
    return wf_response_text(response, 200, text);
}

/* Until its input ends. Prints its port, and that for TLS or 0. */
static int serve(int64_t patience_ns)
{
    struct wf_tls *tls = NULL;
    struct wf_address secure = {{0}};
    struct wf_executor *fibers = NULL;
    struct wf_server *server = NULL;
    struct wf_address at;
    struct wf_error error = {0};
    const struct wf_server_options options = {.connections_max = 100000,
                                              .head_ns = patience_ns,
                                              .body_ns = patience_ns,
                                              .write_ns = patience_ns,
                                              .idle_ns = patience_ns};
    const struct wf_route routes[] = {{.path = "/", .handler = hello},
                                      {.path = "/take", .handler = take},
                                      {.path = "/stream", .handler = stream},
                                      {.path = "/file", .handler = file},
                                      {.path = "/wait", .handler = wait_long},
                                      {.path = "/open", .handler = tell_open, .arg = &server}};
    char byte;
    int err = wf_fibers_create(NULL, &fibers, &error);
    if (!err)
        err = wf_server_create(&options, &server, &error);
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !err; i++)
        err = wf_server_route(server, &routes[i], &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    if (!err)
        err = wf_server_address(server, 0, &at);
    if (!err && have_tls()) {
        err = wf_tls_create(
            &(struct wf_tls_options){.chain_file = chain_file, .key_file = key_file}, &tls, &error);
        if (!err)
            err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
        if (!err)
            err = wf_server_secure(server, 1, tls, &error);
        if (!err)
            err = wf_server_address(server, 1, &secure);
    }
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (!err) {
        printf("%d %d\n", wf_address_port(&at), tls ? wf_address_port(&secure) : 0);
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            ;
    } else
        fprintf(stderr, "server: %s\n", error.text);
    wf_server_destroy(server);
    wf_tls_destroy(tls);
    wf_executor_destroy(fibers);
    return err != 0;
}

struct process {
    pid_t pid;
    int input; /* closing it ends the server */
    struct sockaddr_in at, secure;
};

static struct process start_server(const char *self, const char *seconds, const char *folder)
{
    struct process p = {.at = {.sin_family = AF_INET}};
    int in[2], out[2];
    char ports[32] = "";
    int port = 0, secure = 0;
    char *const arguments[] = {(char *)(uintptr_t)self, "serve", (char *)(uintptr_t)seconds,
                               (char *)(uintptr_t)folder, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || posix_spawn_file_actions_init(&actions))
        die("pipe");
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    errno = posix_spawn(&p.pid, "/proc/self/exe", &actions, NULL, arguments, environ);
    if (errno)
        die(self);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (read(out[0], ports, sizeof ports - 1) <= 0 || sscanf(ports, "%d %d", &port, &secure) != 2)
        die("the server did not start");
    close(out[0]);
    p.input = in[1];
    p.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p.secure = p.at;
    p.at.sin_port = htons((uint16_t)port);
    p.secure.sin_port = htons((uint16_t)secure);
    return p;
}

static void stop_server(struct process *p)
{
    int status;
    close(p->input);
    if (waitpid(p->pid, &status, 0) != p->pid || status)
        die("the server did not end well");
}

/* Resident memory and page tables, now. */
static size_t memory_of(pid_t pid)
{
    char line[256];
    size_t kib, sum = 0;
    snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
    FILE *status = fopen(line, "re");
    if (!status)
        die(line);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %zu", &kib) == 1 || sscanf(line, "VmPTE: %zu", &kib) == 1)
            sum += kib;
    fclose(status);
    return sum * 1024;
}

/* What the system keeps for all TCP sockets. */
static size_t memory_of_sockets(void)
{
    char line[256];
    size_t pages = 0;
    FILE *sockets = fopen("/proc/net/sockstat", "re");
    while (sockets && fgets(line, sizeof line, sockets))
        if (strncmp(line, "TCP:", 4) == 0 && strstr(line, " mem "))
            pages = strtoul(strstr(line, " mem ") + 5, NULL, 10);
    if (sockets)
        fclose(sockets);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned descriptors_of(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder)
        die(path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

/* ---- normal clients, in a thread of their own ---- */

struct normal {
    struct sockaddr_in at;
    atomic_bool stop;
    atomic_bool measure; /* answers are counted from here on */
    int64_t *took_ns;
    size_t count, room;
    unsigned failures;
};

struct asking {
    int fd;
    int64_t since_ns, next_ns; /* of the question under way; of the next one */
    size_t len;
    char text[512];
};

/* `bytes`: how much the system keeps for the client, so that what it keeps for the server is
 * seen; 0: as usual. */
static int dial(const struct sockaddr_in *at, unsigned from, int bytes)
{
    const struct sockaddr_in source = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK + from)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bytes) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    if (bind(fd, (const struct sockaddr *)&source, sizeof source) ||
        connect(fd, (const struct sockaddr *)at, sizeof *at) || fcntl(fd, F_SETFL, O_NONBLOCK))
        die("connect");
    return fd;
}

static void ask(struct normal *n, struct asking *a)
{
    static const char question[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    a->since_ns = wf_now();
    a->next_ns = 0;
    a->len = 0;
    if (send(a->fd, question, sizeof question - 1, MSG_NOSIGNAL) != sizeof question - 1)
        n->failures++;
}

static void hear(struct normal *n, struct asking *a)
{
    ssize_t len = recv(a->fd, a->text + a->len, sizeof a->text - 1 - a->len, 0);
    if (len < 0 && errno == EAGAIN)
        return;
    a->len += len > 0 ? (size_t)len : 0;
    a->text[a->len] = '\0';
    if (len <= 0 || a->len == sizeof a->text - 1) {
        n->failures++;
        atomic_store(&n->stop, true);
    } else if (strstr(a->text, "\r\n\r\nhello")) {
        const int64_t now = wf_now();
        if (atomic_load(&n->measure) && n->count < n->room)
            n->took_ns[n->count++] = now - a->since_ns;
        a->since_ns = 0;
        a->next_ns = now + WF_MILLISECONDS(10);
    }
}

static void *be_normal(void *arg)
{
    static struct asking all[NORMAL];
    struct normal *n = arg;
    struct epoll_event events[NORMAL];
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < NORMAL; i++) {
        all[i].fd = dial(&n->at, 0, 0);
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd,
                  &(struct epoll_event){.events = EPOLLIN, .data.ptr = &all[i]});
        ask(n, &all[i]);
    }
    while (!atomic_load(&n->stop)) {
        const int count = epoll_wait(poll, events, NORMAL, 1);
        for (int i = 0; i < count; i++)
            hear(n, events[i].data.ptr);
        const int64_t now = wf_now();
        for (int i = 0; i < NORMAL; i++)
            if (all[i].next_ns && all[i].next_ns <= now)
                ask(n, &all[i]);
    }
    /* Who waits for an answer now has waited all the while. */
    for (int i = 0; i < NORMAL; i++) {
        if (all[i].since_ns && n->count < n->room)
            n->took_ns[n->count++] = wf_now() - all[i].since_ns;
        close(all[i].fd);
    }
    close(poll);
    return NULL;
}

static int by_time(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- slow clients ---- */

struct kind {
    const char *name;
    const char *start; /* sent at once */
    const char *drip;  /* then a byte of it a second, over and over; NULL: nothing */
    bool reads;        /* what comes, a byte a second */
    bool half_closed;  /* ends its side behind `start` */
    bool floods;       /* sends `start` as often as the system takes it */
    bool tls;          /* where the server expects a handshake */
};

#define QUESTION "GET /" HOST "\r\n"
#define QUESTIONS QUESTION QUESTION QUESTION QUESTION QUESTION QUESTION QUESTION QUESTION
#define HOST " HTTP/1.1\r\nHost: h\r\n"
#define FIELD "A-field-of-a-head: with a value that makes it a line of 70 bytes, or so\r\n"
#define FIELDS FIELD FIELD FIELD FIELD FIELD FIELD FIELD FIELD FIELD FIELD
static const struct kind kinds[] = {
    {.name = "silent"},
    {.name = "answered_once", .start = "GET /" HOST "\r\n"},
    {.name = "head_by_bytes", .start = "GET /" HOST "X: ", .drip = "x"},
    {.name = "long_head_by_bytes",
     .start = "GET /" HOST FIELDS FIELDS FIELDS FIELDS FIELDS FIELDS FIELDS FIELDS FIELDS "X: ",
     .drip = "x"},
    {.name = "body_by_bytes",
     .start = "POST /take" HOST "Content-Length: 99999\r\n\r\n",
     .drip = "x"},
    {.name = "chunks_by_bytes",
     .start = "POST /take" HOST "Transfer-Encoding: chunked\r\n\r\n",
     .drip = "1\r\nx\r\n"},
    {.name = "stream_never_read", .start = "GET /stream" HOST "\r\n"},
    {.name = "file_never_read", .start = "GET /file" HOST "\r\n"},
    {.name = "stream_by_bytes", .start = "GET /stream" HOST "\r\n", .reads = true},
    {.name = "questions_only", .start = QUESTIONS QUESTIONS QUESTIONS QUESTIONS, .floods = true},
    {.name = "tls_silent", .tls = true},
    /* A record of 513 bytes, in it the start of a ClientHello that is longer still. */
    {.name = "tls_hello_by_bytes",
     .start = "\x16\x03\x01\x02\x01\x01",
     .drip = "\x01",
     .tls = true},
    {.name = "half_closed_head", .start = "GET /" HOST, .half_closed = true},
    {.name = "half_closed_waiting", .start = "GET /wait" HOST "\r\n", .half_closed = true},
    {.name = "half_closed_stream", .start = "GET /stream" HOST "\r\n", .half_closed = true},
};
enum { KINDS = sizeof kinds / sizeof *kinds, LASTING = KINDS - 3 };

struct slow {
    int fd;
    const struct kind *kind;
    size_t sent;
};

static void flood(const struct slow *s)
{
    int tries = 1000; /* more than the answers that fit into any buffer by default */
    while (tries-- && send(s->fd, s->kind->start, strlen(s->kind->start), MSG_NOSIGNAL) > 0)
        ;
}

static void start_slow(struct slow *s, const struct process *server, const struct kind *kind,
                       unsigned i)
{
    *s = (struct slow){dial(kind->tls ? &server->secure : &server->at, 1 + i / PORTS_OF_ONE, 4096),
                       kind, 0};
    const size_t len = kind->start ? strlen(kind->start) : 0;
    if (len && send(s->fd, kind->start, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
    if (kind->half_closed)
        shutdown(s->fd, SHUT_WR);
    if (kind->floods)
        flood(s);
}

/* Once a second. */
static void go_on(struct slow *s)
{
    char byte;
    if (s->kind->drip)
        (void)!send(s->fd, s->kind->drip + s->sent++ % strlen(s->kind->drip), 1, MSG_NOSIGNAL);
    if (s->kind->reads)
        (void)!recv(s->fd, &byte, 1, 0);
    if (s->kind->floods)
        flood(s);
}

/* ---- a run ---- */

static long ask_open(const struct sockaddr_in *at)
{
    static const char question[] = "GET /open HTTP/1.0\r\n\r\n";
    char text[512];
    size_t len = 0;
    ssize_t n;
    int fd = dial(at, 0, 0);
    fcntl(fd, F_SETFL, 0);
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0)
        die("send");
    while ((n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fd);
    const char *open = strstr(text, "open ");
    if (!open)
        die("the server did not answer");
    return strtol(open + 5, NULL, 10);
}

struct outcome {
    size_t bytes_each, socket_bytes_each;
    long at_once;
    double p50_ms, p99_ms, max_ms, ended_s;
};

/* Of a mix: the lasting kinds in turn, then those that the server ends when it sees them. */
static int choose_kind(unsigned i, unsigned lasting)
{
    if (i >= lasting)
        return LASTING + (int)(i % (KINDS - LASTING));
    const int kind = (int)(i % LASTING);
    return kinds[kind].tls && !have_tls() ? 0 : kind;
}

static bool run(const char *self, const char *seconds, const char *folder, int kind,
                unsigned lasting)
{
    const unsigned count = kind < 0 ? lasting + lasting / 10 : lasting;
    struct process server = start_server(self, seconds, folder);
    struct normal normal = {.at = server.at, .room = 1000000};
    struct slow *slow = calloc(count, sizeof *slow);
    pthread_t thread;
    bool fine = true;
    normal.took_ns = calloc(normal.room, sizeof *normal.took_ns);
    if (!slow || !normal.took_ns || pthread_create(&thread, NULL, be_normal, &normal))
        die("memory");
    while (ask_open(&server.at) < NORMAL + 1)
        ;
    /* Half a second for what a server takes once: stacks, arenas, the parts of the program. */
    wf_deadline settled = wf_after(WF_MILLISECONDS(500));
    while (wf_now() < settled.ns)
        ask_open(&server.at);
    const unsigned descriptors = descriptors_of(server.pid);
    const size_t before = memory_of(server.pid), sockets_before = memory_of_sockets();
    size_t most = before, sockets_most = sockets_before;
    long at_once = 0, open = 0;

    atomic_store(&normal.measure, true);
    for (unsigned i = 0; i < count; i++)
        start_slow(&slow[i], &server, &kinds[kind < 0 ? choose_kind(i, lasting) : kind], i);
    const int64_t all_there_ns = wf_now();
    const double patience_s = atof(seconds);
    double elapsed_s;
    uint64_t done = 0;
    do {
        elapsed_s = (double)(wf_now() - all_there_ns) / 1e9;
        for (; done < (uint64_t)(elapsed_s * count); done++)
            go_on(&slow[done % count]);
        open = ask_open(&server.at) - NORMAL - 1;
        at_once = open > at_once ? open : at_once;
        const size_t now = memory_of(server.pid), sockets_now = memory_of_sockets();
        most = now > most ? now : most;
        sockets_most = sockets_now > sockets_most ? sockets_now : sockets_most;
    } while (open > 0 && elapsed_s < 2 * patience_s + SLACK_S);
    atomic_store(&normal.stop, true);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < count; i++)
        close(slow[i].fd);

    qsort(normal.took_ns, normal.count, sizeof *normal.took_ns, by_time);
    const double p99_ms =
        normal.count ? (double)normal.took_ns[normal.count * 99 / 100] / 1e6 : 1e9;
    const size_t each = (most - before) / count;
    printf(
        "%-20s %6u clients, %6ld at once: %6zu B each, sockets %7zu B each; others: %7zu answers, "
        "p50 %5.2f p99 %6.2f max %7.2f ms; ended after %4.1f s\n",
        kind < 0 ? "all_kinds" : kinds[kind].name, count, at_once, each,
        (sockets_most - sockets_before) / count, normal.count,
        normal.count ? (double)normal.took_ns[normal.count / 2] / 1e6 : 0, p99_ms,
        normal.count ? (double)normal.took_ns[normal.count - 1] / 1e6 : 0, elapsed_s);
    fflush(stdout);
    const size_t bytes_max = kind >= 0 && kinds[kind].tls ? TLS_BYTES_MAX : BYTES_MAX;
    if (each > bytes_max && !SANITIZED)
        fine = false, printf("FAILED: more than %zu bytes for each connection\n", bytes_max);
    if ((p99_ms > ANSWER_MAX_MS && !SANITIZED) || normal.failures)
        fine = false,
        printf("FAILED: normal clients: p99 %.1f ms, %u failures\n", p99_ms, normal.failures);
    if (open > 0)
        fine = false, printf("FAILED: %ld are left\n", open);
    while (ask_open(&server.at) > 1) /* the normal ones have hung up */
        ;
    unsigned left;
    const wf_deadline closed = wf_after(WF_SECONDS(SLACK_S));
    do /* the last of them is that of the question */
        left = descriptors_of(server.pid) + NORMAL;
    while (left > descriptors && wf_now() < closed.ns);
    if (left > descriptors)
        fine = false, printf("FAILED: %u descriptors, were %u\n", left, descriptors);
    free(normal.took_ns);
    free(slow);
    stop_server(&server);
    return fine;
}

static void make_certificate(void)
{
    char *const arguments[] = {"openssl",
                               "req",
                               "-x509",
                               "-newkey",
                               "ec",
                               "-pkeyopt",
                               "ec_paramgen_curve:P-256",
                               "-nodes",
                               "-subj",
                               "/CN=localhost",
                               "-keyout",
                               key_file,
                               "-out",
                               chain_file,
                               NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    if (posix_spawn_file_actions_init(&actions))
        die("openssl");
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, "openssl", &actions, NULL, arguments, environ) == 0)
        waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    if (status) {
        printf("no openssl here, so no handshake is left unfinished\n");
        unlink(chain_file);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        name_files(argv[3]);
        return serve((int64_t)(atof(argv[2]) * 1e9));
    }
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    const char *seconds = argc > 2 ? argv[2] : "8";
    /* A tenth has closed its side; and the server has a file open for those that asked for one. */
    if (count + count / 4 + 200 > files.rlim_cur) {
        count = (unsigned)(files.rlim_cur - 200) / 5 * 4;
        printf("%u clients: the limit on descriptors is %lu\n", count,
               (unsigned long)files.rlim_cur);
    }
    char folder[] = "/tmp/weft_slow_XXXXXX";
    if (!mkdtemp(folder))
        die(folder);
    name_files(folder);
    int fd = open(big_file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)64 << 20))
        die(big_file);
    close(fd);
    make_certificate();
    bool fine = true;
    for (int kind = 0; argc == 1 && kind < KINDS; kind++)
        fine &= (kinds[kind].tls && !have_tls()) || run(argv[0], "3", folder, kind, 1000);
    fine &= run(argv[0], seconds, folder, -1, count);
    unlink(big_file);
    unlink(chain_file);
    unlink(key_file);
    rmdir(folder);
    return fine ? 0 : 1;
}
