/* SPDX-License-Identifier: MIT */
/*
 * Parking; the protocol and its invariants are in park.h. Here a party is told apart by its kind:
 * a fiber gives its worker to the next one (worker.c), a thread sleeps on the outcome word in its
 * record, which is a futex, or in poll(2) when it waits for a descriptor, or on that word and one
 * shared with other processes at once.
 *
 * A thread spins for a moment before it sleeps, where there is more than one CPU to be woken from:
 * a wake-up across CPUs costs 5 to 50 us, the spin about 2.
 */
#include "sched/park.h"

#include <errno.h>

#include "os/cpu.h"
#include "os/futex.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "os/word.h"
#include "sched/cancel.h"
#include "sched/fiber.h"
#include "sched/record.h"

enum { SPINS = 40 };

/* How often a thread looks for a cancellation while it sleeps on a shared word alone, where the
 * system cannot have it sleep on two. */
#define SLICE_NS WF_MILLISECONDS(50)

/* What else may end a thread's sleep. */
struct source {
    int fd; /* below 0: no descriptor */
    short events;
    WFI_ATOMIC(uint32_t) * shared; /* NULL: no shared word */
    uint32_t expected;
};

static void system_sleep(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline)
{
    wfi_futex_wait(word, expected, deadline);
}

static void system_wake(WFI_ATOMIC(uint32_t) * word)
{
    wfi_futex_wake(word, 1);
}

const struct wfi_park_ops wfi_park_ops_system = {wf_now, system_sleep, system_wake};
const struct wfi_park_ops *wfi_park_ops = &wfi_park_ops_system;

WFI_ATOMIC(void (*)(struct wfi_waiter *)) wfi_party_end_hook;

void wfi_party_end(struct wfi_waiter *self)
{
    /* acquire: pairs with the release of whoever set it, for what the hook relies on */
    void (*hook)(struct wfi_waiter *) = wfi_load_acquire(&wfi_party_end_hook);
    if (hook)
        hook(self);
}

static uint32_t state_of(uint32_t word)
{
    return word & WFI_STATE_MASK;
}

static uint32_t argument_of(uint32_t word)
{
    return word >> WFI_ARGUMENT_SHIFT;
}

static uint32_t ended(int error)
{
    return WFI_ENDED | (uint32_t)error << WFI_ARGUMENT_SHIFT;
}

/* Lists */

void wfi_wait_list_push(struct wfi_wait_list *list, struct wfi_wait_node *node)
{
    node->next = NULL;
    node->prev = list->last;
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    node->linked = true;
}

void wfi_wait_list_push_front(struct wfi_wait_list *list, struct wfi_wait_node *node)
{
    node->prev = NULL;
    node->next = list->first;
    if (list->first)
        list->first->prev = node;
    else
        list->last = node;
    list->first = node;
    node->linked = true;
}

void wfi_wait_list_remove(struct wfi_wait_list *list, struct wfi_wait_node *node)
{
    if (!node->linked)
        return;
    if (node->prev)
        node->prev->next = node->next;
    else
        list->first = node->next;
    if (node->next)
        node->next->prev = node->prev;
    else
        list->last = node->prev;
    node->next = node->prev = NULL;
    node->linked = false;
}

/* The waiting side */

static struct wfi_waiter *begin(const char *reason, const void *object, bool cancelable)
{
    struct wfi_waiter *self = wfi_self();
    wfi_debug_assert(state_of(wfi_load_relaxed(&self->outcome)) >= WFI_WOKEN,
                     "a party is in one wait at a time");
    wfi_store_relaxed(&self->reason, reason);
    wfi_store_relaxed(&self->object, object);
    uint32_t floor = cancelable ? self->floor : WFI_FLOOR_NEVER;
    /* Store, then load: the check for cancellation follows in wfi_park; pairs with wfi_cancel_ask.
     */
    wfi_store(&self->outcome, WFI_PENDING | floor << WFI_ARGUMENT_SHIFT);
    return self;
}

struct wfi_waiter *wfi_wait_begin(const char *reason, const void *object)
{
    return begin(reason, object, true);
}

struct wfi_waiter *wfi_wait_begin_uncancelable(const char *reason, const void *object)
{
    return begin(reason, object, false);
}

