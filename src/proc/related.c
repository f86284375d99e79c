/* SPDX-License-Identifier: MIT */
/*
 * The helper, from its own side, and the first steps of the processes it forks.
 *
 * Life of a related process: forked by the helper; it asks to be killed when the helper goes, and
 * ends if that has happened meanwhile; its standard error becomes the pipe; every descriptor that
 * is not its own is closed; weft's state is made its own; signals do what they do by default;
 * limits are set; the entry function is called, and what it returns is the exit status. It never
 * returns into the caller's frames, and runs no handlers of exit.
 *
 * Why weft can be used in it, wholly. The helper was forked while the program had one thread, and
 * has one itself. So at both forks
 *  1. no lock of weft's is held, but the helper's own in wfi_helper_start, which the forked side
 *     releases: a lock is held for a stretch in which its thread forks nothing.
 *  2. there is no runtime, no thread pool with a thread, no offload thread: each of them would be a
 *     thread more. Their counts are those of a program that has not begun.
 *  3. of the thread records one is in use, the caller's. It starts anew (wfi_record_forked): no
 *     level of cancellation, no locals and no task of the program's hold here. Descriptors that
 *     records had made for waiting are closed with all others, and forgotten.
 *  4. task blocks, registries of tasks and codecs, names and counters are memory, and as true in
 *     the copy as they were.
 *  5. os/fork.h calls the process a foreign child, as every child of a fork; here that is undone.
 * What a program itself had open or locked is its own affair, as with any fork; as the first line
 * of main there is nothing yet.
 *
 * Descriptors 0 to 2 are the program's but for standard input, which is /dev/null: a program has
 * one reader of its terminal.
 *
 * The helper watches its socket, a pidfd of main, and the ends of its children. A number of a child
 * means that child until the helper reaps it, so it may signal by number. When main is gone,
 * however it went, all children are killed, and it ends. (The socket alone would not tell: a child
 * that the program forked may hold the other end.) When the helper is killed, the kernel kills the
 * children.
 * It has all signals blocked and a process group of its own: what is meant for the program ends the
 * program, and that ends the helper.
 */
#include "proc/related.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/main.h"
#include "os/exit.h"
#include "os/fork.h"
#include "os/poller.h"
#include "os/socket.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "sched/record.h"

enum {
    SETUP_FAILED = 126, /* as a shell's status for what cannot be run */
    KILL = 9,
};

struct child {
    struct wfi_link link;
    uint64_t id;
    int pid;
};

static struct {
    int sock, main_pidfd, ends, pid; /* main_pidfd may be -1 */
    struct wfi_poller *poller;
    struct wfi_list children;
} server;

static bool in_related;

bool wfi_in_related(void)
{
    return in_related;
}

static void become(const char *name)
{
    wfi_fork_child = false;
    in_related = true;
    wfi_alloc_unwatch(); /* a test of the parent's */
    wfi_record_forked(name);
    wfi_main_forked();
    wfi_thread_set_name(name);
}

static _Noreturn void setup_failed(const char *what, int err)
{
    fprintf(stderr, "weft: a process could not be set up: %s: %s\n", what, wf_strerror(err));
    wfi_exit_now(SETUP_FAILED);
}

static _Noreturn void run(const struct wfi_helper_request *request, const int *fds, size_t count)
{
    if (wfi_process_die_with(server.pid))
        wfi_exit_now(SETUP_FAILED); /* nobody is left to be told */
    wfi_process_take_descriptor(fds[0], 2);
    const void *blob = request->blob;
    size_t own = 1;
    if (request->blob_bytes > WFI_HELPER_BLOB_MAX) {
        blob = wfi_ancillary_map(fds[own++], request->blob_bytes);
        if (!blob)
            setup_failed("its arguments", -ENOMEM);
    }
    int keep[WFI_ANCILLARY_MAX];
    memcpy(keep, fds + own, (count - own) * sizeof *keep);
    wfi_process_close_descriptors(keep, count - own);
    become(request->name);
    wfi_process_default_signals();
    for (uint32_t i = 0; i < request->rlimit_count; i++) {
        int err = wfi_process_set_limit(&request->rlimits[i]);
        if (err)
            setup_failed("a limit", err);
    }
    wfi_process_exit(request->entry(blob, request->blob_bytes, fds + own, count - own));
}

static struct child *child_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct child, link);
}

/* Main is gone. */
static _Noreturn void end(void)
{
    struct wfi_link *link = wfi_list_first(&server.children);
    for (; link; link = wfi_list_next(&server.children, link))
        wfi_process_kill_child(child_of(link)->pid, KILL);
    wfi_exit_now(0);
}

