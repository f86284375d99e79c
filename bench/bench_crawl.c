/* SPDX-License-Identifier: MIT */
/*
 * K1 and K2: the weft command as a whole process, from its start to its end, its records thrown
 * away. K1 gets the lists' URLs as arguments and takes the titles; K2 gets the root and follows.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "figure.h"

extern char **environ;

#define URLS_MAX 4096

/* weft stands one folder above this program. */
static char *weft_path(void)
{
    static char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 16);
    if (len < 0)
        exit(1);
    path[len] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(path, '/') = 0;
    return strcat(path, "/weft");
}

/* Runs the command with its records thrown away; returns how long it took. */
static int64_t run(char **arguments)
{
    pid_t child;
    int status;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    int64_t start = clock_ns();
    if (posix_spawn(&child, arguments[0], &actions, NULL, arguments, environ) ||
        waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "bench_crawl: %s failed\n", arguments[0]);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&actions);
    return clock_ns() - start;
}

/* The count of pages, out of the figures that the command left in a file. */
static double pages_in(const char *name)
{
    char text[4096];
    double pages = 0;
    FILE *file = fopen(name, "r");
    if (!file)
        exit(1);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    const char *at = strstr(text, "\"fetched\":");
    if (!at || sscanf(at, "\"fetched\":%lf", &pages) != 1)
        exit(1);
    return pages;
}

static void crawl(const char *name, const char **options, char **urls, size_t url_count)
{
    static char *arguments[URLS_MAX + 32];
    char stats[] = "/tmp/weft-bench-XXXXXX", line[16];
    int fd = mkstemp(stats);
    size_t count = 0;
    if (fd < 0)
        exit(1);
    close(fd);
    arguments[count++] = weft_path();
    arguments[count++] = (char *)(uintptr_t) "crawl";
    arguments[count++] = (char *)(uintptr_t) "-q";
    arguments[count++] = (char *)(uintptr_t) "--stats-json";
    arguments[count++] = stats;
    while (*options)
        arguments[count++] = (char *)(uintptr_t)*options++;
    for (size_t i = 0; i < url_count; i++)
        arguments[count++] = urls[i];
    arguments[count] = NULL;
    int64_t took = run(arguments);
    double pages = pages_in(stats);
    unlink(stats);
    figure(name, pages * 1e9 / (double)took, "pages/s");
    snprintf(line, sizeof(line), "%s.pages", name);
    figure(line, pages, "pages");
}

static void need_site(int argc)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_crawl K1|K2 URL PATHS\n");
        exit(2);
    }
}

static void run_k1(int argc, char **argv)
{
    static const char *options[] = {"--depth", "0", "--select", "title=a.post-item-title", NULL};
    static char *urls[URLS_MAX];
    char path[1024], url[2048];
    size_t count = 0;
    need_site(argc);
    FILE *file = fopen(argv[2], "r");
    while (file && count < URLS_MAX && fscanf(file, "%1023s", path) == 1) {
        snprintf(url, sizeof(url), "%.*s%s", (int)strlen(argv[1]) - 1, argv[1], path);
        urls[count++] = strdup(url);
    }
    crawl("K1", options, urls, count);
}

static void run_k2(int argc, char **argv)
{
    static const char *options[] = {NULL};
    need_site(argc);
    crawl("K2", options, &argv[1], 1);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"K1", run_k1}, {"K2", run_k2}, {0}};
    return run_workloads(workloads, argc, argv);
}
