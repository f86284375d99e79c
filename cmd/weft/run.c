/* SPDX-License-Identifier: MIT */
/* weft run: programs side by side, one for each argument. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/main.h>
#include <weft/rlimit.h>

#include "commands.h"
#include "run/run.h"

enum {
    JOBS_MAX = 10000,
    TRIES_MAX = 1000000,
    ARGS_MAX = 100000,
    /* Two pipes while a program is started, a descriptor of the process, and some of weft's own. */
    FDS_PER_JOB = 6,
    FDS_BESIDE = 64,
};

struct run_values {
    int64_t jobs, args, tries;
    const char *file, *mark, *timeout, *halt, *joblog, *delimiter;
    bool no_run_if_empty; /* as it is anyway */
    bool null, keep_order, line_buffer, ungroup, shell, json, dry_run, progress, quiet, resume,
        resume_failed;
};

#define FIELD(name) offsetof(struct run_values, name)

static const struct option_spec specs[] = {
    {.name = "jobs",
     .letter = 'j',
     .type = OPTION_NUMBER,
     .field = FIELD(jobs),
     .argument = "N",
     .min = 1,
     .max = JOBS_MAX,
     .help = "jobs at a time (default: one per usable CPU)"},
    {.name = "max-procs",
     .letter = 'P',
     .type = OPTION_NUMBER,
     .field = FIELD(jobs),
     .argument = "N",
     .min = 1,
     .max = JOBS_MAX,
     .help = "the same, as xargs has it"},
    {.name = "max-args",
     .letter = 'n',
     .type = OPTION_NUMBER,
     .field = FIELD(args),
     .argument = "N",
     .min = 1,
     .max = ARGS_MAX,
     .help = "arguments of a job (default 1)"},
    {.name = "arg-file",
     .letter = 'a',
     .type = OPTION_TEXT,
     .field = FIELD(file),
     .argument = "FILE",
     .help = "read arguments from FILE, one a line, - for standard input"},
    {.name = "null",
     .letter = '0',
     .type = OPTION_FLAG,
     .field = FIELD(null),
     .help = "arguments that are read end with a NUL, not with a newline"},
    {.name = "delimiter",
     .letter = 'd',
     .type = OPTION_TEXT,
     .field = FIELD(delimiter),
     .argument = "C",
     .help = "or with the character C: one byte, or \\n, \\t, \\0, \\\\"},
    {.name = "replace",
     .letter = 'I',
     .type = OPTION_TEXT,
     .field = FIELD(mark),
     .argument = "MARK",
     .help = "MARK stands for the argument, and nothing else does"},
    {.name = "keep-order",
     .letter = 'k',
     .type = OPTION_FLAG,
     .field = FIELD(keep_order),
     .help = "print in the order of the arguments"},
    {.name = "line-buffer",
     .type = OPTION_FLAG,
     .field = FIELD(line_buffer),
     .help = "print each line at once, jobs mixed"},
    {.name = "ungroup",
     .letter = 'u',
     .type = OPTION_FLAG,
     .field = FIELD(ungroup),
     .help = "let jobs write to standard output and error themselves"},
    {.name = "json",
     .type = OPTION_FLAG,
     .field = FIELD(json),
     .help = "print an object for each job, with its output in it"},
    {.name = "timeout",
     .type = OPTION_TEXT,
     .field = FIELD(timeout),
     .argument = "S",
     .help = "stop a job that takes longer than S seconds: it has failed"},
    {.name = "retries",
     .type = OPTION_NUMBER,
     .field = FIELD(tries),
     .argument = "N",
     .min = 1,
     .max = TRIES_MAX,
     .help = "run a job that fails up to N times in all"},
    {.name = "halt",
     .type = OPTION_TEXT,
     .field = FIELD(halt),
     .argument = "WHEN",
     .help = "never (default), soon: start no more once a job has failed, now: and stop\n"
             "those that run; soon,fail=N or now,success=N for another number"},
    {.name = "joblog",
     .type = OPTION_TEXT,
     .field = FIELD(joblog),
     .argument = "FILE",
     .help = "write a line for each job that has ended, in the columns of GNU parallel"},
    {.name = "resume",
     .type = OPTION_FLAG,
     .field = FIELD(resume),
     .help = "pass over jobs that the log has, and add to it"},
    {.name = "resume-failed",
     .type = OPTION_FLAG,
     .field = FIELD(resume_failed),
     .help = "the same, but run those that failed again"},
    {.name = "shell",
     .type = OPTION_FLAG,
     .field = FIELD(shell),
     .help = "give the command to /bin/sh, arguments quoted for it"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .field = FIELD(dry_run),
     .help = "print the commands and run none"},
    {.name = "progress",
     .type = OPTION_FLAG,
     .field = FIELD(progress),
     .help = "show how far it is, where standard error is a terminal"},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_FLAG,
     .field = FIELD(quiet),
     .help = "print no summary at the end"},
    /* Spellings of xargs and parallel for what is there, or is so in any case. */
    {.name = "max-replace-args",
     .letter = 'N',
     .hidden = true,
     .type = OPTION_NUMBER,
     .field = FIELD(args),
     .argument = "N",
     .min = 1,
     .max = ARGS_MAX},
    {.name = "no-run-if-empty",
     .letter = 'r',
     .hidden = true,
     .type = OPTION_FLAG,
     .field = FIELD(no_run_if_empty)},
    {.name = "lb", .hidden = true, .type = OPTION_FLAG, .field = FIELD(line_buffer)},
    {.name = "dryrun", .hidden = true, .type = OPTION_FLAG, .field = FIELD(dry_run)},
    {0},
};

