/* SPDX-License-Identifier: MIT */
/*
 * The fork helper and what it makes: starts, ends, and the deaths of each party. Where this program
 * would lose its own helper, it runs itself again with the name of a scenario.
 */
#include "party.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/main.h>
#include <weft/process.h>
#include <weft/processes.h>

#include "os/sanitizer.h"
#include "proc/forward.h"
#include "proc/helper.h"

extern char **environ;

static int open_before[2]; /* a pipe made before the helper was */
static int idle_descriptors;

/* What `ended` told; waited for without sleeping. */
struct end {
    WFI_ATOMIC(int) count;
    int status;
    char tail[4096];
};

static void note_end(void *arg, int wait_status, const char *stderr_tail)
{
    struct end *end = arg;
    end->status = wait_status;
    snprintf(end->tail, sizeof end->tail, "%s", stderr_tail);
    wfi_fetch_add(&end->count, 1);
}

static struct wfi_related *start(wfi_related_entry *entry, const void *blob, size_t bytes,
                                 struct end *end)
{
    struct wfi_related *related = NULL;
    struct wf_error error = {0};
    int err = wfi_related_start(&(struct wfi_related_options){.name = "test",
                                                              .entry = entry,
                                                              .blob = blob,
                                                              .blob_bytes = bytes,
                                                              .ended = note_end,
                                                              .arg = end},
                                &related, &error);
    if (err)
        fail_msg("%s", error.text);
    return related;
}

static int adds_up(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)fds;
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum += ((const unsigned char *)blob)[i];
    return (int)(sum % 251) + (fd_count != 0);
}

static void a_process_gets_its_blob_and_tells_its_end(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2048, 2049, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct end end = {0};
        unsigned char *blob = test_malloc(sizes[i] + 1);
        unsigned sum = 0;
        for (size_t n = 0; n < sizes[i]; n++)
            sum += blob[n] = (unsigned char)(n * 7 + i);
        struct wfi_related *r = start(adds_up, blob, sizes[i], &end);
        assert_true(wfi_related_pid(r) > 0);
        party_reaches(&end.count, 1);
        assert_true(WIFEXITED(end.status));
        assert_int_equal(WEXITSTATUS(end.status), sum % 251);
        assert_string_equal(end.tail, "");
        assert_int_equal(wfi_related_signal(r, SIGKILL), -ESRCH);
        wfi_related_release(r);
        test_free(blob);
    }
}

static int waits(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)blob, (void)bytes, (void)fds, (void)fd_count;
    while (pause())
        ;
    return 0;
}

static void a_killed_process_is_told_at_once(void **state)
{
    (void)state;
    struct end end = {0};
    struct wfi_related *r = start(waits, NULL, 0, &end);
    int64_t before = wf_now();
    assert_int_equal(wfi_related_signal(r, SIGKILL), 0);
    party_reaches(&end.count, 1);
    int64_t took = wf_now() - before;
    print_message("told after %.2f ms\n", (double)took / 1e6);
    assert_true(took < WF_SECONDS(1)); /* not a period of anybody's polling */
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGKILL);
    wfi_related_release(r);
}

/* How many descriptors the process has, but for those of tools, which take high numbers. */
static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.' && atoi(entry->d_name) < 1000;
    if (dir)
        closedir(dir);
    return count - 1; /* the folder's own */
}

/* A process's pipe may be closed a moment after its end was told. */
static void descriptors_reach(int wanted)
{
    wf_deadline give_up = party_soon();
    while (count_descriptors() != wanted && wf_remaining(give_up))
        wfi_thread_yield();
    assert_int_equal(count_descriptors(), wanted);
}

static int answers_through(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    char null[16] = "";
    (void)blob, (void)bytes;
    if (fd_count != 2 || write(fds[1], "hello", 5) != 5)
        return 1;
    if (count_descriptors() != 5)
        return 2;
    if (!(fcntl(fds[0], F_GETFD) & FD_CLOEXEC) || !(fcntl(fds[1], F_GETFD) & FD_CLOEXEC))
        return 3;
    if (read(0, null, sizeof null) != 0)
        return 4; /* the end of /dev/null */
    return read(fds[0], null, sizeof null) == 2 && memcmp(null, "me", 2) == 0 ? 0 : 5;
}

