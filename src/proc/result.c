/* SPDX-License-Identifier: MIT */
/*
 * Mapped results are few and large, so they are kept in one table under a lock; a word says when
 * there is none, which is the common case of a free.
 */
#include "proc/result.h"

#include <errno.h>

#include <weft/json.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/list.h"
#include "os/lock.h"
#include "os/region.h"
#include "os/socket.h"
#include "proc/parcel.h"

struct mapped {
    struct wfi_link link;
    const void *ptr;
    void *at;
    size_t bytes;
    int fd;
};

static struct {
    struct wfi_lock lock;
    struct wfi_list list;
    WFI_ATOMIC(uint32_t) count;
    size_t hand_over_from;
} results;

void wfi_result_hand_over_from(size_t bytes)
{
    results.hand_over_from = bytes;
}

bool wfi_result_is_ours(const struct wf_task_type *type)
{
    return (type->result_kind == WF_PARAM_STRING && type->drop_result == wf_drop_string) ||
           (type->result_kind == WF_PARAM_BYTES && type->drop_result == wf_drop_bytes);
}

int wfi_result_adopt(const void *ptr, void *at, size_t bytes, int fd)
{
    struct mapped *mapped = wfi_alloc(sizeof *mapped);
    if (!mapped)
        return -ENOMEM;
    *mapped = (struct mapped){.ptr = ptr, .at = at, .bytes = bytes, .fd = fd};
    wfi_lock_lock(&results.lock);
    wfi_list_push_back(&results.list, &mapped->link);
    wfi_fetch_add(&results.count, 1);
    wfi_lock_unlock(&results.lock);
    return 0;
}

/* Takes it out of the table if `take`, and if it can be handed over where that is asked. */
static struct mapped *find(const void *ptr, bool take, bool with_fd)
{
    struct mapped *found = NULL;
    if (!ptr || !wfi_load(&results.count))
        return NULL;
    wfi_lock_lock(&results.lock);
    struct wfi_link *link = wfi_list_first(&results.list);
    for (; link && !found; link = wfi_list_next(&results.list, link)) {
        struct mapped *mapped = wfi_container_of(link, struct mapped, link);
        if (mapped->ptr == ptr && (!with_fd || mapped->fd >= 0))
            found = mapped;
    }
    if (found && take) {
        wfi_list_remove(&found->link);
        wfi_fetch_sub(&results.count, 1);
    }
    wfi_lock_unlock(&results.lock);
    return found;
}

int wfi_result_hand_over(const void *ptr, size_t *ret_bytes)
{
    struct mapped *mapped = find(ptr, true, true);
    if (!mapped)
        return -1;
    int fd = mapped->fd;
    *ret_bytes = mapped->bytes;
    wfi_region_unmap(mapped->at, mapped->bytes);
    wfi_free(mapped);
    return fd;
}

void *wfi_result_mapping(const void *ptr)
{
    struct mapped *mapped = find(ptr, false, true);
    return mapped ? mapped->at : NULL;
}

void *wf_result_alloc(struct wf_task *self, size_t bytes)
{
    (void)self;
    if (!results.hand_over_from || bytes < results.hand_over_from)
        return wfi_alloc(bytes);
    size_t whole = WFI_ANSWER_CONTENTS + (bytes + 7) / 8 * 8;
    int fd = wfi_region_create(whole);
    if (fd < 0)
        return wfi_alloc(bytes); /* the heap may have what descriptors have not */
    unsigned char *at = wfi_region_map(fd, whole, true);
    if (!at || wfi_result_adopt(at + WFI_ANSWER_CONTENTS, at, whole, fd)) {
        wfi_region_unmap(at, whole);
        wfi_fd_close(fd);
        return wfi_alloc(bytes);
    }
    return at + WFI_ANSWER_CONTENTS;
}

void wf_result_free(const void *ptr)
{
    struct mapped *mapped = find(ptr, true, false);
    if (!mapped) {
        wfi_free((void *)(uintptr_t)ptr);
        return;
    }
    wfi_region_unmap(mapped->at, mapped->bytes);
    if (mapped->fd >= 0)
        wfi_fd_close(mapped->fd);
    wfi_free(mapped);
}

void wf_drop_string(void *result)
{
    wf_result_free(*(char **)result);
}

void wf_drop_bytes(void *result)
{
    wf_result_free(((wf_bytes *)result)->ptr);
}

void wf_drop_json(void *result)
{
    wf_json_destroy(*(struct wf_json **)result);
}
