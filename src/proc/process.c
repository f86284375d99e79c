/* SPDX-License-Identifier: MIT */
/*
 * Named processes. One lock guards every process's state and those who wait for it, so a party can
 * wait for several at once; states change a few hundred times a second at most.
 *
 * A process has two holders: its owner, and, from start until it was told that the end has come,
 * the listener. The state goes MADE, STARTING, RUNNING, OVER; from STARTING back to MADE when the
 * system gives no process. The end may be told before the call that started it has returned: then
 * STARTING goes to OVER, and that call only adds what it learned.
 *
 * In the child the task runs through an inline executor, as anywhere else; of its type it uses a
 * copy that drops nothing, because the arguments are the buffer's, and the process ends anyway.
 */
#include <weft/process.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/executor.h>
#include <weft/future.h>
#include <weft/inline.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/list.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/process.h"
#include "proc/codec.h"
#include "proc/forward.h"
#include "proc/helper.h"
#include "proc/module.h"
#include "sched/park.h"

enum { TERMINATE = 15, KILL = 9, NAME_BYTES = 64, TAIL_BYTES = 256 };
#define SETTLE_NS WF_MILLISECONDS(100)

enum state { MADE, STARTING, RUNNING, OVER };

/* What travels: this; for a task of a module that was loaded late the module's path and the task's
 * name, each with its NUL, padded to the codec's alignment; the arguments. */
struct letter {
    char process[NAME_BYTES];
    const struct wf_task_type *type; /* at the same address there; NULL: by name */
    uint64_t path_bytes, name_bytes;
    unsigned char module_id[WFI_MODULE_ID_BYTES];
};

struct wf_process {
    char name[NAME_BYTES];
    char task[NAME_BYTES];
    void *blob; /* a letter and what follows */
    size_t blob_bytes;
    WFI_ATOMIC(uint32_t) holders;

    /* Under the lock. */
    enum state state;
    struct wfi_related *related; /* from RUNNING on */
    int pid;
    int wait_status;
    char tail[TAIL_BYTES]; /* of its standard error */
    struct wfi_wait_list waits;
    struct wfi_link link; /* in `alive` */
};

static struct wfi_lock lock;
static struct wfi_list alive;         /* under the lock */
static WFI_ATOMIC(unsigned) numbered; /* default names so far */
static char own_name[NAME_BYTES];     /* in a child: written before its task runs */

static size_t padded(size_t bytes)
{
    return (bytes + WFI_CODEC_ALIGN - 1) / WFI_CODEC_ALIGN * WFI_CODEC_ALIGN;
}

/* The child's side */

static int run_task(const struct wf_task_type *type, void *args, struct wf_error *reterr)
{
    static struct wf_task_type own;
    struct wf_executor *on;
    own = *type;
    own.drop_args = own.drop_result = NULL;
    int err = wf_inline_create(&on, reterr);
    if (!err) {
        struct wf_future *f = wf_submit(on, &own, NULL, args);
        void *result = wfi_zalloc(type->result_bytes);
        err = wf_future_result(&f, result, WF_FOREVER, reterr);
        wfi_free(result);
        wf_executor_destroy(on);
    }
    return err ? 1 : 0;
}

static int run(const void *blob, size_t blob_bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    const struct letter *letter = blob;
    const char *path = (const char *)(letter + 1);
    size_t front = sizeof *letter + padded(letter->path_bytes + letter->name_bytes);
    char *encoded = (char *)(uintptr_t)blob + front;
    struct wf_error error = {0};
    void *args = NULL;
    int status = 1;
    snprintf(own_name, sizeof own_name, "%s", letter->process);
    const struct wf_task_type *type = letter->type;
    if (!type)
        type = wfi_module_task(path, letter->module_id, path + letter->path_bytes, &error);
    if (type) {
        args = wfi_zalloc_aligned(type->align < 64 ? 64 : type->align, type->args_bytes + 1);
        if (!args)
            wf_error_set(&error, -ENOMEM, NULL);
        else if (wfi_codec_decode_args(type, encoded, blob_bytes - front, args, &error) >= 0)
            status = run_task(type, args, &error);
    }
    if (status)
        fprintf(stderr, "weft: process %s failed: %s\n", own_name, error.text);
    wfi_free(args);
    return status;
}

