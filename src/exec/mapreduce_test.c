/* SPDX-License-Identifier: MIT */
/* Map-reduce: conformance group MRD, on every engine. */
#include "engines.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/mapreduce.h>

/* In memory that worker processes share. */
static struct shared {
    WFI_ATOMIC(int) maps, reduces, stuck, deaths;
} * shared;

/* Words of a text, one pair each. */
static int words(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    const char *at = input.ptr, *const end = at + input.len;
    (void)self;
    wfi_fetch_add(&shared->maps, 1);
    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        if (stop > at)
            wf_emit_int(out, at, (size_t)(stop - at), 1);
        at = stop + 1;
    }
    return 0;
}

static int count(struct wf_task *self, wf_bytes key, struct wf_values *values,
                 struct wf_emitter *out)
{
    wfi_fetch_add(&shared->reduces, 1);
    return wf_sum_values(self, key, values, out);
}

WF_MAPREDUCE(word_count)
WF_MAPREDUCE_DEFINE(word_count, .map = words, .combine = wf_sum_values, .reduce = count)
WF_MAPREDUCE(plain_count)
WF_MAPREDUCE_DEFINE(plain_count, .map = words, .reduce = count)

/* The values one behind the other: what comes out shows the order they came in. */
static int join(struct wf_task *self, wf_bytes key, struct wf_values *values,
                struct wf_emitter *out)
{
    char text[8192];
    size_t len = 0;
    wf_bytes value;
    (void)self;
    while (wf_values_next(values, &value)) {
        check(len + value.len < sizeof text);
        memcpy(text + len, value.ptr, value.len);
        len += value.len;
    }
    return wf_emit(out, key.ptr, key.len, text, len);
}

/* Each word with the text's first character. */
static int mark(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    const char *at = input.ptr;
    (void)self;
    for (size_t i = 2; i < input.len; i++)
        wf_emit(out, at + i, 1, at, 1);
    return 0;
}
WF_MAPREDUCE(marks)
WF_MAPREDUCE_DEFINE(marks, .map = mark, .reduce = join)
WF_MAPREDUCE(pairs)
WF_MAPREDUCE_DEFINE(pairs, .map = mark)

/* What came out, a line a pair. */
static void read_out(struct wf_mapreduce *result, char *text, size_t room)
{
    wf_bytes key, value;
    size_t len = 0;
    int more;
    text[0] = '\0';
    while ((more = wf_mapreduce_next(result, &key, &value, NULL)) == 1) {
        int n = snprintf(text + len, room - len, "%.*s %.*s\n", (int)key.len, (const char *)key.ptr,
                         (int)value.len, (const char *)value.ptr);
        check(n > 0 && (size_t)n < room - len);
        len += (size_t)n;
    }
    check_int(more, 0);
    wf_mapreduce_close(result);
}

