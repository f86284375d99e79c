/* SPDX-License-Identifier: MIT */
/*
 * The words of some texts counted by map and reduce: one part after another, on threads, in
 * processes, with more pairs than memory is given for, and with a process that is killed at its
 * work. A part is a piece of a file; what is counted does not depend on where it is cut.
 *
 *     mapreduce_words [FILE...]
 *
 * Without files it writes ten texts into a folder below the current one and removes them at the
 * end.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/inline.h>
#include <weft/mapreduce.h>
#include <weft/threads.h>

enum { TEXTS = 10, WORDS = 40000, PIECE_BYTES = 64 * 1024, SHOWN = 5 };

static char folder[] = "mapreduce_words.XXXXXX";
static char path_of_text[TEXTS][64];
static char killed[64]; /* once there, nobody is killed any more; empty: nobody is at all */

/* A word ends at a blank or a sign of ASCII; Chinese is taken as it stands between them. */
static bool in_word(int c)
{
    return c != EOF && (c >= 0x80 || isalnum(c));
}

/* An input is "OFFSET PATH": words that begin in the piece that begins there. */
static int count_words(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    char text[4096], word[256];
    long offset, at;
    int path = 0, c = 0;
    if (killed[0] && close(open(killed, O_CREAT | O_EXCL, 0600)) == 0)
        raise(SIGKILL);
    snprintf(text, sizeof text, "%.*s", (int)input.len, (const char *)input.ptr);
    if (sscanf(text, "%ld %n", &offset, &path) != 1)
        return wf_task_fail(self, -EINVAL, "no offset and path");
    FILE *file = fopen(text + path, "r");
    if (!file)
        return wf_task_fail(self, -errno, "%s", strerror(errno));
    /* The word that the piece before began is its own. */
    if (offset > 0 && fseek(file, offset - 1, SEEK_SET) == 0)
        while (in_word(c = getc(file)))
            continue;
    while (c != EOF && (at = ftell(file)) < offset + PIECE_BYTES) {
        size_t len = 0;
        for (; in_word(c = getc(file)); len++)
            if (len < sizeof word)
                word[len] = (char)tolower(c);
        if (len)
            wf_emit_int(out, word, len < sizeof word ? len : sizeof word, 1);
    }
    const bool unread = ferror(file);
    fclose(file);
    return unread ? wf_task_fail(self, -EIO, "it cannot be read") : 0;
}

WF_MAPREDUCE(word_count)
WF_MAPREDUCE_DEFINE(word_count, .map = count_words, .combine = wf_sum_values,
                    .reduce = wf_sum_values)

/* The same without combining, so that there is much to keep. */
WF_MAPREDUCE(word_count_long)
WF_MAPREDUCE_DEFINE(word_count_long, .map = count_words, .reduce = wf_sum_values)

/* All pieces of all files, as parts are asked for. */
struct pieces {
    const char *const *files;
    size_t count, at;
    long offset, bytes; /* of the file before `at`: what is given out of it, and its size */
    char input[4096];
};

static int next_piece(void *arg, wf_bytes *ret_input)
{
    struct pieces *pieces = arg;
    while (pieces->offset >= pieces->bytes) {
        struct stat st;
        if (pieces->at == pieces->count)
            return 0;
        if (stat(pieces->files[pieces->at++], &st) < 0) {
            int err = -errno;
            fprintf(stderr, "%s: %s\n", pieces->files[pieces->at - 1], strerror(-err));
            return err;
        }
        pieces->offset = 0;
        pieces->bytes = (long)st.st_size;
    }
    int len = snprintf(pieces->input, sizeof pieces->input, "%ld %s", pieces->offset,
                       pieces->files[pieces->at - 1]);
    if (len < 0 || (size_t)len >= sizeof pieces->input)
        return -ENAMETOOLONG;
    pieces->offset += PIECE_BYTES;
    *ret_input = (wf_bytes){pieces->input, (size_t)len};
    return 1;
}

/* What is remembered of a run, to be compared with the next. */
struct outcome {
    int64_t words, different;
    struct {
        char word[64];
        int64_t count;
    } most[SHOWN + 1]; /* the last is for moving up */
};

static int take(struct wf_mapreduce *result, struct outcome *ret, struct wf_error *reterr)
{
    wf_bytes word, number;
    int more;
    memset(ret, 0, sizeof *ret);
    while ((more = wf_mapreduce_next(result, &word, &number, reterr)) == 1) {
        int64_t count;
        int at = SHOWN;
        int err = wf_bytes_int(number, &count);
        if (err)
            return wf_error_set(reterr, err, "no number came out");
        ret->words += count;
        ret->different++;
        for (; at > 0 && ret->most[at - 1].count < count; at--)
            ret->most[at] = ret->most[at - 1];
        ret->most[at].count = count;
        snprintf(ret->most[at].word, sizeof ret->most[at].word, "%.*s", (int)word.len,
                 (const char *)word.ptr);
    }
    memset(&ret->most[SHOWN], 0, sizeof ret->most[SHOWN]);
    return more;
}