/* The program's side */

static void let_go(struct wf_process *process)
{
    if (wfi_fetch_sub(&process->holders, 1u) != 1)
        return;
    wfi_related_release(process->related);
    wfi_free(process->blob);
    wfi_free(process);
}

/* Writes the letter. */
static int pack(struct wf_process *process, const struct wf_task_type *type, const void *args,
                struct wf_error *reterr)
{
    struct letter head = {.type = type};
    struct wfi_module module;
    size_t room = 256;
    memcpy(head.process, process->name, sizeof head.process);
    if (wfi_module_is_late(type, &module)) {
        head.type = NULL;
        head.path_bytes = strlen(module.path) + 1;
        head.name_bytes = strlen(type->name) + 1;
        memcpy(head.module_id, module.id, sizeof head.module_id);
    }
    size_t front = sizeof head + padded(head.path_bytes + head.name_bytes);
    for (;;) {
        char *letter = wfi_zalloc_aligned(64, front + room);
        if (!letter)
            return wf_error_set(reterr, -ENOMEM, NULL);
        ssize_t len = wfi_codec_encode_args(type, args, letter + front, room, reterr);
        if (len < 0 || (size_t)len > room) {
            wfi_free(letter);
            if (len < 0)
                return (int)len;
            room = (size_t)len;
            continue;
        }
        memcpy(letter, &head, sizeof head);
        if (!head.type) {
            memcpy(letter + sizeof head, module.path, head.path_bytes);
            memcpy(letter + sizeof head + head.path_bytes, type->name, head.name_bytes);
        }
        process->blob = letter;
        process->blob_bytes = front + (size_t)len;
        return 0;
    }
}

static void set_name(struct wf_process *process, const struct wf_process_options *options)
{
    if (options && options->name && options->name[0])
        snprintf(process->name, sizeof process->name, "%s", options->name);
    else
        snprintf(process->name, sizeof process->name, "Process-%u (%.40s)",
                 wfi_fetch_add(&numbered, 1) + 1, process->task);
}

static int create(const struct wf_process_options *options, const struct wf_task_type *type,
                  const void *args, struct wf_process **ret, struct wf_error *reterr)
{
    if (!type->call)
        return wf_error_set(reterr, -EINVAL, "task %s is defined elsewhere", type->name);
    int err = wfi_codec_check_args(type, reterr);
    if (err)
        return err;
    struct wf_process *process = wfi_zalloc(sizeof *process);
    if (!process)
        return wf_error_set(reterr, -ENOMEM, NULL);
    snprintf(process->task, sizeof process->task, "%.*s", (int)sizeof process->task - 16,
             type->name);
    set_name(process, options);
    wfi_store_relaxed(&process->holders, 1u); /* nobody else knows it yet */
    err = pack(process, type, args, reterr);
    if (err)
        wfi_free(process);
    else
        *ret = process;
    return err;
}

int wf_process_create(const struct wf_process_options *options, const struct wf_task_type *type,
                      const void *args, struct wf_process **ret_process, struct wf_error *reterr)
{
    int err = create(options, type, args, ret_process, reterr);
    if (type->drop_args)
        type->drop_args((void *)(uintptr_t)args);
    return err;
}

/* Under the lock: nobody needs to wait any more. */
static void wake_waiters(struct wf_process *process, struct wfi_wake_list *wake)
{
    wfi_wake_list_claim_all(wake, &process->waits);
}

static void ended(void *arg, int wait_status, const char *stderr_tail)
{
    struct wf_process *process = arg;
    struct wfi_wake_list wake = {0};
    size_t len = strlen(stderr_tail), skip = len >= TAIL_BYTES ? len - TAIL_BYTES + 1 : 0;
    const char *line = skip ? strchr(stderr_tail + skip, '\n') : NULL;
    wfi_lock_lock(&lock);
    snprintf(process->tail, sizeof process->tail, "%s", line ? line + 1 : stderr_tail + skip);
    process->wait_status = wait_status;
    process->state = OVER;
    wfi_list_remove(&process->link);
    wake_waiters(process, &wake);
    wfi_lock_unlock(&lock);
    wfi_wake_all(&wake);
    let_go(process);
}