static const struct wf_mapreduce_options variants[] = {
    {.partitions = 0},
    {.partitions = 1},
    {.partitions = 7, .reduce_bytes = 1},
    {.partitions = 3, .memory_max_bytes = 1}, /* each result is spilled */
    {.partitions = 2, .memory_max_bytes = 200, .reduce_bytes = 20, .ahead = 1},
    {.partitions = 64, .ahead = 16, .part_ns = WF_SECONDS(60)},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static void run(struct wf_executor *on, const struct wf_mapreduce_job *job,
                const struct wf_mapreduce_options *options, const char *const *texts, size_t n,
                char *ret_text, size_t room)
{
    struct wf_mapreduce_texts inputs = {texts, n, 0};
    struct wf_mapreduce *result;
    struct wf_error error;
    int err = wf_mapreduce_run(on, job, wf_mapreduce_next_text, &inputs, options, &result,
                               party_soon(), &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    check_int(err, 0);
    read_out(result, ret_text, room);
}

/* MRD-01 */
static void counts_words(struct wf_executor *on)
{
    static const char *const texts[] = {"the cat and the dog", "", "a dog and a cat and a bird",
                                        "the the the", " bird "};
    char text[1000];
    for (int i = 0; i < VARIANTS; i++) {
        run(on, &word_count_job, &variants[i], texts, 5, text, sizeof text);
        check(strcmp(text, "a 3\nand 3\nbird 2\ncat 2\ndog 2\nthe 5\n") == 0);
        run(on, &plain_count_job, &variants[i], texts, 5, text, sizeof text);
        check(strcmp(text, "a 3\nand 3\nbird 2\ncat 2\ndog 2\nthe 5\n") == 0);
    }
    run(on, &word_count_job, NULL, texts, 0, text, sizeof text);
    check(text[0] == '\0');
    run(on, &word_count_job, NULL, texts + 1, 1, text, sizeof text);
    check(text[0] == '\0');
}

static void words_are_counted_on_every_engine(void **state)
{
    (void)state;
    ON_EVERYTHING(counts_words);
}

/* MRD-02 */
static void keeps_the_order(struct wf_executor *on)
{
    static const char *const texts[] = {"1 bc", "2 ab", "3 cb", "4 c", "5 bb", "6 a", "7 cab"};
    char text[1000];
    for (int i = 0; i < VARIANTS; i++) {
        run(on, &marks_job, &variants[i], texts, 7, text, sizeof text);
        check(strcmp(text, "a 267\nb 123557\nc 1347\n") == 0);
        run(on, &pairs_job, &variants[i], texts, 7, text, sizeof text);
        check(strcmp(text, "a 2\na 6\na 7\nb 1\nb 2\nb 3\nb 5\nb 5\nb 7\nc 1\nc 3\nc 4\nc 7\n") ==
              0);
    }
}

static void values_come_in_the_order_of_the_inputs(void **state)
{
    (void)state;
    ON_EVERYTHING(keeps_the_order);
}

/* Keys and values of any bytes and lengths. */
static int odd(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    enum { LARGE = 300000 };
    unsigned char *large = malloc(LARGE);
    (void)self;
    check(large != NULL);
    memset(large, *(const char *)input.ptr, LARGE);
    wf_emit(out, NULL, 0, NULL, 0);
    wf_emit(out, "\0", 1, "\0\0", 2);
    wf_emit(out, "\xff", 1, "", 0);
    wf_emit(out, large, LARGE, input.ptr, input.len);
    wf_emit(out, "z", 1, large, LARGE);
    free(large);
    return 0;
}
WF_MAPREDUCE(odds)
WF_MAPREDUCE_DEFINE(odds, .map = odd)

static void takes_any_bytes(struct wf_executor *on)
{
    static const char *const texts[] = {"a", "b"};
    static const struct {
        size_t key_len, value_len;
    } want[] = {{0, 0},      {0, 0},      {1, 2},      {1, 2}, {300000, 1},
                {300000, 1}, {1, 300000}, {1, 300000}, {1, 0}, {1, 0}};
    for (size_t limit = 1; limit <= 1000000000; limit *= 1000) {
        struct wf_mapreduce_texts inputs = {texts, 2, 0};
        struct wf_mapreduce_options options = {.memory_max_bytes = limit};
        struct wf_mapreduce *result;
        wf_bytes key, value;
        check_int(wf_mapreduce_run(on, &odds_job, wf_mapreduce_next_text, &inputs, &options,
                                   &result, party_soon(), NULL),
                  0);
        for (int i = 0; i < 10; i++) {
            check_int(wf_mapreduce_next(result, &key, &value, NULL), 1);
            check_int(key.len, want[i].key_len);
            check_int(value.len, want[i].value_len);
            if (key.len > 1) {
                check(memcmp(value.ptr, i == 4 ? "a" : "b", 1) == 0);
                check(((const char *)key.ptr)[299999] == (i == 4 ? 'a' : 'b'));
            }
        }
        check_int(wf_mapreduce_next(result, &key, &value, NULL), 0);
        check_int(wf_mapreduce_next(result, &key, &value, NULL), 0);
        struct wf_mapreduce_counts counts;
        wf_mapreduce_count(result, &counts);
        check(counts.map_parts == 2 && counts.reduce_parts == 0 && counts.lost == 0);
        check((counts.spilled_bytes > 1000000) == (limit <= 1000000));
        wf_mapreduce_close(result);
    }
}

static void keys_and_values_are_any_bytes(void **state)
{
    (void)state;
    ON_ALL(takes_any_bytes);
}

/* Failures */

static int fails(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    const char *text = input.ptr;
    if (input.len == 3 && memcmp(text, "bad", 3) == 0)
        return wf_task_fail(self, -EDOM, "no good");
    return words(self, input, out);
}

static int fails_late(struct wf_task *self, wf_bytes key, struct wf_values *values,
                      struct wf_emitter *out)
{
    if (key.len == 5 && memcmp(key.ptr, "worse", 5) == 0)
        return -EILSEQ;
    return count(self, key, values, out);
}

static int strays(struct wf_task *self, wf_bytes key, struct wf_values *values,
                  struct wf_emitter *out)
{
    (void)values;
    (void)self;
    return key.len == 5 && memcmp(key.ptr, "stray", 5) == 0 ? (wf_emit(out, "else", 4, "", 0), 0)
                                                            : wf_emit_int(out, key.ptr, key.len, 1);
}
WF_MAPREDUCE(failing)
WF_MAPREDUCE_DEFINE(failing, .map = fails, .combine = strays, .reduce = fails_late)

static int fail_with(struct wf_executor *on, const char *last, struct wf_error *error)
{
    const char *const texts[] = {"good", "fine", last};
    struct wf_mapreduce_texts inputs = {texts, 3, 0};
    struct wf_mapreduce *result = NULL;
    int err = wf_mapreduce_run(on, &failing_job, wf_mapreduce_next_text, &inputs, NULL, &result,
                               party_soon(), error);
    check(result == NULL);
    return err;
}

static int next_fails(void *arg, wf_bytes *ret_input)
{
    int *left = arg;
    *ret_input = (wf_bytes){"a b", 3};
    return (*left)-- > 0 ? 1 : -EPROTO;
}

/* MRD-03 */
static void names_the_part(struct wf_executor *on)
{
    struct wf_error error;
    struct wf_mapreduce *result = NULL;
    int left = 3;
    check_int(fail_with(on, "bad", &error), -EDOM);
    check(strcmp(error.text, "map part 3 (\"bad\"): no good") == 0);
    check(strcmp(error.task, "failing_map_part") == 0);
    check_int(fail_with(on, "worse", &error), -EILSEQ);
    check(strncmp(error.text, "reduce part ", 12) == 0 && strstr(error.text, " (\""));
    check_int(fail_with(on, "stray", &error), -EINVAL);
    check(strcmp(error.text, "map part 3 (\"stray\"): combine emitted another key than its own") ==
          0);
    struct wf_mapreduce_options options = {.ahead = 2};
    check_int(wf_mapreduce_run(on, &word_count_job, next_fails, &left, &options, &result,
                               party_soon(), &error),
              -EPROTO);
    check(strncmp(error.text, "the source of inputs: ", 22) == 0);
}

static void an_error_names_the_part(void **state)
{
    (void)state;
    ON_EVERYTHING(names_the_part);
}

/* Options and a spill folder that make no sense; a folder is left as it was. */
static void wrong_options(struct wf_executor *on)
{
    static const char *const texts[] = {"a b c"};
    static const struct {
        struct wf_mapreduce_options options;
        int err;
        const char *text;
    } cases[] = {
        {{.partitions = 4097}, -EINVAL, "partitions is 4097, at most 4096 are possible"},
        {{.ahead = 65537}, -EINVAL, "ahead is 65537, at most 65536 are possible"},
        {{.attempts = -1}, -EINVAL, "attempts must not be negative"},
        {{.part_ns = -1}, -EINVAL, "part_ns must not be negative"},
        {{.memory_max_bytes = 1, .spill_folder = "/nowhere/at/all"},
         -ENOENT,
         "spilling to /nowhere/at/all: No such file or directory"},
        {{.memory_max_bytes = 1, .spill_folder = "/dev/null"},
         -ENOTDIR,
         "spilling to /dev/null: Not a directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wf_mapreduce_texts inputs = {texts, 1, 0};
        struct wf_mapreduce *result = NULL;
        struct wf_error error = {0};
        int err = wf_mapreduce_run(on, &word_count_job, wf_mapreduce_next_text, &inputs,
                                   &cases[i].options, &result, party_soon(), &error);
        if (err != cases[i].err || !strstr(error.text, cases[i].text))
            fprintf(stderr, "%d %s\n", err, error.text);
        check_int(err, cases[i].err);
        check(strstr(error.text, cases[i].text) && result == NULL);
    }
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    ON_ALL(wrong_options);
}

static int names_in(const char *folder)
{
    DIR *dir = opendir(folder);
    int names = 0;
    check(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));)
        names += entry->d_name[0] != '.';
    closedir(dir);
    return names;
}

/* MRD-05 */
static void nothing_is_left_of_what_was_spilled(void **state)
{
    (void)state;
    static const char *const texts[] = {"a b c", "c d"};
    char folder[] = "/tmp/weft_mapreduce_test_XXXXXX";
    struct wf_mapreduce_texts inputs = {texts, 2, 0};
    struct wf_mapreduce_options options = {.memory_max_bytes = 1, .spill_folder = folder};
    struct wf_executor *on;
    struct wf_mapreduce *result;
    struct wf_mapreduce_counts counts;
    wf_bytes key, value;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    assert_int_equal(wf_mapreduce_run(on, &word_count_job, wf_mapreduce_next_text, &inputs,
                                      &options, &result, party_soon(), NULL),
                     0);
    wf_mapreduce_count(result, &counts);
    assert_true(counts.spilled_bytes > 0);
    assert_int_equal(names_in(folder), 0); /* also while it is in use */
    for (int i = 0; i < 4; i++)
        assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 1);
    wf_mapreduce_close(result);
    assert_int_equal(names_in(folder), 0);
    assert_int_equal(rmdir(folder), 0);
    wf_executor_destroy(on);
}

