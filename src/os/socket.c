/* SPDX-License-Identifier: MIT */
#include "os/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

/* Repeats a call that a signal interrupted; its value, or -errno. */
#define RETRY(call)                         \
    __extension__({                         \
        ssize_t got_;                       \
        do                                  \
            got_ = (call);                  \
        while (got_ < 0 && errno == EINTR); \
        got_ < 0 ? -(ssize_t)errno : got_;  \
    })

/* Addresses */

static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    if (port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

int wfi_sockaddr_numeric(const char *host, uint16_t port, struct wfi_sockaddr *ret_addr)
{
    struct wfi_sockaddr addr = {.len = 0};
    char plain[INET6_ADDRSTRLEN];
    const char *scope = strchr(host, '%');
    size_t len = scope ? (size_t)(scope - host) : strlen(host);
    if (len >= sizeof plain)
        return -EINVAL;
    memcpy(plain, host, len);
    plain[len] = '\0';
    if (!scope && inet_pton(AF_INET, plain, &addr.v4.sin_addr) == 1) {
        addr.v4.sin_family = AF_INET;
        addr.v4.sin_port = htons(port);
        addr.len = sizeof addr.v4;
    } else if (inet_pton(AF_INET6, plain, &addr.v6.sin6_addr) == 1) {
        addr.v6.sin6_family = AF_INET6;
        addr.v6.sin6_port = htons(port);
        addr.len = sizeof addr.v6;
        if (scope) {
            char *end;
            unsigned long number = strtoul(scope + 1, &end, 10);
            if (!scope[1] || *end || scope[1] < '0' || scope[1] > '9')
                number = if_nametoindex(scope + 1);
            if (number == 0 || number > UINT32_MAX)
                return -EINVAL;
            addr.v6.sin6_scope_id = (uint32_t)number;
        }
    } else {
        return -EINVAL;
    }
    *ret_addr = addr;
    return 0;
}

int wfi_sockaddr_local(const char *path, struct wfi_sockaddr *ret_addr)
{
    struct wfi_sockaddr addr = {.len = 0};
    size_t len = strlen(path);
    bool abstract = path[0] == '@';
    if (len == (abstract ? 1u : 0u))
        return -EINVAL;
    if (len >= sizeof addr.local.sun_path)
        return -ENAMETOOLONG;
    addr.local.sun_family = AF_UNIX;
    memcpy(addr.local.sun_path, path, len);
    if (abstract)
        addr.local.sun_path[0] = '\0';
    /* An abstract name is as long as the length says; a path ends with a zero that counts. */
    addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    *ret_addr = addr;
    return 0;
}

int wfi_sockaddr_parse(const char *text, struct wfi_sockaddr *ret_addr)
{
    if (strncmp(text, "unix:", 5) == 0)
        return wfi_sockaddr_local(text + 5, ret_addr);
    char host[64];
    const char *begin = text, *colon = strrchr(text, ':');
    uint16_t port;
    if (!colon || parse_port(colon + 1, &port))
        return -EINVAL;
    size_t len = (size_t)(colon - text);
    bool brackets = len >= 2 && text[0] == '[' && colon[-1] == ']';
    if (brackets) {
        begin++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof host)
        return -EINVAL;
    memcpy(host, begin, len);
    host[len] = '\0';
    /* Without brackets "::1:80" could be either; with them IPv4 is a slip. */
    if ((strchr(host, ':') != NULL) != brackets)
        return -EINVAL;
    return wfi_sockaddr_numeric(host, port, ret_addr);
}

static void format_local(const struct wfi_sockaddr *addr, char *ret_text, size_t bytes)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t len = addr->len > head ? addr->len - head : 0;
    const char *path = addr->local.sun_path;
    if (len && !path[0])
        snprintf(ret_text, bytes, "unix:@%.*s", (int)len - 1, path + 1);
    else
        snprintf(ret_text, bytes, "unix:%.*s", (int)strnlen(path, len), path);
}

