/* SPDX-License-Identifier: MIT */
/*
 * The arena; what must survive what is argued in the header.
 *
 *   base                                                                              base + bytes
 *   | struct arena | a struct chunk each | chunk 0 | chunk 1 | ...                              |
 *
 * Chunks are of 64 KiB. A block of up to half a chunk, with its head of 64 bytes, is cut from a
 * chunk of one size class, a power of two; a larger one takes whole chunks. What nobody has touched
 * has no memory behind it, the table of chunks included.
 */
#include "proc/arena.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "os/alive.h"
#include "os/cpu.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/sanitizer.h"
#include "os/word.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define HEAD_BYTES 64
#define SMALLEST 128
enum { CLASSES = 9, LARGEST_SMALL = SMALLEST << (CLASSES - 1), BITS_WORDS = 8 };
_Static_assert(SMALLEST * 64 * BITS_WORDS == CHUNK_BYTES, "a bit for each of the smallest blocks");
_Static_assert(LARGEST_SMALL * 2 == CHUNK_BYTES, "two of the largest small blocks in a chunk");

/* Address space costs nothing until it is touched; where it is refused, half of it is asked for. */
#define LIMIT_BYTES ((size_t)64 << 30)
#define LEAST_BYTES ((size_t)16 << 20)
/* TSan keeps books on every page of a mapping; Valgrind reads all of it whenever a process ends. */
#define LIMIT_BYTES_UNDER_TSAN ((size_t)1 << 30)
#define LIMIT_BYTES_UNDER_VALGRIND ((size_t)64 << 20)

/* A chunk's state. Of a large block the count of chunks is above the low byte. */
enum { FREE = 0, SMALL = 1 /* + class */, LARGE = 0x40, TAIL = 0x80, KIND_MASK = 0xff };
#define COUNT_SHIFT 8

struct chunk {
    /* True at all times; changed under the lock, by one store each. */
    WFI_ATOMIC(uint64_t) state;
    WFI_ATOMIC(uint64_t) bits[BITS_WORDS]; /* of small blocks: 1 is allocated */
    /* Derived: the list of chunks of the class with room, as indices plus one; blocks in use. */
    uint32_t next, prev;
    uint32_t used;
    bool listed;
};

struct head {
    WFI_ATOMIC(uint32_t) kind;  /* enum wfi_block_kind; before the store that allocates */
    WFI_ATOMIC(uint32_t) owner; /* member, or WFI_OWNER_QUEUE */
    uint64_t bytes;
    uint64_t mark; /* MARK while allocated */
};
_Static_assert(sizeof(struct head) <= HEAD_BYTES, "the head leaves the payload aligned");
#define MARK UINT64_C(0x77656674626c6f63)

struct member {
    WFI_ATOMIC(uint32_t) pid;   /* 0: free. The process takes the place by this one */
    WFI_ATOMIC(uint64_t) since; /* its start, 0 while it has not said so */
};

enum { HELD_BY = 0xffff, WAITERS = 0x10000 };

struct arena {
    WFI_ATOMIC(uint32_t) lock; /* member number of the owner, and WAITERS */
    uint32_t chunk_count;
    size_t bytes;
    size_t chunks_at;
    /* Derived, under the lock. */
    uint32_t with_room[CLASSES]; /* first chunk of the class with room, plus one */
    uint32_t high;               /* chunks from here on were never used, or are free */
    uint32_t low;                /* chunks before this are not free */
    uint64_t used_bytes, blocks;
    struct member members[WFI_MEMBERS_MAX + 1];
    struct chunk chunks[];
};

static WFI_ATOMIC(struct arena *) the_arena;
static struct wfi_lock start_lock; /* of this process: who makes the arena, who joins */
static size_t limit_bytes;
static WFI_ATOMIC(uint64_t) self_id; /* generation plus one, and member; 0: not joined */

/* How long a waiter waits before it asks whether the owner of the lock lives; holders need
 * microseconds. */
#define DOUBT_NS WF_MILLISECONDS(20)

/* Start and members */

static size_t first_limit(void)
{
    if (limit_bytes)
        return limit_bytes;
    if (wfi_under_valgrind())
        return LIMIT_BYTES_UNDER_VALGRIND;
    return WFI_TSAN ? LIMIT_BYTES_UNDER_TSAN : LIMIT_BYTES;
}