/* Losses */

/* Kills the process it runs in, as often as `deaths` says. */
static int dies(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    if (input.len >= 3 && memcmp(input.ptr, "die", 3) == 0 && wfi_fetch_sub(&shared->deaths, 1) > 0)
        raise(SIGKILL);
    return words(self, input, out);
}

static int dies_reducing(struct wf_task *self, wf_bytes key, struct wf_values *values,
                         struct wf_emitter *out)
{
    if (key.len == 3 && memcmp(key.ptr, "end", 3) == 0 && wfi_fetch_sub(&shared->deaths, 1) > 0)
        raise(SIGKILL);
    return count(self, key, values, out);
}
WF_MAPREDUCE(dying)
WF_MAPREDUCE_DEFINE(dying, .map = dies, .reduce = dies_reducing)

/* MRD-04 */
static void deaths(struct wf_executor *on)
{
    static const char *const texts[] = {"a b", "die a", "b c", "die die", "c", "d end"};
    char text[1000];
    struct wf_mapreduce_options options = {.attempts = 3, .partitions = 3};
    for (int times = 0; times < 3; times++) {
        wfi_store(&shared->deaths, times);
        run(on, &dying_job, &options, texts, 6, text, sizeof text);
        check(strcmp(text, "a 2\nb 2\nc 2\nd 1\ndie 3\nend 1\n") == 0);
        wfi_store(&shared->deaths, times);
        run(on, &dying_job, &options, texts + 4, 2, text, sizeof text);
        check(strcmp(text, "c 1\nd 1\nend 1\n") == 0);
    }
    struct wf_mapreduce_texts inputs = {texts + 1, 1, 0};
    struct wf_mapreduce *result;
    struct wf_error error;
    wfi_store(&shared->deaths, 3);
    check_int(wf_mapreduce_run(on, &dying_job, wf_mapreduce_next_text, &inputs, &options, &result,
                               party_soon(), &error),
              WF_EWORKERDIED);
    check(strncmp(error.text, "map part 1 (\"die a\"): after 3 attempts: ", 40) == 0);
    check_int(error.signal, SIGKILL);
    check_int(wfi_load(&shared->deaths), 0);
}

