/* SPDX-License-Identifier: MIT */
#include "celery/message/arguments.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "celery/message/base64.h"
#include "celery/message/envelope.h"
#include "celery/message/typed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One call that is being bound. */
struct binding {
    const struct wf_task_type *type;
    const char *function; /* its name as Python shows it */
    struct wfi_arguments *to;
    const char **ret_exc;
    struct wf_error *reterr;
};

static int wrong(struct binding *b, const char *exc, const char *format, ...) WF_PRINTF(3, 4);
static int wrong(struct binding *b, const char *exc, const char *format, ...)
{
    char text[sizeof b->reterr->text];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    *b->ret_exc = exc;
    return wf_error_set(b->reterr, -EINVAL, "%s() %s", b->function, text);
}

/* What Python calls the type of a value. */
static const char *python_type(const struct wf_json_value *value)
{
    switch (wf_json_type(value)) {
    case WF_JSON_NULL:
        return "NoneType";
    case WF_JSON_BOOL:
        return "bool";
    case WF_JSON_INT:
        return "int";
    case WF_JSON_DOUBLE:
        return "float";
    case WF_JSON_STRING:
        return "str";
    case WF_JSON_ARRAY:
        return "list";
    case WF_JSON_OBJECT:
        return "dict";
    }
    return "?";
}

static int wrong_type(struct binding *b, const struct wf_param *param, const char *wanted,
                      const struct wf_json_value *value)
{
    return wrong(b, "TypeError", "argument '%s' must be %s, not %s", param->name, wanted,
                 python_type(value));
}

static int does_not_fit(struct binding *b, const struct wf_param *param,
                        const struct wf_json_value *value)
{
    size_t len = 0;
    const char *digits = wf_json_text(value, &len);
    return wrong(b, "OverflowError", "argument '%s': %.40s%s does not fit into %s", param->name,
                 digits, len > 40 ? "..." : "", param->type);
}

static int bind_integer(struct binding *b, const struct wf_param *param,
                        const struct wf_json_value *value, void *to)
{
    const int err = wfi_typed_read_integer(value, param->kind == WF_PARAM_INT, param->size, to);
    return err == -EINVAL   ? wrong_type(b, param, "int", value)
           : err == -ERANGE ? does_not_fit(b, param, value)
                            : 0;
}

static int bind_double(struct binding *b, const struct wf_param *param,
                       const struct wf_json_value *value, void *to)
{
    const int err = wfi_typed_read_double(value, param->size, to);
    return err == -EINVAL   ? wrong_type(b, param, "float", value)
           : err == -ERANGE ? does_not_fit(b, param, value)
                            : 0;
}

static int bind_string(struct binding *b, const struct wf_param *param,
                       const struct wf_json_value *value, void *to)
{
    const char *text = NULL;
    size_t len = 0;

    if (wf_json_type(value) == WF_JSON_STRING)
        text = wf_json_text(value, &len);
    else if (wf_json_type(value) != WF_JSON_NULL)
        return wrong_type(b, param, "str", value);
    if (text && strlen(text) != len)
        return wrong(b, "ValueError", "argument '%s': embedded null character", param->name);
    memcpy(to, &text, sizeof text);
    return 0;
}

static int bind_bytes(struct binding *b, const struct wf_param *param,
                      const struct wf_json_value *value, void **ret_owned, void *to)
{
    struct wf_bytes bytes;
    bool encoded;
    if (wfi_typed_find_bytes(value, &bytes, &encoded))
        return wrong_type(b, param, "bytes", value);
    if (encoded) {
        *ret_owned = wfi_alloc(bytes.len / 4 * 3 + 1);
        if (!*ret_owned)
            return wf_error_set(b->reterr, -ENOMEM, NULL);
        const ssize_t len = wfi_base64_decode(bytes.ptr, bytes.len, *ret_owned);
        if (len < 0)
            return wrong(b, "ValueError", "argument '%s': incorrect base64", param->name);
        bytes = (struct wf_bytes){*ret_owned, (size_t)len};
    }
    memcpy(to, &bytes, sizeof bytes);
    return 0;
}

/* A type with a codec travels as bytes. */
static const struct wf_wire *wire_of(const struct wf_param *param)
{
    const struct wf_wire *wire = wf_wire_find(param->type);
    return wire && wire->size == param->size ? wire : NULL;
}

static int bind_wire(struct binding *b, const struct wf_param *param,
                     const struct wf_json_value *value, void *to)
{
    const struct wf_wire *wire = wire_of(param);
    struct wf_bytes bytes;
    void *owned = NULL;
    if (!wire)
        return wrong(b, "TypeError", "argument '%s' is a %s, which no JSON can be", param->name,
                     param->type);
    int err = bind_bytes(b, param, value, &owned, &bytes);
    if (!err && wire->decode(to, bytes.ptr, bytes.len))
        err = wrong(b, "ValueError", "argument '%s' is no %s", param->name, param->type);
    wfi_free(owned);
    return err;
}

