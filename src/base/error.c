/* SPDX-License-Identifier: MIT */
#include <weft/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    const char *name, *text;
} table[] = {
#define ROW(name, number, text) {number, #name, text},
    WF_ERROR_MAP(ROW)
#undef ROW
};

const char *wf_strerror(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].text;
    if (code == 0)
        return "success";
    if (code == -EPIPE)
        return "closed";
    const char *text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
    return text ? text : "unknown error";
}

const char *wf_error_name(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].name;
    const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
    return name ? name : "unknown";
}

int wf_error_set(struct wf_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    memset(err, 0, sizeof *err);
    err->code = code;
    if (!format) {
        snprintf(err->text, sizeof err->text, "%s", wf_strerror(code));
        return code;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

int wf_error_prefix(struct wf_error *err, const char *format, ...)
{
    if (!err)
        return 0;
    char text[2 * sizeof err->text];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof err->text, format, args);
    va_end(args);
    if (len < 0)
        return err->code;
    if ((size_t)len >= sizeof err->text)
        len = sizeof err->text - 1;
    snprintf(text + len, sizeof text - (size_t)len, ": %s", err->text);
    memcpy(err->text, text, sizeof err->text - 1);
    err->text[sizeof err->text - 1] = '\0';
    return err->code;
}
