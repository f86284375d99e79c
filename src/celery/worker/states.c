/* SPDX-License-Identifier: MIT */
#include "celery/worker/states.h"

#include <errno.h>
#include <string.h>

#include <weft/future.h>
#include <weft/mutex.h>
#include <weft/scope.h>

#include "base/alloc.h"
#include "base/assert.h"

/* States on their way; more wait in their processes. */
#define CAPACITY 1024
/* For a state that a process says it has pushed: it is there already, unless that process has gone
 * wild. */
#define PATIENCE_NS WF_SECONDS(10)

/* What is pushed: this, the state with its NUL, the meta. */
struct item {
    uint64_t number, state_bytes;
};

struct wfi_states {
    struct wf_shared_queue *queue;
    struct wf_future *reader;
    struct wf_mutex lock;
    struct wfi_list users; /* under the lock, as the next */
    uint64_t numbers;
};

WF_TASK(wf_none, wfi_celery_states, (struct wfi_states *, states))

static void lock(struct wfi_states *states)
{
    WF_SHIELD(WF_FOREVER) {
        const int err = wf_mutex_lock(&states->lock, WF_FOREVER);
        wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    }
}

/* Under the lock, which is held while the state is stored, so that its call cannot end. */
static void store(struct wfi_states *states, const struct item *item, const char *state,
                  const struct wfi_json_piece *meta)
{
    for (struct wfi_link *link = wfi_list_first(&states->users); link;
         link = wfi_list_next(&states->users, link)) {
        struct wfi_states_user *user = wfi_container_of(link, struct wfi_states_user, link);
        if (user->number != item->number)
            continue;
        (void)user->update(user->arg, state, meta); /* it has logged what went wrong */
        user->count++;
        wf_event_set(&user->counted);
        return;
    }
}

int wfi_celery_states(struct wf_task *self, struct wfi_states *states, wf_none *ret)
{
    wf_bytes bytes;
    int err;
    (void)self, (void)ret;
    while ((err = wf_shared_queue_take(states->queue, &bytes, WF_FOREVER)) != -EPIPE) {
        struct item item;
        if (err == -ENOMEM && wf_sleep(wf_after(WF_MILLISECONDS(20))) == 0)
            continue;
        if (err)
            break;
        const char *state = (const char *)bytes.ptr + sizeof item;
        if (bytes.len >= sizeof item)
            memcpy(&item, bytes.ptr, sizeof item);
        /* A process that has gone wild may have pushed it. */
        if (bytes.len >= sizeof item && item.state_bytes > 0 &&
            item.state_bytes < bytes.len - sizeof item && !state[item.state_bytes - 1]) {
            const struct wfi_json_piece meta = {.text = state + item.state_bytes,
                                                .len = bytes.len - sizeof item -
                                                       (size_t)item.state_bytes};
            lock(states);
            store(states, &item, state, &meta);
            wf_mutex_unlock(&states->lock);
        }
        wf_shared_free(bytes.ptr);
    }
    return 0;
}
WF_TASK_DEFINE(wfi_celery_states)

int wfi_states_create(struct wf_executor *on, struct wfi_states **ret_states,
                      struct wf_error *reterr)
{
    struct wfi_states *states = wfi_zalloc(sizeof *states);
    if (!states)
        return wf_error_set(reterr, -ENOMEM, NULL);
    const int err = wf_shared_queue_create(&(struct wf_shared_queue_options){.capacity = CAPACITY},
                                           &states->queue, reterr);
    if (err) {
        wfi_free(states);
        return err;
    }
    wf_mutex_init(&states->lock);
    states->reader = wfi_celery_states_submit(on, states).future;
    *ret_states = states;
    return 0;
}

void wfi_states_destroy(struct wfi_states *states)
{
    if (!states)
        return;
    wf_shared_queue_close(states->queue, WF_CLOSE_NOW);
    WF_SHIELD(WF_FOREVER) {
        (void)wf_future_result(&states->reader, NULL, WF_FOREVER, NULL);
    }
    wf_shared_queue_destroy(states->queue);
    wf_mutex_fini(&states->lock);
    wfi_free(states);
}

struct wf_shared_queue *wfi_states_queue(struct wfi_states *states)
{
    return states->queue;
}

void wfi_states_enter(struct wfi_states *states, struct wfi_states_user *user)
{
    user->count = 0;
    wf_event_init(&user->counted);
    lock(states);
    user->number = ++states->numbers;
    wfi_list_push_back(&states->users, &user->link);
    wf_mutex_unlock(&states->lock);
}

void wfi_states_leave(struct wfi_states *states, struct wfi_states_user *user, uint64_t count)
{
    const wf_deadline limit = wf_after(PATIENCE_NS);
    lock(states);
    while (user->count < count) {
        int err = 0;
        wf_event_clear(&user->counted);
        wf_mutex_unlock(&states->lock);
        WF_SHIELD(limit) {
            err = wf_event_wait(&user->counted, limit);
        }
        lock(states);
        if (err)
            break;
    }
    wfi_list_remove(&user->link);
    wf_mutex_unlock(&states->lock);
    wf_event_fini(&user->counted);
}

int wfi_states_push(struct wf_shared_queue *queue, uint64_t number, const char *state,
                    const struct wfi_json_piece *meta)
{
    const struct item item = {.number = number, .state_bytes = strlen(state) + 1};
    const size_t bytes = sizeof item + (size_t)item.state_bytes + meta->len;
    char *text = wfi_alloc(bytes);
    if (!text)
        return -ENOMEM;
    memcpy(text, &item, sizeof item);
    memcpy(text + sizeof item, state, (size_t)item.state_bytes);
    memcpy(text + sizeof item + item.state_bytes, meta->text, meta->len);
    const int err = wf_shared_queue_push(queue, text, bytes, WF_FOREVER);
    wfi_free(text);
    return err;
}
