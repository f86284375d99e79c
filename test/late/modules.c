/* SPDX-License-Identifier: MIT */
/*
 * Loading modules: by path, by name and along WEFT_TASK_PATH, and each way in which it fails.
 *
 *     modules FOLDER      which holds what meson.build makes of module.c and wrong.c
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/module.h>
#include <weft/task.h>

static int bad;

static void expect(bool right, const char *what, const char *shown)
{
    if (right)
        return;
    printf("FAILED: %s: %s\n", what, shown);
    bad = 1;
}

/* Refused with this code and a text, on one line, that has both parts. */
static void refused(const char *name, int code, const char *part, const char *other)
{
    struct wf_module *module = NULL;
    struct wf_error error = {0};
    int err = wf_module_load(name, &module, &error);
    expect(err == code && error.code == code && !module, name, wf_error_name(err));
    expect(strstr(error.text, part) && strstr(error.text, other), name, error.text);
    expect(!strchr(error.text, '\n'), name, error.text);
    printf("%s\n", error.text);
}

/* The first bytes of the module, at most so many, as a file of this name. */
static void cut(const char *folder, const char *name, size_t bytes)
{
    static char text[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/late_module.so", folder);
    FILE *in = fopen(path, "rb"), *out = fopen(name, "wb");
    const size_t len = in ? fread(text, 1, bytes < sizeof text ? bytes : sizeof text, in) : 0;
    expect(in && out && len == bytes && fwrite(text, 1, len, out) == len, name, "cannot be made");
    if (in)
        fclose(in);
    expect(!out || fclose(out) == 0, name, "cannot be written");
}

/* Files that are no modules, or parts of one, are refused and not mapped. */
static void refuse_pieces(const char *folder)
{
    char name[] = "/tmp/weft_modules_XXXXXX";
    const int fd = mkstemp(name);
    static const struct {
        size_t bytes;
        const char *why;
    } cases[] = {{0, "no shared object"}, {20, "no shared object"}, {64, "cut short"},
                 {100, "cut short"},      {3000, "cut short"},      {8192, "cut short"}};
    expect(fd >= 0, name, "cannot be made");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cut(folder, name, cases[i].bytes);
        refused(name, -ENOEXEC, name, cases[i].why);
    }
    FILE *script = fopen(name, "w");
    for (int i = 0; i < 100; i++)
        fputs("# no shared object\n", script);
    fclose(script);
    refused(name, -ENOEXEC, name, "no shared object");
    close(fd);
    remove(name);
}

int main(int argc, char **argv)
{
    char path[4096];
    struct wf_module *module = NULL, *again = NULL;
    struct wf_error error = {0};
    if (argc != 2 || unsetenv("WEFT_TASK_PATH"))
        return 2;
    refused("late_module", -ENOENT, "late_module.so", "nor is WEFT_TASK_PATH set");
    refused("/nowhere/late_module", -ENOENT, "/nowhere/late_module", "no such file");
    refused("", -EINVAL, "name", "empty");
    setenv("WEFT_TASK_PATH", "/nowhere", 1);
    refused("late_module", -ENOENT, "late_module.so", "along WEFT_TASK_PATH");

    snprintf(path, sizeof path, "/nowhere::%s", argv[1]);
    setenv("WEFT_TASK_PATH", path, 1);
    expect(!wf_task_find("late_task"), "late_task", "it is here already");
    expect(wf_module_load("late_module", &module, &error) == 0, "along the path", error.text);
    if (!module)
        return 1;
    const struct wf_task_type *type = wf_task_find("late_task");
    const int *number = wf_module_symbol(module, "late_number");
    expect(type && number && *number == 12, "its symbol", "another");
    expect(!wf_module_symbol(module, "no_such_symbol"), "a symbol", "it is there");
    snprintf(path, sizeof path, "%s/late_module.so", argv[1]);
    expect(strcmp(wf_module_path(module), path) == 0, "its path", wf_module_path(module));
    expect(wf_module_load(path, &again, &error) == 0 && again == module, "again", error.text);

    refused("wrong_twice", -EEXIST, "module.c:", "wrong.c:");
    expect(!wf_task_find("wrong_other") && wf_task_find("late_task") == type, "what is refused",
           "it left something behind");
    refused("wrong_abi.so", -ESTALE, "old.c:7", "another weft");
    refused("wrong_symbol", -ENOEXEC, "wrong_symbol.so", "wrong_nowhere");
    refused("wrong_empty", -ENOMSG, "wrong_empty.so", "no task");
    refuse_pieces(argv[1]);

    expect(chdir(argv[1]) == 0 && unsetenv("WEFT_TASK_PATH") == 0, "chdir", argv[1]);
    expect(wf_module_load("late_module", &again, &error) == 0 && again == module, "in the folder",
           error.text);
    expect(wf_module_load("./late_module", &again, &error) == 0 && again == module, "without .so",
           error.text);
    return bad;
}