/* True if the wait was still pending and now has ended with `error`. */
static bool end_own_wait(struct wfi_waiter *self, int error)
{
    uint32_t word = wfi_load_relaxed(&self->outcome);
    while (state_of(word) == WFI_PENDING)
        if (wfi_cas(&self->outcome, &word, ended(error)))
            return true;
    return false;
}

static void unlock_all(struct wfi_lock *const *held, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wfi_lock_unlock(held[i]);
}

/* Sleeps until the outcome word or the shared one is not what it was. True if the shared one was
 * woken, which ends the wait; a change of either is for the caller to see. */
static bool sleep_on_both(struct wfi_waiter *self, uint32_t outcome, const struct source *source,
                          wf_deadline deadline)
{
    if (wfi_word_wait_any_works()) {
        struct wfi_word words[] = {{&self->outcome, outcome, false},
                                   {source->shared, source->expected, true}};
        return wfi_word_wait_any(words, 2, deadline) == 1;
    }
    /* Who has no level around it is cancelled by nobody. */
    if (self->cancel)
        deadline = wf_earlier(deadline, (wf_deadline){wfi_park_ops->now() + SLICE_NS});
    return wfi_word_wait(source->shared, source->expected, deadline) == 0;
}

/* Sleeps until the outcome word says WOKEN or ENDED. */
static int sleep_thread(struct wfi_waiter *self, wf_deadline deadline, const struct source *source)
{
    struct wfi_record *record = (struct wfi_record *)self;
    int spins = wfi_cpu_alone() ? 0 : SPINS;
    int err = 0;
    for (;;) {
        /* acquire: pairs with the release in publish, for what was handed over */
        uint32_t word = wfi_load_acquire(&self->outcome);
        if (state_of(word) >= WFI_WOKEN)
            break;
        if (source->shared && wfi_load_acquire(source->shared) != source->expected &&
            end_own_wait(self, 0)) /* acquire: pairs with whoever changed the shared word */
            break;
        if (source->fd < 0 && spins-- > 0) {
            wfi_cpu_relax();
            continue;
        }
        bool pending = state_of(word) == WFI_PENDING;
        if (pending && deadline.ns != INT64_MAX && wfi_park_ops->now() >= deadline.ns) {
            wf_deadline later;
            if (wfi_wait_time_out(self, &later))
                break;
            if (later.ns != INT64_MAX || state_of(wfi_load_relaxed(&self->outcome)) == WFI_PENDING)
                deadline = later;
            continue;
        }
        if (!(word & WFI_ASLEEP)) {
            if (!wfi_cas(&self->outcome, &word, word | WFI_ASLEEP))
                continue;
            word |= WFI_ASLEEP;
        }
        if (source->shared && pending) {
            if (sleep_on_both(self, word, source, deadline) && end_own_wait(self, 0))
                break;
        } else if (source->fd < 0) {
            wfi_park_ops->sleep(&self->outcome, word, pending ? deadline : WF_FOREVER);
        } else if (pending) {
            int ready = wfi_wakefd_poll(record->wake_fd, source->fd, source->events, deadline);
            if (ready != 0 && end_own_wait(self, 0)) {
                err = ready < 0 ? ready : 0;
                break;
            }
        } else {
            wfi_thread_yield(); /* claimed: the claimer is on its way to publish */
        }
    }
    return err;
}

static int park(struct wfi_waiter *self, struct wfi_lock *const *held, size_t count,
                wf_deadline deadline, const struct source *source)
{
#ifdef WFI_LOCKS_COUNTED
    wfi_assert(wfi_locks_held() == (int)count, "no lock of weft's is held over a wait");
#endif
    self->deadline = deadline;
    wf_deadline inherited = WF_FOREVER;
    /* The locks keep wakers out: not pending any more means that a canceller was quicker. */
    uint32_t before = wfi_load_relaxed(&self->outcome);
    bool cancelable = state_of(before) != WFI_PENDING || argument_of(before) != WFI_FLOOR_NEVER;
    bool over = false;
    if (cancelable && self->cancel && wfi_cancel_check(&inherited))
        over = end_own_wait(self, ECANCELED);
    wf_deadline earliest = inherited.ns < deadline.ns ? inherited : deadline;
    if (!over && earliest.ns <= 0)
        over = end_own_wait(self, ETIMEDOUT);
    int err = 0;
    if (over) {
        unlock_all(held,
                   count); /* nobody else has a part in this wait: no sleep to be woken from */
    } else if (self->kind == WFI_FIBER) {
        wfi_fiber_park((struct wfi_fiber *)self, held, count, earliest);
    } else {
        unlock_all(held, count);
        wfi_store_relaxed(&self->since_ns, wfi_park_ops->now());
        err = sleep_thread(self, earliest, source);
    }
    wfi_store_relaxed(&self->reason, NULL);
    /* acquire: pairs with the release in publish */
    uint32_t word = wfi_load_acquire(&self->outcome);
    if (state_of(word) == WFI_WOKEN)
        return (int)argument_of(word);
    if (err < 0 || argument_of(word) == 0)
        return err;
    if (argument_of(word) == ETIMEDOUT && inherited.ns < deadline.ns)
        return wfi_cancel_check(NULL) ? -ECANCELED : -ETIMEDOUT;
    return -(int)argument_of(word);
}

