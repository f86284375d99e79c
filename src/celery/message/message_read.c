/* SPDX-License-Identifier: MIT */
/* Reading task messages (contract in celery/message/message.h). */
#include "celery/message/message.h"

#include "celery/message/moment.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* What a packed body may unpack to when the caller does not say: as much as RabbitMQ takes of a
 * message that is not packed, far above any task's arguments. */
#define BODY_BYTES_MAX ((size_t)128 << 20)

/* What a body costs, its text and its values: one of 16 MiB may be made of the smallest values,
 * which take eleven times their text, and a text of 128 MiB may be one string. */
#define MEMORY_MAX ((size_t)256 << 20)

static int reject(struct wf_error *reterr, const char *why)
{
    wf_error_set(reterr, WF_EPROTOCOL, "%s", why);
    return WFI_MESSAGE_REJECT;
}

/* An integer that may be missing or null. False: it is something else, or out of bounds: what
 * counts on from it is not to overflow. */
static bool read_count(const struct wf_json_value *value, int64_t *ret)
{
    if (wf_json_type(value) == WF_JSON_NULL)
        return true;
    int64_t number;
    if (wf_json_int(value, &number) || number < 0 || number > INT32_MAX)
        return false;
    *ret = number;
    return true;
}

static bool read_truth(const struct wf_json_value *value, bool *ret)
{
    return wf_json_type(value) == WF_JSON_NULL || wf_json_bool(value, ret) == 0;
}

/* Seconds; missing, null and zero are all no limit. */
static bool read_limit(const struct wf_json_value *value, double *ret)
{
    double seconds = 0;
    if (wf_json_type(value) == WF_JSON_NULL)
        return true;
    if (wf_json_double(value, &seconds) || !(seconds >= 0))
        return false;
    *ret = seconds;
    return true;
}

static bool read_limits(const struct wf_json_value *value, struct wfi_message *m)
{
    if (wf_json_type(value) == WF_JSON_NULL)
        return true;
    return wf_json_type(value) == WF_JSON_ARRAY && wf_json_count(value) == 2 &&
           read_limit(wf_json_at(value, 0), &m->hard_s) &&
           read_limit(wf_json_at(value, 1), &m->soft_s);
}

/* A point in time that may be missing or null. */
static bool read_moment(const struct wf_json_value *value, const char **ret_text, int64_t *ret_us)
{
    if (wf_json_type(value) == WF_JSON_NULL)
        return true;
    const char *text = wfi_json_c_string(value);
    if (!text || wfi_moment_read(text, strlen(text), ret_us))
        return false;
    *ret_text = text;
    return true;
}

/* A text that names something: a wrong type would make it another thing. */
static bool read_name(const struct wf_json_value *value, const char **ret)
{
    *ret = wfi_json_c_string(value);
    return *ret || wf_json_type(value) == WF_JSON_NULL;
}

static int read_headers(const struct wf_json_value *headers, struct wfi_message *m,
                        struct wf_error *reterr)
{
    const struct wf_json_value *index = wf_json_get(headers, "group_index");
    const struct wf_json_value *nesting = wf_json_get(headers, "replaced_task_nesting");

    /* These only tell, so of the wrong type they are as good as missing. */
    m->lang = wfi_json_c_string(wf_json_get(headers, "lang"));
    m->shadow = wfi_json_c_string(wf_json_get(headers, "shadow"));
    m->argsrepr = wfi_json_c_string(wf_json_get(headers, "argsrepr"));
    m->kwargsrepr = wfi_json_c_string(wf_json_get(headers, "kwargsrepr"));
    m->origin = wfi_json_c_string(wf_json_get(headers, "origin"));
    m->stamped_headers.value = wf_json_get(headers, "stamped_headers");
    m->stamps.value = wf_json_get(headers, "stamps");
    m->before_5_3 = !nesting && !m->stamped_headers.value && !m->stamps.value;
    m->replaced_task_nesting = m->properties.replaced_task_nesting;
    m->compress = wf_json_type(wf_json_get(headers, "compression")) == WF_JSON_STRING;