/* True when no parameter but the one for the rest takes this name. */
static bool is_left(const struct binding *b, const char *name)
{
    const struct wf_celery_task *celery = b->type->celery;
    for (uint32_t i = 0; i < b->type->param_count; i++) {
        const char *known = b->type->params[i].name;
        if (strcmp(known, name) == 0)
            return (celery->rest_args && strcmp(celery->rest_args, known) == 0) ||
                   (celery->rest_kwargs && strcmp(celery->rest_kwargs, known) == 0);
    }
    return true;
}

/* The task sees the message's own values, which live as long as it runs. */
static int bind_view(struct binding *b, int err, struct wf_json **ret_tree, void *to)
{
    if (err)
        return wf_error_set(b->reterr, err, NULL);
    memcpy(to, ret_tree, sizeof *ret_tree);
    return 0;
}

static int bind_rest_args(struct binding *b, const struct wf_json_value *args, size_t first,
                          struct wf_json **ret_tree, void *to)
{
    return bind_view(b,
                     args ? wfi_json_view(args, first, ret_tree)
                          : wfi_json_view_create(WF_JSON_ARRAY, 0, ret_tree),
                     ret_tree, to);
}

static int bind_rest_kwargs(struct binding *b, const struct wf_json_value *kwargs,
                            struct wf_json **ret_tree, void *to)
{
    int err = wfi_json_view_create(WF_JSON_OBJECT, wf_json_count(kwargs), ret_tree);
    for (size_t i = 0; !err && i < wf_json_count(kwargs); i++) {
        const struct wf_json_value *member = wf_json_at(kwargs, i);
        size_t len = 0;
        const char *key = wf_json_key(member, &len);
        if (strlen(key) != len || is_left(b, key))
            wfi_json_view_add(*ret_tree, member);
    }
    return bind_view(b, err, ret_tree, to);
}

static int bind_value(struct binding *b, uint32_t i, const struct wf_json_value *value)
{
    const struct wf_param *param = &b->type->params[i];
    void *to = (char *)b->to->args + param->offset;
    bool truth;

    switch (param->kind) {
    case WF_PARAM_BOOL:
        if (wf_json_bool(value, &truth))
            return wrong_type(b, param, "bool", value);
        memcpy(to, &truth, sizeof truth);
        return 0;
    case WF_PARAM_INT:
    case WF_PARAM_UINT:
        return bind_integer(b, param, value, to);
    case WF_PARAM_DOUBLE:
        return bind_double(b, param, value, to);
    case WF_PARAM_STRING:
        return bind_string(b, param, value, to);
    case WF_PARAM_BYTES:
        return bind_bytes(b, param, value, &b->to->owned[i], to);
    case WF_PARAM_JSON:
        return bind_view(b, wfi_json_view(value, 0, &b->to->trees[i]), &b->to->trees[i], to);
    case WF_PARAM_OPAQUE:
        break;
    }
    return bind_wire(b, param, value, to);
}

static bool is_rest(const struct wf_task_type *type, uint32_t i, bool of_kwargs)
{
    if (!type->celery)
        return false;
    const char *name = of_kwargs ? type->celery->rest_kwargs : type->celery->rest_args;
    return name && strcmp(name, type->params[i].name) == 0;
}

static bool takes_value(const struct wf_task_type *type, uint32_t i)
{
    return !is_rest(type, i, false) && !is_rest(type, i, true);
}

/* The first 'a', 'a' and 'b', or 'a', 'b', and 'c', of the parameters in the mask. */
static void list_names(const struct wf_task_type *type, unsigned mask, char *text, size_t size)
{
    const int count = __builtin_popcount(mask);
    int done = 0;
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < type->param_count && len < size; i++) {
        if (!(mask & 1u << i))
            continue;
        const char *before = done == 0          ? ""
                             : done < count - 1 ? ", "
                             : count == 2       ? " and "
                                                : ", and ";
        len += (size_t)snprintf(text + len, size - len, "%s'%s'", before, type->params[i].name);
        done++;
    }
}

static int read_defaults(const struct wf_task_type *type, struct wf_json **ret,
                         struct wf_error *reterr)
{
    const char *text = type->celery ? type->celery->defaults : NULL;
    if (!text)
        return 0;
    const int err = wf_json_read(text, strlen(text), NULL, ret, reterr);
    if (err == -ENOMEM)
        return err;
    if (err || wf_json_type(wf_json_root(*ret)) != WF_JSON_OBJECT)
        return wf_error_set(reterr, -EINVAL, "task %s: its defaults are not a JSON object",
                            type->name);
    return 0;
}