static const struct source no_source = {.fd = -1};

int wfi_park(struct wfi_waiter *self, struct wfi_lock *const *held, size_t held_count,
             wf_deadline deadline)
{
    return park(self, held, held_count, deadline, &no_source);
}

static int wait_in_list(struct wfi_waiter *self, struct wfi_wait_list *list, struct wfi_lock *lock,
                        struct wfi_wait_node *node, wf_deadline deadline,
                        const struct source *source)
{
    node->waiter = self;
    node->index = 0;
    wfi_wait_list_push(list, node);
    int err = park(self, &lock, 1, deadline, source);
    if (err == 0 && source->fd < 0)
        return 0;
    wfi_lock_lock(lock);
    wfi_wait_list_remove(list, node);
    wfi_lock_unlock(lock);
    return err;
}

int wfi_wait(struct wfi_wait_list *list, struct wfi_lock *lock, struct wfi_wait_node *node,
             const char *reason, const void *object, wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_wait_begin(reason, object);
    return wait_in_list(self, list, lock, node, deadline, &no_source);
}

int wfi_wait_uncancelable(struct wfi_wait_list *list, struct wfi_lock *lock,
                          struct wfi_wait_node *node, const char *reason, const void *object,
                          wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_wait_begin_uncancelable(reason, object);
    return wait_in_list(self, list, lock, node, deadline, &no_source);
}

int wfi_wait_fd(struct wfi_wait_list *list, struct wfi_lock *lock, struct wfi_wait_node *node,
                int fd, short events, const char *reason, const void *object, wf_deadline deadline)
{
    struct wfi_record *record = wfi_record_self();
    wfi_assert(wfi_self()->kind == WFI_THREAD, "a fiber waits for descriptors through its worker");
    if (record->wake_fd < 0) {
        record->wake_fd = wfi_wakefd_open();
        if (record->wake_fd < 0) {
            wfi_lock_unlock(lock);
            return record->wake_fd;
        }
    }
    wfi_store_relaxed(&record->polling, true); /* released by the store in wfi_wait_begin */
    struct wfi_waiter *self = wfi_wait_begin(reason, object);
    struct source source = {.fd = fd, .events = events};
    int err = wait_in_list(self, list, lock, node, deadline, &source);
    wfi_store_relaxed(&record->polling, false);
    wfi_wakefd_clear(record->wake_fd);
    return err;
}

int wfi_wait_word(WFI_ATOMIC(uint32_t) * word, uint32_t expected, bool cancelable,
                  const char *reason, const void *object, wf_deadline deadline)
{
    wfi_assert(wfi_self()->kind == WFI_THREAD, "a fiber does not sleep on a word");
    struct wfi_waiter *self =
        cancelable ? wfi_wait_begin(reason, object) : wfi_wait_begin_uncancelable(reason, object);
    struct source source = {.fd = -1, .shared = word, .expected = expected};
    return park(self, NULL, 0, deadline, &source);
}

int wfi_yield(void)
{
    struct wfi_waiter *self = wfi_self();
    int err = self->cancel ? wfi_cancel_check(NULL) : 0;
    if (self->kind == WFI_FIBER)
        wfi_fiber_yield((struct wfi_fiber *)self);
    else
        wfi_thread_yield();
    return err;
}

int wf_sleep(wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_wait_begin("sleep", NULL);
    int err = wfi_park(self, NULL, 0, deadline);
    return err == -ETIMEDOUT ? 0 : err;
}

/* The waking side */

