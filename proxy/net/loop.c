/* One thread's belongings. */
#include "net/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/net_internal.h"

#define KEEP_CHUNKS                                                                                \
    256u /* 4 MB: what a few uploads hold for replay is not asked of the heap again */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *l = arg;
    wheel_turn(&l->wheel, loop_now(l));
    links_listen(l);
    links_flush(l);
}

void loop_flush(struct loop *l)
{
    l->in_pass = true;
    links_flush(l);
    l->in_pass = false;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *l = arg;
    loop_now(l);
    loop_flush(l);
}

enum err loop_create(struct loop **ret)
{
    struct loop *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    list_init(&l->dirty);
    list_init(&l->unheard);
    list_init(&l->finishing);
    l->in = mem_alloc(LOOP_READ_BYTES);
    l->plain = mem_alloc(CHUNK_BYTES + 256);
    l->out = mem_alloc(LOOP_WRITE_BYTES);
    struct event_config *cfg = event_config_new();
    if (cfg) {
        event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
        l->base = event_base_new_with_config(cfg);
        event_config_free(cfg);
    }
    /* Priority 0 is for idle pooled connections: what became of them is known before any request of
     * the same turn runs (upstream/pool). */
    if (!l->in || !l->plain || !l->out || !l->base || event_base_priority_init(l->base, 2) != 0 ||
        later_create(l->base, &l->later) != ERR_OK || !links_init(l)) {
        loop_destroy(l);
        return ERR_NOMEM;
    }
    l->now_ms = clock_mono_ms();
    wheel_init(&l->wheel, l->now_ms);
    static const struct timeval every = {0, WHEEL_TICK_MS * 1000};
    l->tick = event_new(l->base, -1, EV_PERSIST, on_tick, l);
    l->flush = event_new(l->base, -1, 0, on_flush, l);
    if (!l->tick || !l->flush || event_add(l->tick, &every) != 0) {
        loop_destroy(l);
        return ERR_NOMEM;
    }
    *ret = l;
    return ERR_OK;
}

void loop_destroy(struct loop *l)
{
    if (!l)
        return;
    if (l->base)
        links_end(l);
    later_destroy_list(l->later);
    while (l->free_chunks) {
        struct chunk *c = l->free_chunks;
        l->free_chunks = c->next;
        mem_free(c);
    }
    if (l->tick)
        event_free(l->tick);
    if (l->flush)
        event_free(l->flush);
    if (l->base)
        event_base_free(l->base);
    links_finish(l);
    mem_free(l->in);
    mem_free(l->plain);
    mem_free(l->out);
    mem_free(l);
}

uint64_t loop_now(struct loop *l)
{
    l->now_ms = clock_mono_ms();
    return l->now_ms;
}

struct chunk *chunk_get(struct loop *l)
{
    struct chunk *c = l->free_chunks;
    if (c) {
        l->free_chunks = c->next;
        l->free_count--;
    } else {
        c = mem_alloc(sizeof *c);
        if (!c) {
            l->oom++;
            return NULL;
        }
    }
    c->next = NULL;
    c->from = c->to = 0;
    return c;
}

void chunk_put(struct loop *l, struct chunk *c)
{
    if (l->free_count >= KEEP_CHUNKS) {
        mem_free(c);
        return;
    }
    c->next = l->free_chunks;
    l->free_chunks = c;
    l->free_count++;
}