int wf_process_start(struct wf_process *process, struct wf_error *reterr)
{
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL);
    wfi_lock_lock(&lock);
    bool made = process->state == MADE;
    if (made) {
        process->state = STARTING;
        wfi_list_push_back(&alive, &process->link);
    }
    wfi_lock_unlock(&lock);
    if (!made)
        return wf_error_set(reterr, WF_ESTATE, "process %s was started before", process->name);
    struct wfi_related_options options = {
        .name = process->name,
        .entry = run,
        .blob = process->blob,
        .blob_bytes = process->blob_bytes,
        .ended = ended,
        .arg = process,
    };
    struct wfi_related *related = NULL;
    struct wfi_wake_list wake = {0};
    wfi_fetch_add(&process->holders, 2u); /* the listener's; and until this call is over */
    int err = wfi_related_start(&options, &related, reterr);
    wfi_lock_lock(&lock);
    if (!err) {
        process->related = related;
        process->pid = wfi_related_pid(related);
        if (process->state == STARTING)
            process->state = RUNNING;
    } else {
        process->state = MADE;
        wfi_list_remove(&process->link);
        wake_waiters(process, &wake);
    }
    wfi_lock_unlock(&lock);
    wfi_wake_all(&wake);
    if (err)
        let_go(process);
    let_go(process);
    return err;
}

static int exit_of(const struct wf_process *process)
{
    int status = process->wait_status;
    return status & 0x7f ? -(status & 0x7f) : status >> 8 & 0xff;
}

static void settle(wf_deadline deadline)
{
    wfi_forward_settle(wf_earlier(deadline, wf_after(SETTLE_NS)));
}

/* How several processes stand: 0 and the place of the first that is over, WF_ESTATE, or -EAGAIN.
 * Under the lock. */
static int look(struct wf_process *const *processes, size_t count, size_t *ret_index)
{
    int err = -EAGAIN;
    for (size_t i = count; i-- > 0;) {
        if (processes[i]->state == OVER && err != WF_ESTATE) {
            *ret_index = i;
            err = 0;
        } else if (processes[i]->state == MADE) {
            err = WF_ESTATE;
        }
    }
    return err;
}

static int wait_any(struct wf_process *const *processes, struct wfi_wait_node *nodes, size_t count,
                    size_t *ret_index, wf_deadline deadline, bool cancelable)
{
    wfi_lock_lock(&lock);
    int err = look(processes, count, ret_index);
    if (err != -EAGAIN) {
        wfi_lock_unlock(&lock);
        return err;
    }
    struct wfi_lock *held = &lock;
    struct wfi_waiter *self = cancelable ? wfi_wait_begin("process", processes[0])
                                         : wfi_wait_begin_uncancelable("process", processes[0]);
    for (size_t i = 0; i < count; i++) {
        nodes[i] = (struct wfi_wait_node){.waiter = self, .index = (uint32_t)i};
        wfi_wait_list_push(&processes[i]->waits, &nodes[i]);
    }
    int woken = wfi_park(self, &held, 1, deadline);
    wfi_lock_lock(&lock);
    for (size_t i = 0; i < count; i++)
        wfi_wait_list_remove(&processes[i]->waits, &nodes[i]);
    err = woken < 0 ? woken : look(processes, count, ret_index);
    wfi_lock_unlock(&lock);
    return err;
}

int wf_process_join(struct wf_process *process, int *ret_exit, wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    struct wfi_wait_node node;
    size_t index;
    int err = wait_any(&process, &node, 1, &index, deadline, true);
    if (err)
        return err;
    settle(deadline);
    if (ret_exit)
        *ret_exit = exit_of(process);
    return 0;
}