    if (!read_name(wf_json_get(headers, "root_id"), &m->root_id) ||
        !read_name(wf_json_get(headers, "parent_id"), &m->parent_id) ||
        !read_name(wf_json_get(headers, "group"), &m->group))
        return reject(reterr, "root_id, parent_id or group is not a text");
    m->has_group_index = wf_json_type(index) != WF_JSON_NULL;
    if (!read_count(index, &m->group_index) ||
        !read_count(wf_json_get(headers, "retries"), &m->retries) ||
        !read_count(nesting, &m->replaced_task_nesting))
        return reject(reterr, "group_index, retries or replaced_task_nesting is not a count");
    if (!read_limits(wf_json_get(headers, "timelimit"), m))
        return reject(reterr, "timelimit is not a pair of seconds");
    if (!read_truth(wf_json_get(headers, "ignore_result"), &m->ignore_result))
        return reject(reterr, "ignore_result is neither true nor false");
    if (!read_moment(wf_json_get(headers, "eta"), &m->eta, &m->eta_us))
        return reject(reterr, "eta is not a point in time");
    if (!read_moment(wf_json_get(headers, "expires"), &m->expires, &m->expires_us))
        return reject(reterr, "expires is not a point in time");
    return WFI_MESSAGE_RUN;
}

/* Without a header `task` the body decides: protocol 1 has an object with task and id in it. */
static int refuse_untasked(struct wfi_message_in *in, struct wf_error *reterr)
{
    struct wf_json *body = NULL;
    int err = wfi_envelope_open(&in->envelope, BODY_BYTES_MAX, reterr);
    if (!err)
        err = wf_json_read(in->envelope.body, in->envelope.body_len, &wfi_message_json, &body,
                           reterr);
    if (err == -ENOMEM)
        return err;
    if (err)
        return WFI_MESSAGE_DROP;
    const bool protocol_1 = wf_json_get(wf_json_root(body), "task") != NULL;
    wf_json_destroy(body);
    return reject(reterr, protocol_1 ? "a task of Celery's protocol 1, which is not spoken here"
                                     : "no task: it has no header of that name");
}

int wfi_message_read(struct wfi_message_in *in, struct wf_error *reterr)
{
    struct wfi_message *m = &in->message;
    const struct wf_json_value *headers = in->envelope.headers;
    const struct wf_json_value *task = wf_json_get(headers, "task");

    memset(m, 0, sizeof *m);
    m->properties = in->envelope.properties;
    m->headers = headers;
    if (!task)
        return refuse_untasked(in, reterr);
    m->task = wfi_json_c_string(task);
    m->id = wfi_json_c_string(wf_json_get(headers, "id"));
    if (!m->id && !wf_json_get(headers, "id"))
        m->id = m->properties.correlation_id;
    if (!m->task || !m->task[0])
        return reject(reterr, "the name of the task is not a text");
    if (!m->id || !m->id[0])
        return reject(reterr, "the task has no id, or one that is not a text");
    return read_headers(headers, m, reterr);
}

int wfi_message_read_redis(const char *text, size_t len, struct wfi_message_in *ret,
                           struct wf_error *reterr)
{
    memset(ret, 0, sizeof *ret);
    int err = wfi_envelope_read_redis(text, len, &ret->envelope, reterr);
    if (err)
        return err == -ENOMEM ? err : WFI_MESSAGE_DROP;
    return wfi_message_read(ret, reterr);
}

int wfi_message_read_amqp(struct wf_json *properties, const void *body, size_t body_len,
                          struct wfi_message_in *ret, struct wf_error *reterr)
{
    memset(ret, 0, sizeof *ret);
    int err = wfi_envelope_read_amqp(properties, body, body_len, &ret->envelope, reterr);
    return err ? WFI_MESSAGE_DROP : wfi_message_read(ret, reterr);
}

static int fail(struct wfi_message_in *in, const char *module, const char *type)
{
    in->exc_module = module;
    in->exc_type = type;
    return WFI_MESSAGE_FAIL;
}

