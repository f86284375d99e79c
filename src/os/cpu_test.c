/* SPDX-License-Identifier: MIT */
/* Counting CPUs: quotas in made-up control group trees, and the real machine. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/cpu.h"

#define V2_MOUNT \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                        \
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

static char root[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/weft-cpu-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s", root, path);
    for (char *slash = name + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(name, 0777);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_quota(int64_t quota_us, int64_t period_us, const char *path)
{
    struct wfi_cpu_quota quota;
    assert_true(wfi_cpu_quota_find(root, &quota));
    assert_int_equal(quota.quota_us, quota_us);
    assert_int_equal(quota.period_us, period_us);
    assert_string_equal(quota.path + strlen(root), path);
}

static void expect_none(void)
{
    struct wfi_cpu_quota quota;
    assert_false(wfi_cpu_quota_find(root, &quota));
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t quota, period;
    } rows[] = {
        {"max 100000\n", 0, 0},
        {"150000 100000\n", 150000, 100000},
        {"50000", 50000, 100000},
        {"-1 100000", 0, 0},
        {"", 0, 0},
        {"garbage", 0, 0},
        {"0 100000", 0, 0},
        {"100000 0", 0, 0},
        {"99999999999999999999 100000", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t quota = 0, period = 0;
        assert_int_equal(wfi_cpu_quota_parse(rows[i].text, &quota, &period), rows[i].quota != 0);
        assert_int_equal(quota, rows[i].quota);
        assert_int_equal(period, rows[i].period);
    }
}

static void no_groups_no_quota(void **state)
{
    (void)state;
    expect_none();
    put("/proc/self/mountinfo", V2_MOUNT);
    expect_none();
    put("/proc/self/cgroup", "0::/\n");
    expect_none();
}

static void version_2_own_group(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/app/web\n");
    put("/sys/fs/cgroup/app/web/cpu.max", "150000 100000\n");
    expect_quota(150000, 100000, "/sys/fs/cgroup/app/web/cpu.max");
}

static void version_2_tighter_above(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/app/web/one\n");
    put("/sys/fs/cgroup/app/web/one/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/app/web/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/app/cpu.max", "100000 50000\n");
    expect_quota(100000, 50000, "/sys/fs/cgroup/app/cpu.max");
    put("/sys/fs/cgroup/cpu.max", "50000 50000\n");
    expect_quota(50000, 50000, "/sys/fs/cgroup/cpu.max");
}

static void version_2_no_limit(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/app\n");
    put("/sys/fs/cgroup/app/cpu.max", "max 100000\n");
    expect_none();
}

static void version_1_beside_version_2(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        V1_MOUNT "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "3:cpuset:/other\n2:cpu,cpuacct:/app\n0::/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
    expect_none();
    put("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "250000\n");
    expect_quota(250000, 100000, "/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us");
}

static void mount_that_shows_the_containers_group(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        "40 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
    put("/proc/self/cgroup", "4:cpu:/docker/abc\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    expect_quota(50000, 100000, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    put("/proc/self/cgroup", "4:cpu:/docker/abc/inner\n");
    put("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "20000\n");
    put("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
    expect_quota(20000, 100000, "/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us");
    put("/proc/self/cgroup", "4:cpu:/docker/abcdef\n");
    expect_quota(50000, 100000, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
}

static void group_outside_the_namespace(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/../../elsewhere\n");
    put("/sys/fs/cgroup/cpu.max", "75000 100000\n");
    expect_quota(75000, 100000, "/sys/fs/cgroup/cpu.max");
}

static void escaped_mount_point(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", "31 23 0:28 / /my\\040groups rw - cgroup2 none rw\n");
    put("/proc/self/cgroup", "0::/a\n");
    put("/my groups/a/cpu.max", "100000 100000\n");
    expect_quota(100000, 100000, "/my groups/a/cpu.max");
}

static void the_real_machine(void **state)
{
    (void)state;
    char why[256] = "";
    int count = wfi_cpu_count(why, sizeof why);
    assert_in_range(count, 1, wfi_cpu_affinity());
    assert_true(why[0]);
    assert_int_equal(wfi_cpu_count(NULL, 0), count);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        ROW(no_groups_no_quota),
        ROW(version_2_own_group),
        ROW(version_2_tighter_above),
        ROW(version_2_no_limit),
        ROW(version_1_beside_version_2),
        ROW(mount_that_shows_the_containers_group),
        ROW(group_outside_the_namespace),
        ROW(escaped_mount_point),
        cmocka_unit_test(the_real_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
