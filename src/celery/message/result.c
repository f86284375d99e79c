/* SPDX-License-Identifier: MIT */
#include "celery/message/result.h"

#include "celery/message/member.h"
#include "celery/message/repr.h"

#include <errno.h>
#include <string.h>

static const char *const state_names[] = {"PENDING", "STARTED", "RETRY", "SUCCESS",
                                          "FAILURE", "REVOKED", ""};

const char *wfi_state_name(enum wfi_task_state state)
{
    return state_names[state];
}

enum wfi_task_state wfi_state_of(const char *name)
{
    for (int state = 0; state < WFI_STATE_OTHER; state++)
        if (strcmp(state_names[state], name) == 0)
            return (enum wfi_task_state)state;
    return WFI_STATE_OTHER;
}

static void write_outcome(struct wf_json_writer *w, const struct wfi_result *r)
{
    wfi_member_text(w, "status", r->status ? r->status : wfi_state_name(r->state));
    wfi_member_piece(w, "result", &r->result, "null");
    wfi_member_text(w, "traceback", r->traceback);
    wfi_member_piece(w, "children", &r->children, "[]");
}

void wfi_result_write_redis(struct wf_json_writer *w, const struct wfi_result *r)
{
    wf_json_write_object(w);
    write_outcome(w, r);
    wfi_member_text(w, "date_done", r->date_done);
    if (r->group_id)
        wfi_member_text(w, "group_id", r->group_id);
    if (r->parent_id)
        wfi_member_text(w, "parent_id", r->parent_id);
    if (r->extended) {
        wfi_member_text(w, "name", r->name);
        wfi_member_piece(w, "args", &r->args, "[]");
        wfi_member_piece(w, "kwargs", &r->kwargs, "{}");
        wfi_member_text(w, "worker", r->worker);
        wf_json_write_key(w, "retries");
        wf_json_write_int(w, r->retries);
        wfi_member_text(w, "queue", r->queue);
    }
    wfi_member_text(w, "task_id", r->task_id);
    wf_json_write_end(w);
}

void wfi_result_write_rpc(struct wf_json_writer *w, const struct wfi_result *r)
{
    wf_json_write_object(w);
    wfi_member_text(w, "task_id", r->task_id);
    write_outcome(w, r);
    wf_json_write_end(w);
}

int wfi_result_read(const char *text, size_t len, struct wfi_result_in *ret,
                    struct wf_error *reterr)
{
    struct wfi_result *r = &ret->result;

    memset(ret, 0, sizeof *ret);
    int err = wf_json_read(text, len, NULL, &ret->tree, reterr);
    if (err)
        return err;
    const struct wf_json_value *root = wf_json_root(ret->tree);
    r->status = wfi_json_c_string(wf_json_get(root, "status"));
    if (!r->status || !r->status[0])
        return wf_error_set(reterr, WF_EPARSE, "a stored result has no status");
    r->state = wfi_state_of(r->status);
    r->result.value = wf_json_get(root, "result");
    r->traceback = wfi_json_c_string(wf_json_get(root, "traceback"));
    r->children.value = wf_json_get(root, "children");
    r->date_done = wfi_json_c_string(wf_json_get(root, "date_done"));
    r->task_id = wfi_json_c_string(wf_json_get(root, "task_id"));
    r->group_id = wfi_json_c_string(wf_json_get(root, "group_id"));
    r->parent_id = wfi_json_c_string(wf_json_get(root, "parent_id"));
    r->extended = wf_json_get(root, "name") != NULL;
    r->name = wfi_json_c_string(wf_json_get(root, "name"));
    r->worker = wfi_json_c_string(wf_json_get(root, "worker"));
    r->queue = wfi_json_c_string(wf_json_get(root, "queue"));
    r->args.value = wf_json_get(root, "args");
    r->kwargs.value = wf_json_get(root, "kwargs");
    wf_json_int(wf_json_get(root, "retries"), &r->retries);
    return 0;
}

void wfi_result_in_reset(struct wfi_result_in *in)
{
    wf_json_destroy(in->tree);
    memset(in, 0, sizeof *in);
}

void wfi_result_write_started(struct wf_json_writer *w, int64_t pid, const char *hostname)
{
    wf_json_write_object(w);
    wf_json_write_key(w, "pid");
    wf_json_write_int(w, pid);
    wfi_member_text(w, "hostname", hostname);
    wf_json_write_end(w);
}

