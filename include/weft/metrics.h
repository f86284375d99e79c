/* SPDX-License-Identifier: MIT */
/*
 * What a server can be watched by: handlers to be put on routes,
 *
 *     {.method = "GET", .path = "/metrics", .handler = wf_serve_metrics},
 *     {.method = "GET", .path = "/healthz", .handler = wf_serve_health},
 *
 * The first answers in the text format of Prometheus, version 0.0.4, with what is known of the
 * server, of executors and of the process. A program's own figures follow when the route's `arg` is
 * a struct wf_metrics_source, whose function writes them:
 *
 *     wf_metrics_family(metrics, "shop_orders_total", WF_METRIC_COUNTER, "Orders by country.");
 *     wf_metrics_value(metrics, (const char *[]){"country", "fr", NULL}, 17);
 *     wf_metrics_value(metrics, (const char *[]){"country", "jp", NULL}, 4);
 */
#ifndef WEFT_METRICS_H
#define WEFT_METRICS_H

#include <weft/request.h>
#include <weft/response.h>

WF_BEGIN_DECLS

/* A page of metrics that is being written. */
struct wf_metrics;

enum wf_metric_type {
    WF_METRIC_COUNTER, /* only grows; its name ends in _total */
    WF_METRIC_GAUGE,
};

/*
 * Begins a family: the values that follow are its. Each name can be begun once on a page.
 *
 * name   a letter, _ or :, then those and digits; anything else is a mistake of the program
 * help   what it is, for a reader; any text
 *
 * Context: any, never blocks; by the function of a source, while it runs.
 */
WF_API void wf_metrics_family(struct wf_metrics *metrics, const char *name,
                              enum wf_metric_type type, const char *help);

/*
 * Writes a value of the family that was begun last.
 *
 * labels   names and values in turn, NULL at the end; NULL for none. Names as a family's, without
 *          a colon; values are any text of UTF-8. No two values of a family have the same labels.
 *
 * Context: any, never blocks; by the function of a source, while it runs.
 */
WF_API void wf_metrics_value(struct wf_metrics *metrics, const char *const *labels, double value);

struct wf_metrics_source {
    void (*write)(struct wf_metrics *metrics, void *arg);
    void *arg;
};

/*
 * A handler that answers with the metrics of its server and process.
 *
 * source   NULL, or a struct wf_metrics_source that stays the caller's
 *
 * Returns as wf_response_send, or -EAGAIN when no thread could be started to read /proc.
 * Context: thread or fiber.
 */
WF_API int wf_serve_metrics(struct wf_request *request, struct wf_response *response, void *source);

/*
 * A handler for those who ask whether the server is well: 200 while it serves, 503 once it has been
 * told to stop, with {"status": "ok"} or {"status": "stopping"}.
 *
 * unused   anything
 *
 * Returns as wf_response_send.
 * Context: thread or fiber.
 */
WF_API int wf_serve_health(struct wf_request *request, struct wf_response *response, void *unused);

WF_END_DECLS

#endif
