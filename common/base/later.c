/* The list of objects whose time has come. */
#include "base/later.h"

#include "base/mem.h"

#include <event2/event.h>
#include <stddef.h>

struct later {
    struct later_link *first;
    struct event *timer;
};

static void drain(struct later *list)
{
    while (list->first) {
        struct later_link *l = list->first;
        list->first = l->next;
        l->destroy(l);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    drain(arg);
}

enum err later_create(struct event_base *base, struct later **ret)
{
    struct later *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->timer = event_new(base, -1, 0, on_timer, l);
    if (!l->timer) {
        mem_free(l);
        return ERR_NOMEM;
    }
    *ret = l;
    return ERR_OK;
}

void later_destroy_list(struct later *l)
{
    if (!l)
        return;
    drain(l);
    event_free(l->timer);
    mem_free(l);
}

void later_destroy(struct later *list, struct later_link *l, void (*destroy)(struct later_link *))
{
    l->destroy = destroy;
    l->next = list->first;
    if (!list->first) {
        static const struct timeval now = {0, 0};
        event_add(list->timer, &now);
    }
    list->first = l;
}
