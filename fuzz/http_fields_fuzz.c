/* SPDX-License-Identifier: MIT */
/*
 * What is read out of a request's parts: any bytes as a path, a query, a date, a range, a list of
 * encodings, tags or addresses, a log line. The first byte says which.
 */
#include <weft/router.h>

#include "http/access_log.h"
#include "http/condition.h"
#include "http/date.h"
#include "http/encoding.h"
#include "http/escape.h"
#include "http/forwarded.h"
#include "http/media_type.h"
#include "http/range.h"
#include "http/target.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct wf_router *make_router(void)
{
    static const char *const patterns[] = {
        "/",      "/a",       "/a/b",      "/a/{i:int}",  "/a/{u:uint}",
        "/a/{n}", "/a/{n}/b", "/{r:path}", "/a/{n}/{m}/", "/{x}/{y:int}/{z:path}"};
    struct wf_router *router;
    check(wf_router_create(&router, NULL) == 0);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        check(wf_router_add(router, "GET", patterns[i], router, NULL) == 0);
    return router;
}

/* No segment of a relative name leads up. */
static void check_below(const char *name)
{
    check(*name != '/');
    while (name) {
        check(!(name[0] == '.' && name[1] == '.' && (name[2] == '/' || name[2] == '\0')));
        name = strchr(name, '/');
        name = name ? name + 1 : NULL;
    }
}

static void try_path(struct wfi_text text)
{
    static struct wf_router *router; /* kept for all inputs; reachable, so no leak */
    if (!router)
        router = make_router();
    struct wf_route_match match;
    char methods[64];
    const int err = wf_router_find(router, "GET", 3, text.ptr, text.len, &match);
    const size_t len = wf_router_methods(router, text.ptr, text.len, methods, sizeof methods);
    check((err == 0 || err == -E2BIG) == (len > 0));
    check(err == 0 || err == -ENOENT || err == -EINVAL || err == -E2BIG);
    for (uint32_t i = 0; err == 0 && i < match.param_count; i++) {
        size_t param_len;
        const char *param = wf_route_param(&match, match.params[i].name, &param_len);
        check(strlen(param) == param_len);
        if (strcmp(match.params[i].name, "r") == 0 || strcmp(match.params[i].name, "z") == 0)
            check_below(param);
    }
}

static void try_query(struct wfi_text text)
{
    char out[32];
    const ssize_t len = wfi_query_value(text, "a", out, sizeof out);
    check(len < 0 || strlen(out) == (size_t)len);
    struct wfi_target target;
    if (!wfi_target_split(text, true, &target))
        check(target.path.len > 0 &&
              (!target.authority.ptr || wfi_authority_is_valid(target.authority)));
}

static void try_date(struct wfi_text text)
{
    char out[WFI_DATE_BYTES];
    int64_t seconds, again;
    if (!wfi_date_parse(text, INT64_C(1700000000), &seconds))
        return;
    wfi_date_format(seconds, out);
    check(wfi_date_parse((struct wfi_text){out, strlen(out)}, 0, &again) && again == seconds);
}

static void try_range(struct wfi_text text)
{
    static const uint64_t sizes[] = {0, 1, 1000, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t first, len;
        if (wfi_range_parse(text, sizes[i], &first, &len) == WFI_RANGE_PART)
            check(len > 0 && first < sizes[i] && len <= sizes[i] - first);
    }
}

static void try_fields(struct wfi_text text)
{
    static const char *const names[] = {"accept-encoding", "if-none-match",     "if-match",
                                        "if-range",        "if-modified-since", "x-forwarded-for"};
    struct wfi_network trusted;
    struct wfi_ip client, peer;
    check(wfi_network_parse((struct wfi_text){"10.0.0.0/8", 10}, &trusted));
    check(wfi_ip_parse((struct wfi_text){"10.0.0.1", 8}, &peer));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct wfi_request_field field = {{names[i], strlen(names[i])}, text};
        const struct wfi_request_head head = {
            .method = WFI_METHOD_GET, .fields = &field, .field_count = 1};
        const struct wfi_validator validator = {
            .exists = true, .has_modified = true, .modified = 1, .etag = {"\"a\"", 3}};
        wfi_encoding_choose(&head, true);
        wfi_condition(&head, &validator, 1000);
        wfi_condition_range(&head, &validator, 1000);
        check(wfi_forwarded_client(&head, &peer, &trusted, 1, &client));
    }
    struct wfi_network network;
    if (wfi_network_parse(text, &network))
        check(wfi_network_has(&network, &network.ip));
    struct wfi_ip ip, again;
    char out[WFI_IP_BYTES];
    if (wfi_ip_parse(text, &ip)) {
        wfi_ip_format(&ip, out);
        check(wfi_ip_parse((struct wfi_text){out, strlen(out)}, &again) &&
              wfi_ip_equal(&ip, &again));
    }
    check(wfi_media_type_of(text)->type != NULL);
    wfi_media_type_is_compressible(text);
}

static void try_log(struct wfi_text text)
{
    struct wfi_buffer out = {0};
    check(wfi_access_common(
              &out, &(struct wfi_access){
                        .client = text, .method = text, .target = text, .user_agent = text}) == 0);
    for (size_t i = 0; i < out.len; i++)
        check((out.data[i] >= ' ' && out.data[i] < 0x7f) ||
              (out.data[i] == '\n' && i == out.len - 1));
    wfi_buffer_reset(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct wfi_text) = {try_path,  try_query,  try_date,
                                                     try_range, try_fields, try_log};
    if (size == 0)
        return 0;
    tries[data[0] % (sizeof tries / sizeof *tries)](
        (struct wfi_text){(const char *)data + 1, size - 1});
    return 0;
}
