/* The only crossing between threads: letters, delivered on the thread that runs the mailbox's event
 * base. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H
#include "base/err.h"

#include <stdbool.h>

struct event_base;
struct mailbox;

/* Embedded in whatever is sent; the sender gives it up. */
struct letter {
    struct letter *next;
    void (*deliver)(struct letter *l); /* frees (or keeps) what holds the letter */
};

/** Thread: the one that runs BASE, before or while it runs. */
enum err mailbox_create(struct event_base *base, struct mailbox **ret) NODISCARD;
/** Delivers what is left, then frees. No one may post any more. */
void mailbox_destroy(struct mailbox *m);
/** In order for each poster. One system call only when the box was empty. Thread: any. */
void mailbox_post(struct mailbox *m, struct letter *l);

#endif