static void a_part_whose_worker_died_is_done_again(void **state)
{
    (void)state;
    ON_PROCESSES(deaths);
}

/* The first to come waits until it is told to stop, and so does all that is to stay. */
static int sticks(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    const bool stay = input.len == 4 && memcmp(input.ptr, "stay", 4) == 0;
    int err = stay || wfi_fetch_add(&shared->stuck, 1) == 0 ? wf_sleep(WF_FOREVER) : 0;
    return err ? err : words(self, input, out);
}
WF_MAPREDUCE(sticking)
WF_MAPREDUCE_DEFINE(sticking, .map = sticks, .reduce = count)

/* MRD-06 */
static void is_late(struct wf_executor *on)
{
    static const char *const texts[] = {"a b", "a c"};
    struct wf_mapreduce_texts inputs = {texts, 2, 0};
    struct wf_mapreduce_options options = {.part_ns = WF_MILLISECONDS(20), .attempts = 1000};
    struct wf_mapreduce *result;
    struct wf_mapreduce_counts counts;
    char text[100];
    if (wf_executor_workers(on) == 1 && strcmp(wf_executor_engine(on), "fibers") != 0)
        return; /* nobody is left to do it again */
    wfi_store(&shared->stuck, 0);
    check_int(wf_mapreduce_run(on, &sticking_job, wf_mapreduce_next_text, &inputs, &options,
                               &result, party_soon(), NULL),
              0);
    wf_mapreduce_count(result, &counts);
    check(counts.lost >= 1);
    read_out(result, text, sizeof text);
    check(strcmp(text, "a 2\nb 1\nc 1\n") == 0);
    /* The one that sticks was told; else this would not end. */
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
}

static void a_late_part_is_given_out_again_and_counts_once(void **state)
{
    (void)state;
    on_engines(is_late, THREADS, PROCESSES);
}

static void never_comes(struct wf_executor *on)
{
    static const char *const texts[] = {"stay"};
    struct wf_mapreduce_texts inputs = {texts, 1, 0};
    struct wf_mapreduce_options options = {.part_ns = WF_MILLISECONDS(5), .attempts = 1};
    struct wf_mapreduce *result = NULL;
    struct wf_error error;
    check_int(wf_mapreduce_run(on, &sticking_job, wf_mapreduce_next_text, &inputs, &options,
                               &result, party_soon(), &error),
              -ETIMEDOUT);
    check(strcmp(error.text, "map part 1 (\"stay\"): nothing was heard of it for 0.005 s") == 0);
    /* And the deadline of the whole. */
    inputs.given = 0;
    check_int(wf_mapreduce_run(on, &sticking_job, wf_mapreduce_next_text, &inputs, NULL, &result,
                               wf_after(WF_MILLISECONDS(5)), &error),
              -ETIMEDOUT);
    check(strcmp(error.text,
                 "the deadline passed with 1 map parts given out, 1 of them unfinished") == 0);
    check(result == NULL);
}

static void what_never_comes_ends_at_the_deadline(void **state)
{
    (void)state;
    on_engines(never_comes, THREADS, PROCESSES);
}

static void cancels(struct wf_executor *on)
{
    static const char *const texts[] = {"stay"};
    struct wf_mapreduce_texts inputs = {texts, 1, 0};
    struct wf_mapreduce *result = NULL;
    struct wf_error error;
    int err = 0;
    WF_SCOPE(scope, on, wf_after(WF_MILLISECONDS(5)))
        err = wf_mapreduce_run(on, &sticking_job, wf_mapreduce_next_text, &inputs, NULL, &result,
                               WF_FOREVER, &error);
    check_int(err, -ECANCELED);
    check(result == NULL);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
}

static void cancelling_the_caller_cancels_the_parts(void **state)
{
    (void)state;
    on_engines(cancels, THREADS, PROCESSES);
}

/* What one function does to the run that it is part of, in either phase. */
static struct wf_scope *ends_scope; /* cancelled by the first call; or NULL */
static wf_deadline ends_wait;       /* and waited for */

static int end_it(struct wf_task *self)
{
    (void)self;
    if (ends_scope)
        wf_scope_cancel(ends_scope);
    WF_SHIELD(WF_FOREVER) {
        wf_sleep(ends_wait);
    }
    return 0;
}

static int map_ends(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    int err = words(self, input, out);
    return err ? err : end_it(self);
}

static int reduce_ends(struct wf_task *self, wf_bytes key, struct wf_values *values,
                       struct wf_emitter *out)
{
    int err = count(self, key, values, out);
    return err ? err : end_it(self);
}
WF_MAPREDUCE(map_ending)
WF_MAPREDUCE_DEFINE(map_ending, .map = map_ends, .reduce = count)
WF_MAPREDUCE(reduce_ending)
WF_MAPREDUCE_DEFINE(reduce_ending, .map = words, .reduce = reduce_ends)