static void a_process_has_the_descriptors_it_was_given(void **state)
{
    (void)state;
    int out[2], in[2];
    char text[16] = "";
    struct end end = {0};
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(write(in[1], "me", 2), 2);
    int fds[WFI_RELATED_FDS_MAX + 1] = {in[0], out[1]};
    struct wfi_related_options options = {
        .entry = answers_through, .fds = fds, .fd_count = 2, .ended = note_end, .arg = &end};
    struct wfi_related *r;
    assert_int_equal(wfi_related_start(&options, &r, NULL), 0);
    assert_int_equal(read(out[0], text, sizeof text), 5);
    assert_string_equal(text, "hello");
    party_reaches(&end.count, 1);
    assert_int_equal(end.status, 0);
    wfi_related_release(r);
    options.fd_count = WFI_RELATED_FDS_MAX + 1;
    assert_int_equal(wfi_related_start(&options, &r, NULL), -EINVAL);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static int looks_at_itself(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    sigset_t mask;
    struct sigaction action;
    struct rlimit limit;
    char name[16];
    (void)bytes, (void)fds, (void)fd_count;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int signo = 1; signo < 32; signo++) {
        if (sigismember(&mask, signo))
            return 1;
        if (signo != SIGSEGV && signo != SIGBUS && signo != SIGFPE && signo != SIGILL &&
            signo != SIGTRAP && signo != SIGSYS &&
            (sigaction(signo, NULL, &action) || action.sa_handler != SIG_DFL))
            return 2;
    }
    if (getpgid(0) == *(const pid_t *)blob || getpgid(0) != getppid())
        return 3;
    prctl(PR_GET_NAME, name);
    if (strcmp(name, "with-a-long-nam") != 0)
        return 4;
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur != 77 << 20 || limit.rlim_max != 88 << 20)
        return 5;
    return wfi_in_related() ? 0 : 6;
}

static void a_process_starts_from_defaults(void **state)
{
    (void)state;
    pid_t group = getpgid(0);
    struct end end = {0};
    struct wfi_rlimit limit = {RLIMIT_FSIZE, 77 << 20, 88 << 20};
    struct wfi_related_options options = {.name = "with-a-long-name",
                                          .entry = looks_at_itself,
                                          .blob = &group,
                                          .blob_bytes = sizeof group,
                                          .rlimits = &limit,
                                          .rlimit_count = 1,
                                          .ended = note_end,
                                          .arg = &end};
    struct wfi_related *r;
    assert_int_equal(wfi_related_start(&options, &r, NULL), 0);
    party_reaches(&end.count, 1);
    assert_int_equal(end.status, 0);
    wfi_related_release(r);
    limit.soft = 99 << 20;
    struct wf_error error;
    assert_int_equal(wfi_related_start(&options, &r, &error), -EINVAL);
    assert_non_null(strstr(error.text, "limit"));
    limit.resource = 12345;
    assert_int_equal(wfi_related_start(&options, &r, NULL), -EINVAL);
    assert_false(wfi_in_related());
}

/* Standard error */

static int writes_lines(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    int lines = *(const int *)blob;
    (void)bytes, (void)fds, (void)fd_count;
    setvbuf(stderr, NULL, _IOFBF, 4096); /* written out at the end of the process */
    for (int i = 0; i < lines; i++)
        fprintf(stderr, "line %07d\n", i);
    return 3;
}

/* Puts a pipe in the place of this program's standard error, where also a failure would be told: so
 * nothing is asserted before it is put back. */
struct diversion {
    int kept;
    FILE *from;
};

static struct diversion divert(void)
{
    int ends[2];
    assert_int_equal(wfi_forward_settle(party_soon()), 0);
    assert_int_equal(pipe(ends), 0);
    struct diversion diversion = {.kept = dup(2), .from = fdopen(ends[0], "r")};
    dup2(ends[1], 2);
    close(ends[1]);
    return diversion;
}

