/* SPDX-License-Identifier: MIT */
#include "celery/message/node_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct sign {
    char letter;
    const char *text;
    int len;
};

/* `what` names the text in an error. */
static int expand(const char *what, const char *text, const struct sign *signs, size_t count,
                  char *out, size_t size, struct wf_error *reterr)
{
    size_t len = 0;
    for (const char *at = text; *at; at++) {
        struct sign part = {.text = at, .len = 1};
        if (*at == '%') {
            at++;
            size_t i = 0;
            while (i < count && signs[i].letter != *at)
                i++;
            if (i == count)
                return wf_error_set(reterr, -EINVAL, "%s \"%.100s\": %%%c is no sign for anything",
                                    what, text, *at ? *at : ' ');
            part = signs[i];
        }
        int n = snprintf(out + len, size - len, "%.*s", part.len, part.text);
        if (n < 0 || (size_t)n >= size - len)
            return wf_error_set(reterr, -EINVAL, "%s \"%.100s\" is too long", what, text);
        len += (size_t)n;
    }
    return len ? 0 : wf_error_set(reterr, -EINVAL, "%s is empty", what);
}

int wfi_node_name(const char *text, const char *host, char ret[WFI_NODE_NAME_BYTES],
                  struct wf_error *reterr)
{
    const size_t bare = strcspn(host, ".");
    const char *domain = host[bare] ? host + bare + 1 : "";
    const struct sign signs[] = {{'h', host, (int)strlen(host)},
                                 {'n', host, (int)bare},
                                 {'d', domain, (int)strlen(domain)},
                                 {'%', "%", 1}};
    char name[WFI_NODE_NAME_BYTES], whole[WFI_NODE_NAME_BYTES];
    int err =
        expand("the worker's name", text ? text : "celery", signs, 4, name, sizeof name, reterr);
    if (err)
        return err;
    const char *at = strchr(name, '@');
    int n = snprintf(whole, sizeof whole, "%s%s%s%s", at == name ? "celery" : "", name,
                     at ? "" : "@", at ? "" : host);
    if (n < 0 || (size_t)n >= sizeof whole)
        return wf_error_set(reterr, -EINVAL, "the worker's name \"%.100s\" is too long", name);
    memcpy(ret, whole, (size_t)n + 1);
    return 0;
}

int wfi_node_file(const char *text, const char *node, char *ret, size_t size,
                  struct wf_error *reterr)
{
    const size_t name = strcspn(node, "@");
    const char *host = node[name] ? node + name + 1 : node;
    const size_t bare = strcspn(host, ".");
    const char *domain = host[bare] ? host + bare + 1 : "";
    const struct sign signs[] = {{'h', host, (int)strlen(host)},
                                 {'n', node, (int)name},
                                 {'d', domain, (int)strlen(domain)},
                                 {'p', node, (int)strlen(node)},
                                 {'i', "0", 1},
                                 {'I', "", 0},
                                 {'%', "%", 1}};
    return expand("the file name", text, signs, sizeof signs / sizeof *signs, ret, size, reterr);
}