/* Parts that end at once, one after another: the deadline is looked at between them, too. */
static void has_a_deadline_in_each_phase(struct wf_executor *on)
{
    static const char *const texts[] = {"a b c", "d e f", "g h i", "j k l", "m n o", "p q r"};
    static const struct wf_mapreduce_job *const jobs[] = {&map_ending_job, &reduce_ending_job};
    const struct wf_mapreduce_options options = {.reduce_bytes = 1, .ahead = 1};
    ends_scope = NULL;
    for (int phase = 0; phase < 2; phase++) {
        char expected[40];
        bool found = false;
        snprintf(expected, sizeof expected, "with 1 %s parts given out", phase ? "reduce" : "map");
        /* A machine that is slow may not be done with the map phase in so short a time. */
        for (int64_t ms = 20; ms < 10000 && !found; ms *= 2) {
            struct wf_mapreduce_texts inputs = {texts, 6, 0};
            struct wf_mapreduce *result = NULL;
            struct wf_error error = {0};
            ends_wait = wf_after(WF_MILLISECONDS(ms));
            wfi_store(&shared->maps, 0);
            wfi_store(&shared->reduces, 0);
            check_int(wf_mapreduce_run(on, jobs[phase], wf_mapreduce_next_text, &inputs, &options,
                                       &result, ends_wait, &error),
                      -ETIMEDOUT);
            check(result == NULL);
            found = strstr(error.text, expected) != NULL;
            check(!found || wfi_load(phase ? &shared->reduces : &shared->maps) == 1);
        }
        check(found);
    }
}

/* MRD-09 */
static void each_phase_ends_at_the_deadline(void **state)
{
    (void)state;
    struct wf_executor *on;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    has_a_deadline_in_each_phase(on);
    wf_executor_destroy(on);
}

static void is_cancelled_in_each_phase(struct wf_executor *on)
{
    static const char *const texts[] = {"a b c", "d e f", "g h i", "j k l", "m n o", "p q r"};
    static const struct wf_mapreduce_job *const jobs[] = {&map_ending_job, &reduce_ending_job};
    const struct wf_mapreduce_options options = {.reduce_bytes = 1, .ahead = 1};
    ends_wait = WF_NOW;
    for (int phase = 0; phase < 2; phase++) {
        struct wf_mapreduce_texts inputs = {texts, 6, 0};
        struct wf_mapreduce *result = NULL;
        int err = 0;
        wfi_store(&shared->maps, 0);
        wfi_store(&shared->reduces, 0);
        WF_SCOPE(scope, on, WF_FOREVER) {
            ends_scope = scope;
            err = wf_mapreduce_run(on, jobs[phase], wf_mapreduce_next_text, &inputs, &options,
                                   &result, WF_FOREVER, NULL);
        }
        check_int(err, -ECANCELED);
        check(result == NULL);
        check_int(wfi_load(phase ? &shared->reduces : &shared->maps), 1);
        check_int(wfi_load(&shared->maps), phase ? 6 : 1);
    }
    ends_scope = NULL;
}

static void each_phase_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    ON_ALL(is_cancelled_in_each_phase);
}

