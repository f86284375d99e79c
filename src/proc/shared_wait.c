/* SPDX-License-Identifier: MIT */
/*
 * Waits on shared words; the protocol is in the header. Here are the bells.
 *
 * `bells_lock` guards the chain of bells, their watches and the watches' lists of waiters. A watch
 * is one word that somebody in this process waits for through a bell; it lives in its bell's array
 * while its list is not empty. The numbers of watches are small where speed matters, and a bell's
 * round looks at all of them anyway, so a word is found by looking.
 */
#include "proc/shared_wait.h"

#include <errno.h>

#include "base/alloc.h"
#include "os/fork.h"
#include "os/thread.h"
#include "os/word.h"
#include "sched/park.h"
#include "sched/record.h"

enum {
    WATCHES = WFI_WORDS_MAX - 1,
    FEW = 8, /* nodes in the frame of a wait on that many words */
};

/* How long a bell without a word stays: a program that uses one often uses it again soon. */
#define IDLE_NS WF_SECONDS(1)
/* How often bells look at their words where the system cannot sleep on several at once. */
#define SLICE_NS WF_MILLISECONDS(5)

struct watch {
    WFI_ATOMIC(uint32_t) * word;  /* NULL: this place is free */
    struct wfi_wait_list waiting; /* node->amount: the value that was expected; slot: the watch */
    struct bell *bell;
    uint32_t value; /* that the bell sleeps for, or is about to; valid while `armed` */
    bool armed;
};

struct bell {
    struct bell *next; /* under bells_lock, as all below but `changed` */
    unsigned used;     /* watches with a word */
    struct watch watches[WATCHES];
    struct wfi_record *record;    /* its thread's, constant */
    WFI_ATOMIC(uint32_t) changed; /* counts what the bell has to look at; it sleeps on it, too */
};

static struct wfi_lock bells_lock;
static struct bell *bells;
static uint32_t bells_generation; /* of wfi_fork_generation: a child has none of the threads */

static void forget_in_child(void)
{
    if (bells_generation != wfi_fork_generation) {
        bells = NULL;
        bells_generation = wfi_fork_generation;
    }
}

/*
 * Under the lock: wakes those whose word has changed, and lists the words of the others. A wake-up
 * that the bell had of a word for which nobody waits here any more is passed on to another sleeper:
 * the number of such words is *ret_passed, and they are the last in the array.
 */
static unsigned look(struct bell *bell, struct wfi_word *words, struct wfi_wake_list *woken,
                     unsigned *ret_passed)
{
    unsigned count = 0, passed = 0;
    for (unsigned i = 0, left = bell->used; left > 0; i++) {
        struct watch *watch = &bell->watches[i];
        if (!watch->word)
            continue;
        left--;
        if (wfi_wait_list_empty(&watch->waiting)) {
            /* All have left, and the word may be gone: it is only passed on by its address. */
            if (watch->armed)
                words[WFI_WORDS_MAX - ++passed] = (struct wfi_word){watch->word, 0, true};
            watch->word = NULL;
            bell->used--;
            continue;
        }
        uint32_t now = wfi_load(watch->word);
        bool anybody = false;
        for (struct wfi_wait_node *node = watch->waiting.first, *next; node; node = next) {
            next = node->next;
            if (node->amount == now)
                continue;
            wfi_wait_list_remove(&watch->waiting, node);
            if (wfi_wait_claim(node)) {
                wfi_wake_list_add(woken, node);
                anybody = true;
            }
        }
        if (watch->armed && now != watch->value && !anybody)
            words[WFI_WORDS_MAX - ++passed] = (struct wfi_word){watch->word, now, true};
        watch->armed = !wfi_wait_list_empty(&watch->waiting);
        watch->value = now;
        if (!watch->armed) {
            watch->word = NULL;
            bell->used--;
        } else {
            words[count++] = (struct wfi_word){watch->word, now, true};
        }
    }
    *ret_passed = passed;
    return count;
}

static void leave(struct bell *bell)
{
    struct bell **link = &bells;
    while (*link != bell)
        link = &(*link)->next;
    *link = bell->next;
}

static void *ring(void *arg)
{
    struct bell *bell = arg;
    wfi_record_adopt(bell->record, "weft_bell");
    struct wfi_word words[WFI_WORDS_MAX];
    bool idle = false;
    for (;;) {
        struct wfi_wake_list woken = {0};
        /* Before the look: whoever comes after it changes the word again. */
        uint32_t changed = wfi_load(&bell->changed);
        wfi_lock_lock(&bells_lock);
        unsigned passed;
        unsigned count = look(bell, words, &woken, &passed);
        bool over = idle && count == 0 && wfi_load(&bell->changed) == changed;
        if (over)
            leave(bell);
        wfi_lock_unlock(&bells_lock);
        wfi_wake_all(&woken);
        while (passed > 0)
            wfi_word_wake(words[WFI_WORDS_MAX - passed--].word, 1);
        if (over)
            break;
        int err;
        wf_deadline until = count ? WF_FOREVER : wf_after(IDLE_NS);
        if (count && wfi_word_wait_any_works()) {
            words[count] = (struct wfi_word){&bell->changed, changed, true};
            err = wfi_word_wait_any(words, count + 1, until);
        } else {
            err = wfi_word_wait(&bell->changed, changed, count ? wf_after(SLICE_NS) : until);
        }
        idle = count == 0 && err == -ETIMEDOUT;
    }
    wfi_free(bell);
    return NULL;
}

