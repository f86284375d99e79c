/* SPDX-License-Identifier: MIT */
/*
 * In place of request.c in a build without llhttp: no parser can be made, so that a server says so
 * when it is to start, and nothing else here is ever reached.
 */
#include "http/request.h"

#include <errno.h>

#include "base/assert.h"

_Noreturn static void unreachable(void)
{
    wfi_assert_fail("this build reads no requests: llhttp was missing", __FILE__, __LINE__);
}

int wfi_request_parser_create(const struct wfi_request_limits *limits,
                              struct wfi_request_parser **ret_parser, struct wf_error *reterr)
{
    (void)limits;
    (void)ret_parser;
    return wf_error_set(reterr, -ENOTSUP,
                        "this build serves no HTTP: llhttp was missing (Debian: node-llhttp)");
}

void wfi_request_parser_destroy(struct wfi_request_parser *parser)
{
    if (parser)
        unreachable();
}

enum wfi_request_event wfi_request_feed(struct wfi_request_parser *parser, const char *bytes,
                                        size_t len, size_t *ret_consumed, struct wfi_text *ret_body)
{
    (void)parser, (void)bytes, (void)len, (void)ret_consumed, (void)ret_body;
    unreachable();
}

void wfi_request_next(struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

bool wfi_request_is_fresh(const struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

void wfi_request_reset(struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

void wfi_request_set_limits(struct wfi_request_parser *parser,
                            const struct wfi_request_limits *limits)
{
    (void)parser, (void)limits;
    unreachable();
}

const struct wfi_request_head *wfi_request_head(const struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

bool wfi_request_limit_body(struct wfi_request_parser *parser, uint64_t bytes_max)
{
    (void)parser, (void)bytes_max;
    unreachable();
}

bool wfi_request_is_idle(const struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

int wfi_request_time_out(struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

int wfi_request_status(const struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}

const char *wfi_request_reason(const struct wfi_request_parser *parser)
{
    (void)parser;
    unreachable();
}