/* The first attempt does not end before there is another, and both answer. */
static int answers_twice(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    const bool first = wfi_fetch_add(&shared->stuck, 1) == 0;
    WF_SHIELD(WF_FOREVER) {
        while (first && wfi_load(&shared->stuck) < 2)
            wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    return words(self, input, out);
}
WF_MAPREDUCE(twice)
WF_MAPREDUCE_DEFINE(twice, .map = answers_twice, .reduce = count)

static void counts_once(struct wf_executor *on)
{
    static const char *const texts[] = {"a b a"};
    struct wf_mapreduce_options options = {.part_ns = WF_MILLISECONDS(5), .attempts = 1000};
    char text[100];
    if (wf_executor_workers(on) == 1 && strcmp(wf_executor_engine(on), "fibers") != 0)
        return; /* nobody is left to do it again */
    wfi_store(&shared->stuck, 0);
    run(on, &twice_job, &options, texts, 1, text, sizeof text);
    check(strcmp(text, "a 2\nb 1\n") == 0);
    check(wfi_load(&shared->stuck) >= 2);
}

static void of_two_answers_one_counts(void **state)
{
    (void)state;
    on_engines(counts_once, THREADS, PROCESSES);
}

/* A key has its values in one call, however many there are and wherever they were kept; keys of
 * which there are many go to many parts. */
static int number_of_keys(void *arg, wf_bytes *ret_input)
{
    static char text[16];
    int *left = arg;
    if (*left == 0)
        return 0;
    *ret_input = (wf_bytes){text, (size_t)snprintf(text, sizeof text, "%d", --*left)};
    return 1;
}

static int many_keys(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    char key[24];
    int64_t number = 0;
    check_int(wf_bytes_int(input, &number), 0);
    for (int i = 0; i < 200; i++) {
        int len = snprintf(key, sizeof key, "%06d", (int)number * 200 + i);
        wf_emit_int(out, key, (size_t)len, 1);
        wf_emit_int(out, "huge", 4, 1);
    }
    (void)self;
    return 0;
}
WF_MAPREDUCE(keys)
WF_MAPREDUCE_DEFINE(keys, .map = many_keys, .reduce = count)

static void takes_many_keys_and_a_huge_one(struct wf_executor *on)
{
    enum { INPUTS = 50, EACH = 200 };
    const struct wf_mapreduce_options options = {
        .partitions = 3, .memory_max_bytes = 10000, .reduce_bytes = 1000};
    struct wf_mapreduce_counts counts;
    struct wf_mapreduce *result;
    wf_bytes key, value;
    char expected[24];
    int left = INPUTS;
    wfi_store(&shared->reduces, 0);
    check_int(wf_mapreduce_run(on, &keys_job, number_of_keys, &left, &options, &result,
                               party_soon(), NULL),
              0);
    wf_mapreduce_count(result, &counts);
    check(counts.map_parts == INPUTS && counts.reduce_parts > 50 && counts.spilled_bytes > 0);
    for (int i = 0; i < INPUTS * EACH; i++) {
        check_int(wf_mapreduce_next(result, &key, &value, NULL), 1);
        snprintf(expected, sizeof expected, "%06d", i);
        check(key.len == 6 && memcmp(key.ptr, expected, 6) == 0);
        check(value.len == 1 && memcmp(value.ptr, "1", 1) == 0);
    }
    check_int(wf_mapreduce_next(result, &key, &value, NULL), 1);
    check(key.len == 4 && memcmp(key.ptr, "huge", 4) == 0);
    check(value.len == 5 && memcmp(value.ptr, "10000", 5) == 0);
    check_int(wf_mapreduce_next(result, &key, &value, NULL), 0);
    check_int(wfi_load(&shared->reduces), INPUTS * EACH + 1); /* the huge one once, too */
    wf_mapreduce_close(result);
}

static void many_keys_and_a_huge_one(void **state)
{
    (void)state;
    ON_ALL(takes_many_keys_and_a_huge_one);
}

/* No file may grow beyond a page: as if the disk were full. */
static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    char folder[] = "/tmp/weft_mapreduce_test_XXXXXX", expected[100];
    const struct wf_mapreduce_options options = {.memory_max_bytes = 10000, .spill_folder = folder};
    struct rlimit before, small;
    struct wf_mapreduce *result = NULL;
    struct wf_error error = {0};
    struct wf_executor *on;
    int left = 50;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){4096, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int err = wf_mapreduce_run(on, &keys_job, number_of_keys, &left, &options, &result,
                               party_soon(), &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(err, -EFBIG);
    assert_null(result);
    snprintf(expected, sizeof expected, "spilling to %s: File too large", folder);
    assert_non_null(strstr(error.text, expected));
    assert_int_equal(names_in(folder), 0);
    assert_int_equal(rmdir(folder), 0);
    wf_executor_destroy(on);
}

/* Tasks that answer with something else. */
static WFI_ATOMIC(int) damaged;

static int answer(struct wf_task *self, const char *text, size_t len, wf_bytes *ret)
{
    char *made = wf_result_alloc(self, len);
    check(made != NULL);
    memcpy(made, text, len);
    *ret = (wf_bytes){made, len};
    return 0;
}

WF_TASK(wf_bytes, damaged_map, (uint32_t, partitions), (wf_bytes, input))
WF_TASK(wf_bytes, damaged_reduce, (wf_bytes, pairs))

int damaged_map(struct wf_task *self, uint32_t partitions, wf_bytes input, wf_bytes *ret)
{
    static const struct {
        const char *text;
        size_t len;
    } answers[] = {
#define ANSWER(text) {text, sizeof text - 1}
        ANSWER(""),
        ANSWER("\1"),
        ANSWER("\2\1\0"),
        ANSWER("\1\2\0\0"),
        ANSWER("\1\1"),
        ANSWER("\1\1\1"),
        ANSWER("\1\1\0\0"),
        ANSWER("\1\1\3\2ab"),
        ANSWER("\1\1\2\0\0"),
        ANSWER("\1\1\6\2b\0\2a\0"),
        ANSWER("\1\1\377\377\377\377\377\377\377\377\377\1"),
        ANSWER("\1\1\377\377\377\377\377\377\377\377\377\377\1"),
        ANSWER("\1\1\5\377\377\377\377\7"),
        ANSWER("\1\1\12\2a\1x\0\1y\2b\0"), /* whole: a x y, b */
    };
    enum { ANSWERS = sizeof answers / sizeof *answers };
    (void)input;
    check_int(partitions, 1);
    int i = wfi_fetch_add(&damaged, 1) % ANSWERS;
    return answer(self, answers[i].text, answers[i].len, ret);
}
WF_TASK_DEFINE_WITH(damaged_map, .drop_result = wf_drop_bytes)

int damaged_reduce(struct wf_task *self, wf_bytes pairs, wf_bytes *ret)
{
    check(pairs.len == 10 && memcmp(pairs.ptr, "\2a\1x\0\1y\2b\0", 10) == 0);
    return answer(self, "\1\2c", wfi_fetch_add(&damaged, 1) % 2 ? 4 : 3, ret);
}
WF_TASK_DEFINE_WITH(damaged_reduce, .drop_result = wf_drop_bytes)

static void a_damaged_result_counts_as_lost(void **state)
{
    (void)state;
    static const struct wf_mapreduce_job job = {&damaged_map_task, &damaged_reduce_task, NULL};
    static const char *const texts[] = {"x"};
    struct wf_mapreduce_options options = {.attempts = 2, .partitions = 1};
    struct wf_mapreduce *result = NULL;
    struct wf_executor *on;
    struct wf_error error;
    wf_bytes key, value;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    for (int i = 0; i <= 12; i += 2) {
        struct wf_mapreduce_texts inputs = {texts, 1, 0};
        wfi_store(&damaged, i);
        int err = wf_mapreduce_run(on, &job, wf_mapreduce_next_text, &inputs, &options, &result,
                                   party_soon(), &error);
        assert_int_equal(err, i < 12 ? WF_EPROTOCOL : 0);
        if (err)
            assert_string_equal(error.text, "map part 1 (\"x\"): after 2 attempts: the result "
                                            "arrived damaged");
    }
    assert_int_equal(wfi_load(&damaged), 16);
    assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 1);
    assert_true(key.len == 1 && memcmp(key.ptr, "c", 1) == 0 && value.len == 0);
    assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 0);
    wf_mapreduce_close(result);
    wf_executor_destroy(on);
}