static void put_back(struct diversion *diversion)
{
    dup2(diversion->kept, 2);
    close(diversion->kept);
    fclose(diversion->from);
}

static void fill_up(int fd)
{
    char bytes[4096];
    memset(bytes, '#', sizeof bytes);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (write(fd, bytes, sizeof bytes) > 0)
        ;
    fcntl(fd, F_SETFL, 0);
}

/* Reads as many lines as there must be. Returns how many came, each whole and in its place. */
static int read_lines(FILE *from, int count)
{
    char line[64], wanted[64];
    int c, i = 0;
    while ((c = fgetc(from)) == '#') /* the filling */
        ;
    ungetc(c, from);
    for (; i < count; i++) {
        snprintf(wanted, sizeof wanted, "line %07d\n", i);
        if (!fgets(line, sizeof line, from) || strcmp(line, wanted) != 0)
            break;
    }
    return i;
}

static void standard_error_arrives_and_its_end_is_kept(void **state)
{
    (void)state;
    int lines = 3000;
    struct diversion diversion = divert();
    struct end end = {0};
    struct wfi_related *r = start(writes_lines, &lines, sizeof lines, &end);
    int came = read_lines(diversion.from, lines);
    put_back(&diversion);
    assert_int_equal(came, lines);
    party_reaches(&end.count, 1);
    assert_int_equal(WEXITSTATUS(end.status), 3);
    size_t len = strlen(end.tail);
    assert_in_range(len, 2048 - 2 * 13, 2048);
    assert_memory_equal(end.tail, "line 00", 7);
    assert_string_equal(end.tail + len - 12, "line 0002999");
    wfi_related_release(r);
}

/* Nobody reads what this program writes, and a process writes more than may wait: its end and that
 * of others are told all the same, and in the end everything has arrived. */
static void unread_standard_error_holds_up_nothing_else(void **state)
{
    (void)state;
    int lines = 200000, few = 10;
    struct diversion diversion = divert();
    struct end end = {0}, other = {0};
    fill_up(2);
    struct wfi_related *r = start(writes_lines, &few, sizeof few, &end);
    party_reaches(&end.count, 1);
    bool kept = strstr(end.tail, "line 0000009") != NULL;
    wfi_related_release(r);
    int settled = wfi_forward_settle(WF_NOW);
    r = start(writes_lines, &lines, sizeof lines, &end);
    wf_deadline give_up = party_soon();
    while (!wfi_forward_full() && wf_remaining(give_up))
        wfi_thread_yield();
    bool full = wfi_forward_full();
    struct wfi_related *s = start(waits, NULL, 0, &other);
    wfi_related_signal(s, SIGTERM);
    party_reaches(&other.count, 1);
    int ends = wfi_load(&end.count);
    int came = read_lines(diversion.from, few) + read_lines(diversion.from, lines);
    put_back(&diversion);
    party_reaches(&end.count, 2);
    assert_true(kept);
    assert_int_equal(settled, -ETIMEDOUT);
    assert_true(full);
    assert_int_equal(ends, 1); /* the writer waits for room */
    assert_int_equal(came, few + lines);
    wfi_related_release(r);
    wfi_related_release(s);
}

static int forks(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    char byte;
    (void)blob, (void)bytes, (void)fd_count;
    if (fork() == 0) { /* outlives its parent until it is let go */
        (void)!read(fds[0], &byte, 1);
        (void)!write(2, "late\n", 5);
    }
    return 0;
}

static void what_a_grandchild_writes_still_arrives(void **state)
{
    (void)state;
    int in[2];
    char text[16] = "";
    struct end end = {0};
    assert_int_equal(pipe(in), 0);
    struct wfi_related_options options = {
        .entry = forks, .fds = in, .fd_count = 1, .ended = note_end, .arg = &end};
    struct wfi_related *r;
    assert_int_equal(wfi_related_start(&options, &r, NULL), 0);
    party_reaches(&end.count, 1);
    wfi_related_release(r);
    struct diversion diversion = divert();
    close(in[1]);
    close(in[0]);
    (void)!fgets(text, sizeof text, diversion.from);
    put_back(&diversion);
    assert_string_equal(text, "late\n");
    descriptors_reach(idle_descriptors);
}

