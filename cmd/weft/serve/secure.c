/* SPDX-License-Identifier: MIT */
/*
 * The handler of SIGHUP writes a byte to a socket that a fiber reads, so the files are read where
 * waiting is allowed. A SIGHUP that was ignored at the start (nohup) stays ignored.
 */
#include "serve/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <weft/main.h>
#include <weft/scope.h>
#include <weft/task.h>

static struct {
    struct wf_tls *tls;
    struct wf_stream *asked; /* NULL: nobody can ask */
    int ask_fd;
    struct sigaction before;
    struct wf_future *reloading;
} secure;

static void warn_of_validity(const char *chain_file)
{
    int64_t from, until, now = (int64_t)time(NULL);
    if (wf_tls_validity(secure.tls, 0, &from, &until))
        return;
    if (until < now)
        fprintf(stderr, "weft serve: warning: %s: the certificate has expired\n", chain_file);
    else if (from > now)
        fprintf(stderr, "weft serve: warning: %s: the certificate is not yet valid\n", chain_file);
}

WF_TASK(wf_none, serve_reload, (const char *, chain_file))

int serve_reload(struct wf_task *self, const char *chain_file, wf_none *ret)
{
    (void)self, (void)ret;
    struct wf_error error;
    char bytes[64];
    while (wf_stream_read(secure.asked, bytes, sizeof bytes, WF_FOREVER) > 0) {
        if (wf_tls_reload(secure.tls, &error)) {
            fprintf(stderr, "weft serve: the certificate stays as it was: %s\n", error.text);
        } else {
            fprintf(stderr, "weft serve: the certificate was read again\n");
            warn_of_validity(chain_file);
        }
    }
    return 0;
}
WF_TASK_DEFINE(serve_reload)

static void ask(int number)
{
    int before = errno;
    (void)number;
    /* Full: it is going to be read as it is. */
    ssize_t n = write(secure.ask_fd, "", 1);
    (void)n;
    errno = before;
}

static int listen_to_hangups(const char *chain_file, struct wf_error *reterr)
{
    int ends[2];
    struct sigaction action = {.sa_handler = ask, .sa_flags = SA_RESTART};
    sigaction(SIGHUP, NULL, &secure.before);
    if (secure.before.sa_handler == SIG_IGN)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return wf_error_set(reterr, -errno, NULL);
    int err = wf_stream_adopt(ends[0], &secure.asked);
    if (err) {
        close(ends[0]);
        close(ends[1]);
        return wf_error_set(reterr, err, NULL);
    }
    secure.ask_fd = ends[1];
    secure.reloading = serve_reload_submit(wf_main_executor(), chain_file).future;
    sigaction(SIGHUP, &action, NULL);
    return 0;
}

int secure_open(struct wf_server *server, const char *chain_file, const char *key_file,
                struct wf_error *reterr)
{
    struct wf_tls_options options = {.chain_file = chain_file, .key_file = key_file};
    struct wf_address at;
    int err = wf_tls_create(&options, &secure.tls, reterr);
    if (!err)
        warn_of_validity(chain_file);
    for (size_t i = 0; !err && wf_server_address(server, i, &at) == 0; i++)
        err = wf_server_secure(server, i, secure.tls, reterr);
    return err ? err : listen_to_hangups(chain_file, reterr);
}

void secure_close(void)
{
    if (secure.asked) {
        sigaction(SIGHUP, &secure.before, NULL);
        wf_future_cancel(secure.reloading);
        WF_SHIELD(WF_FOREVER) {
            (void)wf_future_wait(secure.reloading, WF_FOREVER);
        }
        wf_future_drop(&secure.reloading);
        wf_stream_close(secure.asked);
        close(secure.ask_fd);
    }
    wf_tls_destroy(secure.tls);
}
