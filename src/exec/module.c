/* SPDX-License-Identifier: MIT */
/*
 * Loading modules. While one is loaded the registry of tasks collects what is wrong, instead of
 * ending the program; the module is then closed again, and its destructors take its tasks out.
 *
 * `loading` is held over all of it, so that what the registry counts is one module's.
 */
#include <weft/module.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "exec/type.h"
#include "os/lock.h"
#include "os/module.h"

#define PATH_BYTES 4096

struct wf_module {
    struct wfi_link link;
    void *handle;
    char path[]; /* as it was loaded */
};

static struct wfi_lock loading;
static struct wfi_list modules; /* under the lock */

static bool ends_so(const char *name)
{
    const size_t len = strlen(name);
    return len > 3 && strcmp(name + len - 3, ".so") == 0;
}

/* FOLDER/NAME or FOLDER/NAME.so, if it is there. */
static bool try_file(const char *folder, size_t folder_len, const char *name, char path[PATH_BYTES])
{
    int n = snprintf(path, PATH_BYTES, "%.*s%s%s%s", (int)folder_len, folder, folder_len ? "/" : "",
                     name, ends_so(name) ? "" : ".so");
    return n > 0 && n < PATH_BYTES && wfi_module_is_file(path);
}

static int find_file(const char *name, char path[PATH_BYTES], struct wf_error *reterr)
{
    const char *folders = getenv("WEFT_TASK_PATH");
    if (!name[0] || strlen(name) >= PATH_BYTES)
        return wf_error_set(reterr, -EINVAL, "the name of a module is empty, or too long");
    if (strchr(name, '/')) {
        if (snprintf(path, PATH_BYTES, "%s", name) > 0 && wfi_module_is_file(path))
            return 0;
        if (!ends_so(name) && try_file("", 0, name, path))
            return 0;
        return wf_error_set(reterr, -ENOENT, "module %.300s: there is no such file", name);
    }
    if (try_file(".", 1, name, path))
        return 0;
    for (const char *at = folders; at && *at;) {
        size_t len = strcspn(at, ":");
        if (len && try_file(at, len, name, path))
            return 0;
        at += len + (at[len] == ':');
    }
    return wf_error_set(reterr, -ENOENT,
                        "module %.200s: there is no %.100s%s in this folder, nor %s", name, name,
                        ends_so(name) ? "" : ".so",
                        folders && *folders ? "along WEFT_TASK_PATH" : "is WEFT_TASK_PATH set");
}

static struct wf_module *known(const void *handle)
{
    for (struct wfi_link *l = wfi_list_first(&modules); l; l = wfi_list_next(&modules, l)) {
        struct wf_module *module = wfi_container_of(l, struct wf_module, link);
        if (module->handle == handle)
            return module;
    }
    return NULL;
}

/* dlopen's text on one line, without the path in front if it stands there. */
static int cannot(const char *path, const char *why, struct wf_error *reterr)
{
    const size_t len = strlen(path);
    if (strncmp(why, path, len) == 0 && strncmp(why + len, ": ", 2) == 0)
        why += len + 2;
    int err = wf_error_set(reterr, -ENOEXEC, "module %.200s: %s", path, why);
    for (char *at = reterr ? reterr->text : NULL; at && *at; at++)
        if (*at == '\n')
            *at = ' ';
    return err;
}

static int load(const char *path, struct wf_module **ret_module, struct wf_error *reterr)
{
    char why[256];
    struct wf_error wrong = {0};
    struct wf_module *module = wfi_zalloc(sizeof *module + strlen(path) + 1);
    if (!module)
        return wf_error_set(reterr, -ENOMEM, NULL);
    strcpy(module->path, path);
    wfi_task_loading_begin();
    module->handle = wfi_module_open(path, why, sizeof why);
    const size_t count = wfi_task_loading_end(&wrong);
    if (!module->handle) {
        wfi_free(module);
        return cannot(path, why, reterr);
    }
    struct wf_module *before = known(module->handle);
    if (!before && !wrong.code && !count)
        wf_error_set(&wrong, -ENOMSG,
                     "it registers no task with this libweft (has it none, or a libweft of its "
                     "own, linked statically?)");
    if (before || wrong.code) {
        wfi_module_close(module->handle);
        wfi_free(module);
    } else {
        wfi_list_push_back(&modules, &module->link);
        before = module;
    }
    if (!wrong.code) {
        *ret_module = before;
        return 0;
    }
    if (reterr) {
        *reterr = wrong;
        wf_error_prefix(reterr, "module %.200s", path);
    }
    return wrong.code;
}

int wf_module_load(const char *name, struct wf_module **ret_module, struct wf_error *reterr)
{
    char path[PATH_BYTES];
    int err = find_file(name, path, reterr);
    if (err)
        return err;
    wfi_lock_lock(&loading);
    err = load(path, ret_module, reterr);
    wfi_lock_unlock(&loading);
    return err;
}

void *wf_module_symbol(const struct wf_module *module, const char *name)
{
    return wfi_module_symbol(module->handle, name);
}

const char *wf_module_path(const struct wf_module *module)
{
    return module->path;
}
