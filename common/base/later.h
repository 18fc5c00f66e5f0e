/* Nobody destroys an object inside its own callback: it goes on a list that a zero timer drains in
 * the next turn of the loop (an event of lower priority would starve on a busy one). One list for
 * each thread. */
#ifndef BASE_LATER_H
#define BASE_LATER_H
#include "base/err.h"

struct event_base;
struct later;

struct later_link {
    struct later_link *next;
    void (*destroy)(struct later_link *l);
};

enum err later_create(struct event_base *base, struct later **ret) NODISCARD;
/** Destroys what waits, then frees. */
void later_destroy_list(struct later *l);
/** L's destroy runs in the next turn; L must not be queued already. */
void later_destroy(struct later *list, struct later_link *l, void (*destroy)(struct later_link *));

#endif