static size_t rounded_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static struct arena *make(void)
{
    void *low = NULL;
    size_t bytes = rounded_up(first_limit(), CHUNK_BYTES);
    size_t least = bytes < LEAST_BYTES ? bytes : LEAST_BYTES;
    while (wfi_memory_share(bytes, &low)) {
        bytes /= 2;
        if (bytes < least)
            return NULL;
    }
    struct arena *arena = low;
    size_t count = bytes / CHUNK_BYTES;
    size_t table =
        rounded_up(sizeof(struct arena) + count * sizeof(struct chunk), CHUNK_BYTES) / CHUNK_BYTES;
    arena->bytes = bytes;
    arena->chunks_at = table * CHUNK_BYTES;
    arena->chunk_count = (uint32_t)(count > table ? count - table : 0);
    return arena;
}

int wfi_arena_start(struct wf_error *reterr)
{
    int err = 0;
    if (wfi_load_acquire(&the_arena)) /* acquire: pairs with the release below */
        return 0;
    wfi_lock_lock(&start_lock);
    if (!wfi_load_relaxed(&the_arena)) {
        struct arena *arena = make();
        if (arena)
            wfi_store_release(&the_arena, arena); /* release: pairs with the acquires of users */
        else
            err = wf_error_set(reterr, -ENOMEM, "no address space for what processes share");
    }
    wfi_lock_unlock(&start_lock);
    return err;
}

void wfi_arena_limit(size_t bytes)
{
    limit_bytes = bytes;
}

static struct arena *get(void)
{
    return wfi_load_acquire(&the_arena); /* acquire: pairs with the release in wfi_arena_start */
}

static uint32_t take_number(struct arena *arena)
{
    uint32_t pid = (uint32_t)wfi_alive_self();
    for (uint32_t i = 1; i <= WFI_MEMBERS_MAX; i++) {
        uint32_t nobody = 0;
        struct member *member = &arena->members[i];
        if (wfi_load_relaxed(&member->pid) == 0 && wfi_cas(&member->pid, &nobody, pid)) {
            wfi_store(&member->since, wfi_alive_since((int)pid));
            return i;
        }
    }
    return 0;
}

static uint32_t join_family(void)
{
    if (wfi_forked() || wfi_arena_start(NULL))
        return 0;
    wfi_lock_lock(&start_lock);
    uint64_t id = wfi_load_relaxed(&self_id);
    if (id >> 32 != (uint64_t)wfi_fork_generation + 1) {
        uint32_t number = take_number(get());
        id = number ? ((uint64_t)wfi_fork_generation + 1) << 32 | number : 0;
        wfi_store_relaxed(&self_id, id);
    }
    wfi_lock_unlock(&start_lock);
    return (uint32_t)id;
}

uint32_t wfi_arena_self(void)
{
    /* relaxed: the number says it all, and what the arena holds is reached through get() */
    uint64_t id = wfi_load_relaxed(&self_id);
    if (wfi_likely(id >> 32 == (uint64_t)wfi_fork_generation + 1))
        return (uint32_t)id;
    return join_family();
}

int wfi_arena_refusal(struct wf_error *reterr)
{
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED,
                            "what processes share cannot be used in a child made by fork");
    if (!get())
        return wf_error_set(reterr, -ENOMEM, "no address space for what processes share");
    return wf_error_set(reterr, -ENOSPC, "%d processes use what is shared already",
                        WFI_MEMBERS_MAX);
}

static bool member_lives(struct arena *arena, uint32_t number)
{
    struct member *member = &arena->members[number];
    uint32_t pid = wfi_load(&member->pid);
    return pid && wfi_alive((int)pid, wfi_load(&member->since));
}

/* Chunks and blocks */

static char *chunk_start(struct arena *arena, uint32_t index)
{
    return (char *)arena + arena->chunks_at + (size_t)index * CHUNK_BYTES;
}

static uint32_t kind_of(uint64_t state)
{
    return (uint32_t)(state & KIND_MASK);
}

static bool is_small(uint64_t state)
{
    return state >= SMALL && state < SMALL + CLASSES;
}

static uint32_t class_of(uint64_t state)
{
    return (uint32_t)state - SMALL;
}

static size_t class_bytes(uint32_t class)
{
    return (size_t)SMALLEST << class;
}

static uint32_t class_blocks(uint32_t class)
{
    return (uint32_t)(CHUNK_BYTES / class_bytes(class));
}

static void list_push(struct arena *arena, uint32_t class, uint32_t index)
{
    struct chunk *chunk = &arena->chunks[index];
    uint32_t first = arena->with_room[class];
    chunk->prev = 0;
    chunk->next = first;
    chunk->listed = true;
    if (first)
        arena->chunks[first - 1].prev = index + 1;
    arena->with_room[class] = index + 1;
}