void wfi_sockaddr_format(const struct wfi_sockaddr *addr, char *ret_text, size_t bytes)
{
    char host[INET6_ADDRSTRLEN] = "?", scope[IF_NAMESIZE + 1] = "";
    switch (addr->len ? addr->any.sa_family : AF_UNSPEC) {
    case AF_INET:
        inet_ntop(AF_INET, &addr->v4.sin_addr, host, sizeof host);
        snprintf(ret_text, bytes, "%s:%u", host, ntohs(addr->v4.sin_port));
        return;
    case AF_INET6:
        inet_ntop(AF_INET6, &addr->v6.sin6_addr, host, sizeof host);
        if (addr->v6.sin6_scope_id) {
            char name[IF_NAMESIZE];
            if (if_indextoname(addr->v6.sin6_scope_id, name))
                snprintf(scope, sizeof scope, "%%%s", name);
            else
                snprintf(scope, sizeof scope, "%%%u", addr->v6.sin6_scope_id);
        }
        snprintf(ret_text, bytes, "[%s%s]:%u", host, scope, ntohs(addr->v6.sin6_port));
        return;
    case AF_UNIX:
        format_local(addr, ret_text, bytes);
        return;
    default:
        snprintf(ret_text, bytes, "none");
    }
}

bool wfi_sockaddr_equal(const struct wfi_sockaddr *a, const struct wfi_sockaddr *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->any.sa_family != b->any.sa_family)
        return false;
    switch (a->any.sa_family) {
    case AF_INET:
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    case AF_INET6:
        return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
               memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
    default:
        return a->len == b->len && memcmp(&a->local, &b->local, a->len) == 0;
    }
}

uint16_t wfi_sockaddr_port(const struct wfi_sockaddr *addr)
{
    if (addr->len && addr->any.sa_family == AF_INET)
        return ntohs(addr->v4.sin_port);
    if (addr->len && addr->any.sa_family == AF_INET6)
        return ntohs(addr->v6.sin6_port);
    return 0;
}

void wfi_sockaddr_set_port(struct wfi_sockaddr *addr, uint16_t port)
{
    if (addr->len && addr->any.sa_family == AF_INET)
        addr->v4.sin_port = htons(port);
    else if (addr->len && addr->any.sa_family == AF_INET6)
        addr->v6.sin6_port = htons(port);
}

static int resolve_error(int cause)
{
    switch (cause) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_FAIL:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_FAMILY:
    case EAI_SERVICE:
    case EAI_SOCKTYPE:
        return -EINVAL;
    default:
        return -EIO;
    }
}

int wfi_resolve(const char *host, uint16_t port, int family, struct wfi_sockaddr *ret_addrs,
                int max, int *ret_cause)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int cause = getaddrinfo(host, NULL, &hints, &found);
    *ret_cause = cause;
    if (cause)
        return resolve_error(cause);
    int count = 0;
    for (struct addrinfo *at = found; at && count < max; at = at->ai_next) {
        if ((at->ai_family != AF_INET && at->ai_family != AF_INET6) ||
            at->ai_addrlen > sizeof ret_addrs->storage)
            continue;
        struct wfi_sockaddr *addr = &ret_addrs[count++];
        memset(addr, 0, sizeof *addr);
        memcpy(&addr->storage, at->ai_addr, at->ai_addrlen);
        addr->len = at->ai_addrlen;
        wfi_sockaddr_set_port(addr, port);
    }
    freeaddrinfo(found);
    return count ? count : -ENOENT;
}

const char *wfi_resolve_cause(int cause)
{
    return cause == EAI_SYSTEM ? "the system's resolver failed" : gai_strerror(cause);
}

/* Sockets */

