/* SPDX-License-Identifier: MIT */
/*
 * The helper as the program sees it: its start, and the listener, a thread that takes what the
 * helper says and what related processes write to their standard error.
 *
 * Two forks make the helper, so that it is no child of the program's: a loop of wait(2) in the
 * program never meets it. It says that it is there before wfi_helper_start returns. The listener
 * starts with the first related process, so a program that only might need one has one thread.
 *
 *  1. A request is under way from its sending until STARTED or REFUSED, or the helper's death; at
 *     most UNDER_WAY of them, which always fit into the socket: so sending never waits.
 *  2. Of a process that was started exactly one ENDED is told, by the helper, or here when the
 *     helper has died; `ended` is called once for it, by the listener, without locks.
 *  3. At ENDED the process has written all it ever will: its pipe is emptied before `ended` is
 *     called. A child of its own may still hold the pipe; then it is read on until that ends.
 *  4. A related has two holders, its owner and the listener, which lets go when the process has
 *     ended and its pipe too. The listener takes one event at a time, so none refers to one that
 *     it has just let go.
 *  5. The state of a related and the table of them are under `helper.lock`; its pipe and the tail
 *     are the listener's alone.
 *
 * The death of the helper is seen by the end of the socket. It kills the children, in the kernel;
 * those that changed their user and are spared by that are killed from here. That they have ended
 * is seen by their pidfds (where there are none, it is taken for granted). Whose child they are by
 * then depends on the system; where it is the program (it may be process 1 of a container) they are
 * reaped here, and so is the helper.
 */
#include "proc/helper.h"

#include <weft/processes.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "exec/main.h"
#include "os/exit.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/poller.h"
#include "os/sanitizer.h"
#include "os/socket.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "proc/forward.h"
#include "proc/module.h"
#include "proc/related.h"
#include "proc/shared.h"
#include "sched/record.h"

enum {
    UNDER_WAY = 8,             /* three KiB each, of a socket's two hundred */
    TAIL_BYTES = 2048,         /* kept of standard error */
    READ_BYTES = 16384,        /* at a time */
    LAST_READ_BYTES = 1 << 20, /* after the end: more than a pipe holds; others may write on */
    KILLED = 9,
};

enum phase { ASKED, RUNNING, ENDED, REFUSED };

/* What an event is about. */
enum source_kind { FROM_HELPER, HELPER_ENDED, STANDARD_ERROR, PROCESS_ENDED };
struct source {
    enum source_kind kind;
    struct wfi_related *related;
};

struct wfi_related {
    uint64_t id;
    void (*ended)(void *arg, int wait_status, const char *stderr_tail);
    void *arg;
    WFI_ATOMIC(uint32_t) holders;
    struct source stderr_source, pidfd_source;

    /* Under helper.lock until it is STARTED, then constant. */
    int pid, pidfd;
    bool no_pidfd; /* `pidfd` is a wake-up descriptor, set by the listener */
    int refusal;
    enum phase phase; /* under helper.lock */
    struct wfi_wait_list starter;

    /* The listener's. */
    int stderr_fd; /* -1: ended */
    size_t tail_len;
    bool tail_cut;
    char tail[TAIL_BYTES + 1];
};

enum life { UNBORN, ALIVE, DEAD };

static struct {
    struct wfi_lock lock;
    WFI_ATOMIC(uint32_t) life; /* enum life; written under the lock */
    int sock, pid, pidfd;
    struct wf_error refused; /* what wf_main met when it tried */
    bool listening;
    struct wfi_poller *poller; /* with the listener */
    struct wfi_map related;    /* by id: those that have not ended */
    uint64_t ids;
    int under_way;
    struct wfi_wait_list turns; /* who waits to send a request */
} helper;

static struct {
    struct wfi_lock lock;
    struct wfi_list list;
} watches;

static struct source from_helper = {FROM_HELPER, NULL}, helper_ended = {HELPER_ENDED, NULL};

static enum life life(void)
{
    return (enum life)wfi_load(&helper.life);
}

bool wfi_helper_alive(void)
{
    return life() == ALIVE;
}

int wfi_helper_pid(void)
{
    return life() == ALIVE ? helper.pid : -ESRCH;
}

/* Its start */

/* TSan has a thread of its own. */
enum { THREADS_MAX = WFI_TSAN ? 2 : 1 };

