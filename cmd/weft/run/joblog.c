/* SPDX-License-Identifier: MIT */
#include "run/joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char joblog_heading[] =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

void joblog_put(const struct joblog_entry *entry, struct words *out)
{
    words_printf(out, "%llu\t:\t%.3f\t%10.3f\t0\t%llu\t%d\t%d\t", (unsigned long long)entry->number,
                 entry->start_s, entry->run_s, (unsigned long long)entry->bytes, entry->exit_status,
                 entry->signal);
    /* A line is a job: newlines in a command become NULs, as in parallel's logs. */
    for (const char *at = entry->command; *at;) {
        size_t len = strcspn(at, "\n");
        words_put(out, at, len);
        at += len;
        if (*at) {
            words_put(out, "", 1);
            at++;
        }
    }
    words_put(out, "\n", 1);
}

/* ---- reading ---- */

/* Numbers beyond this are no job's: the bits would take more memory than there is reason for. */
#define NUMBER_MAX ((uint64_t)1 << 34)

static int mark_done(struct joblog_done *done, uint64_t number)
{
    if (number >= done->limit) {
        uint64_t limit = done->limit ? done->limit : 4096;
        while (limit <= number)
            limit *= 2;
        unsigned char *grown = realloc(done->bits, (size_t)(limit / 8));
        if (!grown)
            return -ENOMEM;
        memset(grown + done->limit / 8, 0, (size_t)((limit - done->limit) / 8));
        done->bits = grown;
        done->limit = limit;
    }
    unsigned char bit = (unsigned char)(1u << (number & 7));
    done->count += !(done->bits[number / 8] & bit);
    done->bits[number / 8] |= bit;
    return 0;
}

bool joblog_has(const struct joblog_done *done, uint64_t number)
{
    return number < done->limit && (done->bits[number / 8] >> (number & 7) & 1);
}

void joblog_done_fini(struct joblog_done *done)
{
    free(done->bits);
    *done = (struct joblog_done){0};
}

int joblog_read_line(struct joblog_done *done, const char *line, bool failed_again)
{
    char *end;
    unsigned long long number = strtoull(line, &end, 10);
    if (line[0] < '0' || line[0] > '9' || *end != '\t' || number == 0 || number > NUMBER_MAX)
        return WF_EPARSE;
    const char *column = line;
    for (int i = 0; i < 6; i++) {
        column = strchr(column, '\t');
        if (!column)
            return WF_EPARSE;
        column++;
    }
    const char *signal = strchr(column, '\t');
    if (!signal)
        return WF_EPARSE;
    bool failed = strtol(column, NULL, 10) != 0 || strtol(signal + 1, NULL, 10) != 0;
    return failed && failed_again ? 0 : mark_done(done, number);
}

/* Reads what is there. Returns 0 with the length of its whole lines. */
static int read_log(FILE *file, bool failed_again, struct joblog_done *done, off_t *ret_whole,
                    struct wf_error *reterr)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int err = 0;
    unsigned long lines = 0;
    *ret_whole = 0;
    while (!err && (len = getline(&line, &size, file)) > 0 && line[len - 1] == '\n') {
        *ret_whole += len;
        line[len - 1] = 0;
        if (lines++ == 0)
            err = strncmp(line, "Seq\t", 4) == 0 ? 0 : WF_EPARSE;
        else
            err = joblog_read_line(done, line, failed_again);
        if (err == WF_EPARSE)
            wf_error_set(reterr, err, "line %lu is not of a log of jobs", lines);
        else if (err)
            wf_error_set(reterr, err, NULL);
    }
    if (!err && ferror(file))
        err = wf_error_set(reterr, -errno, NULL);
    /* Nothing is cut off a file that may be something else. */
    if (!err && lines == 0 && len > 0 &&
        ((size_t)len >= strlen(joblog_heading) || memcmp(line, joblog_heading, (size_t)len) != 0))
        err = wf_error_set(reterr, WF_EPARSE, "line 1 is not of a log of jobs");
    free(line);
    return err;
}

static int write_heading(int fd, struct wf_error *reterr)
{
    size_t len = strlen(joblog_heading);
    ssize_t count = write(fd, joblog_heading, len);
    return count == (ssize_t)len ? 0 : wf_error_set(reterr, count < 0 ? -errno : -ENOSPC, NULL);
}

int joblog_open(const char *path, bool resume, bool failed_again, struct joblog_done *done,
                struct wf_error *reterr)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (resume ? 0 : O_TRUNC);
    int fd = open(path, flags, 0666), err = 0;
    if (fd < 0)
        return wf_error_set(reterr, -errno, NULL);
    off_t whole = 0;
    if (resume) {
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        FILE *file = again < 0 ? NULL : fdopen(again, "r");
        err = file ? read_log(file, failed_again, done, &whole, reterr)
                   : wf_error_set(reterr, -errno, NULL);
        if (file)
            fclose(file);
        else if (again >= 0)
            close(again);
        /* Only of a file can a torn end be cut. */
        if (!err && lseek(fd, 0, SEEK_END) > whole && ftruncate(fd, whole))
            err = wf_error_set(reterr, -errno, NULL);
    }
    if (!err && whole == 0)
        err = write_heading(fd, reterr);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}