static void list_remove(struct arena *arena, uint32_t class, uint32_t index)
{
    struct chunk *chunk = &arena->chunks[index];
    if (!chunk->listed)
        return;
    if (chunk->prev)
        arena->chunks[chunk->prev - 1].next = chunk->next;
    else
        arena->with_room[class] = chunk->next;
    if (chunk->next)
        arena->chunks[chunk->next - 1].prev = chunk->prev;
    chunk->listed = false;
}

/* Puts the pages of a chunk without blocks back, then frees it. */
static void free_chunk(struct arena *arena, uint32_t index)
{
    wfi_memory_unshare_pages(chunk_start(arena, index), CHUNK_BYTES);
    wfi_store(&arena->chunks[index].state, FREE);
    if (index < arena->low)
        arena->low = index;
}

/* Derives all that is derived. The lock's last owner died with it. */
static void repair(struct arena *arena)
{
    memset(arena->with_room, 0, sizeof arena->with_room);
    arena->used_bytes = arena->blocks = 0;
    uint32_t high = 0, low = UINT32_MAX;
    /* The dead may have been about to raise `high`: one allocation, whose first chunk is at it or
     * before it. */
    uint32_t end = arena->high < arena->chunk_count ? arena->high + 1 : arena->chunk_count;
    for (uint32_t i = 0; i < end;) {
        struct chunk *chunk = &arena->chunks[i];
        uint64_t state = wfi_load(&chunk->state);
        uint32_t count = 1;
        chunk->listed = false;
        if (kind_of(state) == LARGE) {
            struct head *head = (struct head *)(void *)chunk_start(arena, i);
            count = (uint32_t)(state >> COUNT_SHIFT);
            if (wfi_load(&head->kind) == WFI_BLOCK_NONE) { /* its pages were given back already */
                wfi_store(&chunk->state, FREE);
                count = 1;
            } else {
                for (uint32_t k = 1; k < count; k++)
                    wfi_store(&arena->chunks[i + k].state, TAIL);
                arena->used_bytes += count * CHUNK_BYTES;
                arena->blocks++;
                high = i + count;
            }
        } else if (is_small(state)) {
            uint32_t class = class_of(state);
            chunk->used = 0;
            for (int w = 0; w < BITS_WORDS; w++)
                chunk->used += (uint32_t)__builtin_popcountll(wfi_load(&chunk->bits[w]));
            arena->used_bytes += chunk->used * class_bytes(class);
            arena->blocks += chunk->used;
            if (chunk->used < class_blocks(class))
                list_push(arena, class, i);
            high = i + 1;
        } else {
            wfi_store(&chunk->state, FREE); /* a tail without its head */
        }
        if (wfi_load_relaxed(&chunk->state) == FREE && low == UINT32_MAX)
            low = i;
        i += count;
    }
    arena->high = high;
    arena->low = low < high ? low : high;
}

/* The lock */

static void lock_slowly(struct arena *arena, uint32_t self)
{
    for (;;) {
        uint32_t seen = wfi_load(&arena->lock);
        if (!(seen & HELD_BY)) {
            /* acquire: pairs with the release in wfi_arena_unlock. With WAITERS, because others may
             * sleep, too; the price is one needless wake-up. */
            if (wfi_cas_acquire(&arena->lock, &seen, self | WAITERS))
                return;
            continue;
        }
        if (!(seen & WAITERS) && !wfi_cas(&arena->lock, &seen, seen | WAITERS))
            continue;
        seen |= WAITERS;
        int err = wfi_word_wait(&arena->lock, seen, wf_after(DOUBT_NS));
        if (err == -ETIMEDOUT && !member_lives(arena, seen & HELD_BY) &&
            wfi_cas_acquire(&arena->lock, &seen, self | WAITERS)) {
            repair(arena);
            return;
        }
    }
}

void wfi_arena_lock(void)
{
    struct arena *arena = get();
    uint32_t self = wfi_arena_self();
    wfi_assert(self, "who takes the arena's lock is a member");
    int spins = wfi_cpu_alone() ? 1 : 100;
    while (spins-- > 0) {
        uint32_t nobody = 0;
        /* acquire: pairs with the release in wfi_arena_unlock */
        if (wfi_load_relaxed(&arena->lock) == 0 && wfi_cas_acquire(&arena->lock, &nobody, self))
            return;
        wfi_cpu_relax();
    }
    lock_slowly(arena, self);
}

