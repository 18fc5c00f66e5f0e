/* Between the files of net/. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H
#include "net/loop.h"

bool links_init(struct loop *l);
void links_finish(struct loop *l);
/* Cuts those that nobody owns any more and that still finish. */
void links_end(struct loop *l);
/* Sends what the pass has put; again until nothing is dirty. */
void links_flush(struct loop *l);
/* The same as the last thing in this turn of the loop. */
void links_flush_soon(struct loop *l);
void loop_flush(struct loop *l);
/* Has the peer of a paused link gone? A look at some of them. */
void links_listen(struct loop *l);

#endif