static int check_threads(struct wf_error *reterr)
{
    int threads = wfi_process_threads();
    if (threads < 0)
        return wf_error_set(reterr, threads, "the number of threads: %s", wf_strerror(threads));
    if (threads <= THREADS_MAX)
        return 0;
    bool other = helper.refused.code && helper.refused.code != WF_ESTATE;
    return wf_error_set(reterr, WF_ESTATE,
                        "the program has %d threads: processes are prepared while it has one, by "
                        "wf_processes_init as the first line of main, or by wf_main%s%s",
                        threads, other ? "; there: " : "", other ? helper.refused.text : "");
}

/* What is mapped here is at the same address in main, helper and all related processes. */
static int before_fork(struct wf_error *reterr)
{
    int err = check_threads(reterr);
    if (err)
        return err;
    wfi_module_mark();
    return wfi_arena_start(reterr);
}

/* The process between main and helper, which only passes on. */
static _Noreturn void pass_on(int sock, int main_pidfd)
{
    int pid = wfi_process_fork();
    if (pid == 0) {
        wfi_lock_unlock(&helper.lock);
        wfi_related_serve(sock, main_pidfd);
    }
    wfi_exit_now(pid < 0 ? -pid : 0);
}

/* Waits for the helper to say that it is there. */
static int await_ready(int sock)
{
    struct wfi_helper_message message;
    int fds[WFI_ANCILLARY_MAX];
    size_t count;
    ssize_t len;
    while ((len = wfi_ancillary_receive(sock, &message, sizeof message, fds, &count)) == -EAGAIN)
        wfi_wakefd_poll(-1, sock, POLLIN, WF_FOREVER);
    if (len < 0)
        return (int)len;
    return len == sizeof message && message.kind == WFI_HELPER_READY ? message.pid : -EPIPE;
}

/* Under the lock. */
static int fork_helper(struct wf_error *reterr)
{
    int ends[2], status = 0;
    int err = before_fork(reterr);
    if (err)
        return err;
    err = wfi_ancillary_pair(ends);
    if (err)
        return wf_error_set(reterr, err, "the helper process: %s", wf_strerror(err));
    int self = wfi_process_open(wfi_process_id());
    wfi_process_flush();
    int pid = self < 0 && self != -ENOSYS ? self : wfi_process_fork();
    if (pid == 0)
        pass_on(ends[1], self);
    wfi_fd_close(ends[1]);
    if (self >= 0)
        wfi_fd_close(self);
    if (pid < 0)
        err = pid;
    else if (wfi_process_join(pid, &status) == 0 && status)
        err = -(status >> 8); /* why the second fork failed */
    if (!err)
        err = await_ready(ends[0]);
    if (err > 0) {
        helper.pid = err;
        helper.pidfd = err = wfi_process_open(helper.pid);
    }
    if (err < 0 && err != -ENOSYS) {
        wfi_fd_close(ends[0]); /* its end, if it exists */
        return wf_error_set(reterr, err, "the helper process: %s", wf_strerror(err));
    }
    helper.sock = ends[0];
    wfi_store(&helper.life, ALIVE);
    return 0;
}

static int died(struct wf_error *reterr)
{
    return wf_error_set(reterr, WF_EBROKEN, "the helper process died");
}

int wfi_helper_start(struct wf_error *reterr)
{
    if (wfi_in_related())
        return wf_error_set(reterr, WF_ESTATE,
                            "a related process cannot make processes of its own");
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL);
    wfi_lock_lock(&helper.lock);
    int err = 0;
    if (life() == UNBORN)
        err = fork_helper(reterr);
    else if (life() == DEAD)
        err = died(reterr);
    wfi_lock_unlock(&helper.lock);
    return err;
}

/* A program that has threads already runs all the same; it is told when it wants a process. */
static int before_main_threads(struct wf_error *reterr)
{
    (void)reterr;
    if (life() == UNBORN && !wfi_in_related() && !wfi_forked()) {
        struct wf_error refused;
        if (wfi_helper_start(&refused))
            helper.refused = refused;
    }
    return 0;
}

int wf_processes_init(struct wf_error *reterr)
{
    return wfi_helper_start(reterr);
}

__attribute__((constructor)) static void hook(void)
{
    wfi_main_before_threads = before_main_threads;
}

/* Who wants to know of its death */

void wfi_helper_watch(struct wfi_helper_watch *watch)
{
    wfi_lock_lock(&watches.lock);
    bool dead = life() == DEAD;
    if (!dead)
        wfi_list_push_back(&watches.list, &watch->link);
    wfi_lock_unlock(&watches.lock);
    if (dead)
        watch->died(watch->arg);
}