void wfi_arena_unlock(void)
{
    struct arena *arena = get();
    /* release: pairs with the acquires in wfi_arena_lock and lock_slowly */
    if (wfi_exchange_release(&arena->lock, 0) & WAITERS)
        wfi_word_wake(&arena->lock, 1);
}

/* Allocation, under the lock */

static void write_head(void *at, enum wfi_block_kind kind, size_t bytes, uint32_t owner)
{
    struct head *head = at;
    head->bytes = bytes;
    head->mark = MARK;
    wfi_store_relaxed(&head->owner, owner);
    wfi_store(&head->kind, kind);
}

/* First of `count` free chunks in a row, or UINT32_MAX. */
static uint32_t find_chunks(struct arena *arena, uint32_t count)
{
    uint32_t run = 0;
    uint32_t i = arena->low;
    while (i < arena->high) {
        uint64_t state = wfi_load_relaxed(&arena->chunks[i].state); /* relaxed: the lock is held */
        if (state == FREE) {
            if (++run == count)
                return i + 1 - count;
            i++;
        } else {
            run = 0;
            i += kind_of(state) == LARGE ? (uint32_t)(state >> COUNT_SHIFT) : 1;
        }
    }
    /* The run that ends at `high` goes on behind it. */
    uint32_t first = arena->high - run;
    return count <= arena->chunk_count - first ? first : UINT32_MAX;
}

static void *alloc_large(struct arena *arena, enum wfi_block_kind kind, size_t bytes, uint32_t self)
{
    uint32_t count = (uint32_t)((bytes + HEAD_BYTES + CHUNK_BYTES - 1) / CHUNK_BYTES);
    uint32_t first = find_chunks(arena, count);
    if (first == UINT32_MAX)
        return NULL;
    char *start = chunk_start(arena, first);
    write_head(start, kind, bytes, self);
    /* From here on it is allocated; what follows is derived. */
    wfi_store(&arena->chunks[first].state, LARGE | (uint64_t)count << COUNT_SHIFT);
    for (uint32_t i = 1; i < count; i++)
        wfi_store_relaxed(&arena->chunks[first + i].state, TAIL);
    if (first + count > arena->high)
        arena->high = first + count;
    if (first == arena->low)
        arena->low = first + count;
    arena->used_bytes += count * CHUNK_BYTES;
    arena->blocks++;
    return start + HEAD_BYTES;
}

static uint32_t chunk_with_room(struct arena *arena, uint32_t class)
{
    if (arena->with_room[class])
        return arena->with_room[class] - 1;
    uint32_t index = find_chunks(arena, 1);
    if (index == UINT32_MAX)
        return index;
    struct chunk *chunk = &arena->chunks[index];
    for (int w = 0; w < BITS_WORDS; w++)
        wfi_store(&chunk->bits[w], 0);
    chunk->used = 0;
    wfi_store(&chunk->state, SMALL + class);
    if (index >= arena->high)
        arena->high = index + 1;
    if (index == arena->low)
        arena->low = index + 1;
    list_push(arena, class, index);
    return index;
}

static void *alloc_small(struct arena *arena, enum wfi_block_kind kind, size_t bytes, uint32_t self)
{
    uint32_t class = 0;
    while (class_bytes(class) < bytes + HEAD_BYTES)
        class ++;
    uint32_t index = chunk_with_room(arena, class);
    if (index == UINT32_MAX)
        return NULL;
    struct chunk *chunk = &arena->chunks[index];
    int w = 0;
    while (wfi_load_relaxed(&chunk->bits[w]) == UINT64_MAX)
        w++;
    uint64_t bits = wfi_load_relaxed(&chunk->bits[w]);
    unsigned bit = (unsigned)__builtin_ctzll(~bits);
    char *start = chunk_start(arena, index) + ((unsigned)w * 64 + bit) * class_bytes(class);
    write_head(start, kind, bytes, self);
    wfi_store(&chunk->bits[w], bits | UINT64_C(1) << bit); /* now it is allocated */
    chunk->used++;
    if (chunk->used == class_blocks(class))
        list_remove(arena, class, index);
    arena->used_bytes += class_bytes(class);
    arena->blocks++;
    return start + HEAD_BYTES;
}

