/* Deadlines, coarse on purpose: setting or moving one is a few stores, no system call and no heap.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H
#include "base/list.h"

#include <stdint.h>

#define WHEEL_TICK_MS 128
#define WHEEL_SLOTS 512

struct deadline {
    struct list link;
    uint64_t at_ms; /* monotonic; 0: not set */
    void (*fire)(struct deadline *d);
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t tick; /* all slots up to this one have been looked at */
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/** Fires not before AT_MS and at most two ticks after it. A deadline that is moved later stays
 * where it is until its old slot comes up. D->fire must be set. Thread: the wheel's. */
void deadline_set(struct wheel *w, struct deadline *d, uint64_t at_ms);
void deadline_clear(struct deadline *d);
/** Fires what is due. FIRE may set and clear any deadline. */
void wheel_turn(struct wheel *w, uint64_t now_ms);

#endif
