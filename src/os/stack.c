/* SPDX-License-Identifier: MIT */
/*
 * The stack allocator.
 *
 * Invariants
 *   1. The free lists, `carved` and the list of slabs change under pool->lock.
 *   2. `carved` only grows, and is published with release after the slab is complete; the list of
 *      slabs only grows at its end. So a reader with no lock sees whole slabs and blocks.
 *   3. A stack is handed out, or put into `kept` or `cold`, only with its guard. One whose guard
 *      could not be made waits in `bare`.
 *   4. Size and alignment of a slab are powers of two, and so is a stack's reservation: where a
 *      block's stack begins is a mask away.
 *
 * New stacks are made sixteen at a time: their guards in one system call, their top pages in
 * another, both outside the lock; a trim of returned ones likewise. Measured on Linux 6.18: guard
 * and first touch of a page 3.1 us one by one, 2.4 us in sixteens; trim 0.64 and 0.30 us.
 *
 * Rejected: a mapping per stack (the kernel allows 65,530 of them, and each stack needs two); a
 * list of free slots in the slab (contents would have to be cleared); counting how deep a stack
 * was used before trimming it (mincore costs as much as the trim).
 */
#include "os/stack.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "os/directory.h"
#include "os/lock.h"
#include "os/memory.h"

#define LINE ((size_t)64)
#define SLAB_BYTES \
    WFI_DIRECTORY_CHUNK /* 256 stacks of the default size: few maps for a million \
                         */
#define STACK_BYTES_MIN ((size_t)16 * 1024)
#define STACK_BYTES_MAX ((size_t)1 << 36)
#define GUARD_BYTES_MAX ((size_t)64 * 1024)

/*
 * Left free in the top page for the first frames of a fiber, a printf among them, so that its
 * colour does not make it touch a second page. What the block leaves beyond that is for colours;
 * with a block of 256 bytes there are 25. A switch in a ring of 20,000 fibers took 15.4 ns with 25
 * colours, 15.8 with 37, 17.7 with 16, and 63 without.
 */
#define FRAME_BYTES ((size_t)2304)

#define KEPT_DEFAULT 1024

#define BATCH WFI_MEMORY_RANGES_MAX

struct link {
    struct link *next;
};

struct slab {
    struct wfi_stack_pool *pool;
    char *low;
    uint32_t count;              /* stacks it has room for */
    WFI_ATOMIC(uint32_t) carved; /* of which so many were begun; written under pool->lock */
    WFI_ATOMIC(uint32_t) guards;
    WFI_ATOMIC(struct slab *) next;
};

struct wfi_stack_pool {
    /* Constant. */
    size_t stack_bytes, guard_bytes;
    size_t block_bytes; /* with the link, in whole lines */
    size_t link_offset; /* from the block */
    size_t slab_bytes;
    unsigned stack_bits;
    unsigned colours;
    WFI_ATOMIC(struct slab *) first;

    /* Under the lock. */
    _Alignas(64) struct wfi_lock lock;
    struct slab *last;
    struct link *kept, *cold, *bare;
    size_t kept_count, kept_max, cold_count;
};

static void slab_destroy(struct slab *slab)
{
    wfi_directory_clear(slab->low, slab->pool->slab_bytes);
    wfi_memory_release(slab->low, slab->pool->slab_bytes, wfi_load(&slab->guards));
    wfi_free(slab);
}

static struct slab *slab_create(struct wfi_stack_pool *pool)
{
    struct slab *slab = wfi_zalloc(sizeof *slab);
    if (!slab)
        return NULL;
    void *low;
    if (wfi_memory_reserve(pool->slab_bytes, pool->slab_bytes, &low)) {
        wfi_free(slab);
        return NULL;
    }
    /* A huge page would back eight waiting fibers with 2 MiB instead of 32 KiB. Both are advice: a
     * kernel without huge pages or core dumps refuses, and needs neither. */
    madvise(low, pool->slab_bytes, MADV_NOHUGEPAGE);
    madvise(low, pool->slab_bytes, MADV_DONTDUMP);
    slab->pool = pool;
    slab->low = low;
    slab->count = (uint32_t)(pool->slab_bytes >> pool->stack_bits);
    if (wfi_directory_set(low, pool->slab_bytes, slab)) {
        slab_destroy(slab);
        return NULL;
    }
    return slab;
}

