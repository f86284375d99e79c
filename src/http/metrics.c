/* SPDX-License-Identifier: MIT */
#include "http/metrics.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/json_number.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define DIGITS "0123456789"

/* Both kinds of names: a label's has no colon. */
static bool is_name(const char *text, const char *first, const char *others)
{
    return text[0] && strchr(first, text[0]) && text[strspn(text, others)] == '\0';
}

static void put(struct wf_metrics *metrics, const char *text, size_t len)
{
    if (!metrics->error)
        metrics->error = wfi_buffer_append(&metrics->text, text, len);
}

static void put_text(struct wf_metrics *metrics, const char *text)
{
    put(metrics, text, strlen(text));
}

/* Backslash, end of line, and, where they end the text, quotes have a backslash in front. */
static void put_escaped(struct wf_metrics *metrics, const char *text, const char *special)
{
    for (;;) {
        size_t len = strcspn(text, special);
        put(metrics, text, len);
        text += len;
        if (!*text)
            return;
        const char escape[2] = {'\\', *text == '\n' ? 'n' : *text};
        put(metrics, escape, sizeof escape);
        text++;
    }
}

static const char *number(double value, char out[WFI_DOUBLE_TEXT_BYTES])
{
    if (isnan(value))
        return "NaN";
    if (isinf(value))
        return value > 0 ? "+Inf" : "-Inf";
    size_t len = wfi_double_write(value, out);
    if (len > 2 && strcmp(out + len - 2, ".0") == 0)
        out[len - 2] = '\0'; /* most are counts */
    return out;
}

static void begin(struct wf_metrics *metrics, const char *name, const char *type, const char *help)
{
    wfi_assert(is_name(name, LETTERS ":", LETTERS DIGITS ":"),
               "a metric's name is a letter, _ or :, then those and digits");
    metrics->name = name;
    put_text(metrics, "# HELP ");
    put_text(metrics, name);
    put_text(metrics, " ");
    put_escaped(metrics, help, "\\\n");
    put_text(metrics, "\n# TYPE ");
    put_text(metrics, name);
    put_text(metrics, " ");
    put_text(metrics, type);
    put_text(metrics, "\n");
}

static void put_value(struct wf_metrics *metrics, const char *suffix, const char *const *labels,
                      double value)
{
    char text[WFI_DOUBLE_TEXT_BYTES];
    const char *before = "{";
    wfi_assert(metrics->name, "a metric's value follows its family");
    put_text(metrics, metrics->name);
    put_text(metrics, suffix);
    for (; labels && labels[0]; labels += 2) {
        wfi_assert(is_name(labels[0], LETTERS, LETTERS DIGITS) && labels[1],
                   "a label has a name of letters, _ and digits, and a value");
        put_text(metrics, before);
        put_text(metrics, labels[0]);
        put_text(metrics, "=\"");
        put_escaped(metrics, labels[1], "\\\n\"");
        put_text(metrics, "\"");
        before = ",";
    }
    put_text(metrics, *before == ',' ? "} " : " ");
    put_text(metrics, number(value, text));
    put_text(metrics, "\n");
}

void wf_metrics_family(struct wf_metrics *metrics, const char *name, enum wf_metric_type type,
                       const char *help)
{
    begin(metrics, name, type == WF_METRIC_COUNTER ? "counter" : "gauge", help);
}

void wf_metrics_value(struct wf_metrics *metrics, const char *const *labels, double value)
{
    put_value(metrics, "", labels, value);
}

void wfi_metrics_one(struct wf_metrics *metrics, const char *name, enum wf_metric_type type,
                     const char *help, double value)
{
    wf_metrics_family(metrics, name, type, help);
    wf_metrics_value(metrics, NULL, value);
}

void wfi_metrics_histogram(struct wf_metrics *metrics, const char *name, const char *help,
                           const struct wf_latency *latency)
{
    enum { FIRST_BITS = 17 };
    int64_t bound = INT64_C(1) << FIRST_BITS;
    uint64_t count = 0;
    char text[WFI_DOUBLE_TEXT_BYTES];
    begin(metrics, name, "histogram", help);
    for (size_t i = 0; i < WF_LATENCY_BUCKETS; i++) {
        count += latency->buckets[i];
        if (wf_latency_bound(i) != bound)
            continue;
        const char *le[] = {"le", number((double)bound / 1e9, text), NULL};
        put_value(metrics, "_bucket", le, (double)count);
        bound *= 2;
    }
    put_value(metrics, "_bucket", (const char *[]){"le", "+Inf", NULL}, (double)count);
    put_value(metrics, "_sum", NULL, (double)latency->sum_ns / 1e9);
    put_value(metrics, "_count", NULL, (double)count);
}