/* Nothing stays behind */

static void nothing_is_left_of_many(void **state)
{
    (void)state;
    int count = wfi_under_valgrind() ? 12 : WFI_TSAN || WFI_ASAN ? 200 : 1000;
    descriptors_reach(idle_descriptors);
    int64_t began = wf_now();
    for (int i = 0; i < count; i++) {
        struct end end = {0};
        struct wfi_related *r = start(adds_up, NULL, 0, &end);
        if (i % 2)
            wfi_related_signal(r, SIGKILL);
        if (i % 3)
            wfi_related_release(r);
        party_reaches(&end.count, 1);
        if (i % 3 == 0)
            wfi_related_release(r);
    }
    print_message("%.0f us a process\n", (double)(wf_now() - began) / 1e3 / count);
    descriptors_reach(idle_descriptors);
    char path[64], children[64] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", wfi_helper_pid(), wfi_helper_pid());
    FILE *file = fopen(path, "re");
    if (file) {
        assert_null(fgets(children, sizeof children, file));
        fclose(file);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* The answer brings a descriptor for which there is no room. */
static void without_descriptors_no_process_is_left(void **state)
{
    (void)state;
    struct rlimit limit, low;
    struct end end = {0};
    struct wfi_related *r = NULL;
    struct wf_error error;
    int first = dup(0), second = dup(0), third = dup(0);
    assert_true(first >= 0 && second >= 0 && third >= 0);
    close(first), close(second), close(third);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    struct wfi_related_options options = {.entry = waits, .ended = note_end, .arg = &end};
    int codes[4];
    int room[] = {first, second, second + 1, third + 1};
    for (int i = 0; i < 4; i++) {
        low.rlim_cur = (rlim_t)room[i];
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        codes[i] = wfi_related_start(&options, &r, &error);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(codes[i], -EMFILE);
    assert_non_null(strstr(error.text, "a process cannot be started: "));
    assert_int_equal(codes[3], 0);
    assert_int_equal(wfi_load(&end.count), 0);
    wfi_related_signal(r, SIGKILL);
    party_reaches(&end.count, 1);
    wfi_related_release(r);
}

/* Programs of their own */

static WFI_ATOMIC(int) watched;

static void helper_died(void *arg)
{
    wfi_fetch_add(&watched, 1);
    party_check(arg == &watched);
}

/* What happens to the program when its helper is killed. */
static int loses_its_helper(void)
{
    enum { COUNT = 3 };
    struct end ends[COUNT] = {0};
    struct wfi_related *all[COUNT];
    struct wf_error error;
    struct wfi_helper_watch watch = {.died = helper_died, .arg = &watched}, late = watch;
    struct wfi_helper_watch gone = watch;
    party_equal(wf_processes_init(&error), 0);
    party_equal(wf_processes_init(&error), 0);
    party_check(wfi_helper_alive());
    wfi_helper_watch(&watch);
    wfi_helper_watch(&gone);
    wfi_helper_unwatch(&gone);
    for (int i = 0; i < COUNT; i++)
        all[i] = start(waits, NULL, 0, &ends[i]);
    party_equal(kill(wfi_helper_pid(), SIGKILL), 0);
    for (int i = 0; i < COUNT; i++) {
        party_reaches(&ends[i].count, 1);
        party_check(WIFSIGNALED(ends[i].status) && WTERMSIG(ends[i].status) == SIGKILL);
        struct pollfd ended = {.fd = wfi_related_pidfd(all[i]), .events = POLLIN};
        party_equal(poll(&ended, 1, 0), 1);
        wfi_related_release(all[i]);
    }
    party_equal(wfi_load(&watched), 1);
    party_check(!wfi_helper_alive());
    wfi_helper_watch(&late);
    party_equal(wfi_load(&watched), 2);
    struct wfi_related *r;
    struct wfi_related_options options = {.entry = waits};
    party_equal(wfi_related_start(&options, &r, &error), WF_EBROKEN);
    party_check(strcmp(error.text, "the helper process died") == 0);
    party_equal(wf_processes_init(&error), WF_EBROKEN);
    party_equal(waitpid(-1, NULL, WNOHANG), -1);
    printf("survived\n");
    return 0;
}

/* True for what has ended and was not reaped, too: by whom it is depends on the system. */
static bool is_gone(int pid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    const char *name_end = strrchr(line, ')');
    return !read || !name_end || name_end[2] == 'Z' || name_end[2] == 'X';
}

static void wait_until_gone(int pid)
{
    wf_deadline give_up = party_soon();
    while (!is_gone(pid) && wf_remaining(give_up))
        wfi_thread_yield();
    party_check(is_gone(pid));
}

/* The same before the first process was ever asked for: the listener is not there yet. */
static int loses_it_early(void)
{
    struct wf_error error;
    struct wfi_related *r;
    struct wfi_related_options options = {.entry = waits};
    party_equal(wf_processes_init(&error), 0);
    int pid = wfi_helper_pid();
    kill(pid, SIGKILL);
    wait_until_gone(pid);
    party_equal(wfi_related_start(&options, &r, &error), WF_EBROKEN);
    party_equal(wfi_related_start(&options, &r, &error), WF_EBROKEN);
    printf("survived\n");
    return 0;
}

static int ignores_signals(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    for (int signo = 1; signo < 32; signo++)
        signal(signo, SIG_IGN);
    setsid();
    return waits(blob, bytes, fds, fd_count);
}

/* Is killed itself; says before who its relations are. A child of a bare fork holds what it has
 * open, the helper's socket too. */
static int is_killed(void)
{
    struct end end = {0};
    party_equal(wf_processes_init(NULL), 0);
    /* Without pidfds the helper could not see through it. */
    int holder = wfi_under_valgrind() ? 0 : fork();
    if (holder == 0 && !wfi_under_valgrind())
        for (;;)
            pause();
    struct wfi_related *a = start(waits, NULL, 0, &end), *b = start(ignores_signals, NULL, 0, &end);
    printf("relations %d %d %d %d\n", wfi_helper_pid(), wfi_related_pid(a), wfi_related_pid(b),
           holder);
    fflush(stdout);
    for (;;)
        pause();
}

static void *idles(void *arg)
{
    pause();
    return arg;
}

/* Has a thread already when it wants the helper. */
static int comes_too_late(void)
{
    struct wf_error error;
    struct wfi_related *r;
    struct wfi_related_options options = {.entry = waits};
    struct wfi_thread thread;
    party_equal(wfi_thread_start(&thread, "early", 0, idles, NULL), 0);
    party_equal(wf_processes_init(&error), WF_ESTATE);
    party_check(strstr(error.text, "wf_processes_init as the first line of main") != NULL);
    party_equal(wfi_related_start(&options, &r, &error), WF_ESTATE);
    int pid = fork();
    if (pid == 0)
        _exit(wf_processes_init(&error) == WF_EFORKED ? 0 : 1);
    int status = -1;
    party_equal(waitpid(pid, &status, 0), pid);
    party_equal(status, 0);
    printf("survived\n");
    return 0;
}

static int inner_root(void *arg)
{
    (void)arg;
    return wf_main_executor() ? 5 : 6;
}

/* wf_main in a process of a program that runs under wf_main. */
static int has_a_main_of_its_own(const void *blob, size_t bytes, const int *fds, size_t fd_count)
{
    (void)blob, (void)bytes, (void)fds, (void)fd_count;
    if (wf_main_executor() || wf_main_scope())
        return 1;
    return wf_main(&(struct wf_main_options){.workers = 1}, inner_root, NULL, NULL);
}

static int root(void *arg)
{
    struct end end = {0};
    struct wf_error error = {0};
    struct wfi_related *r = NULL;
    struct wfi_related_options options = {
        .entry = has_a_main_of_its_own, .ended = note_end, .arg = &end};
    int err = wfi_related_start(&options, &r, &error);
    if (arg) {
        party_equal(err, WF_ESTATE);
        party_check(strstr(error.text, "threads") != NULL);
    } else {
        party_equal(err, 0);
        party_reaches(&end.count, 1);
        party_equal(end.status, 5 << 8);
        wfi_related_release(r);
    }
    printf("survived\n");
    return 0;
}

static int scenario(const char *name)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(name, "loses_its_helper") == 0)
        return loses_its_helper();
    if (strcmp(name, "loses_it_early") == 0)
        return loses_it_early();
    if (strcmp(name, "is_killed") == 0)
        return is_killed();
    if (strcmp(name, "comes_too_late") == 0)
        return comes_too_late();
    bool without = strcmp(name, "without") == 0;
    /* The last words of a process are written before the program has ended. */
    return wf_main(&(struct wf_main_options){.workers = 2, .no_processes = without}, root,
                   without ? &without : NULL, NULL);
}

/* Runs a scenario with a pipe as its output. */
static int run(const char *name, FILE **ret_out)
{
    int ends[2], pid;
    char path[4096] = "";
    assert_in_range(readlink("/proc/self/exe", path, sizeof path - 1), 1, sizeof path - 2);
    char *argv[] = {(char *)"helper_test", (char *)(uintptr_t)name, NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    assert_int_equal(posix_spawn(&pid, path, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_out = fdopen(ends[0], "r");
    return pid;
}

static void survives(const char *name)
{
    FILE *out;
    char line[128] = "";
    int status = -1, pid = run(name, &out);
    char *got = fgets(line, sizeof line, out);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(got);
    assert_string_equal(line, "survived\n");
    assert_null(fgets(line, sizeof line, out)); /* the end: nobody else holds its output */
    fclose(out);
}

static void the_helpers_death_ends_its_children_and_is_told(void **state)
{
    (void)state;
    survives("loses_its_helper");
    survives("loses_it_early");
}

static void the_programs_death_ends_all(void **state)
{
    (void)state;
    FILE *out;
    char line[128] = "";
    int status, pids[4], pid = run("is_killed", &out);
    assert_non_null(fgets(line, sizeof line, out));
    assert_int_equal(sscanf(line, "relations %d %d %d %d", &pids[0], &pids[1], &pids[2], &pids[3]),
                     4);
    for (int i = 0; i < 3; i++)
        assert_false(is_gone(pids[i]));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int64_t before = wf_now();
    for (int i = 0; i < 3; i++)
        wait_until_gone(pids[i]);
    print_message("gone after %.2f ms\n", (double)(wf_now() - before) / 1e6);
    if (pids[3]) {
        assert_false(is_gone(pids[3])); /* the bare fork is nobody's but the program's */
        kill(pids[3], SIGKILL);
    }
    fclose(out);
}

static void a_program_with_threads_is_refused(void **state)
{
    (void)state;
    survives("comes_too_late");
}

static void under_wf_main_it_is_there_unless_declined(void **state)
{
    (void)state;
    survives("with");
    survives("without");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return scenario(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_gets_its_blob_and_tells_its_end),
        cmocka_unit_test(a_killed_process_is_told_at_once),
        cmocka_unit_test(a_process_has_the_descriptors_it_was_given),
        cmocka_unit_test(a_process_starts_from_defaults),
        cmocka_unit_test(standard_error_arrives_and_its_end_is_kept),
        cmocka_unit_test(unread_standard_error_holds_up_nothing_else),
        cmocka_unit_test(what_a_grandchild_writes_still_arrives),
        cmocka_unit_test(nothing_is_left_of_many),
        cmocka_unit_test(without_descriptors_no_process_is_left),
        cmocka_unit_test(the_helpers_death_ends_its_children_and_is_told),
        cmocka_unit_test(the_programs_death_ends_all),
        cmocka_unit_test(a_program_with_threads_is_refused),
        cmocka_unit_test(under_wf_main_it_is_there_unless_declined),
    };
    struct wf_error error;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    /* What a process must not inherit. */
    if (pipe(open_before) || signal(SIGUSR2, SIG_IGN) == SIG_ERR ||
        signal(SIGCHLD, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &blocked, NULL))
        return 1;
    int err = wf_processes_init(&error);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    signal(SIGUSR2, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (err) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    idle_descriptors = count_descriptors() + 2; /* the listener's poller */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
