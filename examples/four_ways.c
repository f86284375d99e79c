/* SPDX-License-Identifier: MIT */
/*
 * Four ways to do one job: one part after another, on threads, in processes, and on two workers of
 * a cluster, which might be on two machines. The job is to count primes, as a map-reduce over
 * ranges: each part counts those in its range by their last digit, and the counts are added up.
 *
 *     four_ways [LIMIT [BROKER]]
 *
 * Without the address of a broker it starts a redis-server of its own, and in any case two workers:
 * itself, as `four_ways --worker BROKER NAME`. It stops what it started.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <weft/celery.h>
#include <weft/celery_executor.h>
#include <weft/child.h>
#include <weft/inline.h>
#include <weft/main.h>
#include <weft/mapreduce.h>
#include <weft/threads.h>

enum { LIMIT = 5000000, RANGE = 100000, WORKERS = 2 };

/* By every odd number up to the square root, as the texts do it. */
static bool is_prime(uint64_t n)
{
    bool prime = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; prime && i * i <= n; i += 2)
        prime = n % i != 0;
    return prime;
}

/* An input is "LOW HIGH"; a key is a last digit. */
static int count_primes(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    char text[64];
    uint64_t low, high;
    int64_t count[10] = {0};
    snprintf(text, sizeof text, "%.*s", (int)input.len, (const char *)input.ptr);
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &low, &high) != 2)
        return wf_task_fail(self, -EINVAL, "\"%s\" is no range", text);
    for (uint64_t n = low; n < high; n++)
        count[n % 10] += is_prime(n);
    for (int digit = 0; digit < 10; digit++)
        if (count[digit]) {
            const char key = (char)('0' + digit);
            wf_emit_int(out, &key, 1, count[digit]);
        }
    return 0;
}

WF_MAPREDUCE(prime_count)
WF_MAPREDUCE_DEFINE(prime_count, .map = count_primes, .reduce = wf_sum_values)

struct ranges {
    uint64_t at, end;
    char text[64];
};

static int next_range(void *arg, wf_bytes *ret_input)
{
    struct ranges *ranges = arg;
    if (ranges->at >= ranges->end)
        return 0;
    uint64_t high = ranges->at + RANGE < ranges->end ? ranges->at + RANGE : ranges->end;
    int len = snprintf(ranges->text, sizeof ranges->text, "%" PRIu64 " %" PRIu64, ranges->at, high);
    ranges->at = high;
    *ret_input = (wf_bytes){ranges->text, (size_t)len};
    return 1;
}

/* Runs the job, prints what it took, and adds the counts up in `ret_primes`, by last digit. */
static int timed(const char *how, struct wf_executor *on, uint64_t limit, int64_t ret_primes[10],
                 struct wf_error *reterr)
{
    struct ranges ranges = {.end = limit};
    struct wf_mapreduce *result;
    wf_bytes key, value;
    int more = 0;
    memset(ret_primes, 0, 10 * sizeof *ret_primes);
    int64_t start_ns = wf_now();
    /* A message may be lost on the way, or its worker: 30 seconds without an answer, and a part is
     * sent again. */
    int err = wf_mapreduce_run(on, &prime_count_job, next_range, &ranges,
                               &(struct wf_mapreduce_options){.part_ns = WF_SECONDS(30)}, &result,
                               WF_FOREVER, reterr);
    if (err)
        return err;
    while (!err && (more = wf_mapreduce_next(result, &key, &value, reterr)) == 1)
        err = wf_bytes_int(value, &ret_primes[*(const char *)key.ptr - '0']);
    wf_mapreduce_close(result);
    printf("%s, cost: %.3f seconds\n", how, (double)(wf_now() - start_ns) / 1e9);
    return err ? err : more;
}

/* The cluster */

struct cluster {
    char folder[64], url[128];
    struct wf_child *redis, *workers[WORKERS];
};

/* Reads what a child prints until a line of it says that it is ready. */
static int wait_until_ready(struct wf_child *child, const char *what, struct wf_error *reterr)
{
    char text[8192];
    size_t len = 0;
    wf_deadline deadline = wf_after(WF_SECONDS(30));
    while (len + 1 < sizeof text) {
        ssize_t n =
            wf_stream_read(wf_child_out(child), text + len, sizeof text - 1 - len, deadline);
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "eady"))
            return 0;
    }
    return wf_error_set(reterr, WF_ETASKFAILED, "%s does not start", what);
}

static int start(const char *what, const char *const *argv, struct wf_child **ret_child,
                 struct wf_error *reterr)
{
    struct wf_child_options options = {.argv = argv, .out = {.kind = WF_STDIO_PIPE}};
    int err = wf_child_spawn(&options, ret_child, reterr);
    return err ? err : wait_until_ready(*ret_child, what, reterr);
}