void wfi_helper_unwatch(struct wfi_helper_watch *watch)
{
    wfi_lock_lock(&watches.lock);
    wfi_list_remove(&watch->link);
    wfi_lock_unlock(&watches.lock);
}

static void tell_watches(void)
{
    wfi_lock_lock(&watches.lock);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&watches.list));) {
        struct wfi_helper_watch *watch = wfi_container_of(link, struct wfi_helper_watch, link);
        watch->died(watch->arg);
    }
    wfi_lock_unlock(&watches.lock);
}

/* A related process, from the listener's side */

static void let_go(struct wfi_related *related)
{
    if (wfi_fetch_sub(&related->holders, 1u) != 1)
        return;
    if (related->pidfd >= 0)
        wfi_fd_close(related->pidfd);
    wfi_free(related);
}

static void keep_tail(struct wfi_related *related, const char *bytes, size_t len)
{
    if (len > TAIL_BYTES) {
        bytes += len - TAIL_BYTES;
        len = TAIL_BYTES;
        related->tail_cut = true;
    }
    size_t over = related->tail_len + len > TAIL_BYTES ? related->tail_len + len - TAIL_BYTES : 0;
    related->tail_cut |= over > 0;
    memmove(related->tail, related->tail + over, related->tail_len - over);
    memcpy(related->tail + related->tail_len - over, bytes, len);
    related->tail_len += len - over;
    related->tail[related->tail_len] = '\0';
}

/* From its first whole line on, if it has one that is not the last; without the last newline. */
static const char *tail_text(struct wfi_related *related)
{
    char *text = related->tail;
    while (related->tail_len && text[related->tail_len - 1] == '\n')
        text[--related->tail_len] = '\0';
    char *line = related->tail_cut ? memchr(text, '\n', related->tail_len) : NULL;
    return line ? line + 1 : text;
}

static void close_stderr(struct wfi_related *related)
{
    wfi_poller_remove(helper.poller, related->stderr_fd);
    wfi_fd_close(related->stderr_fd);
    related->stderr_fd = -1;
}

/* Reads once; false when there was nothing. */
static bool read_stderr(struct wfi_related *related)
{
    char bytes[READ_BYTES];
    ssize_t got = wfi_fd_read(related->stderr_fd, bytes, sizeof bytes);
    if (got > 0) {
        keep_tail(related, bytes, (size_t)got);
        wfi_forward_write(bytes, (size_t)got);
        return true;
    }
    if (got != -EAGAIN)
        close_stderr(related);
    return false;
}

static void watch_stderr(struct wfi_related *related)
{
    uint32_t interest = wfi_forward_full() ? 0 : WFI_POLL_READ;
    if (related->stderr_fd >= 0)
        wfi_poller_watch(helper.poller, related->stderr_fd, interest, &related->stderr_source);
}

static void process_ended(struct wfi_related *related, int wait_status)
{
    for (size_t n = 0; n < LAST_READ_BYTES && related->stderr_fd >= 0 && read_stderr(related);)
        n += READ_BYTES;
    wfi_lock_lock(&helper.lock);
    related->phase = ENDED;
    wfi_map_remove_u64(&helper.related, related->id);
    wfi_lock_unlock(&helper.lock);
    if (related->no_pidfd)
        wfi_wakefd_set(related->pidfd);
    wfi_shared_process_ended(related->pid);
    void (*ended)(void *, int, const char *) = related->ended;
    void *arg = related->arg;
    char tail[TAIL_BYTES + 1];
    snprintf(tail, sizeof tail, "%s", tail_text(related));
    related->tail_len = 0; /* what others still write is only passed on */
    /* First, so that an owner who is told and releases it has closed its descriptors then. */
    if (related->stderr_fd < 0)
        let_go(related);
    if (ended)
        ended(arg, wait_status, tail);
}

static void take_stderr(struct wfi_related *related)
{
    read_stderr(related);
    if (related->stderr_fd >= 0)
        return;
    wfi_lock_lock(&helper.lock);
    bool ended = related->phase == ENDED;
    wfi_lock_unlock(&helper.lock);
    if (ended)
        let_go(related);
}

/* What the helper says */

static struct wfi_related *find(uint64_t id)
{
    wfi_lock_lock(&helper.lock);
    struct wfi_related *related = wfi_map_find_u64(&helper.related, id);
    wfi_lock_unlock(&helper.lock);
    return related;
}