/* Under the lock. NULL when there is no memory or no thread. */
static struct bell *new_bell(void)
{
    struct bell *bell = wfi_zalloc(sizeof *bell);
    if (!bell)
        return NULL;
    struct wfi_thread thread;
    bell->record = wfi_record_take();
    if (!bell->record || wfi_thread_start(&thread, "weft_bell", 0, ring, bell)) {
        if (bell->record)
            wfi_record_give(bell->record);
        wfi_free(bell);
        return NULL;
    }
    wfi_thread_detach(&thread);
    bell->next = bells;
    bells = bell;
    return bell;
}

/* Under the lock: the watch of the word, new if need be; NULL: out of memory. */
static struct watch *watch_of(WFI_ATOMIC(uint32_t) * word)
{
    struct watch *unused = NULL;
    for (struct bell *bell = bells; bell; bell = bell->next)
        for (unsigned i = 0; i < WATCHES; i++) {
            struct watch *watch = &bell->watches[i];
            if (watch->word == word)
                return watch;
            if (!unused && !watch->word) {
                unused = watch;
                unused->bell = bell;
            }
        }
    if (!unused) {
        struct bell *bell = new_bell();
        if (!bell)
            return NULL;
        unused = &bell->watches[0];
        unused->bell = bell;
    }
    unused->word = word;
    unused->armed = false;
    unused->bell->used++;
    return unused;
}

/* Under the lock: the bell will look at its words once more. */
static void tell(struct bell *bell)
{
    wfi_fetch_add(&bell->changed, 1);
    wfi_word_wake(&bell->changed, 1);
}

static void link_one(struct wfi_wait_node *node, struct wfi_waiter *self, struct watch *watch,
                     uint32_t expected)
{
    *node = (struct wfi_wait_node){.waiter = self, .slot = watch, .amount = expected};
    wfi_wait_list_push(&watch->waiting, node);
    /* A bell that sleeps for the very value wakes in time without being told. */
    if (!watch->armed || watch->value != expected)
        tell(watch->bell);
}

/* Under the lock. A word for which nobody waits any more is the bell's to forget. */
static void unlink_all(struct wfi_wait_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct watch *watch = nodes[i].slot;
        if (!nodes[i].linked)
            continue;
        wfi_wait_list_remove(&watch->waiting, &nodes[i]);
        if (wfi_wait_list_empty(&watch->waiting))
            tell(watch->bell);
    }
}

static int wait_by_bell(const struct wfi_shared_word *words, size_t count,
                        struct wfi_wait_node *nodes, bool cancelable, const char *reason,
                        const void *object, wf_deadline deadline)
{
    struct wfi_waiter *self =
        cancelable ? wfi_wait_begin(reason, object) : wfi_wait_begin_uncancelable(reason, object);
    wfi_lock_lock(&bells_lock);
    forget_in_child();
    int err = 0;
    for (size_t i = 0; i < count; i++) {
        struct watch *watch = watch_of(words[i].word);
        if (!watch) {
            err = -ENOMEM;
            count = i;
            break;
        }
        link_one(&nodes[i], self, watch, words[i].expected);
    }
    if (err) {
        unlink_all(nodes, count);
        /* Nobody has claimed the wait, as the lock was held throughout: a past deadline ends it. */
        struct wfi_lock *held = &bells_lock;
        wfi_park(self, &held, 1, WF_NOW);
        return err;
    }
    struct wfi_lock *held = &bells_lock;
    err = wfi_park(self, &held, 1, deadline);
    if (err || count > 1) {
        wfi_lock_lock(&bells_lock);
        unlink_all(nodes, count);
        wfi_lock_unlock(&bells_lock);
    }
    return err < 0 ? err : 0;
}

static int wait_one(WFI_ATOMIC(uint32_t) * word, uint32_t expected, bool cancelable,
                    const char *reason, const void *object, wf_deadline deadline)
{
    int err;
    if (wfi_on_fiber()) {
        struct wfi_wait_node node = {0};
        struct wfi_shared_word one = {word, expected};
        err = wait_by_bell(&one, 1, &node, cancelable, reason, object, deadline);
        if (err == -ENOMEM) { /* no bell: the caller looks again, and others may run meanwhile */
            int asked = wfi_yield();
            err = cancelable ? asked : 0;
            if (!err && wf_remaining(deadline) == 0)
                err = -ETIMEDOUT;
        }
    } else {
        err = wfi_wait_word(word, expected, cancelable, reason, object, deadline);
    }
    if (err)
        wfi_shared_wake(word, 1); /* in case one was spent on the caller */
    return err;
}

int wfi_shared_wait(WFI_ATOMIC(uint32_t) * word, uint32_t expected, const char *reason,
                    const void *object, wf_deadline deadline)
{
    return wait_one(word, expected, true, reason, object, deadline);
}

int wfi_shared_wait_uncancelable(WFI_ATOMIC(uint32_t) * word, uint32_t expected, const char *reason,
                                 const void *object, wf_deadline deadline)
{
    return wait_one(word, expected, false, reason, object, deadline);
}

int wfi_shared_wait_any(const struct wfi_shared_word *words, size_t count, const char *reason,
                        const void *object, wf_deadline deadline)
{
    if (count == 1)
        return wait_one(words[0].word, words[0].expected, true, reason, object, deadline);
    struct wfi_wait_node few[FEW] = {{0}}, *nodes = few;
    if (count > FEW && !(nodes = wfi_zalloc(count * sizeof *nodes)))
        return -ENOMEM;
    int err = wait_by_bell(words, count, nodes, true, reason, object, deadline);
    if (nodes != few)
        wfi_free(nodes);
    if (err)
        for (size_t i = 0; i < count; i++)
            wfi_shared_wake(words[i].word, 1);
    return err;
}

void wfi_shared_wake(WFI_ATOMIC(uint32_t) * word, int count)
{
    wfi_word_wake(word, count);
}
