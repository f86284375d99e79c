/* SPDX-License-Identifier: MIT */
/*
 * The ids of tasks that are not to run: as many as Celery keeps, WFI_REVOKED_MAX, for as long as it
 * does, WFI_REVOKED_NS. The oldest make room for new ones. Pure; guarded by its owner.
 */
#ifndef WFI_CELERY_REVOKED_H
#define WFI_CELERY_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

#define WFI_REVOKED_MAX 50000
#define WFI_REVOKED_NS (INT64_C(3) * 3600 * 1000000000)

struct wfi_revoked_id {
    struct wfi_link link; /* the oldest first */
    int64_t at_ns;
    char text[];
};

struct wfi_revoked {
    struct wfi_map map;
    struct wfi_list order;
    size_t max; /* WFI_REVOKED_MAX, but for tests */
};

/* `seed` is anything that a sender of ids cannot know. Times are of wf_now(), here and below. */
void wfi_revoked_init(struct wfi_revoked *revoked, uint64_t seed);
void wfi_revoked_fini(struct wfi_revoked *revoked);

/* Adds an id, or makes it the youngest. Returns 0 or -ENOMEM. */
int wfi_revoked_add(struct wfi_revoked *revoked, const char *id, int64_t now_ns);

bool wfi_revoked_has(struct wfi_revoked *revoked, const char *id, int64_t now_ns);

/* Forgets those that are too old. Returns how many are left. */
size_t wfi_revoked_purge(struct wfi_revoked *revoked, int64_t now_ns);

/* The id that is the next younger, the oldest for NULL; NULL behind the youngest. */
struct wfi_revoked_id *wfi_revoked_next(const struct wfi_revoked *revoked,
                                        const struct wfi_revoked_id *id);

#endif
