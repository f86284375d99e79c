/* SPDX-License-Identifier: MIT */
#include "celery/worker/revoked.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static struct wfi_revoked_id *id_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct wfi_revoked_id, link);
}

static bool same(const void *value, const void *key, size_t len)
{
    const char *text = ((const struct wfi_revoked_id *)value)->text;
    return strlen(text) == len && memcmp(text, key, len) == 0;
}

void wfi_revoked_init(struct wfi_revoked *revoked, uint64_t seed)
{
    *revoked = (struct wfi_revoked){.map = {.same = same, .seed = seed}, .max = WFI_REVOKED_MAX};
}

static void forget(struct wfi_revoked *revoked, struct wfi_revoked_id *id)
{
    wfi_list_remove(&id->link);
    (void)wfi_map_remove(&revoked->map, id->text, strlen(id->text));
    wfi_free(id);
}

void wfi_revoked_fini(struct wfi_revoked *revoked)
{
    for (struct wfi_link *link; (link = wfi_list_first(&revoked->order));)
        forget(revoked, id_of(link));
    wfi_map_reset(&revoked->map);
}

size_t wfi_revoked_purge(struct wfi_revoked *revoked, int64_t now_ns)
{
    for (struct wfi_link *link; (link = wfi_list_first(&revoked->order));) {
        if (revoked->map.count <= revoked->max && now_ns - id_of(link)->at_ns < WFI_REVOKED_NS)
            break;
        forget(revoked, id_of(link));
    }
    return revoked->map.count;
}

int wfi_revoked_add(struct wfi_revoked *revoked, const char *text, int64_t now_ns)
{
    const size_t len = strlen(text);
    struct wfi_revoked_id *id = wfi_map_find(&revoked->map, text, len);
    if (id) {
        wfi_list_remove(&id->link);
    } else {
        id = wfi_alloc(sizeof *id + len + 1);
        if (!id)
            return -ENOMEM;
        *id = (struct wfi_revoked_id){0};
        memcpy(id->text, text, len + 1);
        if (wfi_map_put(&revoked->map, text, len, id)) {
            wfi_free(id);
            return -ENOMEM;
        }
    }
    id->at_ns = now_ns;
    wfi_list_push_back(&revoked->order, &id->link);
    (void)wfi_revoked_purge(revoked, now_ns);
    return 0;
}

bool wfi_revoked_has(struct wfi_revoked *revoked, const char *text, int64_t now_ns)
{
    const struct wfi_revoked_id *id = wfi_map_find(&revoked->map, text, strlen(text));
    return id && now_ns - id->at_ns < WFI_REVOKED_NS;
}

struct wfi_revoked_id *wfi_revoked_next(const struct wfi_revoked *revoked,
                                        const struct wfi_revoked_id *id)
{
    struct wfi_link *link =
        id ? wfi_list_next(&revoked->order, &id->link) : wfi_list_first(&revoked->order);
    return link ? id_of(link) : NULL;
}