static int timed(const char *how, struct wf_executor *on, const struct wf_mapreduce_job *job,
                 const char *const *files, size_t count, size_t memory_max_bytes,
                 struct outcome *ret, struct wf_error *reterr)
{
    struct pieces pieces = {.files = files, .count = count};
    struct wf_mapreduce_options options = {.memory_max_bytes = memory_max_bytes,
                                           .spill_folder = "."};
    struct wf_mapreduce_counts counts;
    struct wf_mapreduce *result;
    int64_t start_ns = wf_now();
    int err = wf_mapreduce_run(on, job, next_piece, &pieces, &options, &result, WF_FOREVER, reterr);
    if (err)
        return err;
    err = take(result, ret, reterr);
    wf_mapreduce_count(result, &counts);
    wf_mapreduce_close(result);
    if (err)
        return err;
    printf("%s: %" PRId64 " words, %" PRId64 " different ones", how, ret->words, ret->different);
    if (counts.spilled_bytes)
        printf(", %" PRIu64 " bytes spilled", counts.spilled_bytes);
    if (counts.lost)
        printf(", %" PRIu64 " of %" PRIu64 " parts done again", counts.lost, counts.map_parts);
    printf(", cost: %.3f seconds\n", (double)(wf_now() - start_ns) / 1e9);
    return 0;
}

/* In a worker, before its first task. */
static int tell(const void *path, struct wf_error *reterr)
{
    (void)reterr;
    snprintf(killed, sizeof killed, "%s", (const char *)path);
    return 0;
}

static int run_all(const char *const *files, size_t count, const char *mark,
                   struct wf_error *reterr)
{
    struct wf_executor *on[4] = {NULL, NULL, NULL, NULL};
    const struct {
        const char *how;
        struct wf_executor **on;
        const struct wf_mapreduce_job *job;
        size_t memory_max_bytes;
    } runs[] = {
        {"one part after another", &on[0], &word_count_job, 0},
        {"on threads", &on[1], &word_count_job, 0},
        {"in 64 KiB of memory", &on[1], &word_count_long_job, 64 * 1024},
        {"in processes", &on[2], &word_count_job, 0},
        {"with a process killed", &on[3], &word_count_job, 0},
    };
    enum { RUNS = sizeof runs / sizeof *runs };
    struct outcome first = {0}, outcome;
    int err = wf_inline_create(&on[0], reterr);
    if (!err)
        err = wf_threads_create(NULL, &on[1], reterr);
    if (!err)
        err = wf_processes_create(NULL, &on[2], reterr);
    if (!err)
        err = wf_processes_create(&(struct wf_processes_options){.start = tell,
                                                                 .arg = mark,
                                                                 .arg_bytes = strlen(mark) + 1},
                                  &on[3], reterr);
    for (int i = 0; i < RUNS && !err; i++) {
        err = timed(runs[i].how, *runs[i].on, runs[i].job, files, count, runs[i].memory_max_bytes,
                    &outcome, reterr);
        if (i == 0)
            first = outcome;
        if (!err && memcmp(&first, &outcome, sizeof first) != 0)
            err = wf_error_set(reterr, WF_ETASKFAILED, "%s it is another count", runs[i].how);
    }
    for (int i = 0; i < SHOWN && !err && first.most[i].count; i++)
        printf("%7" PRId64 " %s\n", first.most[i].count, first.most[i].word);
    for (int i = 0; i < 4; i++)
        wf_executor_destroy(on[i]);
    return err;
}

/* A text of some thousand different words, a few of which are in every second line. */
static int write_text(const char *path, unsigned seed)
{
    static const char *const stems[] = {"线程", "进程", "协程", "并发",   "并行",  "队列",
                                        "爬虫", "锁",   "池",   "future", "queue", "thread",
                                        "task", "lock", "pool", "asyncio"};
    FILE *file = fopen(path, "w");
    if (!file)
        return -errno;
    for (int i = 0; i < WORDS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned stem = (seed >> 16) % 16, number = (seed >> 20) % 512;
        if (number % 4 == 0)
            fprintf(file, "%s", stems[stem]);
        else
            fprintf(file, "%s%u", stems[stem], number);
        fputs(i % 12 == 11 ? ".\n" : i % 5 == 4 ? ", " : " ", file);
    }
    return fclose(file) ? -errno : 0;
}

int main(int argc, char **argv)
{
    struct wf_error error;
    if (wf_processes_init(&error)) { /* before anything makes a thread */
        fprintf(stderr, "mapreduce_words: %s\n", error.text);
        return 1;
    }
    char mark[64];
    const char *texts[TEXTS];
    int err = mkdtemp(folder) ? 0 : wf_error_set(&error, -errno, "cannot make a folder here");
    snprintf(mark, sizeof mark, "%s/killed", folder);
    for (unsigned i = 0; i < TEXTS && !err && argc == 1; i++) {
        snprintf(path_of_text[i], sizeof path_of_text[i], "%s/text-%02u.txt", folder, i + 1);
        texts[i] = path_of_text[i];
        err = write_text(texts[i], i + 1);
        if (err)
            wf_error_set(&error, err, "%s: %s", texts[i], wf_strerror(err));
    }
    if (!err && argc == 1)
        printf("wrote %d texts of %d words\n", TEXTS, WORDS);
    if (!err && argc == 1)
        err = run_all(texts, TEXTS, mark, &error);
    else if (!err)
        err = run_all((const char *const *)argv + 1, (size_t)argc - 1, mark, &error);
    if (err)
        fprintf(stderr, "mapreduce_words: %s\n", error.text);
    for (int i = 0; i < TEXTS; i++)
        unlink(path_of_text[i]);
    unlink(mark);
    rmdir(folder);
    return err ? 1 : 0;
}