/* The answer to a request: lets its party go on, and the next one send. */
static void answer(struct wfi_related *related, enum phase phase, int pid, int pidfd, int refusal)
{
    struct wfi_wake_list wake = {0};
    wfi_lock_lock(&helper.lock);
    related->phase = phase;
    related->pid = pid;
    related->pidfd = pidfd;
    related->refusal = refusal;
    if (phase == REFUSED)
        wfi_map_remove_u64(&helper.related, related->id);
    struct wfi_wait_node *starter = wfi_wait_claim_first(&related->starter);
    if (starter)
        wfi_wake_list_add(&wake, starter);
    helper.under_way--;
    struct wfi_wait_node *next = wfi_wait_claim_first(&helper.turns);
    if (next)
        wfi_wake_list_add(&wake, next);
    wfi_lock_unlock(&helper.lock);
    wfi_wake_all(&wake);
}

static void refused(struct wfi_related *related, int err)
{
    wfi_fd_close(related->stderr_fd);
    related->stderr_fd = -1;
    answer(related, REFUSED, 0, -1, err);
    let_go(related);
}

static int send_through_helper(uint64_t id, int signo)
{
    struct wfi_helper_message message = {.kind = WFI_HELPER_SIGNAL, .id = id, .status = signo};
    return wfi_ancillary_send(helper.sock, &message, sizeof message, NULL, 0);
}

static void started(struct wfi_related *related, const struct wfi_helper_message *message,
                    const int *fds, size_t count)
{
    related->no_pidfd = message->status == -ENOSYS;
    int pidfd = related->no_pidfd ? wfi_wakefd_open() : count ? fds[0] : -EMFILE;
    if (pidfd < 0) { /* this process has no descriptor left */
        send_through_helper(related->id, KILLED);
        refused(related, pidfd);
        return;
    }
    related->pidfd_source = (struct source){PROCESS_ENDED, related};
    related->stderr_source = (struct source){STANDARD_ERROR, related};
    watch_stderr(related);
    answer(related, RUNNING, message->pid, pidfd, 0);
}

/* Some process in this phase, with a pidfd or without. */
static struct wfi_related *any(enum phase phase, bool no_pidfd)
{
    size_t cursor = 0;
    wfi_lock_lock(&helper.lock);
    struct wfi_related *related;
    while ((related = wfi_map_next(&helper.related, &cursor)))
        if (related->phase == phase && related->no_pidfd == no_pidfd)
            break;
    wfi_lock_unlock(&helper.lock);
    return related;
}

/* The helper is gone. */
static void helper_died(void)
{
    wfi_poller_remove(helper.poller, helper.sock);
    wfi_lock_lock(&helper.lock);
    wfi_store(&helper.life, DEAD);
    wfi_fd_close(helper.sock);
    helper.sock = -1;
    wfi_lock_unlock(&helper.lock);
    if (helper.pidfd >= 0)
        wfi_poller_watch(helper.poller, helper.pidfd, WFI_POLL_READ, &helper_ended);
    tell_watches();
    struct wfi_related *related;
    while ((related = any(ASKED, false)))
        refused(related, WF_EBROKEN);
    while ((related = any(RUNNING, true)))
        process_ended(related, KILLED);
    wfi_lock_lock(&helper.lock);
    for (size_t cursor = 0; (related = wfi_map_next(&helper.related, &cursor));) {
        wfi_process_signal(related->pidfd, KILLED);
        wfi_poller_watch(helper.poller, related->pidfd, WFI_POLL_READ, &related->pidfd_source);
    }
    wfi_lock_unlock(&helper.lock);
}

static void listen_to_helper(void)
{
    struct wfi_helper_message message;
    int fds[WFI_ANCILLARY_MAX];
    size_t count;
    ssize_t len = wfi_ancillary_receive(helper.sock, &message, sizeof message, fds, &count);
    if (len == -EAGAIN)
        return;
    if (len != sizeof message) {
        helper_died();
        return;
    }
    struct wfi_related *related = find(message.id);
    if (message.kind == WFI_HELPER_STARTED && related)
        started(related, &message, fds, count);
    else if (message.kind == WFI_HELPER_REFUSED && related)
        refused(related, message.status);
    else if (message.kind == WFI_HELPER_ENDED && related)
        process_ended(related, message.status);
}

/* Without the helper: the process has ended, and its status may be ours to take. */
static void ended_unheard(struct wfi_related *related)
{
    int status = KILLED;
    int err = wfi_process_reap(related->pidfd, &status);
    if (err == -EAGAIN)
        return;
    wfi_poller_remove(helper.poller, related->pidfd);
    process_ended(related, err ? KILLED : status);
}

