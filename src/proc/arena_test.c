/* SPDX-License-Identifier: MIT */
/* The family arena: blocks come and go, and outlive the killing of whoever allocates. */
#include "family.h"

#include <errno.h>
#include <unistd.h>

#include "os/alive.h"
#include "os/memory.h"
#include "os/sanitizer.h"
#include "proc/shared.h"

static uint64_t seed;

static void *must_alloc(size_t bytes)
{
    void *block = NULL;
    struct wf_error error;
    if (wfi_arena_alloc(WFI_BLOCK_BYTES, bytes, &block, &error))
        fail_msg("%s", error.text);
    return block;
}

static void blocks_are_zeros_apart_and_given_back(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static const size_t sizes[] = {0, 1, 64, 65, 200, 4000, 32000, 33000, 65472, 65473, 300000};
    unsigned char *blocks[COUNT];
    size_t bytes[COUNT];
    uint64_t before = family_blocks();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            bytes[i] = sizes[(size_t)i % (sizeof sizes / sizeof *sizes)];
            blocks[i] = must_alloc(bytes[i]);
            assert_int_equal((uintptr_t)blocks[i] % 64, 0);
            assert_int_equal(wfi_arena_bytes(blocks[i]), bytes[i]);
            for (size_t k = 0; k < bytes[i]; k += bytes[i] / 50 + 1)
                assert_int_equal(blocks[i][k], 0);
            memset(blocks[i], i % 255 + 1, bytes[i]);
        }
        assert_int_equal(family_blocks(), before + COUNT);
        for (int n = 0; n < COUNT; n++) {
            int i = n * 171 % COUNT; /* in another order: 171 and 400 have no common divisor */
            for (size_t k = 0; k < bytes[i]; k += bytes[i] / 50 + 1)
                assert_int_equal(blocks[i][k], i % 255 + 1);
            wfi_arena_free(blocks[i]);
        }
        assert_int_equal(family_blocks(), before);
    }
}

static void memory_of_freed_blocks_is_given_back(void **state)
{
    (void)state;
    enum { BYTES = 8 << 20 };
    wfi_arena_free(must_alloc(BYTES)); /* what the table takes is touched */
    size_t before = wfi_arena_resident();
    char *block = must_alloc(BYTES);
    memset(block, 1, BYTES);
    assert_true(wfi_arena_resident() >= before + BYTES);
    wfi_arena_free(block);
    assert_true(wfi_arena_resident() <= before);
}

static void too_large_and_no_room_are_told_apart(void **state)
{
    (void)state;
    struct wfi_arena_usage usage;
    struct wf_error error;
    void *block = NULL, *large;
    wfi_arena_usage(&usage);
    assert_int_equal(wfi_arena_alloc(WFI_BLOCK_BYTES, usage.limit_bytes + 1, &block, &error),
                     WF_ETOOBIG);
    assert_non_null(strstr(error.text, "all that processes share"));
    assert_null(block);
    large = must_alloc(usage.limit_bytes / 2 + (1 << 20));
    assert_int_equal(wfi_arena_alloc(WFI_BLOCK_BYTES, usage.limit_bytes / 2, &block, &error),
                     -ENOMEM);
    assert_non_null(strstr(error.text, "in use"));
    wfi_arena_free(large);
    wfi_arena_free(must_alloc(usage.limit_bytes / 2));
}