int wfi_arena_alloc(enum wfi_block_kind kind, size_t bytes, void **ret, struct wf_error *reterr)
{
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(reterr);
    struct arena *arena = get();
    if (bytes > arena->chunk_count * CHUNK_BYTES - HEAD_BYTES)
        return wf_error_set(reterr, WF_ETOOBIG, "%zu bytes: all that processes share is %zu", bytes,
                            arena->bytes);
    bool small = bytes + HEAD_BYTES <= LARGEST_SMALL;
    wfi_arena_lock();
    void *block =
        small ? alloc_small(arena, kind, bytes, self) : alloc_large(arena, kind, bytes, self);
    uint64_t used = arena->used_bytes;
    wfi_arena_unlock();
    if (!block)
        return wf_error_set(reterr, -ENOMEM,
                            "%zu bytes: of the %zu that processes share %llu are in use", bytes,
                            arena->bytes, (unsigned long long)used);
    if (small)
        memset(block, 0, bytes);
    *ret = block;
    return 0;
}

/* Release */

static struct head *head_of(const void *block)
{
    return (struct head *)(uintptr_t)((const char *)block - HEAD_BYTES);
}

/* The chunk of an address that lies in one. */
static uint32_t chunk_index(struct arena *arena, const void *at)
{
    return (uint32_t)((size_t)((const char *)at - (char *)arena - arena->chunks_at) / CHUNK_BYTES);
}

static void free_small(struct arena *arena, uint32_t index, struct head *head)
{
    struct chunk *chunk = &arena->chunks[index];
    uint32_t class = class_of(wfi_load_relaxed(&chunk->state));
    unsigned number =
        (unsigned)((size_t)((char *)head - chunk_start(arena, index)) / class_bytes(class));
    uint64_t bits = wfi_load_relaxed(&chunk->bits[number / 64]);
    wfi_assert(bits >> number % 64 & 1, "a shared block is given back once");
    wfi_store(&chunk->bits[number / 64], bits & ~(UINT64_C(1) << number % 64));
    chunk->used--;
    arena->used_bytes -= class_bytes(class);
    arena->blocks--;
    if (!chunk->listed)
        list_push(arena, class, index);
    /* One empty chunk of a class stays, or the last block of a class would cost two system calls
     * each time it comes and goes. */
    if (chunk->used == 0 && (chunk->next || chunk->prev)) {
        list_remove(arena, class, index);
        free_chunk(arena, index);
    }
}

static void free_large(struct arena *arena, uint32_t first)
{
    struct chunk *chunk = &arena->chunks[first];
    uint32_t count = (uint32_t)(wfi_load_relaxed(&chunk->state) >> COUNT_SHIFT);
    wfi_memory_unshare_pages(chunk_start(arena, first), CHUNK_BYTES);
    wfi_store(&chunk->state, FREE); /* now it is free; what follows is derived */
    for (uint32_t i = 1; i < count; i++)
        wfi_store(&arena->chunks[first + i].state, FREE);
    if (first < arena->low)
        arena->low = first;
    arena->used_bytes -= count * CHUNK_BYTES;
    arena->blocks--;
}

/* Without the lock if it can be: the rest of a large block, which is its owner's alone. */
static void give_back_tail(struct arena *arena, uint32_t first)
{
    uint64_t state = wfi_load_relaxed(&arena->chunks[first].state);
    uint32_t count = (uint32_t)(state >> COUNT_SHIFT);
    if (kind_of(state) == LARGE && count > 1)
        wfi_memory_unshare_pages(chunk_start(arena, first + 1), (count - 1) * CHUNK_BYTES);
}

static void free_block(struct arena *arena, void *block)
{
    struct head *head = head_of(block);
    uint32_t index = chunk_index(arena, head);
    wfi_assert(head->mark == MARK, "what is given back is a shared block");
    if (is_small(wfi_load_relaxed(&arena->chunks[index].state)))
        free_small(arena, index, head);
    else
        free_large(arena, index);
}

void wfi_arena_free_locked(void *block)
{
    if (!block)
        return;
    struct arena *arena = get();
    give_back_tail(arena, chunk_index(arena, head_of(block)));
    free_block(arena, block);
}

void wfi_arena_free(void *block)
{
    if (!block)
        return;
    struct arena *arena = get();
    give_back_tail(arena, chunk_index(arena, head_of(block)));
    wfi_arena_lock();
    free_block(arena, block);
    wfi_arena_unlock();
}

/* Looking things up */

size_t wfi_arena_bytes(const void *block)
{
    return head_of(block)->bytes;
}

void wfi_arena_set_kind(void *block, enum wfi_block_kind kind)
{
    wfi_store(&head_of(block)->kind, kind);
}

