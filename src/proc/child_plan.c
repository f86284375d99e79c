/* SPDX-License-Identifier: MIT */
#include "proc/child_plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/socket.h"

/* Where programs are looked for without a PATH, as the system's own tools do. */
static const char default_path[] = "/bin:/usr/bin";

static const char *const stdio_names[] = {"standard input", "standard output", "standard error"};

static const char *program_of(const struct wf_child_options *options)
{
    return options->shell ? "/bin/sh" : options->argv[0];
}

static bool has_name(const char *entry, const char *name, size_t len)
{
    return strncmp(entry, name, len) == 0 && (entry[len] == '=' || entry[len] == '\0');
}

/* True when one of the list sets or removes the name of `entry`. */
static bool is_overridden(const char *entry, const char *const *list)
{
    size_t len = strcspn(entry, "=");
    for (; *list; list++)
        if (has_name(*list, entry, len))
            return true;
    return false;
}

static size_t count_of(const char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    return count;
}

static int plan_env(struct wfi_child_plan *plan, const struct wf_child_options *options)
{
    static const char *const nothing[] = {NULL};
    const char *const *base = options->env_empty ? nothing : wfi_spawn_environment();
    size_t n = 0;
    plan->spawn.env = base;
    if (!options->env)
        return 0;
    const char **env = plan->env =
        wfi_alloc((count_of(base) + count_of(options->env) + 1) * sizeof *env);
    if (!env)
        return -ENOMEM;
    for (const char *const *entry = base; *entry; entry++)
        if (!is_overridden(*entry, options->env))
            env[n++] = *entry;
    for (const char *const *entry = options->env; *entry; entry++)
        if (strchr(*entry, '=') && !is_overridden(*entry, entry + 1))
            env[n++] = *entry;
    env[n] = NULL;
    plan->spawn.env = env;
    return 0;
}

static const char *path_of(const char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return default_path;
}

/* The paths to try: one with a slash is the only one, else one in each folder of PATH. */
static int plan_programs(struct wfi_child_plan *plan, const char *name)
{
    bool alone = strchr(name, '/') || !*name;
    const char *path = alone ? "" : path_of(plan->spawn.env);
    size_t folders = 1, name_len = strlen(name);
    for (const char *at = path; *at; at++)
        folders += *at == ':';
    size_t bytes = (folders + 1) * sizeof(char *) + strlen(path) + folders * (name_len + 2);
    const char **programs = plan->programs = wfi_alloc(bytes);
    if (!programs)
        return -ENOMEM;
    char *text = (char *)(programs + folders + 1);
    for (size_t i = 0; i < folders; i++) {
        size_t len = strcspn(path, ":");
        programs[i] = text;
        if (len) {
            memcpy(text, path, len);
            text += len;
            *text++ = '/';
        }
        memcpy(text, name, name_len + 1);
        text += name_len + 1;
        path += len + (path[len] == ':');
    }
    programs[folders] = NULL;
    plan->spawn.programs = programs;
    return 0;
}

static int refuse(struct wf_error *reterr, const char *what, const char *rule)
{
    return wf_error_set(reterr, -EINVAL, "%s: %s", what, rule);
}

static int open_file(const char *path, int number, bool append, int *ret_fd,
                     struct wf_error *reterr)
{
    enum wfi_spawn_open how = append ? WFI_SPAWN_APPEND : WFI_SPAWN_WRITE;
    if (!path)
        return refuse(reterr, stdio_names[number], "a file has a path");
    int fd = wfi_spawn_open_file(path, number == 0 ? WFI_SPAWN_READ : how);
    if (fd < 0)
        return wf_error_set(reterr, fd, "cannot open %.200s: %s", path, wf_strerror(fd));
    *ret_fd = fd;
    return 0;
}

