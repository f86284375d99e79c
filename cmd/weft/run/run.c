/* SPDX-License-Identifier: MIT */
#include "run/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <weft/child.h>
#include <weft/json.h>
#include <weft/main.h>
#include <weft/scope.h>
#include <weft/worker.h>

#include "commands.h"

enum {
    /* Results held back for the order: beyond it they go to the spill. */
    HELD_BYTES_MAX = 32 * 1024 * 1024,
    /* Jobs ahead of the one whose result is awaited: a held result takes about half a kilobyte. */
    AHEAD_MAX = 64 * 1024,
    /* Between SIGTERM and SIGKILL, as parallel's first wait. */
    GRACE_NS = 200 * 1000 * 1000,
    /* For output that a job's own children still hold open after its end. */
    DRAIN_NS = 1000 * 1000 * 1000,
    PROGRESS_NS = 200 * 1000 * 1000,
    /* What a pipe holds at most, unless the system has been told otherwise. */
    PIPE_BYTES_MAX = 1024 * 1024,
    /* A job whose forerunner wrote less will hardly fill a pipe, which is 64 KiB. */
    PIPE_BYTES_LITTLE = 16 * 1024,
    /* And if it does, it is held up for so long, once. */
    SHORT_NS = 5 * 1000 * 1000,
};

/* What parallel's log has for a job that took too long. */
#define TIMED_OUT_STATUS (-1)

enum { STATUS_NOT_RUN = 126, STATUS_NOT_FOUND = 127, STATUS_FAILED_MAX = 101, STATUS_BROKEN = 255 };

/* How a job's last try went. */
struct outcome {
    struct wf_exit end;
    int spawn_err; /* it could not be started */
    bool timed_out;
    bool cut_off; /* the run ended first */
    int tries;
    double start_s;
};

struct slot {
    struct run *run;
    unsigned number; /* from 1 */
    uint64_t job;
    uint64_t last_total; /* bytes that its last job wrote */
    struct words args, argv, text;
    struct result result;
    struct wf_json_writer *json;
};

struct drain {
    struct slot *slot;
    struct wf_stream *stream;
    struct capture *capture;
    bool is_err;
    bool ended; /* all has been read */
    int err;
    struct wf_error error;
};

WF_TASK(wf_none, run_slot, (struct run *, run), (unsigned, number))
WF_TASK(wf_none, run_drain, (struct drain *, drain))
WF_TASK(wf_none, run_watch, (struct run *, run))

/* Not by a cancelled wait: what is counted and printed has to be, whatever ends the run. */
static void lock_print(struct run *run)
{
    WF_SHIELD(WF_FOREVER) {
        if (wf_mutex_lock(&run->print_lock, WF_FOREVER))
            abort(); /* neither cancelled nor late: the lock was used wrongly */
    }
}

static void unlock_print(struct run *run)
{
    wf_mutex_unlock(&run->print_lock);
}