static void *block_at(const struct wfi_stack_pool *pool, char *stack_low)
{
    size_t colour = ((uintptr_t)stack_low >> pool->stack_bits) % pool->colours;
    return stack_low + pool->stack_bytes - colour * LINE - pool->block_bytes;
}

static char *stack_of(const struct wfi_stack_pool *pool, const void *block)
{
    return (char *)((uintptr_t)block & ~(uintptr_t)(pool->stack_bytes - 1));
}

static struct slab *slab_of(const struct wfi_stack_pool *pool, const void *block)
{
    return wfi_directory_find(stack_of(pool, block));
}

static char *page_of(void *block)
{
    return (char *)((uintptr_t)block & ~(uintptr_t)(wfi_page_bytes() - 1));
}

static struct link *link_of(const struct wfi_stack_pool *pool, void *block)
{
    return (struct link *)((char *)block + pool->link_offset);
}

static void *block_of(const struct wfi_stack_pool *pool, struct link *link)
{
    return (char *)link - pool->link_offset;
}

static void push(struct link **list, struct link *link)
{
    link->next = *list;
    *list = link;
}

static struct link *pop(struct link **list)
{
    struct link *link = *list;
    if (link)
        *list = link->next;
    return link;
}

int wfi_stack_pool_create(size_t stack_bytes, size_t block_bytes, struct wfi_stack_pool **ret_pool,
                          struct wf_error *reterr)
{
    if (!stack_bytes)
        stack_bytes = WFI_STACK_BYTES_DEFAULT;
    size_t page = wfi_page_bytes();
    size_t least = 4 * page > STACK_BYTES_MIN ? 4 * page : STACK_BYTES_MIN;
    if (stack_bytes < least || stack_bytes > STACK_BYTES_MAX)
        return wf_error_set(reterr, -EINVAL, "a stack of %zu bytes: from %zu to %zu are possible",
                            stack_bytes, least, STACK_BYTES_MAX);
    unsigned bits = 0;
    while (((size_t)1 << bits) < stack_bytes)
        bits++;
    stack_bytes = (size_t)1 << bits;
    if (block_bytes > stack_bytes / 4)
        return wf_error_set(
            reterr, -EINVAL,
            "a control block of %zu bytes is more than a quarter of the stack (%zu)", block_bytes,
            stack_bytes);

    struct wfi_stack_pool *pool = wfi_zalloc_aligned(64, sizeof *pool);
    if (!pool)
        return wf_error_set(reterr, -ENOMEM, NULL);
    pool->stack_bits = bits;
    pool->stack_bytes = stack_bytes;
    pool->guard_bytes = stack_bytes / 4 < GUARD_BYTES_MAX ? stack_bytes / 4 : GUARD_BYTES_MAX;
    pool->link_offset = (block_bytes + sizeof(struct link) - 1) & ~(sizeof(struct link) - 1);
    pool->block_bytes = (pool->link_offset + sizeof(struct link) + LINE - 1) & ~(LINE - 1);
    pool->slab_bytes = stack_bytes > SLAB_BYTES ? stack_bytes : SLAB_BYTES;
    pool->colours = 1;
    if (pool->block_bytes + FRAME_BYTES < page)
        pool->colours += (unsigned)((page - pool->block_bytes - FRAME_BYTES) / LINE);
    pool->kept_max = KEPT_DEFAULT;
    *ret_pool = pool;
    return 0;
}

void wfi_stack_pool_destroy(struct wfi_stack_pool *pool)
{
    if (!pool)
        return;
    struct slab *next;
    for (struct slab *slab = wfi_load(&pool->first); slab; slab = next) {
        next = wfi_load(&slab->next);
        slab_destroy(slab);
    }
    wfi_free(pool);
}

