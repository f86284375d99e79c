/* SPDX-License-Identifier: MIT */
#include "celery/message/control.h"

#include "celery/message/member.h"
#include "celery/message/message.h"

#include <errno.h>
#include <fnmatch.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longer than the name of any node needs. */
enum { PATTERN_MAX = 256, PLUSES_MAX = 8 };

/* ---- requests ---- */

/* Would it cost more than a node's name is worth? Counts in braces multiply what glibc compiles,
 * and each + doubles it; what refers back to a group may take time without end. */
static bool is_costly(const char *pattern)
{
    int pluses = 0;
    for (const char *at = pattern; *at; at++) {
        pluses += *at == '+';
        if (*at == '{' || pluses > PLUSES_MAX || (at[0] == '\\' && at[1] >= '1' && at[1] <= '9'))
            return true;
    }
    return false;
}

/* A pattern of the kind that Python calls pcre, as far as POSIX knows it; from the beginning on. */
static bool matches_expression(const char *pattern, const char *node)
{
    regex_t expression;
    regmatch_t match;
    if (is_costly(pattern) || regcomp(&expression, pattern, REG_EXTENDED) != 0)
        return false;
    const bool matches = regexec(&expression, node, 1, &match, 0) == 0 && match.rm_so == 0;
    regfree(&expression);
    return matches;
}

static bool is_addressed(const struct wfi_control_request *r, const char *node)
{
    const struct wf_json_value *destination = r->destination.value;
    const char *single = wfi_json_c_string(destination);

    if (single && single[0])
        return strcmp(single, node) == 0;
    if (wf_json_count(destination) > 0) {
        for (size_t i = 0; i < wf_json_count(destination); i++) {
            const char *name = wfi_json_c_string(wf_json_at(destination, i));
            if (name && strcmp(name, node) == 0)
                return true;
        }
        return false;
    }
    if (!r->pattern || !r->pattern[0] || !r->matcher)
        return true;
    if (strlen(r->pattern) > PATTERN_MAX)
        return false;
    if (strcmp(r->matcher, "glob") == 0)
        return fnmatch(r->pattern, node, FNM_NOESCAPE) == 0;
    return strcmp(r->matcher, "pcre") == 0 && matches_expression(r->pattern, node);
}

int wfi_control_read(struct wfi_envelope *envelope, const char *node, double now,
                     struct wf_json **ret_body, struct wfi_control_request *ret)
{
    struct wf_json *body = NULL;

    *ret = (struct wfi_control_request){0};
    *ret_body = NULL;
    wf_json_int(wf_json_get(envelope->headers, "clock"), &ret->clock);
    wf_json_double(wf_json_get(envelope->headers, "expires"), &ret->expires);
    int err = wfi_envelope_open(envelope, (size_t)16 << 20, NULL);
    if (!err)
        err = wf_json_read(envelope->body, envelope->body_len, NULL, &body, NULL);
    if (err)
        return err == -ENOMEM ? err : WFI_CONTROL_DROP;
    const struct wf_json_value *root = wf_json_root(body);
    const struct wf_json_value *reply_to = wf_json_get(root, "reply_to");
    *ret_body = body;
    ret->method = wfi_json_c_string(wf_json_get(root, "method"));
    ret->arguments.value = wf_json_get(root, "arguments");
    ret->destination.value = wf_json_get(root, "destination");
    ret->pattern = wfi_json_c_string(wf_json_get(root, "pattern"));
    ret->matcher = wfi_json_c_string(wf_json_get(root, "matcher"));
    ret->ticket = wfi_json_c_string(wf_json_get(root, "ticket"));
    ret->reply_exchange = wfi_json_c_string(wf_json_get(reply_to, "exchange"));
    ret->reply_key = wfi_json_c_string(wf_json_get(reply_to, "routing_key"));
    if (!ret->method || (!wfi_json_piece_is_null(&ret->arguments) &&
                         wf_json_type(ret->arguments.value) != WF_JSON_OBJECT))
        return WFI_CONTROL_DROP;
    if (ret->expires > 0 && now > ret->expires)
        return WFI_CONTROL_IGNORE;
    return is_addressed(ret, node) ? WFI_CONTROL_DO : WFI_CONTROL_IGNORE;
}

