/* SPDX-License-Identifier: MIT */
/*
 * A whole connection of the server: any bytes from a client that then ends its side. The parser,
 * by itself, says what has to come of them; the server answers just that, in order, and then ends
 * the connection: nothing more, nothing less, and nothing behind a refusal.
 */
#include <weft/fibers.h>
#include <weft/server.h>

#include "http/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEAD_BYTES_MAX = 512, BODY_BYTES_MAX = 256, ANSWERS_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* ---- the server, one for all inputs; what is reachable is no leak ---- */

static struct wf_executor *fibers;
static struct wf_server *server;
static struct sockaddr_un at = {.sun_family = AF_UNIX};
static socklen_t at_len;

static int take(struct wf_request *request, struct wf_response *response, void *arg)
{
    const char *body;
    size_t len;
    (void)arg;
    const int err = wf_request_body(request, &body, &len);
    return err ? err : wf_response_send(response, 200, "text/plain", body, len);
}

static void start(void)
{
    static const struct wf_server_options options = {.head_bytes_max = HEAD_BYTES_MAX,
                                                     .body_bytes_max = BODY_BYTES_MAX};
    static const struct wf_route route = {.path = "/{rest:path}", .handler = take};
    char endpoint[sizeof at.sun_path];
    /* A name without a file, so that nothing is left behind. */
    snprintf(endpoint, sizeof endpoint, "unix:@weft-fuzz-%d", (int)getpid());
    const int len =
        snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "weft-fuzz-%d", (int)getpid());
    at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    check(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &fibers, NULL) == 0);
    check(wf_server_create(&options, &server, NULL) == 0);
    check(wf_server_route(server, &route, NULL) == 0);
    check(wf_server_listen(server, endpoint, NULL, NULL) == 0);
    check(wf_server_start(server, fibers, NULL) == 0);
}

/* ---- what has to come ---- */

struct due {
    int status;               /* 0: that of a handler, or of what stands in front of it */
    bool to_head;             /* no body comes with it */
    bool has_question;        /* a body, which may be left unread when no handler is found */
    bool ends;                /* it is the last */
    size_t body_at, body_len; /* of the question, in `asked` */
};

static struct due due[ANSWERS_MAX];
static size_t due_count;
static char *asked;
static size_t asked_len;

static void add(struct due one)
{
    check(due_count < ANSWERS_MAX);
    due[due_count++] = one;
}

static void work_out(const char *bytes, size_t len)
{
    static const struct wfi_request_limits limits = {.head_bytes_max = HEAD_BYTES_MAX,
                                                     .body_bytes_max = BODY_BYTES_MAX};
    struct wfi_request_parser *parser;
    struct due one = {0};
    bool in_body = false;
    due_count = asked_len = 0;
    check((asked = realloc(asked, len + 1)) != NULL);
    check(wfi_request_parser_create(&limits, &parser, NULL) == 0);
    for (bool going = true; going;) {
        size_t consumed;
        struct wfi_text body;
        const enum wfi_request_event event = wfi_request_feed(parser, bytes, len, &consumed, &body);
        const struct wfi_request_head *head = wfi_request_head(parser);
        switch (event) {
        case WFI_REQUEST_HEAD:
            one = (struct due){.body_at = asked_len,
                               .to_head = head->method == WFI_METHOD_HEAD,
                               .has_question = head->chunked || head->body_len,
                               .ends = !head->keep_alive};
            in_body = true;
            break;
        case WFI_REQUEST_BODY:
            memcpy(asked + asked_len, body.ptr, body.len);
            asked_len += body.len;
            break;
        case WFI_REQUEST_END:
            one.body_len = asked_len - one.body_at;
            add(one);
            going = !one.ends;
            in_body = false;
            wfi_request_next(parser);
            break;
        case WFI_REQUEST_REFUSED:
            add((struct due){.status = wfi_request_status(parser),
                             .to_head = in_body && one.to_head,
                             .has_question = in_body,
                             .ends = true});
            going = false;
            break;
        case WFI_REQUEST_MORE: /* a body that is cut short is answered, a head is not */
            if (in_body)
                add((struct due){
                    .status = 400, .to_head = one.to_head, .has_question = true, .ends = true});
            going = false;
        }
        bytes += consumed;
        len -= consumed;
    }
    wfi_request_parser_destroy(parser);
}

/* ---- what comes ---- */

static const char *exchange(const char *bytes, size_t len)
{
    static char *text;
    static size_t room;
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check(fd >= 0);
    while (connect(fd, (struct sockaddr *)&at, at_len) != 0)
        check(errno == EINTR);
    while (len > 0) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) /* libFuzzer's alarm */
            continue;
        if (n < 0)
            break;
        bytes += n;
        len -= (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    for (size_t got = 0;;) {
        if (room - got < 4096)
            check((text = realloc(text, room = room * 2 + 65536)) != NULL);
        const ssize_t n = recv(fd, text + got, room - got - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        check(n >= 0);
        text[got += (size_t)n] = '\0';
        if (n == 0)
            break;
    }
    close(fd);
    return text;
}

/* Takes one answer. Returns where the next begins. */
static const char *take_answer(const char *text, const struct due *expected, bool *ret_last)
{
    while (strncmp(text, "HTTP/1.1 100 ", 13) == 0)
        text = strstr(text, "\r\n\r\n") + 4;
    const char *end = strstr(text, "\r\n\r\n");
    check(strncmp(text, "HTTP/1.1 ", 9) == 0 && end);
    const int status = atoi(text + 9);
    const char *close_field = strstr(text, "\r\nConnection: close\r\n");
    const bool closes = close_field && close_field < end + 2;
    const char *length = strstr(text, "\r\nContent-Length: ");
    size_t len = 0;
    if (length && length < end && !expected->to_head)
        len = strtoul(length + 18, NULL, 10);
    /* Without a handler the body is not looked at, so it may be left, refused or not. */
    const bool handled = status == expected->status || (expected->status == 0 && status == 200);
    if (status == 200 && !expected->to_head)
        check(len == expected->body_len && memcmp(end + 4, asked + expected->body_at, len) == 0);
    if (!handled)
        check(status == 204 || status == 400 || status == 404 || status == 405 || status == 414);
    /* An answer that came before the end of the question may not have known of it. */
    const bool knew = !(expected->status && expected->has_question);
    if (expected->ends)
        check(closes || !knew);
    else if (closes)
        check(!handled && expected->has_question);
    if (expected->status && !expected->has_question)
        check(status == expected->status);
    *ret_last = closes || expected->ends;
    return end + 4 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server)
        start();
    work_out((const char *)data, size);
    const char *text = exchange((const char *)data, size);
    bool last = false;
    for (size_t i = 0; i < due_count && !last; i++)
        text = take_answer(text, &due[i], &last);
    check(*text == '\0');
    return 0;
}
