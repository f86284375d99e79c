/* SPDX-License-Identifier: MIT */
/*
 * Modules: shared objects that bring tasks with them, loaded while a program runs.
 *
 *     struct wf_module *module;
 *     if (wf_module_load("./tasks.so", &module, &error))
 *         ... error.text is one line ...
 *     const struct wf_task_type *add = wf_task_find("add");
 *
 * A module is compiled with -shared -fPIC and linked with libweft as a shared library: with a
 * libweft of its own its tasks would be unknown here. What WF_TASK_DEFINE defines in it can be
 * found by name, and run on every engine.
 */
#ifndef WEFT_MODULE_H
#define WEFT_MODULE_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_module;

/*
 * Loads a module, for good: it stays until the program ends. Loading it again gives the same one.
 *
 * name   a path, if there is a slash in it; else NAME.so (or NAME, where it ends so) is looked for
 *        in the current folder, then in each folder that the environment's WEFT_TASK_PATH names,
 *        with colons between them
 *
 * Returns 0, or, with nothing of the module left behind,
 *   -ENOENT    there is no such file
 *   -ENOEXEC   it cannot be loaded: it is no shared object, or lacks something that it needs
 *   -EEXIST    it defines a task of a name that is taken; the text names both places
 *   -ESTALE    it was compiled with headers of another version of weft
 *   -ENOMSG    it registers no task
 *   -EINVAL    the name is empty, or too long
 *   -ENOMEM
 * Context: thread or fiber; any number of callers, one after another. Reads files, and runs the
 * constructors of what it loads.
 */
WF_API int wf_module_load(const char *name, struct wf_module **ret_module, struct wf_error *reterr);

/*
 * The address of an object or function that the module itself exports, or NULL. Libraries that it
 * is linked with are looked at, too.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API void *wf_module_symbol(const struct wf_module *module, const char *name);

/*
 * The path that it was loaded from.
 * Context: any, never blocks.
 */
WF_API const char *wf_module_path(const struct wf_module *module);

WF_END_DECLS

#endif