static void a_number_is_checked_before_it_is_a_block(void **state)
{
    (void)state;
    char *block = must_alloc(100), *large = must_alloc(200000);
    uint64_t at = wfi_arena_offset(block), large_at = wfi_arena_offset(large);
    wfi_arena_lock();
    assert_ptr_equal(wfi_arena_at(at, WFI_BLOCK_BYTES), block);
    assert_ptr_equal(wfi_arena_at(large_at, WFI_BLOCK_BYTES), large);
    assert_null(wfi_arena_at(at, WFI_BLOCK_QUEUE));
    assert_null(wfi_arena_at(at + 1, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(at + 64, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(large_at + 65536, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(0, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(UINT64_MAX - 63, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(wfi_arena_reserved(), WFI_BLOCK_BYTES));
    wfi_arena_unlock();
    wfi_arena_free(block);
    wfi_arena_free(large);
    wfi_arena_lock();
    assert_null(wfi_arena_at(at, WFI_BLOCK_BYTES));
    assert_null(wfi_arena_at(large_at, WFI_BLOCK_BYTES));
    wfi_arena_unlock();
}

/* Allocates and frees for ever; counts into the memory it was given. */
static int churns(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    (void)fd_count;
    struct {
        WFI_ATOMIC(int) * rounds;
        uint64_t seed;
    } given;
    family_check(bytes == sizeof given);
    memcpy(&given, blob, sizeof given);
    enum { KEPT = 64 };
    unsigned char *kept[KEPT] = {NULL};
    for (uint64_t random = given.seed;;) {
        uint64_t r = wfi_splitmix64(&random);
        size_t i = r % KEPT, size = r >> 8 & 7 ? r >> 16 & 0xfff : r >> 16 & 0x3ffff;
        if (kept[i]) {
            wfi_arena_free(kept[i]);
            kept[i] = NULL;
        } else {
            void *block;
            family_check(wfi_arena_alloc(WFI_BLOCK_BYTES, size, &block, NULL) == 0);
            kept[i] = block;
            family_check(size == 0 || kept[i][size - 1] == 0);
            memset(kept[i], 0xa5, size);
        }
        wfi_fetch_add(given.rounds, 1);
    }
}

static void killed_at_any_point_its_blocks_are_free(void **state)
{
    (void)state;
    enum { KILLS = 25, AT_ONCE = 2, MINE = 40 };
    int kills = wfi_under_valgrind() || WFI_TSAN ? 4 : KILLS;
    struct {
        WFI_ATOMIC(int) * rounds;
        uint64_t seed;
    } given;
    given.rounds = must_alloc(sizeof(int));
    uint64_t before = family_blocks();
    for (int n = 0; n < kills; n++) {
        struct family_process p[AT_ONCE];
        unsigned char *mine[MINE];
        int start = wfi_load(given.rounds);
        for (int i = 0; i < AT_ONCE; i++) {
            given.seed = wfi_splitmix64(&seed);
            family_start(&p[i], churns, &given, sizeof given);
        }
        /* Far enough that both allocate; then a kill at whatever instruction they are. */
        party_reaches(given.rounds, start + 100 + (int)(wfi_splitmix64(&seed) % 1000));
        for (int i = 0; i < MINE; i++) {
            mine[i] = must_alloc((size_t)i * 100);
            memset(mine[i], i, (size_t)i * 100);
        }
        wfi_related_signal(p[0].related, SIGKILL);
        for (uint64_t spin = wfi_splitmix64(&seed) % 20000; spin > 0; spin--)
            wfi_cpu_relax();
        family_kill(&p[1]);
        family_end(&p[0]);
        assert_int_equal(family_blocks(), before + MINE);
        for (int i = 0; i < MINE; i++) {
            for (int k = 0; k < i * 100; k++)
                assert_int_equal(mine[i][k], i);
            wfi_arena_free(mine[i]);
        }
        assert_int_equal(family_blocks(), before);
    }
    wfi_arena_free(given.rounds);
}

static int uses_none(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)blob;
    (void)bytes;
    (void)fds;
    (void)fd_count;
    return 0;
}

static int uses_some(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)blob;
    (void)bytes;
    (void)fds;
    (void)fd_count;
    void *block;
    family_check(wfi_arena_alloc(WFI_BLOCK_BYTES, 10, &block, NULL) == 0);
    return 0; /* with a block left */
}

static void members_come_and_go(void **state)
{
    (void)state;
    struct wf_shared_usage usage;
    uint64_t blocks = family_blocks();
    for (int i = 0; i < 5; i++) {
        struct family_process p;
        family_start(&p, i % 2 ? uses_some : uses_none, NULL, 0);
        family_join(&p);
        wf_shared_measure(&usage);
        assert_int_equal(usage.processes, 1);
        assert_int_equal(usage.blocks, blocks);
    }
}

static void a_forked_child_is_refused(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        void *block;
        struct wf_error error;
        _exit(wfi_arena_alloc(WFI_BLOCK_BYTES, 10, &block, &error) == WF_EFORKED ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void it_is_known_who_lives(void **state)
{
    (void)state;
    int self = wfi_alive_self();
    uint64_t since = wfi_alive_since(self);
    assert_true(wfi_alive(self, since));
    assert_true(wfi_alive(self, 0));
    if (since)
        assert_false(wfi_alive(self, since + 1000));
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(wfi_alive(pid, 0)); /* it has ended, and nobody has waited for it yet */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(wfi_alive(pid, 0));
}

int main(void)
{
    if (!family_begin())
        return 1;
    const char *given = getenv("WEFT_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)wf_now();
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forked_child_is_refused),
        cmocka_unit_test(it_is_known_who_lives),
        cmocka_unit_test(blocks_are_zeros_apart_and_given_back),
        cmocka_unit_test(memory_of_freed_blocks_is_given_back),
        cmocka_unit_test(too_large_and_no_room_are_told_apart),
        cmocka_unit_test(a_number_is_checked_before_it_is_a_block),
        cmocka_unit_test(members_come_and_go),
        cmocka_unit_test(killed_at_any_point_its_blocks_are_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