static void wake_listener(void)
{
    wfi_poller_wake(helper.poller);
}

/* All of them, when the room to forward to has changed. */
static void watch_all_stderr(void)
{
    wfi_lock_lock(&helper.lock);
    size_t cursor = 0;
    for (struct wfi_related *r; (r = wfi_map_next(&helper.related, &cursor));)
        if (r->phase == RUNNING)
            watch_stderr(r);
    wfi_lock_unlock(&helper.lock);
}

static void *hear(void *arg)
{
    bool full = false;
    wfi_record_adopt(arg, "weft_helper");
    for (;;) {
        struct wfi_poll_event event;
        int count = wfi_poller_wait(helper.poller, &event, 1, WF_FOREVER);
        if (wfi_forward_full() != full) {
            full = !full;
            watch_all_stderr();
        }
        if (count != 1)
            continue;
        struct source *source = event.tag;
        int status;
        switch (source->kind) {
        case FROM_HELPER:
            listen_to_helper();
            break;
        case HELPER_ENDED:
            wfi_process_reap(helper.pidfd, &status);
            wfi_poller_remove(helper.poller, helper.pidfd);
            wfi_fd_close(helper.pidfd);
            break;
        case STANDARD_ERROR:
            take_stderr(source->related);
            break;
        case PROCESS_ENDED:
            ended_unheard(source->related);
            break;
        }
    }
    return NULL;
}

/* Under the lock. */
static int start_listener(void)
{
    if (helper.listening)
        return 0;
    struct wfi_record *record = wfi_record_take();
    struct wfi_thread thread;
    int err = record ? wfi_poller_create(&helper.poller, NULL) : -ENOMEM;
    if (!err) {
        wfi_forward_on_room(wake_listener);
        err = wfi_poller_watch(helper.poller, helper.sock, WFI_POLL_READ, &from_helper);
        if (!err)
            err = wfi_thread_start(&thread, "weft_helper", 256 * 1024, hear, record);
        if (err)
            wfi_poller_destroy(helper.poller);
    }
    if (err) {
        if (record)
            wfi_record_give(record);
        return err;
    }
    wfi_thread_detach(&thread);
    helper.listening = true;
    return 0;
}

/* A related process, from its owner's side */

/* Sends the request and waits for the answer, which is in related->phase. */
static int ask(struct wfi_related *related, const struct wfi_helper_request *request, size_t len,
               const int *fds, size_t fd_count)
{
    struct wfi_wait_node node = {0};
    wfi_lock_lock(&helper.lock);
    int err = start_listener();
    while (!err && life() == ALIVE && helper.under_way == UNDER_WAY) {
        wfi_wait_uncancelable(&helper.turns, &helper.lock, &node, "helper", &helper, WF_FOREVER);
        wfi_lock_lock(&helper.lock);
    }
    if (!err && life() != ALIVE)
        err = WF_EBROKEN;
    if (!err)
        err = wfi_map_put_u64(&helper.related, related->id, related);
    if (!err) {
        err = wfi_ancillary_send(helper.sock, request, len, fds, fd_count);
        if (err)
            wfi_map_remove_u64(&helper.related, related->id);
    }
    if (err) {
        /* It may have been this party's turn: the next looks again. */
        struct wfi_wait_node *next = wfi_wait_claim_first(&helper.turns);
        wfi_lock_unlock(&helper.lock);
        if (next)
            wfi_wake(next->waiter);
        return err == -EPIPE || err == -ECONNRESET ? WF_EBROKEN : err;
    }
    helper.under_way++;
    return wfi_wait_uncancelable(&related->starter, &helper.lock, &node, "process start", related,
                                 WF_FOREVER);
}

static int check(const struct wfi_related_options *options, struct wf_error *reterr)
{
    if (options->fd_count > WFI_RELATED_FDS_MAX)
        return wf_error_set(reterr, -EINVAL, "more than %d descriptors for a process",
                            WFI_RELATED_FDS_MAX);
    if (options->rlimit_count > WFI_RELATED_RLIMITS_MAX)
        return wf_error_set(reterr, -EINVAL, "more than %d limits for a process",
                            WFI_RELATED_RLIMITS_MAX);
    for (size_t i = 0; i < options->rlimit_count; i++) {
        int err = wfi_process_check_limit(&options->rlimits[i]);
        if (err)
            return wf_error_set(reterr, err, "limit %d of a process: %s",
                                options->rlimits[i].resource, wf_strerror(err));
    }
    return 0;
}