/* [id, null], the id and the parent of a result, of which the parent is not told. */
static void write_node(struct wf_json_writer *w, const char *id)
{
    wf_json_write_array(w);
    wfi_json_write_text(w, id);
    wf_json_write_null(w);
    wf_json_write_end(w);
}

void wfi_result_write_child(struct wf_json_writer *w, const char *id)
{
    wf_json_write_array(w);
    write_node(w, id);
    wf_json_write_null(w);
    wf_json_write_end(w);
}

void wfi_result_write_group_child(struct wf_json_writer *w, const char *group_id,
                                  const char *const *ids, size_t count)
{
    wf_json_write_array(w);
    write_node(w, group_id);
    wf_json_write_array(w);
    for (size_t i = 0; i < count; i++)
        wfi_result_write_child(w, ids[i]);
    wf_json_write_end(w);
    wf_json_write_end(w);
}

void wfi_exception_write(struct wf_json_writer *w, const struct wfi_exception *e)
{
    wf_json_write_object(w);
    wfi_member_text(w, "exc_type", e->type);
    wfi_member_piece(w, "exc_message", &e->arguments, "[]");
    wfi_member_text(w, "exc_module", e->module ? e->module : "builtins");
    wf_json_write_end(w);
}

/* Opens the object of an exception, up to its list of arguments. */
static void begin_exception(struct wf_json_writer *w, const char *type)
{
    wf_json_write_object(w);
    wfi_member_text(w, "exc_type", type);
    wf_json_write_key(w, "exc_message");
    wf_json_write_array(w);
}

static void end_exception(struct wf_json_writer *w, const char *module)
{
    wf_json_write_end(w);
    wfi_member_text(w, "exc_module", module);
    wf_json_write_end(w);
}

void wfi_exception_write_text(struct wf_json_writer *w, const char *module, const char *type,
                              const char *text)
{
    begin_exception(w, type);
    if (text)
        wfi_json_write_text(w, text);
    end_exception(w, module);
}

int wfi_exception_read(const struct wf_json_value *value, struct wfi_exception *ret)
{
    const char *type = wfi_json_c_string(wf_json_get(value, "exc_type"));
    if (!type || !type[0])
        return WF_EPARSE;
    ret->type = type;
    ret->module = wfi_json_c_string(wf_json_get(value, "exc_module"));
    ret->arguments = (struct wfi_json_piece){.value = wf_json_get(value, "exc_message")};
    return 0;
}

int wfi_exception_repr(struct wfi_buffer *buffer, const struct wfi_exception *e)
{
    const struct wf_json_value *arguments = e->arguments.value;
    struct wf_json *json = NULL;

    if (!arguments && e->arguments.text) {
        int err = wf_json_read(e->arguments.text, e->arguments.len, NULL, &json, NULL);
        if (err == -ENOMEM)
            return err;
        if (!err)
            arguments = wf_json_root(json);
    }
    int err;
    if (wf_json_type(arguments) == WF_JSON_ARRAY || wf_json_type(arguments) == WF_JSON_NULL) {
        err = wfi_repr_call(buffer, e->type, arguments, 0);
    } else { /* Celery 4 stored a text, not a list */
        err = wfi_buffer_printf(buffer, "%s(", e->type);
        err = err ? err : wfi_repr(buffer, arguments, 0);
        err = err ? err : wfi_buffer_append_byte(buffer, ')');
    }
    wf_json_destroy(json);
    return err;
}

static const struct {
    int code;
    const char *module, *type;
} exceptions[] = {
    {-EINVAL, "builtins", "ValueError"},
    {-ETIMEDOUT, "builtins", "TimeoutError"},
    {-ENOMEM, "builtins", "MemoryError"},
    {-ERANGE, "builtins", "OverflowError"},
    {-ENOTSUP, "builtins", "NotImplementedError"},
    {-ECANCELED, "celery.exceptions", "TaskRevokedError"},
    {WF_ETASKFAILED, "builtins", "RuntimeError"},
    {WF_EWORKERDIED, "billiard.exceptions", "WorkerLostError"},
    /* Only for the way back, which takes the first that fits. */
    {-EINVAL, "builtins", "TypeError"},
    {-ETIMEDOUT, "billiard.exceptions", "TimeLimitExceeded"},
    {-ETIMEDOUT, "billiard.exceptions", "SoftTimeLimitExceeded"},
    {-ETIMEDOUT, "celery.exceptions", "TimeLimitExceeded"},
    {-ETIMEDOUT, "celery.exceptions", "SoftTimeLimitExceeded"},
    {WF_EWORKERDIED, "celery.exceptions", "WorkerLostError"},
};
enum { EXCEPTION_COUNT = sizeof exceptions / sizeof *exceptions };