/* Python has the same two names for the encodings that JSON can be read in. */
static bool is_utf8(const char *encoding)
{
    static const char *const names[] = {"utf-8", "utf8", "us-ascii", "ascii", "binary"};
    for (size_t i = 0; encoding && i < sizeof names / sizeof *names; i++)
        if (strcasecmp(encoding, names[i]) == 0)
            return true;
    return !encoding;
}

/* An array of signatures that may be missing or null. */
static bool is_list_or_null(const struct wf_json_value *value)
{
    return wf_json_type(value) == WF_JSON_NULL || wf_json_type(value) == WF_JSON_ARRAY;
}

static int read_parts(struct wfi_message_in *in, struct wf_error *reterr)
{
    struct wfi_message *m = &in->message;
    const struct wf_json_value *root = wf_json_root(in->body);
    const struct wf_json_value *embed = wf_json_at(root, 2);

    if (wf_json_type(root) != WF_JSON_ARRAY || wf_json_count(root) != 3) {
        wf_error_set(reterr, WF_EPARSE, "the body is not a list of args, kwargs and embed");
        return fail(in, "builtins", "ValueError");
    }
    m->args.value = wf_json_at(root, 0);
    m->kwargs.value = wf_json_at(root, 1);
    m->callbacks.value = wf_json_get(embed, "callbacks");
    m->errbacks.value = wf_json_get(embed, "errbacks");
    m->chain.value = wf_json_get(embed, "chain");
    m->chord.value = wf_json_get(embed, "chord");
    const enum wf_json_type chord = wf_json_type(m->chord.value);
    if (wf_json_type(m->args.value) != WF_JSON_ARRAY ||
        wf_json_type(m->kwargs.value) != WF_JSON_OBJECT) {
        wf_error_set(reterr, WF_EPARSE, "args is not a list, or kwargs is not an object");
        return fail(in, "builtins", "TypeError");
    }
    if ((wf_json_type(embed) != WF_JSON_OBJECT && wf_json_type(embed) != WF_JSON_NULL) ||
        !is_list_or_null(m->callbacks.value) || !is_list_or_null(m->errbacks.value) ||
        !is_list_or_null(m->chain.value) || (chord != WF_JSON_NULL && chord != WF_JSON_OBJECT)) {
        wf_error_set(reterr, WF_EPARSE,
                     "callbacks, errbacks, chain or chord has not the form of signatures");
        return fail(in, "builtins", "TypeError");
    }
    return WFI_MESSAGE_RUN;
}

int wfi_message_read_body(struct wfi_message_in *in, size_t max, struct wf_error *reterr)
{
    const struct wfi_properties *p = &in->message.properties;
    if (!p->content_type || strcmp(p->content_type, WFI_CONTENT_JSON) != 0) {
        wf_error_set(reterr, WF_EPARSE, "Refusing to deserialize disabled content of type %s",
                     p->content_type ? p->content_type : "None");
        return fail(in, "kombu.exceptions", "ContentDisallowed");
    }
    if (!is_utf8(p->content_encoding)) {
        wf_error_set(reterr, WF_EPARSE, "unknown encoding: %s", p->content_encoding);
        return fail(in, "kombu.exceptions", "DecodeError");
    }
    int err = wfi_envelope_open(&in->envelope, max ? max : BODY_BYTES_MAX, reterr);
    if (err == 0) {
        wf_json_destroy(in->body);
        in->body = NULL;
        const size_t len = in->envelope.body_len;
        const struct wf_json_options options = {.bytes_max =
                                                    len < MEMORY_MAX ? MEMORY_MAX - len : 1};
        err = wf_json_read(in->envelope.body, len, &options, &in->body, reterr);
        if (err == WF_ETOOBIG)
            return fail(in, "builtins", "RecursionError");
    }
    if (err == -ENOMEM)
        return err;
    if (err)
        return fail(in, "kombu.exceptions", "DecodeError");
    return read_parts(in, reterr);
}

void wfi_message_in_reset(struct wfi_message_in *in)
{
    wf_json_destroy(in->body);
    wfi_envelope_reset(&in->envelope);
    memset(in, 0, sizeof *in);
}
