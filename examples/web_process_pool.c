/* SPDX-License-Identifier: MIT */
/*
 * A web service that computes in a pool of processes: /is_prime/<n,n,...> answers with a JSON
 * object of number and bool, for integers of any size. A task that crashes costs its own request an
 * answer of status 500, and others nothing.
 *
 *     web_process_pool [PORT | --ask]
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/json.h>
#include <weft/processes.h>
#include <weft/router.h>

#include "prime.h"
#include "web_service.h"

/* A path's parameters are not longer, so nor is a list of one digit and one comma each. */
enum { LIST_BYTES = WF_ROUTE_TEXT_BYTES, NUMBERS_MAX = LIST_BYTES / 2 };

static int reply(struct wf_response *response, const struct is_prime_args *numbers,
                 const bool *primes, size_t count)
{
    struct wf_json_writer *json;
    int err = wf_json_writer_create(&(struct wf_json_writer_options){.spaced = true}, &json);
    if (err)
        return err;
    wf_json_write_object(json);
    for (size_t i = 0; i < count; i++) {
        wf_json_write_key(json, numbers[i].decimal);
        wf_json_write_bool(json, primes[i]);
    }
    wf_json_write_end(json);
    err = wf_response_json(response, 200, json);
    wf_json_writer_destroy(json);
    return err;
}

static int answer(struct wf_request *request, struct wf_response *response, void *pool)
{
    struct is_prime_args numbers[NUMBERS_MAX];
    bool primes[NUMBERS_MAX];
    char list[LIST_BYTES], *rest = list, *text;
    size_t count = 0, i;
    struct wf_error error;
    snprintf(list, sizeof list, "%s", wf_request_param(request, "numbers"));
    while ((text = strsep(&rest, ","))) {
        const char *decimal = prime_integer(text);
        if (!decimal)
            return wf_response_error(response, 400, "\"%s\" is not an integer", text);
        for (i = 0; i < count && strcmp(numbers[i].decimal, decimal) != 0; i++)
            ;
        numbers[i].decimal = decimal; /* one that was there before counts once, as in a dict */
        count += i == count;
    }
    int err = is_prime_each(pool, NULL, numbers, count, primes, WF_FOREVER, &error);
    if (err == -ENOTSUP)
        return wf_response_error(response, 501, "%s", error.text);
    return err ? err : reply(response, numbers, primes, count);
}

static int open_service(struct web_service *self, struct wf_server *server, struct wf_error *reterr)
{
    /* However many of its workers die, a service goes on. */
    const struct wf_processes_options options = {.name = "primes", .restarts_max = -1};
    int err = wf_processes_create(&options, &self->executors[0], reterr);
    const struct wf_route route = {.method = "GET",
                                   .path = "/is_prime/{numbers:path}",
                                   .handler = answer,
                                   .arg = self->executors[0],
                                   .handler_ns = WF_SECONDS(60)};
    return err ? err : wf_server_route(server, &route, reterr);
}

static const char *const paths[] = {
    "/is_prime/1,2,3,4,97,112272535095293,97",
    "/is_prime/18446744073709551629,10000000000000000000000000000000000000121",
    "/is_prime/7,seven",
    NULL,
};
struct web_service web_process_pool = {
    .name = "web_process_pool", .open = open_service, .paths = paths};

#ifdef WEB_PROCESS_POOL_MAIN
int main(int argc, char **argv)
{
    return web_service_main(&web_process_pool, argc, argv);
}
#endif
