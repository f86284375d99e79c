/* SPDX-License-Identifier: MIT */
/*
 * What a connection at rest takes: the page that its fiber's stack begins in, and little more. A
 * frame that grew on the way of a plain answer, or a buffer that stays, shows here.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/atomic.h"
#include "http/server_test.h"
#include "os/resident.h"
#include "os/sanitizer.h"

#define WARM 500
#define COUNT 1500
/* A page of 4096 bytes, 1,250 for the connection, its task and its stream, and a fifth more. */
#define BYTES_MAX 6500

static int fds[COUNT];

static void ask_once(int *fd, const struct sockaddr_in *at)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: none\r\n\r\n";
    char answer[512];
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*fd >= 0);
    assert_int_equal(connect(*fd, (const struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(send(*fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    ssize_t n = recv(*fd, answer, sizeof answer - 1, 0);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
}

static void a_connection_at_rest_takes_little_more_than_a_page(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * COUNT + 100 || WFI_TSAN || WFI_ASAN || wfi_under_valgrind() ||
        sysconf(_SC_PAGESIZE) != 4096)
        skip(); /* too few descriptors, or memory that is not the server's own */
    struct wf_server *server = start_one(NULL, hello, NULL);
    struct wf_address where;
    assert_int_equal(wf_server_address(server, 0, &where), 0);
    char text[WF_ADDRESS_TEXT_BYTES];
    wf_address_format(&where, text, sizeof text);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t before = 0;
    for (int i = 0; i < COUNT; i++) {
        if (i == WARM)
            before = wfi_resident_bytes(0);
        ask_once(&fds[i], &at);
    }
    double each = ((double)wfi_resident_bytes(0) - (double)before) / (COUNT - WARM);
    printf("%.0f bytes a connection at rest\n", each);
    assert_true(each < BYTES_MAX);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    wf_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_at_rest_takes_little_more_than_a_page),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