static size_t fill(struct wfi_helper_request *request, const struct wfi_related_options *options)
{
    bool inside = options->blob_bytes <= WFI_HELPER_BLOB_MAX;
    memset(request, 0, offsetof(struct wfi_helper_request, blob));
    request->kind = WFI_HELPER_START;
    request->entry = options->entry;
    request->blob_bytes = options->blob_bytes;
    request->rlimit_count = (uint32_t)options->rlimit_count;
    wfi_thread_cut_name(request->name, options->name ? options->name : "weft_related");
    if (options->rlimit_count)
        memcpy(request->rlimits, options->rlimits,
               options->rlimit_count * sizeof *options->rlimits);
    /* What the family shares is mapped anyway; the limit is for the process's own. */
    for (size_t i = 0; i < options->rlimit_count; i++)
        wfi_process_raise_address_limit(&request->rlimits[i], wfi_arena_reserved());
    if (inside && options->blob_bytes)
        memcpy(request->blob, options->blob, options->blob_bytes);
    return offsetof(struct wfi_helper_request, blob) + (inside ? options->blob_bytes : 0);
}

int wfi_related_start(const struct wfi_related_options *options, struct wfi_related **ret,
                      struct wf_error *reterr)
{
    int err = wfi_helper_start(reterr);
    if (!err)
        err = check(options, reterr);
    if (err)
        return err;
    int fds[WFI_ANCILLARY_MAX], pipe_ends[2] = {-1, -1}, memory = -1;
    size_t fd_count = 0;
    struct wfi_helper_request request;
    size_t len = fill(&request, options);
    struct wfi_related *related = wfi_zalloc(sizeof *related);
    if (!related)
        return wf_error_set(reterr, -ENOMEM, NULL);
    related->ended = options->ended;
    related->arg = options->arg;
    related->pidfd = -1;
    related->stderr_fd = -1;
    wfi_store_relaxed(&related->holders, 2u); /* published by the lock */
    err = wfi_process_pipe(pipe_ends);
    if (!err && options->blob_bytes > WFI_HELPER_BLOB_MAX) {
        memory = wfi_ancillary_memory(options->blob, options->blob_bytes);
        err = memory < 0 ? memory : 0;
    }
    if (err)
        goto failed;
    fds[fd_count++] = pipe_ends[1];
    if (memory >= 0)
        fds[fd_count++] = memory;
    for (size_t i = 0; i < options->fd_count; i++)
        fds[fd_count++] = options->fds[i];
    related->stderr_fd = pipe_ends[0];
    wfi_lock_lock(&helper.lock);
    request.id = related->id = ++helper.ids;
    wfi_lock_unlock(&helper.lock);
    err = ask(related, &request, len, fds, fd_count);
    wfi_fd_close(pipe_ends[1]);
    if (memory >= 0)
        wfi_fd_close(memory);
    if (err) {
        pipe_ends[1] = memory = -1;
        goto failed;
    }
    /* The wait ended under the lock that the phase was written under. */
    if (related->refusal) {
        err = related->refusal;
        let_go(related);
        return err == WF_EBROKEN
                   ? died(reterr)
                   : wf_error_set(reterr, err, "a process cannot be started: %s", wf_strerror(err));
    }
    *ret = related;
    return 0;
failed:
    wfi_fd_close(pipe_ends[0]);
    wfi_fd_close(pipe_ends[1]);
    wfi_fd_close(memory);
    wfi_free(related);
    if (err == WF_EBROKEN)
        return died(reterr);
    return wf_error_set(reterr, err, "a process cannot be started: %s", wf_strerror(err));
}

int wfi_related_pid(const struct wfi_related *related)
{
    return related->pid;
}

int wfi_related_pidfd(const struct wfi_related *related)
{
    return related->pidfd;
}

int wfi_related_signal(struct wfi_related *related, int signo)
{
    if (!related->no_pidfd)
        return wfi_process_signal(related->pidfd, signo);
    wfi_lock_lock(&helper.lock);
    int err = -ESRCH;
    if (related->phase == RUNNING && life() == ALIVE)
        err = send_through_helper(related->id, signo);
    wfi_lock_unlock(&helper.lock);
    return err;
}

void wfi_related_release(struct wfi_related *related)
{
    if (related)
        let_go(related);
}