static void write_null(struct wf_json_writer *w, const char *key)
{
    wf_json_write_key(w, key);
    wf_json_write_null(w);
}

void wfi_control_write_headers(struct wf_json_writer *w, const struct wfi_control_request *r)
{
    wf_json_write_object(w);
    wfi_member_int(w, "clock", r->clock);
    if (r->expires > 0)
        wfi_member_double(w, "expires", r->expires);
    wf_json_write_end(w);
}

void wfi_control_write_body(struct wf_json_writer *w, const struct wfi_control_request *r)
{
    wf_json_write_object(w);
    wfi_member_text(w, "method", r->method);
    wfi_member_piece(w, "arguments", &r->arguments, "{}");
    wfi_member_piece(w, "destination", &r->destination, "null");
    wfi_member_text(w, "pattern", r->pattern);
    wfi_member_text(w, "matcher", r->matcher);
    if (r->reply_key) {
        wfi_member_text(w, "ticket", r->ticket);
        wf_json_write_key(w, "reply_to");
        wf_json_write_object(w);
        wfi_member_text(w, "exchange",
                        r->reply_exchange ? r->reply_exchange : WFI_CONTROL_REPLY_EXCHANGE);
        wfi_member_text(w, "routing_key", r->reply_key);
        wf_json_write_end(w);
    }
    wf_json_write_end(w);
}

/* Wraps what two writers have into a message. */
static int write_message(struct wf_json_writer *w, const struct wfi_properties *properties,
                         struct wf_json_writer *headers, struct wf_json_writer *body)
{
    struct wfi_json_piece piece = {0};
    const char *text;
    size_t len;
    int err = wf_json_writer_text(headers, &piece.text, &piece.len);
    if (!err)
        err = wf_json_writer_text(body, &text, &len);
    return err ? err : wfi_envelope_write_redis(w, properties, &piece, text, len);
}

int wfi_control_write_redis(struct wf_json_writer *w, const struct wfi_control_request *r,
                            const char *delivery_tag)
{
    const struct wfi_properties properties = {.exchange = WFI_CONTROL_EXCHANGE,
                                              .delivery_tag = delivery_tag};
    struct wf_json_writer *headers = NULL, *body = NULL;
    int err = wfi_message_writer_create(&headers);
    if (!err)
        err = wfi_message_writer_create(&body);
    if (!err) {
        wfi_control_write_headers(headers, r);
        wfi_control_write_body(body, r);
        err = write_message(w, &properties, headers, body);
    }
    wf_json_writer_destroy(headers);
    wf_json_writer_destroy(body);
    return err;
}

/* ---- answers ---- */

void wfi_control_write_reply_headers(struct wf_json_writer *w, const char *ticket, int64_t clock)
{
    wf_json_write_object(w);
    wfi_member_text(w, "ticket", ticket);
    wfi_member_int(w, "clock", clock);
    wf_json_write_end(w);
}

void wfi_control_write_reply_body(struct wf_json_writer *w, const char *node,
                                  const struct wfi_json_piece *value)
{
    wf_json_write_object(w);
    wfi_member_piece(w, node, value, "null");
    wf_json_write_end(w);
}

int wfi_control_write_reply_redis(struct wf_json_writer *w, const struct wfi_control_request *r,
                                  const char *node, const struct wfi_json_piece *value,
                                  int64_t clock, const char *delivery_tag)
{
    const struct wfi_properties properties = {
        .exchange = r->reply_exchange ? r->reply_exchange : WFI_CONTROL_REPLY_EXCHANGE,
        .routing_key = r->reply_key,
        .delivery_tag = delivery_tag,
        .delivery_mode = 1};
    struct wf_json_writer *headers = NULL, *body = NULL;
    int err = wfi_message_writer_create(&headers);
    if (!err)
        err = wfi_message_writer_create(&body);
    if (!err) {
        wfi_control_write_reply_headers(headers, r->ticket, clock);
        wfi_control_write_reply_body(body, node, value);
        err = write_message(w, &properties, headers, body);
    }
    wf_json_writer_destroy(headers);
    wf_json_writer_destroy(body);
    return err;
}