/* ---- reading options ---- */

/* "2", "0.5". Returns nanoseconds, or -1. */
static int64_t read_seconds(const char *text)
{
    char *end;
    if (strspn(text, "0123456789.") != strlen(text) || !strpbrk(text, "0123456789"))
        return -1;
    double seconds = strtod(text, &end);
    return *end || !(seconds > 0) || seconds > 1e9 ? -1 : (int64_t)(seconds * 1e9);
}

/* One byte as it is, or by its escape. Returns -1 for anything else. */
static int read_delimiter(const char *text)
{
    static const char names[] = "ntr0\\", bytes[] = "\n\t\r\0\\";
    if (text[0] == '\\' && text[1] && !text[2]) {
        const char *name = strchr(names, text[1]);
        return name ? bytes[name - names] : -1;
    }
    return text[0] && !text[1] ? (unsigned char)text[0] : -1;
}

static bool read_count(const char *text, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    *ret = strtoull(text, NULL, 10);
    return digits && digits < 19 && !text[digits] && *ret;
}

static bool read_halt(const char *text, struct run_options *options)
{
    size_t len = strcspn(text, ",");
    options->halt_count = 1;
    if (strcmp(text, "never") == 0)
        return true;
    if (len != 4 && len != 3)
        return false;
    if (strncmp(text, "soon", len) == 0 && len == 4)
        options->halt = RUN_HALT_SOON;
    else if (strncmp(text, "now", len) == 0 && len == 3)
        options->halt = RUN_HALT_NOW;
    else
        return false;
    text += len;
    if (!*text)
        return true;
    options->halt_on_success = strncmp(text, ",success=", 9) == 0;
    if (!options->halt_on_success && strncmp(text, ",fail=", 6) != 0)
        return false;
    return read_count(strchr(text, '=') + 1, &options->halt_count);
}

static int read_options(const struct run_values *values, struct run_options *options)
{
    if (values->timeout && (options->timeout_ns = read_seconds(values->timeout)) < 0)
        return options_wrong(&run_command, "--timeout wants seconds, not \"%s\"", values->timeout);
    if (values->halt && !read_halt(values->halt, options))
        return options_wrong(&run_command,
                             "--halt wants never, soon, now, soon,fail=N or the like, not \"%s\"",
                             values->halt);
    if (values->delimiter && (values->null || read_delimiter(values->delimiter) < 0))
        return options_wrong(&run_command, "-d wants one character, not \"%s\"%s",
                             values->delimiter, values->null ? " and -0" : "");
    if (values->mark && !*values->mark)
        return options_wrong(&run_command, "-I wants a mark that is not empty");
    if ((values->resume || values->resume_failed) && !values->joblog)
        return options_wrong(&run_command, "--resume wants the log: --joblog FILE");
    bool at_once = values->line_buffer || values->ungroup;
    if (at_once && (values->keep_order || values->json || (values->line_buffer && values->ungroup)))
        return options_wrong(&run_command, "%s and %s exclude each other",
                             values->line_buffer ? "--line-buffer" : "--ungroup",
                             values->keep_order ? "--keep-order"
                             : values->json     ? "--json"
                                                : "--ungroup");
    return -1;
}