/* Nothing of it listens on the network: its address is a socket in a folder of its own. */
static int start_redis(struct cluster *cluster, struct wf_error *reterr)
{
    char socket[96];
    const char *tmp = getenv("TMPDIR");
    snprintf(cluster->folder, sizeof cluster->folder, "%s/four_ways.XXXXXX",
             tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(cluster->folder)) {
        cluster->folder[0] = '\0';
        return wf_error_set(reterr, -errno, "cannot make a folder for Redis");
    }
    snprintf(socket, sizeof socket, "%s/redis", cluster->folder);
    snprintf(cluster->url, sizeof cluster->url, "redis+socket://%s", socket);
    /* setpriv: it ends with this program, however that ends. */
    const char *const argv[] = {
        "setpriv", "--pdeathsig", "KILL", "redis-server", "--port", "0",     "--unixsocket",
        socket,    "--save",      "",     "--appendonly", "no",     "--dir", cluster->folder,
        NULL};
    return start("redis-server (Debian: redis-server)", argv, &cluster->redis, reterr);
}

static int start_workers(struct cluster *cluster, struct wf_error *reterr)
{
    static const char *const names[WORKERS] = {"first@four_ways", "second@four_ways"};
    int err = 0;
    for (int i = 0; i < WORKERS && !err; i++) {
        const char *const argv[] = {"/proc/self/exe", "--worker", cluster->url, names[i], NULL};
        err = start(names[i], argv, &cluster->workers[i], reterr);
    }
    return err;
}

static void stop(struct cluster *cluster)
{
    for (int i = 0; i < WORKERS; i++)
        if (cluster->workers[i]) {
            wf_child_stop(cluster->workers[i], WF_SECONDS(10), NULL);
            wf_child_close(cluster->workers[i]);
        }
    wf_child_close(cluster->redis);
    if (cluster->folder[0]) {
        char socket[96];
        snprintf(socket, sizeof socket, "%s/redis", cluster->folder);
        unlink(socket);
        rmdir(cluster->folder);
    }
}

/* A worker */

static void say(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    FILE *to = level == WF_CELERY_INFO ? stdout : stderr;
    if (level != WF_CELERY_INFO || strstr(line, "ready."))
        fprintf(to, "%s\n", line);
    fflush(to);
}

static int work(void *arg)
{
    char *const *argv = arg;
    struct wf_error error = {0};
    struct wf_celery_worker_options options = {.broker = argv[2],
                                               .backend = argv[2],
                                               .name = argv[3],
                                               .concurrency = 1,
                                               .prefetch_multiplier = 1,
                                               .connect_ns = WF_SECONDS(5),
                                               .log = say};
    int err = wf_celery_worker_run(&options, &error);
    if (err && err != -ECANCELED)
        fprintf(stderr, "four_ways: %s\n", error.text);
    return err && err != -ECANCELED;
}

/* The program */

static int all_ways(uint64_t limit, const struct cluster *cluster, struct wf_error *reterr)
{
    static const char *const names[] = {"single_thread", "multi_thread", "multi_process",
                                        "two_workers"};
    enum { WAYS = sizeof names / sizeof *names };
    struct wf_executor *on[WAYS] = {NULL};
    int64_t first[10], primes[10], sum = 0;
    int err = wf_inline_create(&on[0], reterr);
    if (!err)
        err = wf_threads_create(NULL, &on[1], reterr);
    if (!err)
        err = wf_processes_create(NULL, &on[2], reterr);
    if (!err)
        err = wf_celery_create(&(struct wf_celery_options){.broker = cluster->url,
                                                           .backend = cluster->url,
                                                           .workers = WORKERS},
                               &on[3], reterr);
    for (int i = 0; i < WAYS && !err; i++) {
        err = timed(names[i], on[i], limit, primes, reterr);
        if (i == 0)
            memcpy(first, primes, sizeof first);
        if (!err && memcmp(first, primes, sizeof first) != 0)
            err = wf_error_set(reterr, WF_ETASKFAILED, "%s counts otherwise", names[i]);
    }
    for (int digit = 0; digit < 10 && !err; digit++)
        sum += first[digit];
    if (!err) {
        printf("each time %" PRId64 " primes below %" PRIu64, sum, limit);
        for (int digit = 0; digit < 10; digit++)
            if (first[digit])
                printf(", %" PRId64 " ending in %d", first[digit], digit);
        putchar('\n');
    }
    for (int i = 0; i < WAYS; i++)
        wf_executor_destroy(on[i]);
    return err;
}

int main(int argc, char **argv)
{
    struct wf_error error;
    if (argc == 4 && strcmp(argv[1], "--worker") == 0) {
        const pid_t parent = getppid();
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
            return 1;
        int status = wf_main(NULL, work, argv, &error);
        if (status < 0)
            fprintf(stderr, "four_ways: %s\n", error.text);
        return status == 0 || status == 128 + SIGTERM ? 0 : 1;
    }
    if (wf_processes_init(&error)) { /* before anything makes a thread */
        fprintf(stderr, "four_ways: %s\n", error.text);
        return 1;
    }
    long long limit = argc > 1 ? atoll(argv[1]) : LIMIT;
    if (argc > 3 || limit < 1) {
        fputs("usage: four_ways [LIMIT [BROKER]]\n", stderr);
        return 2;
    }
    struct cluster cluster = {.folder = ""};
    int err = 0;
    if (argc == 3)
        snprintf(cluster.url, sizeof cluster.url, "%s", argv[2]);
    else
        err = start_redis(&cluster, &error);
    if (!err)
        err = start_workers(&cluster, &error);
    if (!err)
        err = all_ways((uint64_t)limit, &cluster, &error);
    if (err)
        fprintf(stderr, "four_ways: %s\n", error.text);
    stop(&cluster);
    return err ? 1 : 0;
}