/* A source without end in sight: a part is asked for when a place is free, and no sooner. */
struct stream {
    int given, end, most;
    char text[40];
};

static int next_of_stream(void *arg, wf_bytes *ret_input)
{
    struct stream *stream = arg;
    if (stream->given == stream->end)
        return 0;
    int ahead = stream->given - wfi_load(&shared->maps);
    if (ahead > stream->most)
        stream->most = ahead;
    int len = snprintf(stream->text, sizeof stream->text, "word%d all", stream->given % 100);
    stream->given++;
    *ret_input = (wf_bytes){stream->text, (size_t)len};
    return 1;
}

/* MRD-07 */
static void streams(struct wf_executor *on)
{
    struct stream stream = {.end = 1000};
    struct wf_mapreduce_options options = {.ahead = 5, .memory_max_bytes = 1000};
    struct wf_mapreduce *result;
    struct wf_mapreduce_counts counts;
    wf_bytes key, value;
    int64_t sum = 0, number;
    wfi_store(&shared->maps, 0);
    check_int(wf_mapreduce_run(on, &word_count_job, next_of_stream, &stream, &options, &result,
                               party_soon(), NULL),
              0);
    check(stream.most < 5);
    wf_mapreduce_count(result, &counts);
    check(counts.map_parts == 1000 && counts.reduce_parts >= 1 && counts.lost == 0);
    check(counts.spilled_bytes > 0);
    check_int(wf_mapreduce_next(result, &key, &value, NULL), 1);
    check(key.len == 3 && memcmp(value.ptr, "1000", 4) == 0);
    while (wf_mapreduce_next(result, &key, &value, NULL) == 1) {
        check_int(wf_bytes_int(value, &number), 0);
        check_int(number, 10);
        sum += number;
    }
    check_int(sum, 1000);
    wf_mapreduce_close(result);
}

static void inputs_are_asked_for_as_parts_end(void **state)
{
    (void)state;
    ON_EVERYTHING(streams);
}

/* A task that runs one on the executor it runs on. */
WF_TASK(int, nested, (int, times))

int nested(struct wf_task *self, int times, int *ret)
{
    static const char *const texts[] = {"a b", "b c", "c a"};
    char text[100];
    *ret = 0;
    for (int i = 0; i < times; i++) {
        run(wf_task_executor(self), &word_count_job, NULL, texts, 3, text, sizeof text);
        *ret += strcmp(text, "a 2\nb 2\nc 2\n") == 0;
    }
    return 0;
}
WF_TASK_DEFINE(nested)

/* MRD-08 */
static void nests(struct wf_executor *on)
{
    nested_future f[3];
    for (int i = 0; i < 3; i++)
        f[i] = nested_submit(on, 2);
    for (int i = 0; i < 3; i++) {
        int good = 0;
        struct wf_error error;
        int err = nested_result(&f[i], &good, party_soon(), &error);
        if (err)
            fprintf(stderr, "%s\n", error.text);
        check_int(err, 0);
        check_int(good, 2);
    }
}

static void a_task_may_run_one_on_its_own_executor(void **state)
{
    (void)state;
    ON_EVERYTHING(nests);
}

/* A map that combines as it goes: more than fits into what is gathered at a time. */
static int many(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    char key[256];
    (void)self;
    for (int i = 0; i < 100000; i++) {
        int len = snprintf(key, sizeof key, "%0200d", i % 100);
        wf_emit_int(out, key, (size_t)len, *(const char *)input.ptr);
    }
    return 0;
}
WF_MAPREDUCE(many_words)
WF_MAPREDUCE_DEFINE(many_words, .map = many, .combine = wf_sum_values, .reduce = wf_sum_values)

static void combining_keeps_a_part_small(void **state)
{
    (void)state;
    static const char *const texts[] = {"\1", "\2"};
    static char text[30000];
    struct wf_executor *on;
    int64_t sum = 0;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    run(on, &many_words_job, NULL, texts, 2, text, sizeof text);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_int_equal(strtol(strchr(line, ' '), NULL, 10), 3000);
        sum++;
    }
    assert_int_equal(sum, 100);
    wf_executor_destroy(on);
}

static void numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        int64_t number;
    } cases[] = {
        {"0", 0, 0},
        {"-1", 0, -1},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", -ERANGE, 0},
        {"-9223372036854775809", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"1x", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t number = 0;
        wf_bytes bytes = {cases[i].text, strlen(cases[i].text)};
        assert_int_equal(wf_bytes_int(bytes, &number), cases[i].err);
        assert_true(number == cases[i].number);
    }
}