/* {"key": text}, cut to what is enough for a line. */
static void write_words(struct wf_json_writer *w, const char *key, const char *format,
                        va_list values) WF_PRINTF(3, 0);
static void write_words(struct wf_json_writer *w, const char *key, const char *format,
                        va_list values)
{
    struct wfi_buffer text = {0};
    const char *words = wfi_buffer_vprintf(&text, format, values) ? NULL : wfi_buffer_text(&text);
    wf_json_write_object(w);
    wfi_member_text(w, key, words ? words : format);
    wf_json_write_end(w);
    wfi_buffer_reset(&text);
}

void wfi_control_write_ok(struct wf_json_writer *w, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    write_words(w, "ok", format, values);
    va_end(values);
}

void wfi_control_write_error(struct wf_json_writer *w, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    write_words(w, "error", format, values);
    va_end(values);
}

void wfi_control_write_unknown(struct wf_json_writer *w, const char *method)
{
    wfi_control_write_error(w, "KeyError('%s')", method);
}

void wfi_control_write_revoking(struct wf_json_writer *w, const char *const *ids, size_t count)
{
    struct wfi_buffer list = {0};
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = wfi_buffer_printf(&list, "%s%s", i ? ", " : "", ids[i]);
    const char *text = err ? NULL : wfi_buffer_text(&list);
    wfi_control_write_ok(w, "tasks %s flagged as revoked", text ? text : "");
    wfi_buffer_reset(&list);
}

void wfi_control_write_task(struct wf_json_writer *w, const struct wfi_control_task *task)
{
    wf_json_write_object(w);
    wfi_member_text(w, "id", task->id);
    wfi_member_text(w, "name", task->name);
    wfi_member_piece(w, "args", &task->args, "[]");
    wfi_member_piece(w, "kwargs", &task->kwargs, "{}");
    wfi_member_text(w, "type", task->name);
    wfi_member_text(w, "hostname", task->hostname);
    if (task->time_start > 0)
        wfi_member_double(w, "time_start", task->time_start);
    else
        write_null(w, "time_start");
    wfi_member_bool(w, "acknowledged", task->acknowledged);
    wf_json_write_key(w, "delivery_info");
    wf_json_write_object(w);
    wfi_member_text(w, "exchange", task->exchange ? task->exchange : "");
    wfi_member_text(w, "routing_key", task->routing_key);
    wfi_member_int(w, "priority", task->priority);
    if (task->redelivered || task->tells_first)
        wfi_member_bool(w, "redelivered", task->redelivered);
    else
        write_null(w, "redelivered");
    wf_json_write_end(w);
    if (task->worker_pid)
        wfi_member_int(w, "worker_pid", task->worker_pid);
    else
        write_null(w, "worker_pid");
    wf_json_write_end(w);
}

void wfi_control_write_scheduled(struct wf_json_writer *w, const char *eta,
                                 const struct wfi_control_task *task)
{
    wf_json_write_object(w);
    wfi_member_text(w, "eta", eta);
    wfi_member_int(w, "priority", 6); /* of the timer; always that */
    wf_json_write_key(w, "request");
    wfi_control_write_task(w, task);
    wf_json_write_end(w);
}

