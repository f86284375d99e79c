/* SPDX-License-Identifier: MIT */
/*
 * Counting CPUs.
 *
 * /proc/self/cgroup says which group the process is in, relative to a hierarchy;
 * /proc/self/mountinfo says where that hierarchy is mounted and which group of it the mount shows
 * as its top. In a container the two need not fit together (the path is the host's, the mount shows
 * the container's own group, or the path begins with "/.."); then the top of the mount is the
 * nearest thing to the process's group that can be seen, and is used.
 *
 * A quota binds the whole subtree, so every group from the process's own to the top counts.
 */
#include "os/cpu.h"

#include "base/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* A line of mountinfo or cgroup holds paths; twice PATH_MAX and some words fit. */
#define LINE_BYTES 9216
#define PATH_BYTES 4096

int wfi_cpu_affinity(void)
{
    /* The kernel refuses a mask smaller than its own; machines of more than 1,024 CPUs exist. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = wfi_alloc(CPU_ALLOC_SIZE(cpus));
        if (!set)
            break;
        int err = sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set) < 0 ? errno : 0;
        int count = err ? 0 : CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set);
        wfi_free(set);
        if (count > 0)
            return count;
        if (err != EINVAL)
            break;
    }
    return 1;
}

bool wfi_cpu_quota_parse(const char *text, int64_t *ret_quota_us, int64_t *ret_period_us)
{
    /* "max 100000" or "150000 100000"; the period may be missing and is then the kernel's 100 ms */
    char *end;
    errno = 0;
    long long quota = strtoll(text, &end, 10);
    if (end == text || errno || quota <= 0)
        return false;
    const char *rest = end;
    long long period = strtoll(rest, &end, 10);
    if (end == rest)
        period = 100000;
    if (errno || period <= 0)
        return false;
    *ret_quota_us = quota;
    *ret_period_us = period;
    return true;
}

/* Reads a small file. Returns false when it cannot be read or is empty. */
static bool read_small(const char *path, char *buf, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, bytes - 1);
    close(fd);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    return true;
}

static void keep_if_tighter(struct wfi_cpu_quota *best, int64_t quota, int64_t period,
                            const char *path)
{
    /* Doubles: the product of two large quotas may not fit in 64 bits. */
    if (best->period_us &&
        (double)quota * (double)best->period_us >= (double)best->quota_us * (double)period)
        return;
    best->quota_us = quota;
    best->period_us = period;
    size_t len = strlen(path), most = sizeof best->path - 1;
    memcpy(best->path, len > most ? path + len - most : path, (len > most ? most : len) + 1);
}

/* Looks at one group's files. */
static void look_at(struct wfi_cpu_quota *best, char *group, size_t len, bool version_2)
{
    char text[128], period_text[128];
    int64_t quota, period;
    const char *name = version_2 ? "/cpu.max" : "/cpu.cfs_quota_us";
    if (len + sizeof "/cpu.cfs_period_us" > PATH_BYTES)
        return;
    strcpy(group + len, name);
    if (!read_small(group, text, sizeof text))
        return;
    if (!version_2) {
        /* The two files of version 1 put side by side are the one of version 2. */
        strcpy(group + len, "/cpu.cfs_period_us");
        if (!read_small(group, period_text, sizeof period_text))
            return;
        text[strcspn(text, "\n")] = '\0';
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " %.40s", period_text);
        strcpy(group + len, name);
    }
    if (wfi_cpu_quota_parse(text, &quota, &period))
        keep_if_tighter(best, quota, period, group);
}