/* ---- the program ---- */

/* Whether it can be run: 0 or a -errno. */
static int look_at(const char *path)
{
    struct stat status;
    if (stat(path, &status))
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    return access(path, X_OK) ? -errno : 0;
}

static int look_for(const char *program)
{
    if (strchr(program, '/'))
        return look_at(program);
    const char *folders = getenv("PATH");
    int err = -ENOENT;
    if (!folders || !*folders)
        folders = "/bin:/usr/bin";
    for (;;) {
        char path[PATH_MAX];
        size_t len = strcspn(folders, ":");
        int wrote =
            snprintf(path, sizeof(path), "%.*s%s%s", (int)len, folders, len ? "/" : "./", program);
        int one = *program && wrote > 0 && wrote < (int)sizeof(path) ? look_at(path) : -ENOENT;
        if (one == 0)
            return 0;
        if (one == -EACCES)
            err = one;
        if (!folders[len])
            return err;
        folders += len + 1;
    }
}

static int check_program(const char *program)
{
    int err = program ? look_for(program) : 0;
    if (!err)
        return -1;
    return options_wrong(&run_command, "cannot run \"%s\": %s", program,
                         err == -ENOENT && !strchr(program, '/') ? "not found in PATH"
                                                                 : wf_strerror(err));
}

/* ---- the arguments ---- */

/* Returns -1, or the status to exit with. */
static int open_file(const struct run_values *values, struct source *source)
{
    bool standard = !values->file || strcmp(values->file, "-") == 0;
    const char *name = standard ? "standard input" : values->file;
    if (!values->file && isatty(STDIN_FILENO))
        return options_wrong(&run_command, "no arguments: give them after :::, in a file with -a, "
                                           "or on standard input");
    int fd = standard ? STDIN_FILENO : open(values->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat status;
    int err = fd < 0 || fstat(fd, &status) ? -errno : S_ISDIR(status.st_mode) ? -EISDIR : 0;
    if (err) {
        if (fd > STDERR_FILENO)
            close(fd);
        return options_wrong(&run_command, "cannot read %s: %s", name, wf_strerror(err));
    }
    char delimiter = values->delimiter ? (char)read_delimiter(values->delimiter)
                     : values->null    ? 0
                                       : '\n';
    source_open_fd(source, fd, delimiter);
    return -1;
}

static int open_source(const struct run_values *values, char **words, size_t count,
                       struct source *source)
{
    struct wf_error error = {0};
    if (!count)
        return open_file(values, source);
    if (values->file)
        return options_wrong(&run_command, "arguments come from -a or from :::, not from both");
    int err = source_open_lists(source, words, count, &error);
    if (err)
        return options_wrong(&run_command, "%s", error.text);
    if (source->list_count > 1 && values->args)
        return options_wrong(&run_command, "-n wants one list of arguments, not %zu",
                             source->list_count);
    return -1;
}

static void close_source(struct source *source)
{
    if (source->fd > STDERR_FILENO)
        close(source->fd);
    source_fini(source);
}

/* ---- running ---- */

/* Prints the commands, each so that a shell would take it. */
static int dry_run(struct run *run)
{
    struct words args = {0}, argv = {0}, text = {0};
    struct wf_error error = {0};
    int got;
    while ((got = source_take(run->source, run->options->args, &args, &error)) != SOURCE_END) {
        if (got == SOURCE_MORE && (got = source_fill(run->source, -1)) == 0)
            continue;
        if (got < 0)
            break;
        struct template_job job = {
            .args = words_argv(&args), .count = args.count, .number = ++run->taken, .slot = 1};
        words_clear(&argv);
        words_clear(&text);
        if (joblog_has(run->done, job.number))
            continue;
        if (job.args)
            template_expand(run->template, &job, &argv);
        if (job.args && words_argv(&argv))
            template_put_text(run->template, words_argv(&argv), &text);
        words_put(&text, "\n", 1);
        fwrite(text.bytes, 1, text.len, stdout);
    }
    words_fini(&args);
    words_fini(&argv);
    words_fini(&text);
    int err = fflush(stdout) || ferror(stdout) ? -EIO : 0;
    if (got < 0 || err)
        fprintf(stderr, "weft run: %s\n",
                err          ? "cannot write standard output"
                : error.code ? error.text
                             : wf_strerror(got));
    return got < 0 || err ? EXIT_FAILED : EXIT_DONE;
}

/* As many descriptors as the jobs need; theirs stay as they were. */
static void raise_limit(struct run_options *options, struct wf_rlimit *before)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->jobs * FDS_PER_JOB + FDS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    *before = (struct wf_rlimit){RLIMIT_NOFILE, limit.rlim_cur, limit.rlim_max};
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        options->child_limit = before;
}