static void tell(const struct wfi_helper_message *message, int pidfd)
{
    int err;
    while ((err = wfi_ancillary_send(server.sock, message, sizeof *message, &pidfd, pidfd >= 0)) ==
           -EAGAIN)
        if (wfi_wakefd_poll(server.main_pidfd, server.sock, POLLOUT, WF_FOREVER) == 0)
            end(); /* signals are blocked: nothing else ends that wait */
    if (err)
        end();
}

static void refuse(uint64_t id, int err)
{
    tell(&(struct wfi_helper_message){.kind = WFI_HELPER_REFUSED, .id = id, .status = err}, -1);
}

static void start(const struct wfi_helper_request *request, const int *fds, size_t count)
{
    struct child *child = wfi_zalloc(sizeof *child);
    int pid = child ? wfi_process_fork() : -ENOMEM;
    if (pid == 0) {
        wfi_free(child);
        run(request, fds, count);
    }
    if (pid < 0) {
        wfi_free(child);
        refuse(request->id, pid);
        return;
    }
    child->id = request->id;
    child->pid = pid;
    wfi_list_push_back(&server.children, &child->link);
    struct wfi_helper_message message = {.kind = WFI_HELPER_STARTED, .id = request->id, .pid = pid};
    int pidfd = wfi_process_open(pid);
    if (pidfd == -ENOSYS)
        message.status = -ENOSYS; /* with any other error main takes it for a lack of its own */
    tell(&message, pidfd);
    wfi_fd_close(pidfd);
}

static struct child *find(int pid, uint64_t id)
{
    struct wfi_link *link = wfi_list_first(&server.children);
    for (; link; link = wfi_list_next(&server.children, link))
        if (child_of(link)->pid == pid || child_of(link)->id == id)
            return child_of(link);
    return NULL;
}

static void reap(void)
{
    int pid, status;
    wfi_process_ends_take(server.ends);
    while (wfi_process_reap_any(&pid, &status) == 0) {
        struct child *child = find(pid, 0);
        if (!child)
            continue;
        struct wfi_helper_message message = {
            .kind = WFI_HELPER_ENDED, .id = child->id, .pid = pid, .status = status};
        wfi_list_remove(&child->link);
        wfi_free(child);
        tell(&message, -1);
    }
}

static void signal_one(uint64_t id, int signo)
{
    struct child *child = find(0, id);
    if (child)
        wfi_process_kill_child(child->pid, signo);
}

static void obey(void)
{
    union {
        uint32_t kind;
        struct wfi_helper_message message;
        struct wfi_helper_request request;
    } in;
    int fds[WFI_ANCILLARY_MAX];
    size_t count;
    ssize_t len = wfi_ancillary_receive(server.sock, &in, sizeof in, fds, &count);
    if (len == -EAGAIN)
        return;
    if (len <= 0)
        end();
    if (in.kind == WFI_HELPER_SIGNAL)
        signal_one(in.message.id, in.message.status);
    else if (count == 0)
        refuse(in.request.id, -EMFILE);
    else
        start(&in.request, fds, count);
    for (size_t i = 0; i < count; i++)
        wfi_fd_close(fds[i]);
}

void wfi_related_serve(int sock, int main_pidfd)
{
    wfi_process_leave_group();
    wfi_process_block_signals();
    server.sock = wfi_process_move_descriptor(sock);
    server.main_pidfd = main_pidfd < 0 ? -1 : wfi_process_move_descriptor(main_pidfd);
    server.pid = wfi_process_id();
    int keep[] = {server.sock, server.main_pidfd};
    if (server.sock < 0 || (server.main_pidfd < 0 && main_pidfd >= 0) || wfi_process_null_input())
        wfi_exit_now(SETUP_FAILED);
    wfi_process_close_descriptors(keep, 2);
    become("weft_helper");
    server.ends = wfi_process_ends_open();
    if (server.ends < 0 || wfi_poller_create(&server.poller, NULL) ||
        wfi_poller_watch(server.poller, server.sock, WFI_POLL_READ, &server.sock) ||
        wfi_poller_watch(server.poller, server.ends, WFI_POLL_READ, &server.ends) ||
        (main_pidfd >= 0 &&
         wfi_poller_watch(server.poller, server.main_pidfd, WFI_POLL_READ, &server.main_pidfd)))
        wfi_exit_now(SETUP_FAILED);
    tell(&(struct wfi_helper_message){.kind = WFI_HELPER_READY, .pid = server.pid}, -1);
    for (;;) {
        struct wfi_poll_event event;
        if (wfi_poller_wait(server.poller, &event, 1, WF_FOREVER) != 1)
            continue;
        if (event.tag == &server.main_pidfd)
            end();
        else if (event.tag == &server.sock)
            obey();
        else
            reap();
    }
}