/* `list` is comma-separated; is `word` one of its items? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at;) {
        size_t item = strcspn(at, ",");
        if (item == len && strncmp(at, word, len) == 0)
            return true;
        at += item + (at[item] == ',');
    }
    return false;
}

/* mountinfo writes blanks and backslashes in paths as \ooo. */
static void unescape(char *path)
{
    char *to = path;
    for (const char *from = path; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Finds the mount of the hierarchy: where, and which group is its top. */
static bool find_mount(const char *root, char *line, bool version_2, char *ret_top, char *ret_point)
{
    snprintf(line, LINE_BYTES, "%s/proc/self/mountinfo", root);
    FILE *file = fopen(line, "re");
    if (!file)
        return false;
    bool found = false;
    while (!found && fgets(line, LINE_BYTES, file)) {
        /* id parent major:minor top point options [fields] - type source super-options */
        char *dash = strstr(line, " - ");
        if (!dash)
            continue;
        *dash = '\0';
        char type[32], options[512];
        if (sscanf(dash + 3, "%31s %*s %511s", type, options) != 2 ||
            sscanf(line, "%*s %*s %*s %4095s %4095s", ret_top, ret_point) != 2)
            continue;
        found = version_2 ? strcmp(type, "cgroup2") == 0
                          : strcmp(type, "cgroup") == 0 && has_word(options, "cpu");
    }
    fclose(file);
    if (found) {
        unescape(ret_top);
        unescape(ret_point);
    }
    return found;
}

/* Finds the process's group in the hierarchy: its path there. */
static bool find_group(const char *root, char *line, bool version_2, char *ret_path)
{
    snprintf(line, LINE_BYTES, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    if (!file)
        return false;
    bool found = false;
    while (!found && fgets(line, LINE_BYTES, file)) {
        /* hierarchy:controllers:path, and 0::path for version 2 */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = '\0';
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = version_2 ? strcmp(line, "0") == 0 && !*controllers : has_word(controllers, "cpu");
        if (found)
            snprintf(ret_path, PATH_BYTES, "%s", path);
    }
    fclose(file);
    return found;
}

/* The part of `path` below the mount's top, or "" when it does not lie below it. */
static const char *below(const char *path, const char *top)
{
    size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(path, top, len) != 0 || (path[len] && path[len] != '/') ||
        strncmp(path + len, "/..", 3) == 0 || strcmp(path + len, "/") == 0)
        return "";
    return path + len;
}

struct scratch {
    char line[LINE_BYTES], top[PATH_BYTES], point[PATH_BYTES], path[PATH_BYTES], group[PATH_BYTES];
};

static void look_through(const char *root, bool version_2, struct wfi_cpu_quota *best)
{
    struct scratch *s = wfi_alloc(sizeof *s);
    if (!s)
        return; /* no quota is the answer then, as on a system without groups */
    if (!find_mount(root, s->line, version_2, s->top, s->point) ||
        !find_group(root, s->line, version_2, s->path))
        goto out;
    const char *rest = below(s->path, s->top);
    size_t mount_len = strlen(root) + strlen(s->point);
    int len = snprintf(s->group, sizeof s->group, "%s%s%s", root, s->point, rest);
    if (len < 0 || (size_t)len >= sizeof s->group)
        goto out;
    for (size_t at = (size_t)len;;) {
        look_at(best, s->group, at, version_2);
        if (at <= mount_len)
            break;
        do
            at--;
        while (at > mount_len && s->group[at] != '/');
    }
out:
    wfi_free(s);
}

bool wfi_cpu_quota_find(const char *root, struct wfi_cpu_quota *ret_quota)
{
    struct wfi_cpu_quota best = {0};
    look_through(root, true, &best);
    look_through(root, false, &best);
    if (!best.period_us)
        return false;
    *ret_quota = best;
    return true;
}

int wfi_cpu_count(char *why, size_t why_bytes)
{
    int mask = wfi_cpu_affinity();
    struct wfi_cpu_quota quota;
    if (wfi_cpu_quota_find("", &quota)) {
        int64_t cpus = quota.quota_us / quota.period_us + (quota.quota_us % quota.period_us != 0);
        if (cpus < mask) {
            if (why && why_bytes)
                snprintf(why, why_bytes, "%.2f of %d CPUs allowed by %s",
                         (double)quota.quota_us / (double)quota.period_us, mask, quota.path);
            return (int)cpus;
        }
    }
    if (why && why_bytes)
        snprintf(why, why_bytes, "%d CPU%s in the affinity mask", mask, mask == 1 ? "" : "s");
    return mask;
}

bool wfi_cpu_alone(void)
{
#ifdef WFI_EXPLORE
    return true; /* virtual threads share one */
#endif
    static WFI_ATOMIC(int) usable; /* 0: not looked up; the answer is the same whoever stores it */
    int count = wfi_load_relaxed(&usable);
    if (!count) {
        count = wfi_cpu_count(NULL, 0);
        wfi_store_relaxed(&usable, count);
    }
    return count == 1;
}
