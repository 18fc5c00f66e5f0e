/* A hashed wheel whose entries are looked at again when their slot comes up. */
#include "base/wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->tick = now_ms / WHEEL_TICK_MS;
}

static void place(struct wheel *w, struct deadline *d)
{
    uint64_t tick = d->at_ms / WHEEL_TICK_MS + 1;
    if (tick <= w->tick)
        tick = w->tick + 1;
    if (tick > w->tick + WHEEL_SLOTS - 1) /* far away: looked at again when this slot comes */
        tick = w->tick + WHEEL_SLOTS - 1;
    list_add_last(&w->slots[tick % WHEEL_SLOTS], &d->link);
}

void deadline_set(struct wheel *w, struct deadline *d, uint64_t at_ms)
{
    bool was_set = d->at_ms != 0 && !list_empty(&d->link);
    uint64_t before = d->at_ms;
    d->at_ms = at_ms ? at_ms : 1;
    if (was_set && d->at_ms >= before)
        return; /* the old slot comes first, and will move it */
    list_remove(&d->link);
    place(w, d);
}

void deadline_clear(struct deadline *d)
{
    list_remove(&d->link);
    d->at_ms = 0;
}

static void turn_slot(struct wheel *w, struct list *slot, uint64_t now_ms)
{
    struct list due;
    list_init(&due);
    while (!list_empty(slot)) {
        struct list *l = slot->next;
        list_remove(l);
        list_add_last(&due, l);
    }
    while (!list_empty(&due)) {
        struct deadline *d = container_of(due.next, struct deadline, link);
        list_remove(&d->link);
        if (d->at_ms > now_ms) {
            place(w, d);
            continue;
        }
        d->at_ms = 0;
        d->fire(d);
    }
}

void wheel_turn(struct wheel *w, uint64_t now_ms)
{
    uint64_t last = now_ms / WHEEL_TICK_MS;
    if (last > w->tick + WHEEL_SLOTS) /* we slept: once around is enough */
        w->tick = last - WHEEL_SLOTS;
    while (w->tick < last) {
        w->tick++;
        turn_slot(w, &w->slots[w->tick % WHEEL_SLOTS], now_ms);
    }
}