uint32_t wfi_arena_owner(const void *block)
{
    return wfi_load(&head_of(block)->owner);
}

void wfi_arena_set_owner(void *block, uint32_t owner)
{
    wfi_store(&head_of(block)->owner, owner);
}

uint64_t wfi_arena_offset(const void *block)
{
    return (uint64_t)((const char *)block - (char *)get());
}

void *wfi_arena_at(uint64_t offset, enum wfi_block_kind kind)
{
    struct arena *arena = get();
    if (!arena || offset % HEAD_BYTES || offset < arena->chunks_at + HEAD_BYTES ||
        offset >= arena->chunks_at + arena->chunk_count * CHUNK_BYTES)
        return NULL;
    char *start = (char *)arena + offset - HEAD_BYTES;
    uint32_t index = chunk_index(arena, start);
    struct chunk *chunk = &arena->chunks[index];
    uint64_t state = wfi_load(&chunk->state);
    size_t inside = (size_t)(start - chunk_start(arena, index));
    if (is_small(state)) {
        size_t bytes = class_bytes(class_of(state));
        size_t number = inside / bytes;
        if (inside % bytes || !(wfi_load(&chunk->bits[number / 64]) >> number % 64 & 1))
            return NULL;
    } else if (kind_of(state) != LARGE || inside != 0) {
        return NULL;
    }
    struct head *head = (struct head *)(void *)start;
    return head->mark == MARK && wfi_load(&head->kind) == kind ? start + HEAD_BYTES : NULL;
}

void *wfi_arena_at_trusted(uint64_t offset)
{
    return (char *)get() + offset;
}

bool wfi_arena_is(const void *block, enum wfi_block_kind kind)
{
    struct arena *arena = get();
    if (!arena || (const char *)block < (char *)arena)
        return false;
    return wfi_arena_at(wfi_arena_offset(block), kind) == block;
}

void wfi_arena_each(void (*fn)(void *block, enum wfi_block_kind kind, void *arg), void *arg)
{
    struct arena *arena = get();
    for (uint32_t i = 0; i < arena->high;) {
        struct chunk *chunk = &arena->chunks[i];
        uint64_t state = wfi_load(&chunk->state);
        char *start = chunk_start(arena, i);
        uint32_t count = 1;
        if (kind_of(state) == LARGE) {
            count = (uint32_t)(state >> COUNT_SHIFT);
            struct head *head = (struct head *)(void *)start;
            fn(start + HEAD_BYTES, wfi_load(&head->kind), arg);
        } else if (is_small(state)) {
            size_t bytes = class_bytes(class_of(state));
            for (unsigned n = 0; n < class_blocks(class_of(state)); n++) {
                /* The last block freed may have freed the chunk, and its bits are 0. */
                if (!(wfi_load(&chunk->bits[n / 64]) >> n % 64 & 1))
                    continue;
                struct head *head = (struct head *)(void *)(start + n * bytes);
                fn((char *)head + HEAD_BYTES, wfi_load(&head->kind), arg);
            }
        }
        i += count;
    }
}

uint32_t wfi_arena_find_dead(int pid)
{
    struct arena *arena = get();
    for (uint32_t i = 1; i <= WFI_MEMBERS_MAX; i++)
        if (wfi_load(&arena->members[i].pid) == (uint32_t)pid && !member_lives(arena, i))
            return i;
    return 0;
}

void wfi_arena_forget(uint32_t number)
{
    struct member *member = &get()->members[number];
    wfi_store(&member->since, 0);
    wfi_store(&member->pid, 0);
}

void wfi_arena_usage(struct wfi_arena_usage *ret)
{
    struct arena *arena = get();
    *ret = (struct wfi_arena_usage){0};
    if (!arena || !wfi_arena_self())
        return;
    wfi_arena_lock();
    ret->used_bytes = arena->used_bytes;
    ret->blocks = arena->blocks;
    ret->limit_bytes = arena->chunk_count * CHUNK_BYTES;
    wfi_arena_unlock();
    for (uint32_t i = 1; i <= WFI_MEMBERS_MAX; i++)
        ret->members += wfi_load(&arena->members[i].pid) != 0;
}

size_t wfi_arena_reserved(void)
{
    struct arena *arena = get();
    return arena ? arena->bytes : 0;
}

size_t wfi_arena_resident(void)
{
    struct arena *arena = get();
    if (!arena)
        return 0;
    return wfi_memory_resident(arena, arena->chunks_at + (size_t)arena->high * CHUNK_BYTES);
}
