/* SPDX-License-Identifier: MIT */
/*
 * Task blocks come from slabs of 64 KiB. Each thread has a cache: a list of free blocks that only
 * it touches. A slab belongs to the cache it was made for, its home; a block freed by another
 * thread goes back to its home, in batches, through a list that any thread pushes on and the owner
 * takes as a whole. So the usual flow, made here and freed there, costs one exchange in thirty-two.
 *
 * Slabs are never given back: they hang on a list that only grows, which is how a reader finds all
 * tasks without a lock. A cache stays with the thread's record and serves the next thread that gets
 * it, so nothing is lost when threads come and go.
 *
 * Invariant: a free block has state 0; while it is in a list its job.next is the link.
 *
 * The fibers of a worker share its thread's cache, in turn. TSan, which is told of no order between
 * them (so that it finds their races), does not look at the cache; it is told that who takes a
 * block comes after who gave it.
 */
#include "exec/future.h"

#include <string.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "sched/record.h"

enum { SLAB_BYTES = 64 * 1024, BATCH = 32 };

#if WFI_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(f) ASAN_POISON_MEMORY_REGION((f)->bytes, WFI_TASK_INLINE)
#define UNPOISON(f) ASAN_UNPOISON_MEMORY_REGION((f)->bytes, WFI_TASK_INLINE)
#else
#define POISON(f) ((void)(f))
#define UNPOISON(f) ((void)(f))
#endif

struct cache;

struct slab {
    struct cache *home;
    struct slab *older; /* constant once published */
    _Alignas(128) struct wf_future blocks[];
};

enum { SLAB_BLOCKS = (SLAB_BYTES - 128) / 128 };

struct cache {
    struct wf_future *free; /* the owner's */
    /* Blocks on their way to another home: the owner's. */
    struct cache *away_home;
    struct wf_future *away_first, *away_last;
    unsigned away_count;
    _Alignas(64) WFI_ATOMIC(struct wf_future *) returned; /* pushed by others */
};

static WFI_ATOMIC(struct slab *) newest;

static struct wf_future *next_of(struct wf_future *f)
{
    return (struct wf_future *)(void *)f->job.next;
}

static void set_next(struct wf_future *f, struct wf_future *next)
{
    f->job.next = (struct wfi_job *)next;
}

static struct slab *slab_of(struct wf_future *f)
{
    return (struct slab *)((uintptr_t)f & ~(uintptr_t)(SLAB_BYTES - 1));
}

static struct cache *own_cache(void)
{
    struct wfi_record *record = wfi_record_self();
    if (!record->blocks)
        record->blocks = wfi_zalloc_aligned(64, sizeof(struct cache));
    return record->blocks;
}

static bool grow(struct cache *cache)
{
    struct slab *slab = wfi_zalloc_aligned(SLAB_BYTES, SLAB_BYTES);
    if (!slab)
        return false;
    slab->home = cache;
    for (int i = SLAB_BLOCKS - 1; i >= 0; i--) {
        set_next(&slab->blocks[i], cache->free);
        cache->free = &slab->blocks[i];
        POISON(&slab->blocks[i]);
    }
    struct slab *head = wfi_load_relaxed(&newest);
    do
        slab->older = head;
    while (!wfi_cas_release(&newest, &head, slab)); /* release: pairs with wfi_future_next */
    return true;
}

static struct wf_future *take(struct cache *cache)
{
    if (!cache)
        return NULL;
    if (!cache->free) {
        /* acquire: pairs with the release in send_away, for the blocks' links */
        cache->free = wfi_exchange_acquire(&cache->returned, NULL);
        if (!cache->free && !grow(cache))
            return NULL;
    }
    struct wf_future *f = cache->free;
    cache->free = next_of(f);
    return f;
}

struct wf_future *wfi_block_take(void)
{
    if (wfi_unlikely(wfi_alloc_should_fail()))
        return NULL;
    wfi_tsan_checks_off();
    struct wf_future *f = take(own_cache());
    wfi_tsan_checks_on();
    if (f) {
        wfi_tsan_acquire(f);
        UNPOISON(f);
    }
    return f;
}

static void send_away(struct cache *home, struct wf_future *first, struct wf_future *last)
{
    struct wf_future *head = wfi_load_relaxed(&home->returned);
    do
        set_next(last, head);
    while (!wfi_cas_release(&home->returned, &head, first)); /* pairs with wfi_block_take */
}

static void give(struct wf_future *f)
{
    struct cache *home = slab_of(f)->home, *cache = own_cache();
    if (home == cache) {
        set_next(f, cache->free);
        cache->free = f;
        return;
    }
    if (!cache) {
        send_away(home, f, f);
        return;
    }
    if (cache->away_home != home || cache->away_count == BATCH) {
        if (cache->away_count)
            send_away(cache->away_home, cache->away_first, cache->away_last);
        cache->away_home = home;
        cache->away_count = 0;
    }
    if (cache->away_count++ == 0)
        cache->away_last = f;
    else
        set_next(f, cache->away_first);
    cache->away_first = f;
}

void wfi_block_give(struct wf_future *f)
{
    /* release: pairs with the acquire in wfi_future_next */
    wfi_store_release(&f->state, 0);
    POISON(f);
    wfi_tsan_release(f);
    wfi_tsan_checks_off();
    give(f);
    wfi_tsan_checks_on();
}

const struct wf_future *wfi_future_next(struct wfi_future_cursor *cursor)
{
    enum { BEHIND = SLAB_BLOCKS + 1 };
    if (!cursor->slab) {
        /* acquire: pairs with the release in grow */
        cursor->slab = cursor->index == BEHIND ? NULL : wfi_load_acquire(&newest);
        cursor->index = 0;
    }
    struct slab *slab;
    while ((slab = cursor->slab)) {
        while (cursor->index < SLAB_BLOCKS) {
            struct wf_future *f = &slab->blocks[cursor->index++];
            /* acquire: pairs with the release that made or freed the block, for `type` */
            if (wfi_load_acquire(&f->state) != 0)
                return f;
        }
        cursor->slab = slab->older;
        cursor->index = 0;
    }
    cursor->index = BEHIND;
    return NULL;
}