bool wfi_wait_claim(struct wfi_wait_node *node)
{
    struct wfi_waiter *waiter = node->waiter;
    uint32_t word = wfi_load_relaxed(&waiter->outcome);
    while (state_of(word) == WFI_PENDING) {
        uint32_t claimed = WFI_CLAIMED | (word & WFI_ASLEEP) | node->index << WFI_ARGUMENT_SHIFT;
        if (!wfi_cas(&waiter->outcome, &word, claimed))
            continue;
#ifdef WFI_EXPLORE
        wfi_assert(waiter->kind == WFI_THREAD || !wfi_fiber_on_cpu((struct wfi_fiber *)waiter),
                   "a fiber's locks are released after it has left its stack");
#endif
        return true;
    }
    return false;
}

struct wfi_wait_node *wfi_wait_claim_first(struct wfi_wait_list *list)
{
    struct wfi_wait_node *node;
    while ((node = list->first)) {
        wfi_wait_list_remove(list, node);
        if (wfi_wait_claim(node))
            return node;
    }
    return NULL;
}

/* Ends a claimed wait for good. The party may be gone when this returns. */
static void publish(struct wfi_waiter *waiter, uint32_t final)
{
    if (waiter->kind == WFI_FIBER) {
        /* release: pairs with the acquire in park */
        wfi_store_release(&waiter->outcome, final);
        wfi_fiber_ready((struct wfi_fiber *)waiter);
        return;
    }
    struct wfi_record *record = (struct wfi_record *)waiter;
    bool polling = wfi_load_relaxed(&record->polling); /* the party is claimed: it stands still */
    if (polling)
        wfi_wakefd_set(record->wake_fd);
    /* release, in the exchange: pairs with the acquire in sleep_thread */
    uint32_t word = wfi_exchange(&waiter->outcome, final);
    if ((word & WFI_ASLEEP) && !polling)
        wfi_park_ops->wake(&waiter->outcome);
}

void wfi_wake(struct wfi_waiter *waiter)
{
    uint32_t word = wfi_load_relaxed(&waiter->outcome);
    wfi_debug_assert(state_of(word) == WFI_CLAIMED, "only a claimed party is woken, and once");
    publish(waiter, WFI_WOKEN | argument_of(word) << WFI_ARGUMENT_SHIFT);
}

void wfi_wait_cancel(struct wfi_waiter *waiter, uint32_t depth)
{
    /* Load after the caller's store of `asked`: pairs with wfi_wait_begin. */
    uint32_t word = wfi_load(&waiter->outcome);
    while (state_of(word) == WFI_PENDING && argument_of(word) <= depth)
        if (wfi_cas(&waiter->outcome, &word, WFI_CLAIMED | (word & WFI_ASLEEP))) {
            publish(waiter, ended(ECANCELED));
            return;
        }
}

bool wfi_wait_time_out(struct wfi_waiter *waiter, wf_deadline *ret_later)
{
    *ret_later = WF_FOREVER;
    uint32_t word = wfi_load_relaxed(&waiter->outcome);
    if (state_of(word) != WFI_PENDING)
        return false;
    wf_deadline due = waiter->deadline, inherited;
    /* A level's deadline may have been moved since the wait began. */
    if (argument_of(word) != WFI_FLOOR_NEVER && waiter->cancel &&
        !wfi_cancel_check_party(waiter, &inherited))
        due = wf_earlier(due, inherited);
    else if (argument_of(word) != WFI_FLOOR_NEVER && waiter->cancel)
        due = WF_NOW;
    if (due.ns > wfi_park_ops->now()) {
        *ret_later = due;
        return false;
    }
    return end_own_wait(waiter, ETIMEDOUT);
}

void wfi_wake_list_add(struct wfi_wake_list *list, struct wfi_wait_node *claimed)
{
    claimed->next = NULL;
    if (list->last)
        list->last->next = claimed;
    else
        list->first = claimed;
    list->last = claimed;
}

size_t wfi_wake_list_claim_all(struct wfi_wake_list *list, struct wfi_wait_list *from)
{
    size_t count = 0;
    for (struct wfi_wait_node *node; (node = wfi_wait_claim_first(from)); count++)
        wfi_wake_list_add(list, node);
    return count;
}

void wfi_wake_all(struct wfi_wake_list *list)
{
    for (struct wfi_wait_node *node = list->first, *next; node; node = next) {
        next = node->next; /* the node is gone with the wake */
        wfi_wake(node->waiter);
    }
    list->first = list->last = NULL;
}