/* Where descriptor `number` of the child comes from; fds[number] is written. */
static int plan_stdio(struct wfi_child_plan *plan, int number, const struct wf_stdio *stdio,
                      struct wfi_spawn_fd *fds, struct wf_error *reterr)
{
    struct wfi_spawn_fd *fd = &fds[number];
    int err = 0;
    *fd = (struct wfi_spawn_fd){.to = number};
    switch (stdio->kind) {
    case WF_STDIO_DEFAULT:
    case WF_STDIO_INHERIT:
        fd->from = number;
        fd->optional = true;
        return 0;
    case WF_STDIO_FD:
        fd->from = stdio->fd;
        return stdio->fd >= 0 ? 0
                              : wf_error_set(reterr, -EBADF, "%s: %d is no descriptor",
                                             stdio_names[number], stdio->fd);
    case WF_STDIO_JOIN:
        if (number != 2)
            return refuse(reterr, stdio_names[number], "only standard error can be joined");
        fd->from = fds[1].from;
        fd->optional = fds[1].optional;
        return 0;
    case WF_STDIO_PIPE:
        err = wfi_spawn_pipe(number == 0, &plan->mine[number], &plan->opened[number]);
        if (err)
            wf_error_set(reterr, err, "no pipe for %s: %s", stdio_names[number], wf_strerror(err));
        break;
    case WF_STDIO_NULL:
        err = open_file("/dev/null", number, false, &plan->opened[number], reterr);
        break;
    case WF_STDIO_FILE:
        err = open_file(stdio->path, number, stdio->append, &plan->opened[number], reterr);
        break;
    default:
        return refuse(reterr, stdio_names[number], "no such kind");
    }
    fd->from = plan->opened[number];
    return err;
}

/* Puts a descriptor into its place in the order of numbers. */
static int insert_passed(struct wfi_spawn_fd *fds, size_t count, const struct wf_pass_fd *pass,
                         struct wf_error *reterr)
{
    int to = pass->as ? pass->as : pass->fd;
    if (pass->fd < 0 || to < 3)
        return wf_error_set(reterr, -EINVAL, "descriptor %d cannot be passed as %d", pass->fd, to);
    for (; fds[count - 1].to > to; count--)
        fds[count] = fds[count - 1];
    if (fds[count - 1].to == to)
        return wf_error_set(reterr, -EINVAL, "two descriptors are passed as %d", to);
    fds[count] = (struct wfi_spawn_fd){.from = pass->fd, .to = to};
    return 0;
}

static int plan_fds(struct wfi_child_plan *plan, const struct wf_child_options *options,
                    struct wf_error *reterr)
{
    const struct wf_stdio *stdio[] = {&options->in, &options->out, &options->err};
    struct wfi_spawn_fd *fds = plan->std_fds;
    if (options->pass_count) {
        fds = plan->fds = wfi_alloc((3 + options->pass_count) * sizeof *fds);
        if (!fds)
            return wf_error_set(reterr, -ENOMEM, NULL);
    }
    int err = 0;
    for (int i = 0; i < 3 && !err; i++)
        err = plan_stdio(plan, i, stdio[i], fds, reterr);
    for (size_t i = 0; i < options->pass_count && !err; i++)
        err = insert_passed(fds, 3 + i, &options->pass[i], reterr);
    plan->spawn.fds = fds;
    plan->spawn.fd_count = 3 + options->pass_count;
    return err;
}

static int plan_limits(struct wfi_child_plan *plan, const struct wf_child_options *options)
{
    if (!options->rlimit_count)
        return 0;
    struct wfi_spawn_limit *limits = plan->limits =
        wfi_alloc(options->rlimit_count * sizeof *limits);
    if (!limits)
        return -ENOMEM;
    for (size_t i = 0; i < options->rlimit_count; i++) {
        const struct wf_rlimit *limit = &options->rlimits[i];
        limits[i].resource = limit->resource;
        limits[i].soft = limit->soft < limit->hard ? limit->soft : limit->hard;
        limits[i].hard = limit->hard;
    }
    plan->spawn.limits = limits;
    plan->spawn.limit_count = options->rlimit_count;
    return 0;
}

