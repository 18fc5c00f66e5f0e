/* An intrusive doubly linked list. A link that is on no list points at itself (or is all zero). */
#ifndef BASE_LIST_H
#define BASE_LIST_H
#include "base/check.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l || l->next == NULL;
}
static inline void list_add_last(struct list *head, struct list *l)
{
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
}
static inline void list_add_first(struct list *head, struct list *l)
{
    list_add_last(head->next, l);
}
/** Fine for a link that is on no list. */
static inline void list_remove(struct list *l)
{
    if (!l->next)
        return;
    l->next->prev = l->prev;
    l->prev->next = l->next;
    list_init(l);
}

#endif
