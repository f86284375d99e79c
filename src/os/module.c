/* SPDX-License-Identifier: MIT */
#include "os/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct search {
    const void *address;
    struct wfi_module *module;
    bool found;
};

static void read_notes(const struct dl_phdr_info *info, const ElfW(Phdr) * segment,
                       struct wfi_module *module)
{
    const unsigned char *at = (const unsigned char *)info->dlpi_addr + segment->p_vaddr;
    const unsigned char *end = at + segment->p_memsz;
    while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name = (note.n_namesz + 3u) & ~3u, desc = (note.n_descsz + 3u) & ~3u;
        at += sizeof note;
        if (name + desc > (size_t)(end - at))
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at, "GNU", 4) == 0) {
            size_t bytes = note.n_descsz < sizeof module->id ? note.n_descsz : sizeof module->id;
            memcpy(module->id, at + name, bytes);
            return;
        }
        at += name + desc;
    }
}

static int look(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    (void)bytes;
    struct search *search = arg;
    uintptr_t address = (uintptr_t)search->address;
    for (int i = 0; i < info->dlpi_phnum && !search->found; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + segment->p_vaddr;
        search->found =
            segment->p_type == PT_LOAD && address >= low && address - low < segment->p_memsz;
    }
    if (!search->found)
        return 0;
    memset(search->module, 0, sizeof *search->module);
    search->module->base = (const void *)info->dlpi_addr;
    search->module->path = info->dlpi_name;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            read_notes(info, &info->dlpi_phdr[i], search->module);
    return 1;
}

bool wfi_module_at(const void *address, struct wfi_module *ret_module)
{
    struct search search = {.address = address, .module = ret_module};
    dl_iterate_phdr(look, &search);
    return search.found;
}

struct walk {
    void (*fn)(const void *base, void *arg);
    void *arg;
};

static int visit(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    (void)bytes;
    struct walk *walk = arg;
    walk->fn((const void *)info->dlpi_addr, walk->arg);
    return 0;
}

void wfi_module_each(void (*fn)(const void *base, void *arg), void *arg)
{
    struct walk walk = {fn, arg};
    dl_iterate_phdr(visit, &walk);
}

bool wfi_module_is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && !S_ISDIR(about.st_mode) && access(path, R_OK) == 0;
}

/*
 * The loader maps what the headers promise, so that a file that was cut, or is still being copied,
 * ends the program with SIGBUS. Returns NULL, or what is wrong with it; else dlopen says that.
 */
static const char *look_at_file(int fd)
{
    struct stat about;
    ElfW(Ehdr) head;
    ElfW(Phdr) segment;
    if (fstat(fd, &about) || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no shared object";
    for (unsigned i = 0; head.e_phentsize == sizeof segment && i < head.e_phnum; i++) {
        const uint64_t at = head.e_phoff + i * sizeof segment;
        if (at > INT64_MAX ||
            pread(fd, &segment, sizeof segment, (off_t)at) != (ssize_t)sizeof segment ||
            segment.p_offset > (uint64_t)about.st_size ||
            segment.p_filesz > (uint64_t)about.st_size - segment.p_offset)
            return "the file is cut short";
    }
    return NULL;
}

static void *open_module(const char *path, int flags, char *why, size_t why_bytes)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *wrong = fd < 0 ? NULL : look_at_file(fd);
    if (fd >= 0)
        close(fd);
    if (wrong) {
        snprintf(why, why_bytes, "%s", wrong);
        return NULL;
    }
    void *handle = dlopen(path, RTLD_NOW | flags);
    const char *text = handle ? NULL : dlerror();
    if (!handle)
        snprintf(why, why_bytes, "%s", text ? text : path);
    return handle;
}

void *wfi_module_open(const char *path, char *why, size_t why_bytes)
{
    return open_module(path, RTLD_LOCAL, why, why_bytes);
}

void wfi_module_close(void *handle)
{
    dlclose(handle);
}

void *wfi_module_symbol(void *handle, const char *name)
{
    return dlsym(handle, name);
}

bool wfi_module_load(const char *path, char *why, size_t why_bytes)
{
    return open_module(path, RTLD_GLOBAL, why, why_bytes) != NULL;
}