void wfi_stack_pool_keep(struct wfi_stack_pool *pool, size_t kept_max)
{
    wfi_lock_lock(&pool->lock);
    pool->kept_max = kept_max;
    wfi_lock_unlock(&pool->lock);
}

static int get_failed(struct wf_error *reterr, int err)
{
    if (err != -ENOSPC)
        return wf_error_set(reterr, -ENOMEM, "no memory for another fiber stack");
    return wf_error_set(reterr, -ENOMEM,
                        "no guard for another fiber stack: %zu guards, two mappings each, are the "
                        "half of vm.max_map_count that fibers may use; Linux 6.13 and later have "
                        "guards without mappings",
                        wfi_memory_guards_max());
}

/* Stacks nobody had before: sets the first block and how many, side by side. Under the lock. */
static int carve(struct wfi_stack_pool *pool, void **ret_block, int *ret_count)
{
    struct slab *slab = pool->last;
    if (!slab || wfi_load_relaxed(&slab->carved) == slab->count) { /* relaxed: under the lock */
        slab = slab_create(pool);
        if (!slab)
            return -ENOMEM;
        /* release: pairs with the acquire in wfi_stack_each */
        wfi_store_release(pool->last ? &pool->last->next : &pool->first, slab);
        pool->last = slab;
    }
    uint32_t carved = wfi_load_relaxed(&slab->carved); /* relaxed: under the lock */
    uint32_t count = slab->count - carved < BATCH ? slab->count - carved : BATCH;
    if (wfi_memory_guards_max() != SIZE_MAX)
        count = 1; /* each guard takes from something scarce: only when it is needed */
    *ret_block = block_at(pool, slab->low + ((size_t)carved << pool->stack_bits));
    *ret_count = (int)count;
    wfi_store_release(&slab->carved, carved + count); /* pairs with the acquire in wfi_stack_each */
    return 0;
}

/* Puts guards and top pages under `count` stacks from that of `block` on. The first is the
 * caller's; the others become cold, or bare again. */
static int furnish(struct wfi_stack_pool *pool, void *block, int count)
{
    char *low = stack_of(pool, block);
    struct iovec ranges[BATCH];
    for (int i = 0; i < count; i++)
        ranges[i] = (struct iovec){low + ((size_t)i << pool->stack_bits), pool->guard_bytes};
    int made = wfi_memory_guard(ranges, count);
    int err = made < 0 ? made : 0;
    if (err)
        made = 0;
    else
        wfi_fetch_add(&slab_of(pool, block)->guards, (uint32_t)made);
    if (made > 1) {
        for (int i = 0; i < made; i++) {
            char *stack = low + ((size_t)i << pool->stack_bits);
            char *page = page_of(block_at(pool, stack));
            ranges[i] = (struct iovec){page, (size_t)(stack + pool->stack_bytes - page)};
        }
        wfi_memory_commit(ranges, made);
    }
    if (count == 1 && !err)
        return 0;
    wfi_lock_lock(&pool->lock);
    for (int i = count - 1; i >= (err ? 0 : 1); i--) { /* the lowest address on top */
        struct link *link = link_of(pool, block_at(pool, low + ((size_t)i << pool->stack_bits)));
        push(i < made ? &pool->cold : &pool->bare, link);
        pool->cold_count += i < made;
    }
    wfi_lock_unlock(&pool->lock);
    return err;
}

void *wfi_stack_get(struct wfi_stack_pool *pool, struct wf_error *reterr)
{
    int err = 0, count = 1;
    void *block = NULL;
    wfi_lock_lock(&pool->lock);
    struct link *link = pop(&pool->kept);
    if (link) {
        pool->kept_count--;
    } else if ((link = pop(&pool->cold))) {
        pool->cold_count--;
    } else {
        struct link *bare = pop(&pool->bare);
        if (bare)
            block = block_of(pool, bare);
        else
            err = carve(pool, &block, &count);
    }
    wfi_lock_unlock(&pool->lock);
    if (link)
        return block_of(pool, link);
    if (!err)
        err = furnish(pool, block, count);
    if (err) {
        get_failed(reterr, err);
        return NULL;
    }
    return block;
}

