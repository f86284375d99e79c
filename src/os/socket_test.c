/* SPDX-License-Identifier: MIT */
/* Addresses as text; sockets without waiting; SIGPIPE. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/socket.h"

static void addresses_round_trip(void **state)
{
    (void)state;
    static const char *const same[] = {
        "127.0.0.1:80",     "0.0.0.0:0",      "255.255.255.255:65535", "[::1]:443",
        "[2001:db8::5]:25", "[fe80::1%lo]:7", "unix:/run/x.sock",      "unix:@name",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct wfi_sockaddr addr, again;
        char text[WFI_SOCKADDR_TEXT_BYTES];
        assert_int_equal(wfi_sockaddr_parse(same[i], &addr), 0);
        wfi_sockaddr_format(&addr, text, sizeof text);
        assert_string_equal(text, same[i]);
        assert_int_equal(wfi_sockaddr_parse(text, &again), 0);
        assert_true(wfi_sockaddr_equal(&addr, &again));
    }
    struct wfi_sockaddr addr, other;
    assert_int_equal(wfi_sockaddr_parse("[0:0:0:0:0:0:0:1]:080", &addr), 0);
    assert_int_equal(wfi_sockaddr_port(&addr), 80);
    assert_int_equal(wfi_sockaddr_numeric("::1", 80, &other), 0);
    assert_true(wfi_sockaddr_equal(&addr, &other));
    wfi_sockaddr_set_port(&other, 81);
    assert_false(wfi_sockaddr_equal(&addr, &other));
}

static void not_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":80",
        "localhost:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[127.0.0.1]:80",
        "1.2.3:80",
        "[]:80",
        "[fe80::1%]:80",
        "127.0.0.1%lo:80",
        "127.0.0.1: 80",
        "127.0.0.1:80 ",
        "unix:",
        "unix:@",
        "[::1%nosuchif0]:1",
        "127.0.0.1:000000080",
    };
    struct wfi_sockaddr addr;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(wfi_sockaddr_parse(wrong[i], &addr), -EINVAL);
    char path[200] = "unix:";
    memset(path + 5, 'a', 107);
    assert_int_equal(wfi_sockaddr_parse(path, &addr), 0);
    memset(path + 5, 'a', 108);
    assert_int_equal(wfi_sockaddr_parse(path, &addr), -ENAMETOOLONG);
}

static void ready(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    assert_int_equal(poll(&one, 1, -1), 1);
}

/* A connected pair through a listener at `text`. */
static void connect_through(const char *text, int ret_fds[2])
{
    struct wfi_sockaddr addr, peer, local;
    int listener, err;
    assert_int_equal(wfi_sockaddr_parse(text, &addr), 0);
    assert_int_equal(
        wfi_socket_listen(&addr, &(struct wfi_socket_listen_options){.backlog = 1}, &listener), 0);
    int none;
    assert_int_equal(wfi_socket_accept(listener, NULL, &none), -EAGAIN);
    assert_int_equal(wfi_socket_local(listener, &addr), 0);
    err = wfi_socket_connect_start(&addr, &ret_fds[0]);
    assert_true(err == 0 || err == -EINPROGRESS);
    ready(listener, POLLIN);
    assert_int_equal(wfi_socket_accept(listener, &peer, &ret_fds[1]), 0);
    ready(ret_fds[0], POLLOUT);
    assert_int_equal(wfi_socket_connect_finish(ret_fds[0]), 0);
    assert_int_equal(wfi_socket_local(ret_fds[0], &local), 0);
    assert_true(wfi_sockaddr_equal(&local, &peer));
    wfi_fd_close(listener);
    for (int i = 0; i < 2; i++) {
        assert_true(fcntl(ret_fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(ret_fds[i], F_GETFL) & O_NONBLOCK);
    }
}

static void talk(int fds[2])
{
    char buf[8];
    struct iovec out[] = {{"ab", 2}, {"c", 1}}, in[] = {{buf, 1}, {buf + 1, 7}};
    assert_int_equal(wfi_fd_read(fds[1], buf, sizeof buf), -EAGAIN);
    assert_int_equal(wfi_socket_writev(fds[0], out, 2), 3);
    ready(fds[1], POLLIN);
    assert_int_equal(wfi_fd_readv(fds[1], in, 2), 3);
    assert_memory_equal(buf, "abc", 3);
    assert_int_equal(wfi_socket_shutdown(fds[0], SHUT_WR), 0);
    ready(fds[1], POLLIN);
    assert_int_equal(wfi_fd_read(fds[1], buf, sizeof buf), 0);
    assert_int_equal(wfi_socket_write(fds[1], "d", 1), 1);
    ready(fds[0], POLLIN);
    assert_int_equal(wfi_fd_read(fds[0], buf, sizeof buf), 1);
    wfi_fd_close(fds[0]);
    wfi_fd_close(fds[1]);
}

static void tcp_and_unix(void **state)
{
    (void)state;
    int fds[2], value;
    connect_through("127.0.0.1:0", fds);
    assert_int_equal(wfi_socket_set(fds[0], WFI_SOCKET_NODELAY, 1), 0);
    assert_int_equal(wfi_socket_get(fds[0], WFI_SOCKET_NODELAY, &value), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(wfi_socket_set(fds[0], WFI_SOCKET_KEEPALIVE, 1), 0);
    assert_int_equal(wfi_socket_set(fds[0], WFI_SOCKET_KEEPALIVE_IDLE, 30), 0);
    assert_int_equal(wfi_socket_get(fds[0], WFI_SOCKET_KEEPALIVE_IDLE, &value), 0);
    assert_int_equal(value, 30);
    talk(fds);
    char name[64];
    snprintf(name, sizeof name, "unix:@weft-socket-test-%d", (int)getpid());
    connect_through(name, fds);
    talk(fds);
    assert_int_equal(wfi_socket_pair(fds), 0);
    talk(fds);
}

static void a_refused_port_says_so(void **state)
{
    (void)state;
    struct wfi_sockaddr addr;
    int fd, listener;
    assert_int_equal(wfi_sockaddr_parse("127.0.0.1:0", &addr), 0);
    assert_int_equal(wfi_socket_listen(&addr, &(struct wfi_socket_listen_options){0}, &listener),
                     0);
    assert_int_equal(wfi_socket_local(listener, &addr), 0);
    int again;
    assert_int_equal(wfi_socket_listen(&addr, &(struct wfi_socket_listen_options){0}, &again),
                     -EADDRINUSE);
    wfi_fd_close(listener);
    int err = wfi_socket_connect_start(&addr, &fd);
    if (err == -EINPROGRESS) {
        ready(fd, POLLOUT);
        err = wfi_socket_connect_finish(fd);
        wfi_fd_close(fd);
    }
    assert_int_equal(err, -ECONNREFUSED);
}

static void ports_can_be_shared(void **state)
{
    (void)state;
    struct wfi_socket_listen_options shared = {.reuse_port = true};
    struct wfi_sockaddr addr;
    int one, two;
    assert_int_equal(wfi_sockaddr_parse("127.0.0.1:0", &addr), 0);
    assert_int_equal(wfi_socket_listen(&addr, &shared, &one), 0);
    assert_int_equal(wfi_socket_local(one, &addr), 0);
    assert_int_equal(wfi_socket_listen(&addr, &shared, &two), 0);
    wfi_fd_close(one);
    wfi_fd_close(two);
}

static volatile sig_atomic_t pipe_signals;

static void count_pipe(int signo)
{
    (void)signo;
    pipe_signals++;
}

static void no_write_raises_sigpipe(void **state)
{
    (void)state;
    struct sigaction count = {.sa_handler = count_pipe}, before;
    sigaction(SIGPIPE, &count, &before);
    int fds[2], pipe_fds[2];
    assert_int_equal(wfi_socket_pair(fds), 0);
    wfi_fd_close(fds[1]);
    assert_int_equal(wfi_socket_write(fds[0], "x", 1), -EPIPE);
    assert_int_equal(wfi_socket_writev(fds[0], &(struct iovec){"x", 1}, 1), -EPIPE);

    assert_int_equal(wfi_pipe_open(pipe_fds), 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(wfi_fd_splice(pipe_fds[0], fds[0], 1), -EPIPE);

    FILE *file = tmpfile();
    assert_non_null(file);
    fputs("text", file);
    fflush(file);
    off_t offset = 0;
    assert_int_equal(wfi_socket_sendfile(fds[0], fileno(file), &offset, 4), -EPIPE);
    fclose(file);
    wfi_fd_close(fds[0]);
    wfi_fd_close(pipe_fds[0]);
    wfi_fd_close(pipe_fds[1]);

    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGPIPE), 0);
    assert_int_equal(pipe_signals, 0);
    raise(SIGPIPE);
    assert_int_equal(pipe_signals, 1);
    sigaction(SIGPIPE, &before, NULL);
}

static void splice_and_sendfile_move_bytes(void **state)
{
    (void)state;
    int fds[2], pipe_fds[2];
    char buf[16];
    assert_int_equal(wfi_socket_pair(fds), 0);
    assert_int_equal(wfi_pipe_open(pipe_fds), 0);
    assert_int_equal(wfi_fd_splice(fds[1], pipe_fds[1], 100), -EAGAIN);
    assert_int_equal(wfi_socket_write(fds[0], "hello", 5), 5);
    assert_int_equal(wfi_fd_splice(fds[1], pipe_fds[1], 100), 5);
    assert_int_equal(wfi_fd_splice(pipe_fds[0], fds[1], 5), 5);
    assert_int_equal(wfi_fd_read(fds[0], buf, sizeof buf), 5);
    assert_memory_equal(buf, "hello", 5);

    FILE *file = tmpfile();
    assert_non_null(file);
    fputs("0123456789", file);
    fflush(file);
    off_t offset = 4;
    assert_int_equal(wfi_socket_sendfile(fds[0], fileno(file), &offset, 100), 6);
    assert_int_equal(offset, 10);
    assert_int_equal(wfi_socket_sendfile(fds[0], fileno(file), &offset, 100), 0);
    assert_int_equal(wfi_fd_read(fds[1], buf, sizeof buf), 6);
    assert_memory_equal(buf, "456789", 6);
    fclose(file);
    for (int i = 0; i < 2; i++) {
        wfi_fd_close(fds[i]);
        wfi_fd_close(pipe_fds[i]);
    }
}

static void a_strangers_socket_is_prepared(void **state)
{
    (void)state;
    int fds[2], pipe_fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(wfi_socket_prepare(fds[0]), 0);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    wfi_fd_close(fds[0]);
    wfi_fd_close(fds[1]);
    assert_int_equal(wfi_socket_prepare(fds[0]), -EBADF);
    assert_int_equal(wfi_pipe_open(pipe_fds), 0);
    assert_int_equal(wfi_socket_prepare(pipe_fds[0]), -ENOTSOCK);
    wfi_fd_close(pipe_fds[0]);
    wfi_fd_close(pipe_fds[1]);
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(wfi_socket_prepare(datagram), -EPROTOTYPE);
    wfi_fd_close(datagram);
}

static void numeric_hosts_resolve(void **state)
{
    (void)state;
    struct wfi_sockaddr addrs[4];
    int cause;
    assert_int_equal(wfi_resolve("127.0.0.1", 80, AF_UNSPEC, addrs, 4, &cause), 1);
    char text[WFI_SOCKADDR_TEXT_BYTES];
    wfi_sockaddr_format(&addrs[0], text, sizeof text);
    assert_string_equal(text, "127.0.0.1:80");
    assert_int_equal(wfi_resolve("127.0.0.1", 80, AF_INET6, addrs, 4, &cause), -ENOENT);
    assert_true(strlen(wfi_resolve_cause(cause)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_round_trip),
        cmocka_unit_test(not_addresses),
        cmocka_unit_test(tcp_and_unix),
        cmocka_unit_test(a_refused_port_says_so),
        cmocka_unit_test(ports_can_be_shared),
        cmocka_unit_test(no_write_raises_sigpipe),
        cmocka_unit_test(splice_and_sendfile_move_bytes),
        cmocka_unit_test(a_strangers_socket_is_prepared),
        cmocka_unit_test(numeric_hosts_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