static int run_jobs(struct run *run, struct run_options *options)
{
    struct wf_error error = {0};
    struct wf_rlimit limit;
    raise_limit(options, &limit);
    /* A reader that has gone is an error like others; programs get the default again. */
    signal(SIGPIPE, SIG_IGN);
    int status = wf_main(&(struct wf_main_options){.no_processes = true}, run_root, run, &error);
    if (status < 0) {
        fprintf(stderr, "weft run: %s\n", error.text);
        return EXIT_FAILED;
    }
    return status;
}

static int run_with_log(const struct run_values *values, struct run *run,
                        struct run_options *options)
{
    struct joblog_done done = {0};
    struct wf_error error = {0};
    bool resume = values->resume || values->resume_failed;
    int status, log_fd = -1;
    if (values->joblog && !(values->dry_run && !resume))
        log_fd = joblog_open(values->joblog, resume, values->resume_failed, &done, &error);
    run->done = &done;
    run->printer.log_fd = log_fd;
    if (error.code)
        status =
            options_wrong(&run_command, "cannot keep the log %s: %s", values->joblog, error.text);
    else
        status = values->dry_run ? dry_run(run) : run_jobs(run, options);
    if (log_fd >= 0)
        close(log_fd);
    joblog_done_fini(&done);
    return status;
}

static int run(int argc, char **argv)
{
    struct run_values values = {.tries = 1};
    int operands, status = options_parse(&run_command, argc, argv, &values, &operands);
    if (status >= 0)
        return status;
    char **words = argv + 1;
    size_t count = 0;
    while (count < (size_t)operands && !source_is_mark(words[count]))
        count++;
    struct run_options options = {
        .jobs = (int)values.jobs,
        .tries = (int)values.tries,
        .output = values.ungroup       ? RUN_UNGROUPED
                  : values.line_buffer ? RUN_LINES
                                       : RUN_GROUPED,
        .keep_order = values.keep_order,
        .json = values.json,
        .progress = values.progress,
        .quiet = values.quiet,
    };
    status = read_options(&values, &options);
    if (status >= 0)
        return status;
    struct source source = {.fd = -1};
    struct template *template = NULL;
    struct wf_error error = {0};
    status = open_source(&values, words + count, (size_t)operands - count, &source);
    if (status < 0) {
        options.args = values.args ? (size_t)values.args : source_args(&source);
        struct template_options how = {
            .mark = values.mark, .args = options.args, .shell = values.shell};
        if (template_create(words, count, &how, &template, &error))
            status = options_wrong(&run_command, "%s", error.text);
        else
            status = check_program(template_program(template));
    }
    struct run run = {.options = &options, .template = template, .source = &source};
    if (status < 0)
        status = run_with_log(&values, &run, &options);
    template_destroy(template);
    close_source(&source);
    return status;
}

const struct command run_command = {
    .name = "run",
    .summary = "run a program for each argument, several at a time",
    .operands = "COMMAND [WORD...] [::: ARG...]",
    .operands_min = 0,
    .operands_max = -1,
    .operands_end_options = true,
    .options = specs,
    .notes = "In COMMAND and its words {} stands for the argument, {.} without its extension,\n"
             "{/} its last component, {//} its directory, {/.} the last component without\n"
             "extension, {#} the number of the job, {%} of its slot, {2} the second argument of\n"
             "several. Without any of them the arguments go behind. A word stays one word: no\n"
             "shell sees it, unless --shell. Without ::: arguments are read from standard input.\n"
             "Exit status: how many jobs failed, 101 when more than 100 did; of the job that\n"
             "halted the rest, with --halt; 2 wrong usage, 130 interrupted, 255 another error.\n",
    .run = run,
};