/* Gives the pages below the top ones of a chain of stacks to the system. */
static void trim(struct wfi_stack_pool *pool, struct link *chain)
{
    struct iovec ranges[BATCH];
    int count = 0;
    struct link *last = chain;
    for (struct link *link = chain; link; link = link->next) {
        void *block = block_of(pool, link);
        char *low = stack_of(pool, block) + pool->guard_bytes;
        ranges[count++] = (struct iovec){low, (size_t)(page_of(block) - low)};
        last = link;
    }
    wfi_memory_decommit(ranges, count);
    wfi_lock_lock(&pool->lock);
    last->next = pool->cold;
    pool->cold = chain;
    pool->cold_count += (size_t)count;
    wfi_lock_unlock(&pool->lock);
}

void wfi_stack_put(struct wfi_stack_pool *pool, void *block)
{
    struct link *chain = NULL;
    wfi_lock_lock(&pool->lock);
    push(&pool->kept, link_of(pool, block));
    if (++pool->kept_count >= pool->kept_max + BATCH)
        for (int i = 0; i < BATCH; i++) {
            push(&chain, pop(&pool->kept));
            pool->kept_count--;
        }
    wfi_lock_unlock(&pool->lock);
    /* The system call is made outside the lock; until it is done nobody can get these stacks. */
    if (chain)
        trim(pool, chain);
}

void wfi_stack_range(const struct wfi_stack_pool *pool, const void *block, void **ret_low,
                     size_t *ret_bytes)
{
    char *low = stack_of(pool, block) + pool->guard_bytes;
    *ret_low = low;
    *ret_bytes = (size_t)((const char *)block - low);
}

void *wfi_stack_next(const struct wfi_stack_pool *pool, struct wfi_stack_cursor *cursor)
{
    /* acquire, thrice: pairs with the releases in carve */
    struct slab *slab = cursor->slab ? cursor->slab : wfi_load_acquire(&pool->first);
    for (; slab; slab = wfi_load_acquire(&slab->next)) {
        if (cursor->slab != slab)
            *cursor = (struct wfi_stack_cursor){slab, 0};
        if (cursor->index < wfi_load_acquire(&slab->carved))
            return block_at(pool, slab->low + ((size_t)cursor->index++ << pool->stack_bits));
    }
    return NULL;
}

void wfi_stack_each(const struct wfi_stack_pool *pool, void (*fn)(void *block, void *arg),
                    void *arg)
{
    struct wfi_stack_cursor cursor = {0};
    void *block;
    while ((block = wfi_stack_next(pool, &cursor)))
        fn(block, arg);
}

void wfi_stack_pool_counts(struct wfi_stack_pool *pool, struct wfi_stack_counts *ret_counts)
{
    *ret_counts = (struct wfi_stack_counts){0};
    wfi_lock_lock(&pool->lock);
    for (struct slab *slab = wfi_load(&pool->first); slab; slab = wfi_load(&slab->next))
        ret_counts->made += wfi_load_relaxed(&slab->carved); /* relaxed: under the lock */
    ret_counts->kept = pool->kept_count;
    ret_counts->cold = pool->cold_count;
    wfi_lock_unlock(&pool->lock);
}

bool wfi_stack_find(const void *addr, struct wfi_stack_place *ret_place)
{
    struct slab *slab = wfi_directory_find(addr);
    if (!slab)
        return false;
    const struct wfi_stack_pool *pool = slab->pool;
    size_t index = (size_t)((const char *)addr - slab->low) >> pool->stack_bits;
    if (index >= wfi_load_acquire(&slab->carved)) /* pairs with the release in carve */
        return false;
    char *low = slab->low + (index << pool->stack_bits);
    char *usable = low + pool->guard_bytes;
    ret_place->block = block_at(pool, low);
    ret_place->reserved_bytes = pool->stack_bytes;
    ret_place->usable_bytes = (size_t)((char *)ret_place->block - usable);
    ret_place->in_guard = (const char *)addr < usable;
    return true;
}