/* Of the parameters that were not given, or, to tell how many are needed, of all. */
static int find_defaults(struct binding *b, const struct wf_json_value *found[WFI_ARGUMENTS_MAX])
{
    int err = read_defaults(b->type, &b->to->defaults, b->reterr);
    if (err || !b->to->defaults)
        return err;
    const struct wf_json_value *defaults = wf_json_root(b->to->defaults);
    for (uint32_t i = 0; i < b->type->param_count; i++)
        if (!found[i] && takes_value(b->type, i))
            found[i] = wf_json_get(defaults, b->type->params[i].name);
    return 0;
}

static int too_many(struct binding *b, size_t given, uint32_t taken)
{
    const struct wf_json_value *defaults[WFI_ARGUMENTS_MAX] = {0};
    char takes[48];
    int err = find_defaults(b, defaults);
    if (err)
        return err;
    uint32_t required = taken;
    for (uint32_t i = 0; i < b->type->param_count; i++)
        required -= defaults[i] != NULL;
    if (required < taken)
        snprintf(takes, sizeof takes, "from %u to %u", required, taken);
    else
        snprintf(takes, sizeof takes, "%u", taken);
    return wrong(b, "TypeError", "takes %s positional argument%s but %zu %s given", takes,
                 taken == 1 && required == taken ? "" : "s", given, given == 1 ? "was" : "were");
}

/* Which value each parameter gets; NULL where none was given. */
static int choose(struct binding *b, const struct wf_json_value *args,
                  const struct wf_json_value *kwargs,
                  const struct wf_json_value *chosen[WFI_ARGUMENTS_MAX], size_t *ret_positional)
{
    const struct wf_task_type *type = b->type;
    const bool takes_args = type->celery && type->celery->rest_args;
    const bool takes_kwargs = type->celery && type->celery->rest_kwargs;
    uint32_t taken = 0;
    unsigned by_place = 0;
    size_t next = 0;

    for (uint32_t i = 0; i < type->param_count; i++) {
        if (!takes_value(type, i))
            continue;
        taken++;
        if (next < wf_json_count(args)) {
            chosen[i] = wf_json_at(args, next++);
            by_place |= 1u << i;
        }
    }
    for (size_t k = 0; k < wf_json_count(kwargs); k++) {
        size_t len = 0;
        const char *key = wf_json_key(wf_json_at(kwargs, k), &len);
        uint32_t i = 0;
        while (i < type->param_count &&
               (!takes_value(type, i) || strcmp(type->params[i].name, key) != 0))
            i++;
        if (i == type->param_count || strlen(key) != len) {
            if (!takes_kwargs)
                return wrong(b, "TypeError", "got an unexpected keyword argument '%.100s'", key);
        } else if (by_place & 1u << i) {
            return wrong(b, "TypeError", "got multiple values for argument '%s'", key);
        } else {
            chosen[i] = wf_json_at(kwargs, k); /* the last of several, as in Python */
        }
    }
    *ret_positional = next;
    if (next < wf_json_count(args) && !takes_args)
        return too_many(b, wf_json_count(args), taken);
    return 0;
}

/* The parameters that have no value. */
static unsigned missing_of(const struct wf_task_type *type,
                           const struct wf_json_value *const chosen[WFI_ARGUMENTS_MAX])
{
    unsigned missing = 0;
    for (uint32_t i = 0; i < type->param_count; i++)
        if (!chosen[i] && takes_value(type, i))
            missing |= 1u << i;
    return missing;
}

static int fill(struct binding *b, const struct wf_json_value *args,
                const struct wf_json_value *kwargs)
{
    const struct wf_task_type *type = b->type;
    const struct wf_json_value *chosen[WFI_ARGUMENTS_MAX] = {0};
    size_t positional = 0;

    int err = choose(b, args, kwargs, chosen, &positional);
    if (!err && missing_of(type, chosen))
        err = find_defaults(b, chosen);
    if (err)
        return err;
    const unsigned missing = missing_of(type, chosen);
    if (missing) {
        char names[256];
        const int count = __builtin_popcount(missing);
        list_names(type, missing, names, sizeof names);
        return wrong(b, "TypeError", "missing %d required positional argument%s: %s", count,
                     count == 1 ? "" : "s", names);
    }
    for (uint32_t i = 0; i < type->param_count && !err; i++) {
        void *to = (char *)b->to->args + type->params[i].offset;
        if (is_rest(type, i, false))
            err = bind_rest_args(b, args, positional, &b->to->trees[i], to);
        else if (is_rest(type, i, true))
            err = bind_rest_kwargs(b, kwargs, &b->to->trees[i], to);
        else
            err = bind_value(b, i, chosen[i]);
    }
    return err;
}

