/* SPDX-License-Identifier: MIT */
/*
 * A worker as a program: its modules, its options put together, its banner and log, its signals.
 *
 * Before wf_main, with one thread: arguments, folder, modules, addresses; what is wrong there costs
 * no start. Then, on the root's fiber: the log file, the pid file, the pool, the banner, the run.
 *
 * Signals come on wf_main's thread for them. The first asks for a warm shutdown. A cold one has the
 * worker give back what it can, and then leaves the process from a fiber; one more, from there.
 */
#include <weft/celery_app.h>

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/file.h>
#include <weft/main.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "celery/broker/redis.h"
#include "celery/message/arguments.h"
#include "celery/message/node_name.h"
#include "celery/message/url.h"
#include "celery/worker/worker_command.h"

enum { DONE = 0, FAILED = 1, WRONG = 2 };

/* Celery's own. */
#define DEFAULT_BROKER "amqp://guest@localhost:5672//"
/* So that what cannot be reached is told within five seconds. */
#define CONNECT_NS WF_SECONDS(4)
#define AGAIN_NS WF_MILLISECONDS(500)
/* For --prefetch-multiplier 0: as many messages as there are. */
#define WITHOUT_LIMIT (1 << 20)
#define PATH_BYTES 4096

struct program {
    const char *name; /* argv[0] */
    struct wfi_worker_command command;
    struct wf_celery_worker_options options;
    struct wfi_celery_url broker, backend;
    const char *broker_from; /* NULL: nobody named one */
    char node[WFI_NODE_NAME_BYTES];
    char pid_file[PATH_BYTES]; /* "" where there is none, or not yet ours */
    FILE *log;                 /* never NULL once it runs */
    int status;                /* of root */
    struct wf_event quit;      /* asks for a cold shutdown */
    WFI_ATOMIC(int) interrupts, quits;
};

static int complain(const struct program *program, int status, const char *text)
{
    fprintf(stderr, "%s: %s\n", program->name, text);
    return status;
}

/* ---- log ---- */