int wf_process_wait_any(struct wf_process *const *processes, size_t count, size_t *ret_index,
                        wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    if (!count)
        return -EINVAL;
    struct wfi_wait_node few[8], *nodes = few;
    if (count > sizeof few / sizeof *few)
        nodes = wfi_alloc(count * sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    int err = wait_any(processes, nodes, count, ret_index, deadline, true);
    if (nodes != few)
        wfi_free(nodes);
    return err;
}

static int send(struct wf_process *process, int signo)
{
    wfi_lock_lock(&lock);
    int err = process->state == OVER ? -ESRCH : WF_ESTATE;
    if (process->state == RUNNING)
        err = wfi_related_signal(process->related, signo);
    wfi_lock_unlock(&lock);
    return err;
}

int wf_process_terminate(struct wf_process *process)
{
    return send(process, TERMINATE);
}

int wf_process_kill(struct wf_process *process)
{
    return send(process, KILL);
}

static enum state state_of(const struct wf_process *process)
{
    wfi_lock_lock(&lock);
    enum state state = process->state;
    wfi_lock_unlock(&lock);
    return state;
}

bool wf_process_alive(const struct wf_process *process)
{
    enum state state = state_of(process);
    return state == STARTING || state == RUNNING;
}

int wf_process_pid(const struct wf_process *process)
{
    if (!process)
        return wfi_process_id();
    wfi_lock_lock(&lock);
    int pid = process->pid;
    wfi_lock_unlock(&lock);
    return pid;
}

const char *wf_process_name(const struct wf_process *process)
{
    if (process)
        return process->name;
    return own_name[0] ? own_name : "main";
}

int wf_process_exit_code(const struct wf_process *process, int *ret_exit)
{
    enum state state = state_of(process);
    if (state != OVER)
        return state == MADE ? WF_ESTATE : -EAGAIN;
    *ret_exit = exit_of(process);
    return 0;
}

int wf_process_describe(const struct wf_process *process, struct wf_error *ret_error)
{
    int code;
    int err = wf_process_exit_code(process, &code);
    if (err)
        return err;
    struct wf_error error = {0};
    if (code) {
        const char *tail = process->tail;
        wf_error_set(&error, WF_EWORKERDIED, "process %s (pid %d) ended with %s %d%s%s",
                     process->name, wf_process_pid(process), code < 0 ? "signal" : "status",
                     code < 0 ? -code : code, tail[0] ? "; it said: " : "", tail);
        error.pid = wf_process_pid(process);
        error.signal = code < 0 ? -code : 0;
        error.exit_status = code > 0 ? code : 0;
        snprintf(error.task, sizeof error.task, "%s", process->task);
        snprintf(error.origin, sizeof error.origin, "%s", process->name);
    }
    *ret_error = error;
    return 0;
}

int wf_process_sentinel(const struct wf_process *process)
{
    wfi_lock_lock(&lock);
    int fd = process->related ? wfi_related_pidfd(process->related) : WF_ESTATE;
    wfi_lock_unlock(&lock);
    return fd;
}

static struct wf_process *process_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct wf_process, link);
}

size_t wf_process_each(void (*fn)(struct wf_process *process, void *arg), void *arg)
{
    /* Outside the lock, so that fn may ask for names and numbers: what is shown stays, because each
     * is held meanwhile. */
    enum { ROUND = 64 };
    struct wf_process *shown[ROUND];
    size_t total = 0, count;
    do {
        size_t place = 0;
        count = 0;
        wfi_lock_lock(&lock);
        struct wfi_link *link = wfi_list_first(&alive);
        for (; link && count < ROUND; link = wfi_list_next(&alive, link), place++)
            if (place >= total) {
                shown[count] = process_of(link);
                wfi_fetch_add(&shown[count++]->holders, 1u);
            }
        wfi_lock_unlock(&lock);
        for (size_t i = 0; i < count; i++) {
            if (fn)
                fn(shown[i], arg);
            let_go(shown[i]);
        }
        total += count;
    } while (count == ROUND);
    return total;
}

int wf_process_close(struct wf_process *process)
{
    if (!process)
        return 0;
    if (!wfi_forked() && wf_process_alive(process))
        return WF_ESTATE;
    let_go(process);
    return 0;
}

void wf_process_destroy(struct wf_process *process)
{
    if (!process)
        return;
    if (!wfi_forked()) {
        struct wfi_wait_node node;
        size_t index;
        wf_process_kill(process);
        wait_any(&process, &node, 1, &index, WF_FOREVER, false);
    }
    let_go(process);
}