void wfi_control_write_queue(struct wf_json_writer *w, const struct wfi_control_queue *queue)
{
    wf_json_write_object(w);
    wfi_member_text(w, "name", queue->name);
    wf_json_write_key(w, "exchange");
    wf_json_write_object(w);
    wfi_member_text(w, "name", queue->exchange ? queue->exchange : queue->name);
    wfi_member_text(w, "type", queue->exchange_type ? queue->exchange_type : "direct");
    write_null(w, "arguments");
    wfi_member_bool(w, "durable", true);
    wfi_member_bool(w, "passive", false);
    wfi_member_bool(w, "auto_delete", false);
    write_null(w, "delivery_mode");
    wfi_member_bool(w, "no_declare", false);
    wf_json_write_end(w);
    wfi_member_text(w, "routing_key", queue->routing_key ? queue->routing_key : queue->name);
    write_null(w, "queue_arguments");
    write_null(w, "binding_arguments");
    write_null(w, "consumer_arguments");
    wfi_member_bool(w, "durable", true);
    wfi_member_bool(w, "exclusive", false);
    wfi_member_bool(w, "auto_delete", false);
    wfi_member_bool(w, "no_ack", false);
    write_null(w, "alias");
    wf_json_write_key(w, "bindings");
    wf_json_write_array(w);
    wf_json_write_end(w);
    write_null(w, "no_declare");
    write_null(w, "expires");
    write_null(w, "message_ttl");
    write_null(w, "max_length");
    write_null(w, "max_length_bytes");
    if (queue->max_priority)
        wfi_member_int(w, "max_priority", queue->max_priority);
    else
        write_null(w, "max_priority");
    wf_json_write_end(w);
}

/* Whole seconds as an integer, as Python's users give them. */
static void write_seconds(struct wf_json_writer *w, double seconds)
{
    if (seconds == (double)(int64_t)seconds)
        wf_json_write_int(w, (int64_t)seconds);
    else
        wf_json_write_double(w, seconds);
}

static void write_pool(struct wf_json_writer *w, const struct wfi_control_stats *s)
{
    wf_json_write_object(w);
    wfi_member_int(w, "max-concurrency", s->concurrency);
    wf_json_write_key(w, "processes");
    wf_json_write_array(w);
    for (size_t i = 0; i < s->process_count; i++)
        wf_json_write_int(w, s->processes[i]);
    wf_json_write_end(w);
    if (s->tasks_per_child_max)
        wfi_member_int(w, "max-tasks-per-child", s->tasks_per_child_max);
    else
        wfi_member_text(w, "max-tasks-per-child", "N/A");
    wfi_member_bool(w, "put-guarded-by-semaphore", false);
    wf_json_write_key(w, "timeouts");
    wf_json_write_array(w);
    write_seconds(w, s->soft_s);
    write_seconds(w, s->hard_s);
    wf_json_write_end(w);
    wf_json_write_end(w);
}

static void write_broker(struct wf_json_writer *w, const struct wfi_control_stats *s)
{
    wf_json_write_object(w);
    wfi_member_text(w, "hostname", s->hostname);
    wfi_member_text(w, "userid", s->userid);
    wfi_member_text(w, "virtual_host", s->virtual_host);
    wfi_member_int(w, "port", s->port);
    wfi_member_bool(w, "insist", false);
    wfi_member_bool(w, "ssl", s->ssl);
    wfi_member_text(w, "transport", s->transport);
    wfi_member_int(w, "connect_timeout", 4);
    wf_json_write_key(w, "transport_options");
    wf_json_write_object(w);
    wf_json_write_end(w);
    wfi_member_text(w, "login_method", s->login_method);
    write_null(w, "uri_prefix");
    wfi_member_double(w, "heartbeat", 120);
    wfi_member_text(w, "failover_strategy", "round-robin");
    wf_json_write_key(w, "alternates");
    wf_json_write_array(w);
    wf_json_write_end(w);
    wf_json_write_end(w);
}