int wfi_child_plan_init(struct wfi_child_plan *plan, const struct wf_child_options *options,
                        struct wf_error *reterr)
{
    static const enum wfi_spawn_group groups[] = {
        [WF_CHILD_SESSION] = WFI_SPAWN_SESSION,
        [WF_CHILD_GROUP] = WFI_SPAWN_GROUP,
        [WF_CHILD_SAME_GROUP] = WFI_SPAWN_SAME_GROUP,
    };
    *plan = (struct wfi_child_plan){.mine = {-1, -1, -1}, .opened = {-1, -1, -1}};
    bool named = options->argv && options->argv[0];
    if (named == (options->shell != NULL))
        return refuse(reterr, "child",
                      "needs either argv, with a program, or a text for the shell");
    if ((unsigned)options->group > WF_CHILD_SAME_GROUP)
        return refuse(reterr, program_of(options), "no such kind of group");
    plan->spawn.group = groups[options->group];
    plan->spawn.umask = options->umask_set ? (int)(options->umask & 0777) : -1;
    plan->spawn.cwd = options->cwd;
    plan->spawn.argv = options->argv;
    if (options->shell) {
        const char *const argv[] = {"/bin/sh", "-c", options->shell, NULL};
        memcpy(plan->shell_argv, argv, sizeof argv);
        plan->spawn.argv = plan->shell_argv;
    }
    int err = plan_env(plan, options);
    if (!err)
        err = plan_programs(plan, program_of(options));
    if (!err)
        err = plan_limits(plan, options);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = plan_fds(plan, options, reterr);
    if (err) {
        wfi_child_plan_fini(plan);
        wf_error_prefix(reterr, "%.60s", program_of(options));
    }
    return err;
}

void wfi_child_plan_fini(struct wfi_child_plan *plan)
{
    for (int i = 0; i < 3; i++) {
        wfi_fd_close(plan->mine[i]);
        wfi_fd_close(plan->opened[i]);
    }
    wfi_free(plan->fds);
    wfi_free(plan->programs);
    wfi_free(plan->env);
    wfi_free(plan->limits);
}

/* The system says "no such file" also of a script's interpreter. */
static bool is_there(const struct wfi_child_plan *plan)
{
    for (const char *const *program = plan->spawn.programs; *program; program++)
        if ((**program == '/' || !plan->spawn.cwd) && wfi_spawn_is_there(*program))
            return true;
    return false;
}

void wfi_child_plan_explain(const struct wfi_child_plan *plan,
                            const struct wf_child_options *options, int err,
                            const struct wfi_spawn_failure *failure, struct wf_error *reterr)
{
    const char *name = program_of(options), *why = wf_strerror(err);
    const struct wfi_spawn_fd *fd;
    if (!reterr)
        return;
    switch (failure->step) {
    case WFI_SPAWN_CWD:
        wf_error_set(reterr, err, "cannot run %.100s in %.150s: %s", name, options->cwd, why);
        break;
    case WFI_SPAWN_FD:
        fd = &plan->spawn.fds[failure->at];
        wf_error_set(reterr, err, "cannot run %.100s: its descriptor %d, from %d: %s", name, fd->to,
                     fd->from, why);
        break;
    case WFI_SPAWN_LIMIT:
        wf_error_set(reterr, err, "cannot run %.100s: resource limit %d: %s", name,
                     plan->spawn.limits[failure->at].resource, why);
        break;
    case WFI_SPAWN_START:
    case WFI_SPAWN_EXEC:
        wf_error_set(reterr, err, "cannot run %.200s: %s%s", name, why,
                     err == -ENOENT && is_there(plan) ? " (its interpreter)" : "");
        break;
    }
    snprintf(reterr->origin, sizeof reterr->origin, "%.63s", name);
}
