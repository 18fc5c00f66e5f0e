/* Letters under a short lock; an eventfd wakes the reader. */
#include "base/mailbox.h"

#include "base/check.h"
#include "base/mem.h"

#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    pthread_mutex_t lock; /* guards first and last */
    struct letter *first, **last;
    struct event *wake;
    int fd;
};

static void deliver_all(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct letter *l = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    while (l) {
        struct letter *next = l->next;
        l->deliver(l);
        l = next;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    eventfd_t n;
    (void)!eventfd_read(fd, &n);
    deliver_all(arg);
}

enum err mailbox_create(struct event_base *base, struct mailbox **ret)
{
    struct mailbox *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->last = &m->first;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    m->wake = m->fd < 0 ? NULL : event_new(base, m->fd, EV_READ | EV_PERSIST, on_wake, m);
    if (!m->wake || event_add(m->wake, NULL) != 0 || pthread_mutex_init(&m->lock, NULL) != 0) {
        if (m->wake)
            event_free(m->wake);
        if (m->fd >= 0)
            close(m->fd);
        mem_free(m);
        return ERR_IO;
    }
    *ret = m;
    return ERR_OK;
}

void mailbox_destroy(struct mailbox *m)
{
    if (!m)
        return;
    deliver_all(m);
    event_free(m->wake);
    close(m->fd);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

void mailbox_post(struct mailbox *m, struct letter *l)
{
    l->next = NULL;
    pthread_mutex_lock(&m->lock);
    bool was_empty = m->first == NULL;
    *m->last = l;
    m->last = &l->next;
    pthread_mutex_unlock(&m->lock);
    if (was_empty)
        (void)!eventfd_write(m->fd, 1);
}
