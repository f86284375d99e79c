/* SPDX-License-Identifier: MIT */
/*
 * Sockets and pipes. Every descriptor made here is non-blocking and closed on
 * exec; no write raises SIGPIPE. Calls are repeated after EINTR and never wait: what would, gives
 * -EAGAIN. Errors are negative errno.
 */
#ifndef WFI_OS_SOCKET_H
#define WFI_OS_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/* May alias: the public struct wf_address is the same bytes under another name. */
struct __attribute__((may_alias)) wfi_sockaddr {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage storage;
    };
    socklen_t len;
};

/* Room for the longest text of an address. */
#define WFI_SOCKADDR_TEXT_BYTES 160

/*
 * Numeric text to address: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/path",
 * "unix:@name" (abstract). Returns 0, or -EINVAL, or -ENAMETOOLONG for a Unix path.
 */
int wfi_sockaddr_parse(const char *text, struct wfi_sockaddr *ret_addr);

/* Numeric host, without brackets, and port to address. Returns 0 or -EINVAL. */
int wfi_sockaddr_numeric(const char *host, uint16_t port, struct wfi_sockaddr *ret_addr);

/* Unix path ("@name": abstract) to address. Returns 0, -EINVAL when empty, -ENAMETOOLONG. */
int wfi_sockaddr_local(const char *path, struct wfi_sockaddr *ret_addr);

/* Writes what wfi_sockaddr_parse reads, cut to fit; "unix:" alone for a socket without a name. */
void wfi_sockaddr_format(const struct wfi_sockaddr *addr, char *ret_text, size_t bytes);

bool wfi_sockaddr_equal(const struct wfi_sockaddr *a, const struct wfi_sockaddr *b);

/* The port in host order, 0 for a Unix address. */
uint16_t wfi_sockaddr_port(const struct wfi_sockaddr *addr);
void wfi_sockaddr_set_port(struct wfi_sockaddr *addr, uint16_t port);

/*
 * Asks the system's resolver, which may take seconds: never on a fiber worker. `family` is AF_INET,
 * AF_INET6 or AF_UNSPEC.
 *
 * Returns the number of stream addresses, at most `max`, in the order to try them; or a negative
 * getaddrinfo code in *ret_cause (0 when it is none) and -ENOENT (no such name, no address),
 * -EAGAIN (the name server did not answer), -ENOMEM, -EINVAL, -EIO.
 */
int wfi_resolve(const char *host, uint16_t port, int family, struct wfi_sockaddr *ret_addrs,
                int max, int *ret_cause);
/* One line for *ret_cause. */
const char *wfi_resolve_cause(int cause);

struct wfi_socket_listen_options {
    int backlog;     /* 0: as long as the system allows */
    bool reuse_port; /* several listeners share the port, the system spreads connections */
    bool only_v6;    /* an IPv6 listener does not take IPv4 */
};

/* Returns 0, or -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE, ... */
int wfi_socket_listen(const struct wfi_sockaddr *addr,
                      const struct wfi_socket_listen_options *options, int *ret_fd);

/*
 * Begins to connect. Returns 0 when connected at once, -EINPROGRESS when wfi_socket_connect_finish
 * has to be asked once the socket is ready to write: *ret_fd is written in both cases. -EAGAIN:
 * a Unix listener's queue is full, to be tried again later. Else the error.
 */
int wfi_socket_connect_start(const struct wfi_sockaddr *addr, int *ret_fd);
/* Returns 0, -EINPROGRESS, or the connection's error, which is told once. */
int wfi_socket_connect_finish(int fd);

/* Takes a connection. `ret_peer` may be NULL. Connections already broken are passed over. */
int wfi_socket_accept(int fd, struct wfi_sockaddr *ret_peer, int *ret_fd);

/* Each returns the count of bytes (0 from a read: the end), or -EAGAIN or another error. All take
 * pipes too. */
ssize_t wfi_fd_read(int fd, void *buf, size_t len);
ssize_t wfi_fd_readv(int fd, const struct iovec *parts, int count);
ssize_t wfi_socket_read(int fd, void *buf, size_t len);
ssize_t wfi_socket_write(int fd, const void *buf, size_t len);
ssize_t wfi_socket_writev(int fd, const struct iovec *parts, int count);

/* Moves bytes without copying them; one of the two is a pipe. */
ssize_t wfi_fd_splice(int from, int to, size_t len);
/* Sends from a file at *offset, which moves. A file that is shorter gives 0. */
ssize_t wfi_socket_sendfile(int fd, int file, off_t *offset, size_t len);

/* Whether a read would give something now: bytes, the end or an error. */
bool wfi_socket_readable(int fd);

/* Whether the peer has ended its side or the connection broke, whatever is still there to read. */
bool wfi_socket_peer_ended(int fd);

/* how: SHUT_RD, SHUT_WR, SHUT_RDWR. -ENOTCONN when the peer has gone is not an error. */
int wfi_socket_shutdown(int fd, int how);

/* Closes; the number is free afterwards whatever close says. -1 is fine. */
void wfi_fd_close(int fd);

enum wfi_socket_option {
    WFI_SOCKET_NODELAY,
    WFI_SOCKET_KEEPALIVE,          /* 0 or 1 */
    WFI_SOCKET_KEEPALIVE_IDLE,     /* seconds of silence before the first probe */
    WFI_SOCKET_KEEPALIVE_INTERVAL, /* seconds between probes */
    WFI_SOCKET_KEEPALIVE_COUNT,    /* probes without an answer before the connection is given up */
    WFI_SOCKET_REUSEADDR,
    WFI_SOCKET_REUSEPORT,
    WFI_SOCKET_SEND_BYTES, /* size of the kernel's buffer */
    WFI_SOCKET_RECEIVE_BYTES,
    WFI_SOCKET_UNSENT_BYTES, /* TCP: not ready for writing while more than that is unsent */
};
int wfi_socket_set(int fd, enum wfi_socket_option option, int value);
int wfi_socket_get(int fd, enum wfi_socket_option option, int *ret_value);

/* Makes close drop what is unsent and, with TCP, reset the connection. */
int wfi_socket_close_hard(int fd);

int wfi_socket_local(int fd, struct wfi_sockaddr *ret_addr);
int wfi_socket_peer(int fd, struct wfi_sockaddr *ret_addr);

/*
 * Makes a descriptor from elsewhere non-blocking and closed on exec. Returns 0, or -EBADF,
 * -ENOTSOCK, -EPROTOTYPE (not a stream socket).
 */
int wfi_socket_prepare(int fd);

/* Whether it is a socket that listens. */
bool wfi_socket_listens(int fd);

/* Two connected Unix stream sockets. */
int wfi_socket_pair(int ret_fds[2]);
/* ret_fds[0] is the end to read. */
int wfi_pipe_open(int ret_fds[2]);

#endif