static void write_usage(struct wf_json_writer *w, const struct wfi_control_stats *s)
{
    const struct {
        const char *name;
        int64_t number;
    } numbers[] = {
        {"maxrss", s->maxrss_kib}, {"ixrss", 0},          {"idrss", 0},  {"isrss", 0},
        {"minflt", s->minflt},     {"majflt", s->majflt}, {"nswap", 0},  {"inblock", s->inblock},
        {"oublock", s->oublock},   {"msgsnd", 0},         {"msgrcv", 0}, {"nsignals", 0},
        {"nvcsw", s->nvcsw},       {"nivcsw", s->nivcsw},
    };
    wf_json_write_object(w);
    wfi_member_double(w, "utime", s->user_s);
    wfi_member_double(w, "stime", s->system_s);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        wfi_member_int(w, numbers[i].name, numbers[i].number);
    wf_json_write_end(w);
}

void wfi_control_write_stats(struct wf_json_writer *w, const struct wfi_control_stats *s)
{
    char clock[24];
    snprintf(clock, sizeof clock, "%lld", (long long)s->clock);
    wf_json_write_object(w);
    wf_json_write_key(w, "total");
    wf_json_write_object(w);
    for (size_t i = 0; i < s->totals_count; i++)
        wfi_member_int(w, s->totals_names[i], s->totals[i]);
    wf_json_write_end(w);
    wfi_member_int(w, "pid", s->pid);
    wfi_member_text(w, "clock", clock); /* a text, in this place */
    wfi_member_int(w, "uptime", s->uptime_s);
    wf_json_write_key(w, "pool");
    write_pool(w, s);
    wf_json_write_key(w, "broker");
    write_broker(w, s);
    wfi_member_int(w, "prefetch_count", s->prefetch_count);
    wf_json_write_key(w, "rusage");
    write_usage(w, s);
    wf_json_write_end(w);
}

void wfi_control_write_revoked(struct wf_json_writer *w, const char *id, double time)
{
    wf_json_write_key(w, id);
    wf_json_write_array(w);
    wf_json_write_double(w, time);
    wfi_json_write_text(w, id);
    wf_json_write_end(w);
}

void wfi_control_write_hello(struct wf_json_writer *w, int64_t clock, const char *const *revoked,
                             const double *times, size_t count)
{
    wf_json_write_object(w);
    wf_json_write_key(w, "revoked");
    wf_json_write_object(w);
    for (size_t i = 0; i < count; i++)
        wfi_control_write_revoked(w, revoked[i], times[i]);
    wf_json_write_end(w);
    wfi_member_int(w, "clock", clock);
    wf_json_write_end(w);
}

/* The seconds of a unit; 0 when there is none of that name. */
static double unit_of(const char *text)
{
    if (strcmp(text, "s") == 0)
        return 1;
    if (strcmp(text, "m") == 0)
        return 60;
    return strcmp(text, "h") == 0 ? 3600 : 0;
}

int wfi_control_rate_text(const char *text, double *ret_per_s)
{
    const char *slash = strchr(text, '/');
    const double seconds = slash ? unit_of(slash + 1) : 1;
    struct wf_json *json;
    if (!text[0]) {
        *ret_per_s = 0;
        return 0;
    }
    const int err =
        wf_json_read(text, slash ? (size_t)(slash - text) : strlen(text), NULL, &json, NULL);
    if (err)
        return err == -ENOMEM ? err : -EINVAL;
    double number;
    const bool is_number = wf_json_double(wf_json_root(json), &number) == 0;
    wf_json_destroy(json);
    if (!is_number || seconds == 0 || !(number >= 0 && number < 1e15))
        return -EINVAL;
    *ret_per_s = number / seconds;
    return 0;
}

int wfi_control_rate(const struct wf_json_value *value, double *ret_per_s)
{
    double number = 0;
    if (wf_json_type(value) == WF_JSON_STRING) {
        const char *text = wfi_json_c_string(value);
        return text ? wfi_control_rate_text(text, ret_per_s) : -EINVAL;
    }
    if (wf_json_type(value) != WF_JSON_NULL &&
        (wf_json_double(value, &number) || !(number >= 0 && number < 1e15)))
        return -EINVAL;
    *ret_per_s = number;
    return 0;
}
