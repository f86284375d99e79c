/* SPDX-License-Identifier: MIT */
/*
 * Objects that are loaded into the process: the program, libraries, modules of dlopen(3).
 */
#ifndef WFI_OS_MODULE_H
#define WFI_OS_MODULE_H

#include <stdbool.h>
#include <stddef.h>

/* A build-id is 20 bytes as a rule; longer ones are cut. */
enum { WFI_MODULE_ID_BYTES = 32 };

struct wfi_module {
    const void *base;
    const char *path;                      /* as it was loaded; the system's */
    unsigned char id[WFI_MODULE_ID_BYTES]; /* its build-id, zero behind; all zero: it has none */
};

/* The object that an address lies in. Returns false when it lies in none. */
bool wfi_module_at(const void *address, struct wfi_module *ret_module);

/* Calls fn with the base address of every object that is loaded now. */
void wfi_module_each(void (*fn)(const void *base, void *arg), void *arg);

/* Whether there is a file, not a folder, that may be read. */
bool wfi_module_is_file(const char *path);

/* Loads a module whose names stay its own. Returns a handle, or NULL, and why in `why`. */
void *wfi_module_open(const char *path, char *why, size_t why_bytes);
void wfi_module_close(void *handle);
void *wfi_module_symbol(void *handle, const char *name);

/* Loads a module, for good. Returns false, and why in `why`, when it cannot be loaded. */
bool wfi_module_load(const char *path, char *why, size_t why_bytes);

#endif
