/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list: a ring through a head. The element embeds a wfi_link; the owner of
 * the list guards it. A link that is in no list points to itself or is zeroed.
 */
#ifndef WFI_BASE_LIST_H
#define WFI_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct wfi_link {
    struct wfi_link *next, *prev;
};

struct wfi_list {
    struct wfi_link head; /* zeroed means empty, so that static and zeroed lists need no call */
};

static inline void wfi_list_init(struct wfi_list *list)
{
    list->head.next = list->head.prev = &list->head;
}

static inline bool wfi_list_empty(const struct wfi_list *list)
{
    return list->head.next == NULL || list->head.next == &list->head;
}

static inline void wfi_list_push_back(struct wfi_list *list, struct wfi_link *link)
{
    if (!list->head.next)
        wfi_list_init(list);
    link->prev = list->head.prev;
    link->next = &list->head;
    list->head.prev->next = link;
    list->head.prev = link;
}

static inline void wfi_list_push_front(struct wfi_list *list, struct wfi_link *link)
{
    if (!list->head.next)
        wfi_list_init(list);
    link->next = list->head.next;
    link->prev = &list->head;
    list->head.next->prev = link;
    list->head.next = link;
}

static inline bool wfi_link_linked(const struct wfi_link *link)
{
    return link->next != NULL;
}

/* Takes `link` out of its list; harmless on a link that is in none. */
static inline void wfi_list_remove(struct wfi_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

static inline struct wfi_link *wfi_list_first(const struct wfi_list *list)
{
    return wfi_list_empty(list) ? NULL : list->head.next;
}

static inline struct wfi_link *wfi_list_next(const struct wfi_list *list,
                                             const struct wfi_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}

static inline struct wfi_link *wfi_list_pop_front(struct wfi_list *list)
{
    struct wfi_link *link = wfi_list_first(list);
    if (link)
        wfi_list_remove(link);
    return link;
}

#endif
