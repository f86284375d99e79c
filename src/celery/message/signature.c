/* SPDX-License-Identifier: MIT */
#include "celery/message/member.h"
#include "celery/message/signature.h"

#include <string.h>

static const char *const names[] = {"", "celery.group", "celery.chain", "celery.chord"};

int wfi_signature_read(const struct wf_json_value *value, struct wfi_signature *ret,
                       struct wf_error *reterr)
{
    struct wfi_signature s = {.task = wfi_json_c_string(wf_json_get(value, "task"))};

    if (!s.task || !s.task[0])
        return wf_error_set(reterr, WF_EPARSE, "a signature has no task");
    for (int kind = WFI_SIGNATURE_GROUP; kind <= WFI_SIGNATURE_CHORD; kind++)
        if (strcmp(names[kind], s.task) == 0)
            s.kind = (enum wfi_signature_kind)kind;
    s.args.value = wf_json_get(value, "args");
    s.kwargs.value = wf_json_get(value, "kwargs");
    s.options.value = wf_json_get(value, "options");
    s.subtask_type = wfi_json_c_string(wf_json_get(value, "subtask_type"));
    const struct wf_json_value *immutable = wf_json_get(value, "immutable");
    if ((!wfi_json_piece_is_null(&s.args) && wf_json_type(s.args.value) != WF_JSON_ARRAY) ||
        (!wfi_json_piece_is_null(&s.kwargs) && wf_json_type(s.kwargs.value) != WF_JSON_OBJECT) ||
        (!wfi_json_piece_is_null(&s.options) && wf_json_type(s.options.value) != WF_JSON_OBJECT) ||
        (wf_json_type(immutable) != WF_JSON_NULL && wf_json_bool(immutable, &s.immutable)))
        return wf_error_set(reterr, WF_EPARSE, "the signature of %.100s has not the form of one",
                            s.task);
    *ret = s;
    return 0;
}

static void write_end(struct wf_json_writer *w, const struct wfi_json_piece *options,
                      const char *subtask_type, bool immutable)
{
    wfi_member_piece(w, "options", options, "{}");
    wfi_member_text(w, "subtask_type", subtask_type);
    wf_json_write_key(w, "immutable");
    wf_json_write_bool(w, immutable);
    wf_json_write_end(w);
}

void wfi_signature_write(struct wf_json_writer *w, const struct wfi_signature *s)
{
    wf_json_write_object(w);
    wfi_member_text(w, "task", s->task);
    wfi_member_piece(w, "args", &s->args, "[]");
    wfi_member_piece(w, "kwargs", &s->kwargs, "{}");
    write_end(w, &s->options, s->subtask_type, s->immutable);
}

static void write_tasks(struct wf_json_writer *w, const char *name, const char *subtask_type,
                        const struct wfi_json_piece *tasks, size_t count,
                        const struct wfi_json_piece *options)
{
    wf_json_write_object(w);
    wfi_member_text(w, "task", name);
    wfi_member_piece(w, "args", NULL, "[]");
    wf_json_write_key(w, "kwargs");
    wf_json_write_object(w);
    wf_json_write_key(w, "tasks");
    wf_json_write_array(w);
    for (size_t i = 0; i < count; i++)
        wfi_json_write_piece(w, &tasks[i], "null");
    wf_json_write_end(w);
    wf_json_write_end(w);
    write_end(w, options, subtask_type, false);
}

void wfi_signature_write_group(struct wf_json_writer *w, const struct wfi_json_piece *tasks,
                               size_t count, const struct wfi_json_piece *options)
{
    write_tasks(w, names[WFI_SIGNATURE_GROUP], "group", tasks, count, options);
}

void wfi_signature_write_chain(struct wf_json_writer *w, const struct wfi_json_piece *tasks,
                               size_t count, const struct wfi_json_piece *options)
{
    write_tasks(w, names[WFI_SIGNATURE_CHAIN], "chain", tasks, count, options);
}

void wfi_signature_write_chord(struct wf_json_writer *w, const struct wfi_json_piece *header,
                               size_t count, const struct wfi_json_piece *body,
                               const struct wfi_json_piece *options)
{
    wf_json_write_object(w);
    wfi_member_text(w, "task", names[WFI_SIGNATURE_CHORD]);
    wfi_member_piece(w, "args", NULL, "[]");
    wf_json_write_key(w, "kwargs");
    wf_json_write_object(w);
    wfi_member_piece(w, "kwargs", NULL, "{}");
    wf_json_write_key(w, "header");
    wfi_signature_write_group(w, header, count, NULL);
    wfi_member_piece(w, "body", body, "null");
    wf_json_write_end(w);
    write_end(w, options, "chord", false);
}

static bool is_key(const struct wf_json_value *member, const char *name)
{
    size_t len = 0;
    const char *key = wf_json_key(member, &len);
    return strlen(name) == len && memcmp(key, name, len) == 0;
}

static void write_options(struct wf_json_writer *w, const struct wf_json_value *old,
                          const struct wfi_signature_option *options, size_t count)
{
    wf_json_write_object(w);
    for (size_t i = 0; i < wf_json_count(old); i++) {
        const struct wf_json_value *member = wf_json_at(old, i);
        size_t len = 0, k = 0;
        const char *key = wf_json_key(member, &len);
        while (k < count && !is_key(member, options[k].name))
            k++;
        if (k < count)
            continue;
        wf_json_write_key_bytes(w, key, len);
        wf_json_write_value(w, member);
    }
    for (size_t k = 0; k < count; k++)
        wfi_member_piece(w, options[k].name, &options[k].value, "null");
    wf_json_write_end(w);
}

void wfi_signature_write_with(struct wf_json_writer *w, const struct wf_json_value *signature,
                              const struct wfi_signature_option *options, size_t count)
{
    bool found = false;

    wf_json_write_object(w);
    for (size_t i = 0; i < wf_json_count(signature); i++) {
        const struct wf_json_value *member = wf_json_at(signature, i);
        size_t len = 0;
        const char *key = wf_json_key(member, &len);
        const bool is_options = is_key(member, "options");
        if (is_options && found)
            continue; /* twice in one object: the last one counts, and was written */
        wf_json_write_key_bytes(w, key, len);
        if (is_options)
            write_options(w, wf_json_get(signature, "options"), options, count);
        else
            wf_json_write_value(w, member);
        found |= is_options;
    }
    if (!found) {
        wf_json_write_key(w, "options");
        write_options(w, NULL, options, count);
    }
    wf_json_write_end(w);
}

const struct wf_json_value *wfi_signature_option(const struct wf_json_value *signature,
                                                 const char *name)
{
    const struct wf_json_value *value = wf_json_get(wf_json_get(signature, "options"), name);
    return wf_json_type(value) == WF_JSON_NULL ? NULL : value;
}
