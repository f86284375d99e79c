/* SPDX-License-Identifier: MIT */
/* The page of metrics and the answer about health. */
#include <weft/metrics.h>

#include <math.h>
#include <string.h>

#include <weft/usage.h>
#include <weft/worker.h>

#include "http/connection.h"
#include "http/metrics.h"

static void put_server(struct wf_metrics *m, const struct wf_server *server)
{
    static const char *const classes[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};
    struct wf_server_counts counts;
    struct wf_latency latency;
    wf_server_count(server, &counts);
    wf_server_latency(server, &latency);
    wfi_metrics_one(m, "weft_http_connections_total", WF_METRIC_COUNTER,
                    "Connections that were accepted.", (double)counts.connections);
    wfi_metrics_one(m, "weft_http_connections_open", WF_METRIC_GAUGE,
                    "Connections that are open now, this one among them.",
                    (double)counts.connections_open);
    wfi_metrics_one(m, "weft_http_requests_total", WF_METRIC_COUNTER,
                    "Requests whose head was read.", (double)counts.requests);
    wfi_metrics_one(m, "weft_http_refused_total", WF_METRIC_COUNTER,
                    "Requests that were not HTTP, too large or too slow.", (double)counts.refused);
    wfi_metrics_one(m, "weft_http_canceled_total", WF_METRIC_COUNTER,
                    "Requests whose client went away before the answer.", (double)counts.canceled);
    wfi_metrics_one(m, "weft_http_limited_total", WF_METRIC_COUNTER,
                    "Connections and requests beyond what an address may take.",
                    (double)counts.limited);
    wfi_metrics_one(m, "weft_http_dropped_total", WF_METRIC_COUNTER,
                    "Connections for which there was no memory.", (double)counts.dropped);
    wf_metrics_family(m, "weft_http_responses_total", WF_METRIC_COUNTER,
                      "Answers, by the class of their status.");
    for (size_t i = 2; i < sizeof classes / sizeof classes[0]; i++)
        wf_metrics_value(m, (const char *[]){"class", classes[i], NULL}, (double)counts.answers[i]);
    wfi_metrics_histogram(m, "weft_http_request_duration_seconds",
                          "From the whole head of a request to the end of its answer; streams of "
                          "events are left out.",
                          &latency);
}

/* The names are those that other programs have for the same. What cannot be read is left out. */
static void put_process(struct wf_metrics *m)
{
    struct wf_usage usage;
    if (wf_usage_read(&usage))
        return;
    wfi_metrics_one(m, "process_cpu_seconds_total", WF_METRIC_COUNTER,
                    "User and system time of all threads.", (double)usage.cpu_ns / 1e9);
    wfi_metrics_one(m, "process_start_time_seconds", WF_METRIC_GAUGE,
                    "When the process started, since 1970.", (double)usage.started_ns / 1e9);
    wfi_metrics_one(m, "process_resident_memory_bytes", WF_METRIC_GAUGE, "Memory in use.",
                    (double)usage.resident_bytes);
    wfi_metrics_one(m, "process_virtual_memory_bytes", WF_METRIC_GAUGE,
                    "Addresses in use; most are kept for stacks of fibers.",
                    (double)usage.virtual_bytes);
    wfi_metrics_one(m, "process_threads", WF_METRIC_GAUGE, "Threads of the system.",
                    (double)usage.threads);
    wfi_metrics_one(m, "process_open_fds", WF_METRIC_GAUGE, "Open descriptors.",
                    (double)usage.descriptors);
    wfi_metrics_one(m, "process_max_fds", WF_METRIC_GAUGE, "Descriptors that may be open.",
                    usage.descriptors_max == UINT64_MAX ? HUGE_VAL : (double)usage.descriptors_max);
}

/* What is read from /proc. */
static void put_surroundings(void *metrics)
{
    put_process(metrics);
    wfi_metrics_runtime(metrics);
}

int wf_serve_metrics(struct wf_request *request, struct wf_response *response, void *source)
{
    const struct wf_metrics_source *more = source;
    struct wf_metrics metrics = {0};
    put_server(&metrics, request->connection->server);
    int err = wf_block(put_surroundings, &metrics);
    if (!err && more)
        more->write(&metrics, more->arg);
    if (!err)
        err = metrics.error;
    if (!err)
        err =
            wf_response_send(response, 200, WFI_METRICS_TYPE, metrics.text.data, metrics.text.len);
    wfi_buffer_reset(&metrics.text);
    return err;
}

int wf_serve_health(struct wf_request *request, struct wf_response *response, void *unused)
{
    (void)unused;
    static const char ok[] = "{\"status\": \"ok\"}", stopping[] = "{\"status\": \"stopping\"}";
    bool stops = wfi_load(&request->connection->server->stopping);
    int err = wf_response_header(response, "Cache-Control", "no-store");
    return err     ? err
           : stops ? wf_response_send(response, 503, "application/json", stopping, strlen(stopping))
                   : wf_response_send(response, 200, "application/json", ok, strlen(ok));
}