int wfi_socket_listen(const struct wfi_sockaddr *addr,
                      const struct wfi_socket_listen_options *options, int *ret_fd)
{
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int err = 0, on = 1, only = options->only_v6;
    if (addr->any.sa_family != AF_UNIX)
        err = wfi_socket_set(fd, WFI_SOCKET_REUSEADDR, 1);
    if (!err && options->reuse_port)
        err = wfi_socket_set(fd, WFI_SOCKET_REUSEPORT, on);
    if (!err && addr->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0)
        err = -errno;
    if (!err && bind(fd, &addr->any, addr->len) < 0)
        err = -errno;
    if (!err && listen(fd, options->backlog > 0 ? options->backlog : INT32_MAX) < 0)
        err = -errno;
    if (err) {
        wfi_fd_close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

int wfi_socket_connect_start(const struct wfi_sockaddr *addr, int *ret_fd)
{
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int err = connect(fd, &addr->any, addr->len) < 0 ? -errno : 0;
    if (err == -EINTR)
        err = -EINPROGRESS; /* the connection goes on behind the signal */
    if (err && err != -EINPROGRESS) {
        wfi_fd_close(fd);
        return err;
    }
    *ret_fd = fd;
    return err;
}

int wfi_socket_connect_finish(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    if (error)
        return -error;
    /* No error yet is not yet success: a wait may end early. */
    struct wfi_sockaddr peer;
    int err = wfi_socket_peer(fd, &peer);
    return err == -ENOTCONN ? -EINPROGRESS : err;
}

int wfi_socket_accept(int fd, struct wfi_sockaddr *ret_peer, int *ret_fd)
{
    for (;;) {
        struct wfi_sockaddr peer = {.len = sizeof peer.storage};
        int got = accept4(fd, &peer.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (got >= 0) {
            if (peer.len > sizeof peer.storage)
                peer.len = sizeof peer.storage;
            if (ret_peer)
                *ret_peer = peer;
            *ret_fd = got;
            return 0;
        }
        switch (errno) {
        /* The connection, not the listener, is in error: Linux reports here what happened to it
         * while it stood in the queue. */
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENONET:
        case ENOPROTOOPT:
            continue;
        default:
            return -errno;
        }
    }
}

ssize_t wfi_fd_read(int fd, void *buf, size_t len)
{
    return RETRY(read(fd, buf, len));
}

/* On a socket recv is cheaper, by what read does for files; a pipe refuses it at little cost. */
ssize_t wfi_socket_read(int fd, void *buf, size_t len)
{
    ssize_t n = RETRY(recv(fd, buf, len, 0));
    return n == -ENOTSOCK ? wfi_fd_read(fd, buf, len) : n;
}

ssize_t wfi_fd_readv(int fd, const struct iovec *parts, int count)
{
    return RETRY(readv(fd, parts, count));
}

/*
 * splice, sendfile and writes to pipes take no MSG_NOSIGNAL. SIGPIPE is kept back while they run,
 * and one that they raised (it goes to the calling thread) is taken out before the mask is put
 * back.
 */
struct pipe_guard {
    sigset_t before;
    bool was_pending;
};

static void pipe_guard_begin(struct pipe_guard *guard)
{
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    guard->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &guard->before);
}

static void pipe_guard_end(struct pipe_guard *guard, ssize_t result)
{
    if (result == -EPIPE && !guard->was_pending) {
        sigset_t pipe_only;
        struct timespec now = {0};
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

static ssize_t pipe_writev(int fd, const struct iovec *parts, int count)
{
    struct pipe_guard guard;
    pipe_guard_begin(&guard);
    ssize_t n = RETRY(writev(fd, parts, count));
    pipe_guard_end(&guard, n);
    return n;
}

/* A pipe refuses send; that costs little beside what the guard does. */
ssize_t wfi_socket_write(int fd, const void *buf, size_t len)
{
    ssize_t n = RETRY(send(fd, buf, len, MSG_NOSIGNAL));
    return n == -ENOTSOCK ? pipe_writev(fd, &(struct iovec){(void *)buf, len}, 1) : n;
}

ssize_t wfi_socket_writev(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    ssize_t n = RETRY(sendmsg(fd, &message, MSG_NOSIGNAL));
    return n == -ENOTSOCK ? pipe_writev(fd, parts, count) : n;
}

ssize_t wfi_fd_splice(int from, int to, size_t len)
{
    struct pipe_guard guard;
    pipe_guard_begin(&guard);
    ssize_t n = RETRY(splice(from, NULL, to, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
    pipe_guard_end(&guard, n);
    return n;
}

ssize_t wfi_socket_sendfile(int fd, int file, off_t *offset, size_t len)
{
    struct pipe_guard guard;
    pipe_guard_begin(&guard);
    ssize_t n = RETRY(sendfile(fd, file, offset, len));
    pipe_guard_end(&guard, n);
    return n;
}

bool wfi_socket_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return RETRY(poll(&poll_fd, 1, 0)) > 0;
}

bool wfi_socket_peer_ended(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
    return RETRY(poll(&poll_fd, 1, 0)) > 0;
}

int wfi_socket_shutdown(int fd, int how)
{
    int err = shutdown(fd, how) < 0 ? -errno : 0;
    return err == -ENOTCONN ? 0 : err;
}

void wfi_fd_close(int fd)
{
    /* Linux frees the number even when close reports EINTR; trying again could hit a stranger's. */
    if (fd >= 0)
        close(fd);
}

static const struct {
    int level, name;
} option_table[] = {
    [WFI_SOCKET_NODELAY] = {IPPROTO_TCP, TCP_NODELAY},
    [WFI_SOCKET_KEEPALIVE] = {SOL_SOCKET, SO_KEEPALIVE},
    [WFI_SOCKET_KEEPALIVE_IDLE] = {IPPROTO_TCP, TCP_KEEPIDLE},
    [WFI_SOCKET_KEEPALIVE_INTERVAL] = {IPPROTO_TCP, TCP_KEEPINTVL},
    [WFI_SOCKET_KEEPALIVE_COUNT] = {IPPROTO_TCP, TCP_KEEPCNT},
    [WFI_SOCKET_REUSEADDR] = {SOL_SOCKET, SO_REUSEADDR},
    [WFI_SOCKET_REUSEPORT] = {SOL_SOCKET, SO_REUSEPORT},
    [WFI_SOCKET_SEND_BYTES] = {SOL_SOCKET, SO_SNDBUF},
    [WFI_SOCKET_RECEIVE_BYTES] = {SOL_SOCKET, SO_RCVBUF},
    [WFI_SOCKET_UNSENT_BYTES] = {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
};

int wfi_socket_set(int fd, enum wfi_socket_option option, int value)
{
    return setsockopt(fd, option_table[option].level, option_table[option].name, &value,
                      sizeof value) < 0
               ? -errno
               : 0;
}

int wfi_socket_get(int fd, enum wfi_socket_option option, int *ret_value)
{
    int value;
    socklen_t len = sizeof value;
    if (getsockopt(fd, option_table[option].level, option_table[option].name, &value, &len) < 0)
        return -errno;
    *ret_value = value;
    return 0;
}

int wfi_socket_close_hard(int fd)
{
    const struct linger at_once = {.l_onoff = 1};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0 ? -errno : 0;
}

int wfi_socket_local(int fd, struct wfi_sockaddr *ret_addr)
{
    struct wfi_sockaddr addr = {.len = sizeof addr.storage};
    if (getsockname(fd, &addr.any, &addr.len) < 0)
        return -errno;
    *ret_addr = addr;
    return 0;
}

int wfi_socket_peer(int fd, struct wfi_sockaddr *ret_addr)
{
    struct wfi_sockaddr addr = {.len = sizeof addr.storage};
    if (getpeername(fd, &addr.any, &addr.len) < 0)
        return -errno;
    *ret_addr = addr;
    return 0;
}

bool wfi_socket_listens(int fd)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

int wfi_socket_prepare(int fd)
{
    int type, flags;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    if ((flags = fcntl(fd, F_GETFD)) < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ||
        (flags = fcntl(fd, F_GETFL)) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int wfi_socket_pair(int ret_fds[2])
{
    int err = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds);
    return err < 0 ? -errno : 0;
}

int wfi_pipe_open(int ret_fds[2])
{
    return pipe2(ret_fds, O_NONBLOCK | O_CLOEXEC) < 0 ? -errno : 0;
}