static void tell(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* With the print lock: the run ends, for a reason that is not a job's. */
static void fail(struct run *run, const struct wf_error *error)
{
    if (run->broken)
        return;
    run->broken = true;
    run->error = *error;
    tell(run->stop_reading_fd);
    wf_scope_cancel(run->scope);
}

static void out_of_memory(struct run *run)
{
    struct wf_error error;
    wf_error_set(&error, -ENOMEM, NULL);
    fail(run, &error);
}

/* ---- printing ---- */

struct print_call {
    struct printer *printer;
    const struct result *result; /* or */
    const char *data;
    size_t len;
    bool to_err;
    int err;
    struct wf_error error;
};

static void print_blocking(void *arg)
{
    struct print_call *call = arg;
    if (call->result)
        call->err = printer_print(call->printer, call->result, &call->error);
    else
        call->err = printer_write(call->printer, call->to_err, call->data, call->len, &call->error);
}

/* With the print lock. */
static void print(struct run *run, struct print_call call)
{
    if (run->broken)
        return; /* after what is missing nothing is printed or logged */
    call.printer = &run->printer;
    int err = wf_block(print_blocking, &call);
    if (err)
        call.err = wf_error_set(&call.error, err, "no thread to write with: %s", wf_strerror(err));
    if (call.err)
        fail(run, &call.error);
}

/* In the order's ring for a job that is not run. */
static struct result passed_over;

static void print_held(struct run *run, struct result *result)
{
    if (result == &passed_over)
        return;
    run->held_bytes -= result->out.size + result->err.size;
    print(run, (struct print_call){.result = result});
    result_fini(result, &run->spill);
    free(result);
}

/* With the print lock: prints what is next. */
static void print_in_order(struct run *run)
{
    struct result *result;
    while ((result = order_take(&run->order)))
        print_held(run, result);
    run->number_max = run->order.next + AHEAD_MAX;
    wf_condition_notify_all(&run->moved);
}

/* Takes what the slot's result holds, so that the slot can go on. */
static int hold(struct run *run, struct slot *slot, struct wf_error *reterr)
{
    struct result *held = malloc(sizeof(*held));
    if (!held)
        return wf_error_set(reterr, -ENOMEM, NULL);
    *held = slot->result;
    slot->result = (struct result){0};
    int err = 0;
    if (run->held_bytes + held->out.len + held->err.len > HELD_BYTES_MAX) {
        err = capture_spill(&held->out, &run->spill, reterr);
        if (!err)
            err = capture_spill(&held->err, &run->spill, reterr);
    }
    capture_trim(&held->out);
    capture_trim(&held->err);
    if (!err && order_put(&run->order, slot->job, held))
        err = wf_error_set(reterr, -ENOMEM, NULL);
    if (err) {
        result_fini(held, &run->spill);
        free(held);
        return err;
    }
    run->held_bytes += held->out.size + held->err.size;
    return 0;
}

/* With the print lock. */
static void print_result(struct run *run, struct slot *slot)
{
    if (run->options->keep_order && order_ahead(&run->order, slot->job) > 0) {
        struct wf_error error = {0};
        if (hold(run, slot, &error))
            fail(run, &error);
        return;
    }
    if (!result_is_empty(&slot->result))
        print(run, (struct print_call){.result = &slot->result});
    if (run->options->keep_order) {
        order_pass(&run->order);
        print_in_order(run);
    }
}

/* ---- reading what a job writes ---- */

/* Prints the whole lines; all there is when `all`, or when a line has no end. */
static void forward_lines(struct drain *drain, bool all)
{
    struct capture *capture = drain->capture;
    struct run *run = drain->slot->run;
    const char *end = capture->len ? memrchr(capture->buf, '\n', capture->len) : NULL;
    size_t len = end ? (size_t)(end + 1 - capture->buf) : 0;
    if (all || (!len && capture->len == CAPTURE_BUFFER_MAX))
        len = capture->len;
    if (!len)
        return;
    lock_print(run);
    print(run, (struct print_call){.data = capture->buf, .len = len, .to_err = drain->is_err});
    unlock_print(run);
    capture->len -= len;
    memmove(capture->buf, capture->buf + len, capture->len);
}

/* Until the end, an error (the child's end is what counts), or `max` bytes. */
static void read_all(struct drain *drain, uint64_t max, wf_deadline deadline)
{
    struct capture *capture = drain->capture;
    struct run *run = drain->slot->run;
    bool lines = run->options->output == RUN_LINES;
    while (max > 0) {
        char *room;
        size_t size;
        drain->err = capture_reserve(capture, &run->spill, &room, &size, &drain->error);
        if (drain->err)
            return;
        ssize_t count = wf_stream_read(drain->stream, room, size, deadline);
        drain->ended = count == 0;
        if (count <= 0)
            break;
        capture->len += (size_t)count;
        capture->total += (uint64_t)count;
        max -= (uint64_t)count < max ? (uint64_t)count : max;
        if (lines)
            forward_lines(drain, false);
    }
}

int run_drain(struct wf_task *self, struct drain *drain, wf_none *ret)
{
    (void)self;
    (void)ret;
    read_all(drain, UINT64_MAX, WF_FOREVER);
    return 0;
}
WF_TASK_DEFINE(run_drain)

/* ---- one try ---- */

/* By force, with all that it has started. */
static void end_child(struct wf_child *child, struct wf_exit *end)
{
    wf_child_stop(child, GRACE_NS, end);
}

static void wait_for_child(struct wf_child *child, wf_deadline deadline, struct outcome *outcome)
{
    int err = wf_child_wait(child, &outcome->end, deadline);
    outcome->timed_out = err == -ETIMEDOUT;
    outcome->cut_off = err == -ECANCELED;
    if (err)
        end_child(child, &outcome->end);
}

/* What is in the pipes after the child's end: the run's end may have come in between. */
static void read_rest(struct drain drains[2])
{
    WF_SHIELD(WF_FOREVER) {
        for (int i = 0; i < 2; i++)
            if (!drains[i].ended && !drains[i].err)
                read_all(&drains[i], PIPE_BYTES_MAX, WF_NOW);
    }
}

/* Waits while others read, and then for the others: not long, since the end of a pipe that is still
 * held open after the child's may never come. */
static void wait_and_read(struct wf_child *child, bool has_ended, wf_deadline deadline,
                          struct drain drains[2], struct outcome *outcome)
{
    struct wf_scope scope;
    wf_scope_open(&scope, NULL, WF_FOREVER);
    for (int i = 0; i < 2; i++)
        if (!drains[i].ended && !drains[i].err)
            run_drain_spawn(&scope, &drains[i]);
    if (!has_ended)
        wait_for_child(child, deadline, outcome);
    wf_scope_set_deadline(&scope, wf_after(DRAIN_NS));
    struct wf_error error;
    wf_scope_close(&scope, &error);
    if (!outcome->cut_off)
        read_rest(drains);
}

/*
 * Waits for the child, and for all it writes. Most are short and write what a pipe holds: so the
 * pipes are read after the end first, and fibers that read beside it are made where that is not so.
 */
static void follow(struct slot *slot, struct wf_child *child, struct outcome *outcome)
{
    struct run *run = slot->run;
    wf_deadline deadline =
        run->options->timeout_ns ? wf_after(run->options->timeout_ns) : WF_FOREVER;
    if (run->options->output == RUN_UNGROUPED) {
        wait_for_child(child, deadline, outcome);
        return;
    }
    struct drain drains[2] = {
        {.slot = slot, .stream = wf_child_out(child), .capture = &slot->result.out},
        {.slot = slot, .stream = wf_child_err(child), .capture = &slot->result.err, .is_err = true},
    };
    bool has_ended = false;
    if (run->options->output != RUN_LINES && slot->last_total < PIPE_BYTES_LITTLE) {
        has_ended =
            wf_child_wait(child, &outcome->end, wf_earlier(deadline, wf_after(SHORT_NS))) == 0;
        if (has_ended)
            read_rest(drains);
    }
    bool all_read = drains[0].ended && drains[1].ended;
    if (!all_read && !drains[0].err && !drains[1].err)
        wait_and_read(child, has_ended, deadline, drains, outcome);
    slot->last_total = slot->result.out.total + slot->result.err.total;
    for (int i = 0; i < 2; i++) {
        if (run->options->output == RUN_LINES && !drains[i].err)
            forward_lines(&drains[i], true);
        if (!drains[i].err)
            continue;
        lock_print(run);
        fail(run, &drains[i].error);
        unlock_print(run);
        outcome->cut_off = true;
    }
}

static double wall_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The system is short of something that other jobs give back at their end. Returns whether to try
 * again. */
static bool wait_for_another(struct run *run, int err)
{
    if (err != -EAGAIN && err != -EMFILE && err != -ENFILE && err != -ENOMEM)
        return false;
    lock_print(run);
    bool others = --run->running > 0;
    if (others)
        others = wf_condition_wait(&run->moved, WF_FOREVER) == 0;
    run->running++;
    unlock_print(run);
    return others;
}

static void try_once(struct slot *slot, struct outcome *outcome)
{
    const struct run_options *options = slot->run->options;
    struct wf_child *child;
    struct wf_error error;
    enum wf_stdio_kind kind = options->output == RUN_UNGROUPED ? WF_STDIO_INHERIT : WF_STDIO_PIPE;
    struct wf_child_options child_options = {
        .argv = (const char *const *)words_argv(&slot->argv),
        .in.kind = WF_STDIO_NULL,
        .out.kind = kind,
        .err.kind = kind,
        .rlimits = options->child_limit,
        .rlimit_count = options->child_limit ? 1 : 0,
    };
    int err;
    do {
        outcome->start_s = wall_clock_s();
        outcome->end = (struct wf_exit){0};
        err = wf_child_spawn(&child_options, &child, &error);
    } while (err && wait_for_another(slot->run, err));
    outcome->spawn_err = err;
    outcome->timed_out = outcome->cut_off = false;
    if (!err) {
        follow(slot, child, outcome);
        wf_child_close(child);
        return;
    }
    outcome->cut_off = err == -ECANCELED;
    outcome->end.status = err == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN;
    /* To be found where the job's own messages would be. */
    char *room;
    size_t size;
    struct capture *capture = &slot->result.err;
    if (capture_reserve(capture, &slot->run->spill, &room, &size, &error) == 0) {
        char text[512];
        int len = snprintf(text, sizeof(text), "weft run: job %llu: %s\n",
                           (unsigned long long)slot->job, error.text);
        size_t count = len > 0 && (size_t)len < size ? (size_t)len : 0;
        memcpy(room, text, count);
        capture->len += count;
        capture->total += count;
    }
}

static bool has_failed(const struct outcome *outcome)
{
    return outcome->spawn_err || outcome->timed_out || outcome->end.status || outcome->end.signal;
}

/* ---- a job ---- */

static void put_json_words(struct wf_json_writer *json, const char *key, struct words *words)
{
    wf_json_write_key(json, key);
    wf_json_write_array(json);
    char **argv = words_argv(words);
    for (size_t i = 0; argv && argv[i]; i++)
        wf_json_write_string(json, argv[i], strlen(argv[i]));
    wf_json_write_end(json);
}

static void put_json_seconds(struct wf_json_writer *json, const char *key, double seconds)
{
    wf_json_write_key(json, key);
    wf_json_write_double(json, seconds);
}

static void put_json_int(struct wf_json_writer *json, const char *key, int64_t number)
{
    wf_json_write_key(json, key);
    wf_json_write_int(json, number);
}

/* The object, without its last brace: the output comes behind. */
static void make_head(struct slot *slot, const struct outcome *outcome)
{
    struct wf_json_writer *json = slot->json;
    const struct wf_exit *end = &outcome->end;
    wf_json_writer_clear(json);
    wf_json_write_object(json);
    put_json_int(json, "job", (int64_t)slot->job);
    put_json_int(json, "slot", slot->number);
    put_json_words(json, "args", &slot->args);
    put_json_words(json, "argv", &slot->argv);
    put_json_int(json, "exit_status", end->status);
    put_json_int(json, "signal", end->signal);
    wf_json_write_key(json, "timed_out");
    wf_json_write_bool(json, outcome->timed_out);
    put_json_int(json, "tries", outcome->tries);
    put_json_seconds(json, "start", outcome->start_s);
    put_json_seconds(json, "seconds", (double)end->wall_ns / 1e9);
    put_json_seconds(json, "user_seconds", (double)end->user_ns / 1e9);
    put_json_seconds(json, "system_seconds", (double)end->system_ns / 1e9);
    put_json_int(json, "max_rss_bytes", (int64_t)end->max_rss_bytes);
    wf_json_write_end(json);
    const char *text;
    size_t len;
    if (wf_json_writer_text(json, &text, &len))
        slot->result.head.failed = true;
    else
        words_put(&slot->result.head, text, len - 1);
}

static void make_line(struct slot *slot, const struct outcome *outcome)
{
    words_clear(&slot->text);
    template_put_text(slot->run->template, words_argv(&slot->argv), &slot->text);
    words_end(&slot->text);
    char **text = words_argv(&slot->text);
    struct joblog_entry entry = {
        .number = slot->job,
        .start_s = outcome->start_s,
        .run_s = (double)outcome->end.wall_ns / 1e9,
        .bytes = slot->result.out.total,
        .exit_status = outcome->timed_out ? TIMED_OUT_STATUS : outcome->end.status,
        .signal = outcome->end.signal,
        .command = text ? text[0] : "",
    };
    joblog_put(&entry, &slot->result.line);
    slot->result.line.failed |= !text;
}

/* With the print lock: is it time to stop? */
static void look_for_halt(struct run *run, const struct outcome *outcome, bool failed)
{
    const struct run_options *options = run->options;
    uint64_t count = options->halt_on_success ? run->finished - run->failed : run->failed;
    if (options->halt == RUN_HALT_NEVER || run->halted || count < options->halt_count)
        return;
    run->halted = true;
    if (failed && options->halt_count == 1)
        run->halt_status = outcome->timed_out    ? STATUS_BROKEN
                           : outcome->end.signal ? 128 + outcome->end.signal
                                                 : outcome->end.status;
    else
        run->halt_status = failed ? -1 : 0;
    tell(run->stop_reading_fd);
    if (options->halt == RUN_HALT_NOW)
        wf_scope_cancel(run->scope);
}

static void end_job(struct slot *slot, const struct outcome *outcome)
{
    struct run *run = slot->run;
    bool failed = has_failed(outcome);
    if (!outcome->cut_off && run->options->json)
        make_head(slot, outcome);
    if (!outcome->cut_off && run->printer.log_fd >= 0)
        make_line(slot, outcome);
    lock_print(run);
    run->running--;
    if (outcome->cut_off) {
        run->killed++;
    } else {
        print_result(run, slot);
        run->finished++;
        run->failed += failed;
        look_for_halt(run, outcome, failed);
    }
    wf_condition_notify_all(&run->moved);
    unlock_print(run);
    result_clear(&slot->result, &run->spill);
}

/* Returns false when the run ends. */
static bool run_job(struct slot *slot)
{
    struct run *run = slot->run;
    struct outcome outcome = {0};
    struct template_job job = {.args = words_argv(&slot->args),
                               .count = slot->args.count,
                               .number = slot->job,
                               .slot = slot->number};
    words_clear(&slot->argv);
    if (job.args)
        template_expand(run->template, &job, &slot->argv);
    lock_print(run);
    if (!job.args || !words_argv(&slot->argv))
        out_of_memory(run);
    int err = run->broken ? run->error.code : 0;
    while (!err && slot->job > run->number_max)
        err = wf_condition_wait(&run->moved, WF_FOREVER);
    run->running += !err;
    unlock_print(run);
    if (err)
        return false;
    for (;;) {
        outcome.tries++;
        try_once(slot, &outcome);
        if (outcome.cut_off || outcome.tries >= run->options->tries || !has_failed(&outcome))
            break;
        capture_clear(&slot->result.out, &run->spill);
        capture_clear(&slot->result.err, &run->spill);
        lock_print(run);
        run->retried++;
        unlock_print(run);
    }
    end_job(slot, &outcome);
    return !outcome.cut_off;
}

/* ---- taking jobs ---- */

struct fill_call {
    struct run *run;
    int err;
};

static void fill_blocking(void *arg)
{
    struct fill_call *call = arg;
    call->err = source_fill(call->run->source, call->run->stop_reading_fd);
}

static int fill(struct run *run, struct wf_error *reterr)
{
    struct fill_call call = {run, 0};
    int err = wf_block(fill_blocking, &call);
    if (!err)
        err = call.err;
    if (err && err != -ECANCELED)
        wf_error_set(reterr, err, "cannot read the list of arguments: %s", wf_strerror(err));
    return err;
}

/* With the source lock. Returns an enum source_got or an error. */
static int take_job(struct slot *slot, struct wf_error *reterr)
{
    struct run *run = slot->run;
    for (;;) {
        if (run->source_ended)
            return SOURCE_END;
        int got = source_take(run->source, run->options->args, &slot->args, reterr);
        if (got == SOURCE_MORE) {
            int err = fill(run, reterr);
            if (err)
                return err;
            continue;
        }
        if (got != SOURCE_RECORD)
            return got;
        slot->job = ++run->taken;
        if (!joblog_has(run->done, slot->job))
            return got;
        if (run->options->keep_order) {
            lock_print(run);
            if (order_put(&run->order, slot->job, &passed_over) == 0)
                print_in_order(run);
            else
                out_of_memory(run);
            unlock_print(run);
        }
    }
}

static bool next_job(struct slot *slot)
{
    struct run *run = slot->run;
    struct wf_error error = {0};
    if (wf_mutex_lock(&run->source_lock, WF_FOREVER))
        return false;
    int got = take_job(slot, &error);
    run->source_ended = run->source_ended || got != SOURCE_RECORD;
    wf_mutex_unlock(&run->source_lock);
    lock_print(run);
    if (got < 0 && got != -ECANCELED) {
        /* What runs is let run: it was asked for before the list broke. */
        if (!run->error.code)
            run->error = error;
    }
    bool go_on = got == SOURCE_RECORD && !run->halted;
    unlock_print(run);
    return go_on;
}

int run_slot(struct wf_task *self, struct run *run, unsigned number, wf_none *ret)
{
    (void)ret;
    struct slot slot = {.run = run, .number = number};
    bool have_writer = run->options->json && wf_json_writer_create(NULL, &slot.json) == 0;
    if (!run->options->json || have_writer)
        while (!wf_checkpoint(self) && next_job(&slot) && run_job(&slot))
            continue;
    wf_json_writer_destroy(slot.json);
    result_fini(&slot.result, &run->spill);
    words_fini(&slot.args);
    words_fini(&slot.argv);
    words_fini(&slot.text);
    lock_print(run);
    if (run->options->json && !have_writer)
        out_of_memory(run);
    bool last = --run->slots_left == 0;
    unlock_print(run);
    if (last)
        wf_event_set(&run->over);
    return 0;
}
WF_TASK_DEFINE(run_slot)

/* ---- the run ---- */

static void show_progress(struct run *run)
{
    char total[32] = "";
    lock_print(run);
    if (run->source->lists) {
        uint64_t args = run->source->list_count > 1 ? 1 : run->options->args;
        snprintf(total, sizeof(total), "/%llu",
                 (unsigned long long)((run->source->total + args - 1) / args));
    }
    double seconds = (double)(wf_now() - run->start_ns) / 1e9;
    fprintf(stderr, "\r\033[K%llu%s done  %u running  %llu failed  %.0f/s",
            (unsigned long long)run->finished, total, run->running, (unsigned long long)run->failed,
            (double)run->finished / seconds);
    unlock_print(run);
}

/* Tells threads that block outside of weft that the run is to end; and people how far it is. */
int run_watch(struct wf_task *self, struct run *run, wf_none *ret)
{
    (void)self;
    (void)ret;
    int err;
    for (;;) {
        err = wf_event_wait(&run->over, run->printer.terminal ? wf_after(PROGRESS_NS) : WF_FOREVER);
        if (err != -ETIMEDOUT)
            break;
        show_progress(run);
    }
    if (err) {
        tell(run->stop_reading_fd);
        tell(run->stop_fd);
    }
    return 0;
}
WF_TASK_DEFINE(run_watch)

/* Jobs that ended before one that was cut off: they have been done, so they are told. */
static void print_rest(struct run *run)
{
    struct result *result;
    lock_print(run);
    while ((result = order_take_any(&run->order)))
        print_held(run, result);
    unlock_print(run);
}

static void summarise(const struct run *run)
{
    double seconds = (double)(wf_now() - run->start_ns) / 1e9;
    if (run->printer.terminal)
        fputs("\r\033[K", stderr);
    if (run->options->quiet)
        return;
    fprintf(stderr, "weft run: %llu job%s, %llu failed", (unsigned long long)run->finished,
            run->finished == 1 ? "" : "s", (unsigned long long)run->failed);
    if (run->retried)
        fprintf(stderr, ", %llu tried again", (unsigned long long)run->retried);
    if (run->killed)
        fprintf(stderr, ", %llu stopped", (unsigned long long)run->killed);
    if (run->done->count)
        fprintf(stderr, ", %llu done before", (unsigned long long)run->done->count);
    fprintf(stderr, ", %.3f seconds\n", seconds);
}

static int status_of(const struct run *run)
{
    if (run->error.code)
        return STATUS_BROKEN;
    if (run->halted && run->halt_status >= 0)
        return run->halt_status;
    return run->failed < STATUS_FAILED_MAX ? (int)run->failed : STATUS_FAILED_MAX;
}

static void run_slots(struct run *run)
{
    unsigned jobs =
        run->options->jobs ? (unsigned)run->options->jobs : wf_executor_workers(wf_main_executor());
    struct wf_scope scope;
    run->scope = wf_scope_open(&scope, NULL, WF_FOREVER);
    run->slots_left = jobs;
    run_watch_spawn(&scope, run);
    for (unsigned i = 1; i <= jobs; i++)
        run_slot_spawn(&scope, run, i);
    struct wf_error error = {0};
    int err = wf_scope_close(&scope, &error);
    if (err && err != -ECANCELED && !run->error.code)
        run->error = error;
}

int run_root(void *arg)
{
    struct run *run = arg;
    wf_mutex_init(&run->source_lock);
    wf_mutex_init(&run->print_lock);
    wf_condition_init(&run->moved, &run->print_lock);
    wf_event_init(&run->over);
    spill_init(&run->spill);
    run->stop_reading_fd = eventfd(0, EFD_CLOEXEC);
    run->stop_fd = eventfd(0, EFD_CLOEXEC);
    printer_init(&run->printer, &run->spill, run->printer.log_fd, run->stop_fd);
    run->printer.terminal = run->options->progress && isatty(STDERR_FILENO);
    run->number_max = run->options->keep_order ? AHEAD_MAX : UINT64_MAX;
    run->start_ns = wf_now();
    if (run->stop_reading_fd < 0 || run->stop_fd < 0)
        wf_error_set(&run->error, -errno, NULL);
    else
        run_slots(run);
    print_rest(run);
    summarise(run);
    if (run->error.code)
        fprintf(stderr, "weft run: %s\n", run->error.text);
    close(run->stop_reading_fd);
    close(run->stop_fd);
    order_fini(&run->order);
    spill_fini(&run->spill);
    return status_of(run);
}
