/* SPDX-License-Identifier: MIT */
/*
 * The client of the benchmarks Q, one plain thread:
 *
 *     celery_client BROKER BACKEND publish TASK COUNT    calls sent a second, as Celery sends them
 *     celery_client BROKER BACKEND confirm TASK COUNT    each waiting for the broker's word
 *     celery_client BROKER BACKEND get TASK COUNT        of a call and its result: the median and
 *                                                        the 99th percentile, in ms
 */
#include <weft/celery_client.h>

#include "figure.h"

static void check(int err, const struct wf_error *error)
{
    if (!err)
        return;
    fprintf(stderr, "%s\n", error->text[0] ? error->text : wf_strerror(err));
    exit(1);
}

static void publish(struct wf_celery_client *client, const char *task, size_t count)
{
    const struct wf_celery_apply apply = {.ignore_result = strstr(task, "ignored") != NULL};
    const int64_t start = clock_ns();
    for (size_t i = 0; i < count; i++) {
        struct wf_error error = {0};
        check(wf_celery_client_send(client, task, NULL, NULL, &apply, NULL,
                                    wf_after(WF_SECONDS(20)), &error),
              &error);
    }
    printf("%g\n", (double)count * 1e9 / (double)(clock_ns() - start));
}

static void get(struct wf_celery_client *client, const char *task, size_t count)
{
    int64_t *times = malloc(count * sizeof *times);
    if (!times)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        struct wf_celery_result *result;
        const struct wf_json_value *value;
        struct wf_error error = {0};
        char id[WF_CELERY_ID_BYTES];
        const int64_t start = clock_ns();
        check(wf_celery_client_send(client, task, NULL, NULL, NULL, id, wf_after(WF_SECONDS(20)),
                                    &error),
              &error);
        check(wf_celery_client_wait(client, id, &result, wf_after(WF_SECONDS(20)), &error), &error);
        times[i] = clock_ns() - start;
        check(wf_celery_result_value(result, &value, &error), &error);
        wf_celery_result_destroy(result);
    }
    qsort(times, count, sizeof *times, compare_times);
    printf("%g %g\n", (double)times[count / 2] / 1e6, (double)times[count * 99 / 100] / 1e6);
    free(times);
}

int main(int argc, char **argv)
{
    struct wf_celery_client *client;
    struct wf_error error = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: %s BROKER BACKEND publish|confirm|get TASK COUNT\n", argv[0]);
        return 2;
    }
    check(wf_celery_client_create(
              &(struct wf_celery_client_options){.broker = argv[1],
                                                 .backend = argv[2],
                                                 .unconfirmed = strcmp(argv[3], "publish") == 0},
              &client, &error),
          &error);
    if (strcmp(argv[3], "get") == 0)
        get(client, argv[4], strtoul(argv[5], NULL, 10));
    else
        publish(client, argv[4], strtoul(argv[5], NULL, 10));
    wf_celery_client_destroy(client);
    return 0;
}