/* As the digits come out that go in. */
static int extremes(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    (void)self;
    (void)input;
    wf_emit_int(out, "a", 1, INT64_MIN);
    wf_emit_int(out, "b", 1, INT64_MAX);
    wf_emit_int(out, "c", 1, 0);
    return wf_emit_int(out, "d", 1, -10);
}
WF_MAPREDUCE(extreme)
WF_MAPREDUCE_DEFINE(extreme, .map = extremes, .combine = wf_sum_values)

static void numbers_are_written(void **state)
{
    (void)state;
    static const char *const texts[] = {"x"};
    struct wf_executor *on;
    char text[200];
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    run(on, &extreme_job, NULL, texts, 1, text, sizeof text);
    assert_string_equal(text, "a -9223372036854775808\nb 9223372036854775807\nc 0\nd -10\n");
    wf_executor_destroy(on);
}

static int too_large(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    (void)self;
    (void)input;
    wf_emit_int(out, "n", 1, INT64_MAX);
    wf_emit(out, "n", 1, "1", 1);
    return 0;
}
WF_MAPREDUCE(overflow)
WF_MAPREDUCE_DEFINE(overflow, .map = too_large, .reduce = wf_sum_values)

static void a_sum_without_room_is_an_error(void **state)
{
    (void)state;
    static const char *const texts[] = {"x"};
    struct wf_mapreduce_texts inputs = {texts, 1, 0};
    struct wf_mapreduce *result;
    struct wf_executor *on;
    struct wf_error error;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    assert_int_equal(wf_mapreduce_run(on, &overflow_job, wf_mapreduce_next_text, &inputs, NULL,
                                      &result, party_soon(), &error),
                     -ERANGE);
    assert_string_equal(error.text, "reduce part 1 (\"n\"): a value of \"n\": the sum has no room "
                                    "in 64 bits");
    wf_executor_destroy(on);
}

WF_MAPREDUCE(missing)
WF_MAPREDUCE_ELSEWHERE(missing)

static void functions_elsewhere_do_not_run_here(void **state)
{
    (void)state;
    static const char *const texts[] = {"x"};
    struct wf_mapreduce_texts inputs = {texts, 1, 0};
    struct wf_mapreduce *result;
    struct wf_executor *on;
    struct wf_error error;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    assert_int_equal(wf_mapreduce_run(on, &missing_job, wf_mapreduce_next_text, &inputs, NULL,
                                      &result, party_soon(), &error),
                     -ENOSYS);
    assert_string_equal(error.text, "map part 1 (\"x\"): task missing_map_part is not defined in "
                                    "this program");
    wf_executor_destroy(on);
}

static void memory(struct wf_executor *on)
{
    static const char *const texts[] = {"a b", "b c", "c d a"};
    for (size_t limit = 0; limit < 2; limit++)
        for (uint64_t n = 1;; n++) {
            struct wf_mapreduce_texts inputs = {texts, 3, 0};
            struct wf_mapreduce_options options = {.memory_max_bytes = limit, .partitions = 2};
            struct wf_mapreduce *result = NULL;
            wf_bytes key, value;
            int pairs = 0;
            wfi_alloc_watch(n);
            int err = wf_mapreduce_run(on, &word_count_job, wf_mapreduce_next_text, &inputs,
                                       &options, &result, party_soon(), NULL);
            while (!err && (err = wf_mapreduce_next(result, &key, &value, NULL)) == 1) {
                pairs++;
                err = 0;
            }
            bool reached = wfi_alloc_unwatch();
            wf_mapreduce_close(result);
            check(err == 0 ? pairs == 4 : reached && (err == -ENOMEM || err == -EAGAIN));
            if (!reached)
                break;
        }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    ON_ALL(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_counted_on_every_engine),
        cmocka_unit_test(values_come_in_the_order_of_the_inputs),
        cmocka_unit_test(keys_and_values_are_any_bytes),
        cmocka_unit_test(an_error_names_the_part),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(nothing_is_left_of_what_was_spilled),
        cmocka_unit_test(a_part_whose_worker_died_is_done_again),
        cmocka_unit_test(a_late_part_is_given_out_again_and_counts_once),
        cmocka_unit_test(what_never_comes_ends_at_the_deadline),
        cmocka_unit_test(cancelling_the_caller_cancels_the_parts),
        cmocka_unit_test(each_phase_ends_at_the_deadline),
        cmocka_unit_test(each_phase_ends_when_it_is_cancelled),
        cmocka_unit_test(of_two_answers_one_counts),
        cmocka_unit_test(many_keys_and_a_huge_one),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(a_damaged_result_counts_as_lost),
        cmocka_unit_test(inputs_are_asked_for_as_parts_end),
        cmocka_unit_test(a_task_may_run_one_on_its_own_executor),
        cmocka_unit_test(combining_keeps_a_part_small),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(numbers_are_written),
        cmocka_unit_test(a_sum_without_room_is_an_error),
        cmocka_unit_test(functions_elsewhere_do_not_run_here),
        cmocka_unit_test(any_allocation_may_fail),
    };
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct wf_error error;
    if (shared == MAP_FAILED || wf_processes_init(&error))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