#define NO_MEMORY \
    "{\"exc_type\": \"MemoryError\", \"exc_message\": [], \"exc_module\": \"builtins\"}"
const struct wfi_json_piece wfi_exception_no_memory = {.text = NO_MEMORY,
                                                       .len = sizeof NO_MEMORY - 1};

void wfi_exception_write_error(struct wf_json_writer *w, const struct wf_error *err)
{
    const char *text = err->text[0] ? err->text : wf_strerror(err->code);

    for (size_t i = 0; i < EXCEPTION_COUNT; i++) {
        if (exceptions[i].code != err->code)
            continue;
        wfi_exception_write_text(w, exceptions[i].module, exceptions[i].type, text);
        return;
    }
    if (err->code < -4096 || err->code >= 0) {
        const char *name = wf_error_name(err->code);
        const bool own = strncmp(name, "WF_", 3) == 0;
        wfi_exception_write_text(w, own ? "weft" : "builtins", own ? name : "RuntimeError", text);
        return;
    }
    begin_exception(w, "OSError");
    wf_json_write_int(w, -err->code);
    wfi_json_write_text(w, text);
    end_exception(w, "builtins");
}

/* The code of a name of weft's own. */
static int code_of_name(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } table[] = {
#define ROW(name, number, text) {#name, number},
        WF_ERROR_MAP(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].code;
    return WF_ETASKFAILED;
}

/* OSError and what Python makes of it by its number. */
static bool is_system_type(const char *type)
{
    static const char *const types[] = {"OSError",
                                        "BlockingIOError",
                                        "BrokenPipeError",
                                        "ChildProcessError",
                                        "ConnectionError",
                                        "ConnectionAbortedError",
                                        "ConnectionRefusedError",
                                        "ConnectionResetError",
                                        "FileExistsError",
                                        "FileNotFoundError",
                                        "InterruptedError",
                                        "IsADirectoryError",
                                        "NotADirectoryError",
                                        "PermissionError",
                                        "ProcessLookupError",
                                        "TimeoutError"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

/* The code in the arguments of such a one, number and text; 0 when there is none. */
static int system_code(const struct wfi_exception *e)
{
    int64_t number;
    if (!is_system_type(e->type) || wf_json_count(e->arguments.value) != 2 ||
        wf_json_int(wf_json_at(e->arguments.value, 0), &number) || number < 1 || number > 4095)
        return 0;
    return (int)-number;
}

static int code_of(const struct wfi_exception *e, const char *module)
{
    for (size_t i = 0; i < EXCEPTION_COUNT; i++)
        if (strcmp(e->type, exceptions[i].type) == 0 && strcmp(module, exceptions[i].module) == 0)
            return exceptions[i].code;
    if (strcmp(module, "weft") == 0)
        return code_of_name(e->type);
    const int system = strcmp(module, "builtins") == 0 ? system_code(e) : 0;
    return system ? system : WF_ETASKFAILED;
}

void wfi_exception_to_error(const struct wfi_exception *e, struct wf_error *ret)
{
    const struct wf_json_value *arguments = e->arguments.value;
    const int code = code_of(e, e->module ? e->module : "builtins");
    /* The exception's text is its only argument, or the one behind the number; a result of Celery
     * 4 has it alone. */
    const size_t count = wf_json_count(arguments);
    const char *text = NULL;
    if (wf_json_type(arguments) == WF_JSON_STRING)
        text = wf_json_text(arguments, NULL);
    else if (count == 1 || system_code(e))
        text = wf_json_text(wf_json_at(arguments, count - 1), NULL);

    if (e->module && strcmp(e->module, "weft") == 0 && text) {
        wf_error_set(ret, code, "%s", text);
    } else if (text) {
        wf_error_set(ret, code, "%s: %s", e->type, text);
    } else {
        struct wfi_buffer shown = {0};
        const char *repr = NULL;
        if (count > 0 && wfi_exception_repr(&shown, e) == 0)
            repr = wfi_buffer_text(&shown);
        wf_error_set(ret, code, "%s", repr ? repr : e->type);
        wfi_buffer_reset(&shown);
    }
}
