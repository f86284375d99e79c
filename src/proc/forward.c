/* SPDX-License-Identifier: MIT */
/*
 * One buffer is filled while the other is written. `taken` and `written` count bytes from the
 * start; who waits for what was taken waits until `written` has got there.
 *
 * The thread is started by the first bytes. It cannot be stopped; when the program ends in good
 * order, a destructor waits for a second at most, because a descriptor that nobody reads must not
 * keep a program from ending.
 */
#include "proc/forward.h"

#include <errno.h>

#include "base/buffer.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/process.h"
#include "os/thread.h"
#include "proc/helper.h"
#include "sched/record.h"

enum {
    FULL_BYTES = 1 << 20,
    STANDARD_ERROR = 2,
};
#define LAST_WAIT_NS WF_SECONDS(1)

static struct wfi_lock lock;
static struct {
    struct wfi_buffer filling;
    struct wfi_wait_list writer;   /* the thread, when it has nothing to do */
    struct wfi_wait_list settling; /* node->amount: the count it waits for */
    uint64_t taken, written;
    bool running, full;
    void (*room)(void);
} state; /* under the lock */

static void wake_settled(struct wfi_wake_list *wake)
{
    struct wfi_wait_node *node = state.settling.first, *next;
    for (; node; node = next) {
        next = node->next;
        if (node->amount > state.written)
            continue;
        wfi_wait_list_remove(&state.settling, node);
        if (wfi_wait_claim(node))
            wfi_wake_list_add(wake, node);
    }
}

static void *write_all(void *arg)
{
    struct wfi_buffer writing = {0};
    wfi_record_adopt(arg, "weft_stderr");
    for (;;) {
        wfi_lock_lock(&lock);
        if (!state.filling.len) {
            struct wfi_wait_node node = {0};
            wfi_wait_uncancelable(&state.writer, &lock, &node, "output to forward", &state,
                                  WF_FOREVER);
            continue;
        }
        struct wfi_buffer empty = writing;
        writing = state.filling;
        state.filling = empty;
        wfi_lock_unlock(&lock);
        wfi_process_write(STANDARD_ERROR, writing.data, writing.len); /* gone is gone */
        struct wfi_wake_list wake = {0};
        wfi_lock_lock(&lock);
        state.written += writing.len;
        bool room = state.full;
        state.full = false;
        wake_settled(&wake);
        void (*tell)(void) = state.room;
        wfi_lock_unlock(&lock);
        wfi_wake_all(&wake);
        if (room && tell)
            tell();
        wfi_buffer_clear(&writing);
        if (writing.size > FULL_BYTES)
            wfi_buffer_reset(&writing);
    }
    return NULL;
}

/* Under the lock. */
static bool start(void)
{
    if (state.running)
        return true;
    struct wfi_record *record = wfi_record_take();
    struct wfi_thread thread;
    if (!record)
        return false;
    if (wfi_thread_start(&thread, "weft_stderr", 256 * 1024, write_all, record)) {
        wfi_record_give(record);
        return false;
    }
    wfi_thread_detach(&thread);
    return state.running = true;
}

void wfi_forward_write(const char *bytes, size_t len)
{
    if (!len)
        return;
    wfi_lock_lock(&lock);
    bool taken = start() && wfi_buffer_append(&state.filling, bytes, len) == 0;
    struct wfi_wait_node *writer = NULL;
    if (taken) {
        state.taken += len;
        if (state.filling.len >= FULL_BYTES)
            state.full = true; /* until the thread says that there is room: nobody else tells */
        writer = wfi_wait_claim_first(&state.writer);
    }
    wfi_lock_unlock(&lock);
    if (writer)
        wfi_wake(writer->waiter);
    if (!taken)
        wfi_process_write(STANDARD_ERROR, bytes, len);
}

bool wfi_forward_full(void)
{
    wfi_lock_lock(&lock);
    bool full = state.full;
    wfi_lock_unlock(&lock);
    return full;
}

void wfi_forward_on_room(void (*room)(void))
{
    wfi_lock_lock(&lock);
    state.room = room;
    wfi_lock_unlock(&lock);
}

int wfi_forward_settle(wf_deadline deadline)
{
    wfi_lock_lock(&lock);
    if (state.written >= state.taken) {
        wfi_lock_unlock(&lock);
        return 0;
    }
    struct wfi_wait_node node = {.amount = state.taken};
    return wfi_wait_uncancelable(&state.settling, &lock, &node, "output to forward", &state,
                                 deadline);
}

__attribute__((destructor)) static void write_the_last(void)
{
    if (!wfi_forked() && !wfi_in_related())
        wfi_forward_settle(wf_after(LAST_WAIT_NS));
}