int wfi_arguments_bind(const struct wf_task_type *type, const struct wf_json_value *args,
                       const struct wf_json_value *kwargs, struct wfi_arguments *ret,
                       const char **ret_exc, struct wf_error *reterr)
{
    const char *dot = strrchr(type->name, '.');
    struct wf_error unwanted;
    struct binding b = {type, dot ? dot + 1 : type->name, ret, ret_exc,
                        reterr ? reterr : &unwanted};

    memset(ret, 0, sizeof *ret);
    *ret_exc = "ValueError";
    ret->args = wfi_zalloc_aligned(type->align > 16 ? type->align : 16, type->args_bytes);
    if (!ret->args)
        return wf_error_set(reterr, -ENOMEM, NULL);
    return fill(&b, args, kwargs);
}

void wfi_arguments_fini(struct wfi_arguments *arguments)
{
    for (size_t i = 0; i < WFI_ARGUMENTS_MAX; i++) {
        wfi_free(arguments->owned[i]);
        wf_json_destroy(arguments->trees[i]);
    }
    wf_json_destroy(arguments->defaults);
    wfi_free(arguments->args);
    memset(arguments, 0, sizeof *arguments);
}

static int check_names(const struct wf_task_type *type, struct wf_error *reterr)
{
    const char *const rests[] = {type->celery->rest_args, type->celery->rest_kwargs};
    for (size_t r = 0; r < 2; r++) {
        uint32_t i = 0;
        while (rests[r] && i < type->param_count && strcmp(type->params[i].name, rests[r]) != 0)
            i++;
        if (rests[r] && i == type->param_count)
            return wf_error_set(reterr, -EINVAL, "task %s: it has no parameter %s", type->name,
                                rests[r]);
        if (rests[r] && type->params[i].kind != WF_PARAM_JSON)
            return wf_error_set(reterr, -EINVAL,
                                "task %s: parameter %s takes the rest, but is not JSON", type->name,
                                rests[r]);
    }
    if (rests[0] && rests[1] && strcmp(rests[0], rests[1]) == 0)
        return wf_error_set(reterr, -EINVAL, "task %s: parameter %s cannot take the rest twice",
                            type->name, rests[0]);
    return 0;
}

/* Binds each default by itself. */
static int check_defaults(const struct wf_task_type *type, struct wfi_arguments *room,
                          struct wf_error *reterr)
{
    const char *exc;
    struct binding b = {type, type->name, room, &exc, reterr};
    const struct wf_json_value *defaults = wf_json_root(room->defaults);

    for (size_t k = 0; k < wf_json_count(defaults); k++) {
        const char *key = wf_json_key(wf_json_at(defaults, k), NULL);
        uint32_t i = 0;
        while (i < type->param_count &&
               (!takes_value(type, i) || strcmp(type->params[i].name, key) != 0))
            i++;
        if (i == type->param_count)
            return wf_error_set(reterr, -EINVAL, "task %s: a default for %s, which is no parameter",
                                type->name, key);
        if (room->trees[i] || room->owned[i])
            return wf_error_set(reterr, -EINVAL, "task %s: two defaults for %s", type->name, key);
        const int err = bind_value(&b, i, wf_json_at(defaults, k));
        if (err)
            return err == -EINVAL ? wf_error_prefix(reterr, "default") : err;
    }
    return 0;
}

int wfi_arguments_check(const struct wf_task_type *type, struct wf_error *reterr)
{
    struct wfi_arguments room = {0};
    struct wf_error unwanted;

    reterr = reterr ? reterr : &unwanted;
    for (uint32_t i = 0; i < type->param_count; i++)
        if (type->params[i].kind == WF_PARAM_OPAQUE && !wire_of(&type->params[i]))
            return wf_error_set(reterr, -EINVAL,
                                "task %s: parameter %s is a %s, which no JSON can be", type->name,
                                type->params[i].name, type->params[i].type);
    if (!type->celery)
        return 0;
    int err = check_names(type, reterr);
    if (!err && type->celery->defaults) {
        room.args = wfi_zalloc_aligned(type->align > 16 ? type->align : 16, type->args_bytes);
        err = room.args ? read_defaults(type, &room.defaults, reterr)
                        : wf_error_set(reterr, -ENOMEM, NULL);
        if (!err)
            err = check_defaults(type, &room, reterr);
    }
    wfi_arguments_fini(&room);
    return err;
}

int wfi_arguments_write_result(struct wf_json_writer *w, const struct wf_task_type *type,
                               const void *result, struct wf_error *reterr)
{
    if (type->result_kind == WF_PARAM_OPAQUE && strcmp(type->result_type, "wf_none") == 0) {
        wf_json_write_null(w);
        return 0;
    }
    int err = wfi_typed_write(w, type->result_kind, type->result_type, type->result_bytes, result);
    if (err == WF_ENOTWIRE)
        return wf_error_set(reterr, -EINVAL, "Object of type %s is not JSON serializable",
                            type->result_type);
    return err ? wf_error_set(reterr, err, NULL) : 0;
}