static void log_line(void *arg, enum wf_celery_level level, const char *line)
{
    static const char *const names[] = {"INFO", "WARNING", "ERROR"};
    const struct program *program = arg;
    struct timespec now;
    struct tm local;
    char when[32] = "";
    timespec_get(&now, TIME_UTC);
    if (localtime_r(&now.tv_sec, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    fprintf(program->log, "[%s,%03ld: %s/MainProcess] %s\n", when, now.tv_nsec / 1000000,
            names[level], line);
}

static int open_log(struct program *program, struct wf_error *reterr)
{
    char path[PATH_BYTES];
    struct wf_file *probe;
    program->log = stderr;
    if (!program->command.log_file)
        return 0;
    int err = wfi_node_file(program->command.log_file, program->node, path, sizeof path, reterr);
    if (err)
        return err;
    err = wf_file_append(path, &probe, NULL); /* says why it cannot be written */
    if (err)
        return wf_error_set(reterr, err, "cannot write to %.200s: %s", path, wf_strerror(err));
    wf_file_close(probe);
    FILE *log = fopen(path, "ae");
    if (!log)
        return wf_error_set(reterr, -EIO, "cannot write to %.200s", path);
    setvbuf(log, NULL, _IOLBF, BUFSIZ);
    program->log = log;
    return 0;
}

/* ---- pid file ---- */

static bool runs(long pid)
{
    char path[64];
    struct wf_file_info info;
    snprintf(path, sizeof path, "/proc/%ld", pid);
    return pid > 0 && pid != getpid() && wf_file_look(path, &info) == 0;
}

static int take_pid_file(struct program *program, struct wf_error *reterr)
{
    char path[PATH_BYTES];
    if (!program->command.pid_file)
        return 0;
    int err = wfi_node_file(program->command.pid_file, program->node, path, sizeof path, reterr);
    for (int i = 0; !err && i < 2; i++) {
        FILE *file = fopen(path, "wxe");
        if (file) {
            const bool written = fprintf(file, "%ld\n", (long)getpid()) > 0;
            snprintf(program->pid_file, sizeof program->pid_file, "%s", path);
            if (fclose(file) == 0 && written)
                return 0;
            return wf_error_set(reterr, -EIO, "cannot write to %.200s", path);
        }
        long pid = 0;
        file = fopen(path, "re");
        if (file && fscanf(file, "%ld", &pid) != 1)
            pid = 0;
        const bool other = file && pid == 0 && (rewind(file), getc(file) != EOF);
        if (file)
            fclose(file);
        if (runs(pid))
            return wf_error_set(reterr, -EEXIST, "process %ld has the pid file %.200s", pid, path);
        if (other)
            return wf_error_set(reterr, -EEXIST, "%.200s is there and is no pid file", path);
        if (file)
            unlink(path); /* of one that is no more; a folder stays */
    }
    struct wf_file *probe = NULL;
    if (!err)
        err = wf_file_append(path, &probe, NULL);
    wf_file_close(probe);
    return wf_error_set(reterr, err ? err : -EIO, "cannot write to %.200s: %s", path,
                        wf_strerror(err ? err : -EIO));
}

/* ---- banner ---- */

static bool is_own(const char *name)
{
    return strncmp(name, "wfi_", 4) == 0 || strncmp(name, "celery.", 7) == 0;
}

static int by_name(const void *a, const void *b)
{
    const struct wf_task_type *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Those that can be called, by name; of the others a line. Returns their number. */
static size_t list_tasks(const struct wf_task_type ***ret_tasks)
{
    const struct wf_task_type **tasks = NULL;
    size_t count = 0, room = 0;
    for (const struct wf_task_type *t = NULL; (t = wf_task_next(t));) {
        if (!t->call || is_own(t->name))
            continue;
        if (count == room) {
            const struct wf_task_type **grown =
                wfi_realloc(tasks, (room = room ? room * 2 : 16) * sizeof *grown);
            if (!grown)
                break;
            tasks = grown;
        }
        tasks[count++] = t;
    }
    if (count)
        qsort(tasks, count, sizeof *tasks, by_name);
    *ret_tasks = tasks;
    return count;
}

static void print_queues(const struct wf_celery_worker_options *options)
{
    static const char *const celery[] = {"celery"};
    const char *const *names = options->queue_count ? options->queues : celery;
    const size_t count = options->queue_count ? options->queue_count : 1;
    printf("\n [queues]\n");
    for (size_t i = 0; i < count; i++)
        printf("  .> %-16s exchange=%s(direct) key=%s\n", names[i], names[i], names[i]);
}

static void print_tasks(void)
{
    const struct wf_task_type **tasks;
    const size_t count = list_tasks(&tasks);
    struct wf_error error;
    printf("\n [tasks]\n");
    for (size_t i = 0; i < count; i++)
        if (wfi_arguments_check(tasks[i], &error))
            printf("  - %s cannot be called: %s\n", tasks[i]->name, error.text);
        else
            printf("  . %s\n", tasks[i]->name);
    printf("\n");
    wfi_free(tasks);
}

static void print_banner(const struct program *program, const char *pool)
{
    char url[WFI_CELERY_URL_BYTES], when[32] = "";
    const struct wfi_worker_command *command = &program->command;
    struct utsname system = {0};
    time_t now = time(NULL);
    struct tm local;
    uname(&system);
    if (localtime_r(&now, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    printf("\n %s, a weft worker\n %s-%s-%s %s\n\n [config]\n", program->node, system.sysname,
           system.release, system.machine, when);
    printf("  .> app:         ");
    for (size_t i = 0; i < command->modules.count; i++)
        printf("%s%s", i ? ", " : "", command->modules.items[i]);
    printf("%s\n", command->modules.count ? "" : program->name);
    printf("  .> transport:   %s\n", wfi_celery_url_format(&program->broker, url));
    printf("  .> results:     %s\n", program->options.backend
                                         ? wfi_celery_url_format(&program->backend, url)
                                         : "disabled://");
    printf("  .> concurrency: %d (%s)\n", program->options.concurrency, pool);
    printf("  .> task events: %s\n",
           program->options.events ? "ON" : "OFF (-E turns them on for this worker)");
    print_queues(&program->options);
    print_tasks();
    fflush(stdout);
}

/* ---- running ---- */

/*
 * Results are stored late, and then tried for long: that there is no place for them is told at the
 * start, in the time that there is for the broker, too. Where both are one, the broker's word does.
 */
static int reach_backend(struct program *program, struct wf_error *reterr)
{
    struct wf_celery_worker_options *options = &program->options;
    const wf_deadline until = wf_after(options->connect_ns);
    if (!options->connect_ns || !options->backend ||
        program->backend.transport != WFI_TRANSPORT_REDIS ||
        strcmp(options->backend, options->broker) == 0)
        return 0;
    for (;;) {
        struct wfi_redis *redis = NULL;
        int err = wfi_redis_open(&program->backend, NULL, &redis, until, reterr);
        wfi_redis_close(redis);
        if (!err) {
            options->connect_ns = wf_remaining(until) + 1; /* 0 would be for ever */
            return 0;
        }
        const bool final =
            err == -EACCES || err == -EREMOTEIO || err == -ENOMEM || err == -ECANCELED;
        if (final || wf_remaining(until) <= AGAIN_NS) {
            wf_error_prefix(reterr, "result backend");
            return err;
        }
        if (wf_sleep(wf_after(AGAIN_NS)))
            return wf_error_set(reterr, -ECANCELED, NULL);
    }
}

static int run(struct program *program, struct wf_error *reterr)
{
    static const char *const kinds[] = {"threads", "fibers", "processes"};
    struct wf_celery_worker_options *options = &program->options;
    int err = open_log(program, reterr);
    if (!err)
        err = take_pid_file(program, reterr);
    if (!err) {
        if (!options->concurrency)
            options->concurrency =
                (int)wf_executor_workers(options->pool ? options->pool : wf_main_executor());
        if (!program->command.quiet)
            print_banner(program, options->pool ? wf_executor_engine(options->pool)
                                                : kinds[options->engine]);
        err = reach_backend(program, reterr);
    }
    if (!err)
        err = wf_celery_worker_run(options, reterr);
    if (program->pid_file[0])
        remove(program->pid_file);
    return err == -ECANCELED ? 0 : err;
}

static int root(void *arg)
{
    struct program *program = arg;
    struct wf_error error = {0};
    const int err = run(program, &error);
    const bool wrong = err == -EINVAL || err == -ENOTSUP; /* seen before anything is begun */
    if (err && !program->broker_from && !wrong)
        wf_error_prefix(&error, "no broker is named (-b, CELERY_BROKER_URL), so " DEFAULT_BROKER);
    program->status = err ? complain(program, wrong ? WRONG : FAILED, error.text) : DONE;
    return program->status;
}

/* Messages are back that are to go back; what runs still is not waited for. */
static void leave(void *arg)
{
    struct program *program = arg;
    fflush(NULL);
    if (program->pid_file[0])
        remove(program->pid_file);
    _exit(FAILED);
}

static enum wf_main_signal on_signal(void *arg, int signo)
{
    struct program *program = arg;
    if (signo == SIGQUIT || (signo == SIGINT && wfi_fetch_add(&program->interrupts, 1) > 0)) {
        if (wfi_fetch_add(&program->quits, 1) > 0)
            leave(program);
        printf("\nworker: Cold shutdown\n");
        fflush(stdout);
        wf_event_set(&program->quit);
        return WF_MAIN_CANCEL;
    }
    printf("\nworker: Warm shutdown%s\n",
           signo == SIGINT ? "; one more interrupt ends what still runs" : "");
    fflush(stdout);
    return WF_MAIN_CANCEL;
}

/* ---- before it runs ---- */

/* `base` is what a module declares, where the program declares nothing. */
static int load_modules(struct program *program, const struct wf_celery_worker_options **base,
                        struct wf_error *reterr)
{
    for (size_t i = 0; i < program->command.modules.count; i++) {
        struct wf_module *module;
        const struct wf_celery_worker_options *declared;
        int err = wf_module_load(program->command.modules.items[i], &module, reterr);
        if (!err)
            err = wf_celery_module_options(module, &declared, reterr);
        if (err)
            return err;
        if (!*base)
            *base = declared;
    }
    for (const struct wf_task_type *t = NULL; (t = wf_task_next(t));)
        if (t->call && !is_own(t->name))
            return 0;
    return wf_error_set(reterr, -EINVAL, "there are no tasks: -A MODULE names a module of them");
}

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static int read_addresses(struct program *program, struct wf_error *reterr)
{
    struct wf_celery_worker_options *options = &program->options;
    const char *broker = program->command.broker, *backend = program->command.backend;
    broker = broker ? broker : from_environment("CELERY_BROKER_URL");
    backend = backend ? backend : from_environment("CELERY_RESULT_BACKEND");
    if (broker)
        options->broker = broker;
    if (backend)
        options->backend = backend;
    program->broker_from = options->broker;
    if (!options->broker)
        options->broker = DEFAULT_BROKER;
    int err = wfi_celery_url_parse(options->broker, &program->broker, reterr);
    if (!err && program->broker.transport == WFI_TRANSPORT_RPC)
        err = wf_error_set(reterr, -EINVAL, "rpc:// keeps results, it is no broker");
    if (err) {
        wf_error_prefix(reterr, "broker");
    } else if (options->backend) {
        err = wfi_celery_url_parse(options->backend, &program->backend, reterr);
        if (err)
            wf_error_prefix(reterr, "result backend");
    }
    return err;
}

/* What was given on the command line takes the place of what was declared. */
static void put_options(struct program *program)
{
    const struct wfi_worker_command *command = &program->command;
    struct wf_celery_worker_options *options = &program->options;
    if (command->queues.count) {
        options->queues = (const char *const *)command->queues.items;
        options->queue_count = command->queues.count;
    }
    if (command->has_pool) {
        options->pool = NULL;
        options->engine = command->pool == WFI_POOL_FIBERS      ? WF_CELERY_FIBERS
                          : command->pool == WFI_POOL_PROCESSES ? WF_CELERY_PROCESSES
                                                                : WF_CELERY_THREADS;
    }
    if (command->concurrency)
        options->concurrency = (int)command->concurrency;
    if (command->pool == WFI_POOL_SOLO)
        options->concurrency = 1;
    if (command->tasks_max)
        options->tasks_per_child_max = (unsigned)command->tasks_max;
    if (command->memory_max_kib)
        options->child_memory_max_bytes = (size_t)command->memory_max_kib * 1024;
    options->events |= command->events;
    options->no_heartbeat |= command->no_heartbeat;
    options->no_mingle |= command->no_mingle;
    if (command->prefetch >= 0)
        options->prefetch_multiplier = command->prefetch ? (int)command->prefetch : WITHOUT_LIMIT;
    if (command->result_expires_s >= 0)
        options->result_expires_s = command->result_expires_s ? command->result_expires_s : -1;
    if (command->visibility_s > 0)
        options->visibility_ns = WF_SECONDS(command->visibility_s);
    if (command->time_limit_s > 0)
        options->time_limit_s = command->time_limit_s;
    if (command->soft_time_limit_s > 0)
        options->soft_time_limit_s = command->soft_time_limit_s;
    options->acks_late |= command->acks_late;
    options->track_started |= command->track_started;
    options->connect_ns = command->retry_on_startup ? 0
                          : options->connect_ns     ? options->connect_ns
                                                    : CONNECT_NS;
    options->quit = &program->quit;
    options->quitted = leave;
    options->quitted_arg = program;
    options->name = program->node;
    options->log = log_line;
    options->log_arg = program;
    options->level = command->level == WFI_LOG_WARNING ? WF_CELERY_WARNING
                     : command->level == WFI_LOG_ERROR ? WF_CELERY_ERROR
                     : command->level == WFI_LOG_DEBUG || command->level == WFI_LOG_INFO
                         ? WF_CELERY_INFO
                         : (enum wf_celery_level)(WF_CELERY_ERROR + 1);
}

static int prepare(struct program *program, const struct wf_celery_worker_options *defaults,
                   struct wf_error *reterr)
{
    const struct wfi_worker_command *command = &program->command;
    const struct wf_celery_worker_options *base = defaults;
    char host[WFI_NODE_NAME_BYTES] = "localhost";
    if (command->folder && chdir(command->folder))
        return wf_error_set(reterr, -ENOENT, "--workdir: %.200s is no folder to be entered",
                            command->folder);
    int err = load_modules(program, &base, reterr);
    if (err)
        return err;
    if (base)
        program->options = *base;
    err = read_addresses(program, reterr);
    if (gethostname(host, sizeof host - 1))
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    if (!err)
        err = wfi_node_name(command->name ? command->name : program->options.name, host,
                            program->node, reterr);
    if (!err)
        put_options(program);
    return err;
}

int wf_celery_module_options(const struct wf_module *module,
                             const struct wf_celery_worker_options **ret_options,
                             struct wf_error *reterr)
{
    const struct wf_celery_app *app = wf_module_symbol(module, "wf_celery_app");
    if (app && app->options_bytes != sizeof app->options)
        return wf_error_set(reterr, -ESTALE,
                            "module %.200s: its WF_CELERY_APP was compiled for another weft",
                            wf_module_path(module));
    *ret_options = app ? &app->options : NULL;
    return 0;
}

int wf_celery_worker_main(int argc, char **argv, const struct wf_celery_worker_options *defaults)
{
    struct program program = {.name = argc > 0 ? argv[0] : "worker", .status = -1};
    struct wf_error error = {0};
    /* Else glibc keeps what large messages took once such a one has been freed. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    wf_event_init(&program.quit);
    int err = wfi_worker_command_parse(argc, argv, &program.command, &error);
    int status = err == -ECANCELED ? DONE : WRONG;
    if (err && err != -ECANCELED) {
        fprintf(stderr, "%s: %s; see %s --help\n", program.name, error.text, program.name);
    } else if (!err) {
        err = prepare(&program, defaults, &error);
        if (err)
            status = complain(&program, WRONG, error.text);
    }
    if (!err) {
        const struct wf_main_options main_options = {.drain_ns = -1,
                                                     .no_processes = program.options.engine !=
                                                                     WF_CELERY_PROCESSES,
                                                     .signal = on_signal};
        status = wf_main(&main_options, root, &program, &error);
        if (status < 0)
            status = complain(&program, FAILED, error.text);
        else
            status = program.status < 0 ? DONE : program.status;
        if (program.log && program.log != stderr)
            fclose(program.log);
    }
    wfi_worker_command_fini(&program.command);
    wf_event_fini(&program.quit);
    return status;
}
