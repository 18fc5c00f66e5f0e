/* The pool. A connection is idle (in a list, at priority 0 so that its end is known before any
 * request of the same turn), busy (an exchange holds it), or waiting (dialling, shaking hands).
 *
 * Reuse rule: the request was fully sent, the answer was framed and fully read, no byte is left in
 * any buffer, nobody said close, no parse error, no early answer (session_is_idle and
 * link_has_unread know). The zero-byte look before reuse is the event base's: a connection that has
 * data or an end since the last turn is taken out before others run, and one parked in this turn
 * was read empty in this turn. */
#include "upstream/pool.h"

#include "base/check.h"
#include "base/mem.h"
#include "tls/tls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 64u
#define DISCARD_MAX (64u * 1024u)
#define DISCARD_MS 5000u
#define BACK_MAGIC MAGIC('b', 'a', 'c', 'k')

struct back {
    uint32_t magic;
    struct pool *pool;
    struct authority to;
    bool is_tls, is_reused, is_idle, is_dead;
    struct pump pump;
    struct back_wait *wait;
    struct list in_bucket, in_age; /* while idle */
    struct deadline deadline;
    const char *why;
    size_t discarded;
    struct later_link later;
};

struct back_wait {
    struct back *back;
    struct dial *dial;
    pool_cb cb;
    void *arg;
    struct deadline deadline;
    struct later_link later;
    bool is_over;
};

struct pool {
    struct pool_conf conf;
    struct list buckets[BUCKETS]; /* newest first */
    struct list discards;         /* swallowing a refused answer */
    struct list by_age;           /* oldest first */
    struct pool_stats stats;
};

static uint32_t bucket_of(const struct authority *a, bool is_tls)
{
    uint32_t h = 2166136261u ^ a->port ^ (uint32_t)is_tls << 16;
    for (size_t i = 0; i < a->host_len; i++)
        h = (h ^ (unsigned char)a->host[i]) * 16777619u;
    return h % BUCKETS;
}

/* ---- one connection ---- */

static void free_back(struct later_link *later)
{
    struct back *b = container_of(later, struct back, later);
    session_destroy(b->pump.session); /* not before: it may have been inside feed */
    b->magic = 0;
    mem_free(b);
}

static void leave_idle(struct back *b)
{
    if (!b->is_idle)
        return;
    b->is_idle = false;
    list_remove(&b->in_bucket);
    list_remove(&b->in_age);
    deadline_clear(&b->deadline);
    b->pool->stats.idle--;
}

static void destroy(struct back *b, bool clean)
{
    if (b->is_dead)
        return;
    b->is_dead = true;
    leave_idle(b);
    list_remove(&b->in_age);
    deadline_clear(&b->deadline);
    if (b->pump.link)
        link_destroy(b->pump.link, clean);
    b->pool->stats.open--;
    later_destroy(b->pool->conf.dialer.loop->later, &b->later, free_back);
}

void back_destroy(struct back *b)
{
    if (b)
        destroy(b, false);
}

static void wait_over(struct back_wait *w, enum err e, const char *why);

static void on_back_ready(struct pump *p)
{
    struct back *b = obj_from(p->owner, BACK_MAGIC);
    if (b->wait)
        wait_over(b->wait, ERR_OK, NULL);
}

static void on_back_fault(struct pump *p)
{
    struct back *b = obj_from(p->owner, BACK_MAGIC);
    b->why = p->session->fault.reason;
    if (b->is_idle)
        destroy(b, false);
    else
        link_pause(p->link);
}

static void on_back_end(struct pump *p, enum err e, const char *why)
{
    struct back *b = obj_from(p->owner, BACK_MAGIC);
    if (!b->why)
        b->why = why;
    if (b->wait)
        wait_over(b->wait, e == ERR_OK ? ERR_CLOSED : e, why);
    else if (b->is_idle)
        destroy(b, true);
}

static const struct pump_ops back_ops = {
    .on_ready = on_back_ready, .on_fault = on_back_fault, .on_end = on_back_end};

static const struct session_sink no_sink = {0};

bool back_is_reused(const struct back *b)
{
    return b->is_reused;
}

const char *back_why(const struct back *b)
{
    return b->why ? b->why : "closed";
}

struct stream *back_open(struct back *b)
{
    return b->is_dead ? NULL : session_open(b->pump.session);
}

/* ---- waiting for a new one ---- */

static void free_wait(struct later_link *later)
{
    mem_free(container_of(later, struct back_wait, later));
}

static void end_wait(struct back_wait *w)
{
    w->is_over = true;
    deadline_clear(&w->deadline);
    dial_cancel(w->dial);
    w->dial = NULL;
    later_destroy(w->back->pool->conf.dialer.loop->later, &w->later, free_wait);
}

static void wait_over(struct back_wait *w, enum err e, const char *why)
{
    struct back *b = w->back;
    pool_cb cb = w->cb;
    void *arg = w->arg;
    end_wait(w);
    b->wait = NULL;
    if (e != ERR_OK) {
        b->pool->stats.dial_failures++;
        destroy(b, false);
        b = NULL;
    }
    cb(arg, e, why, b);
}

void pool_cancel(struct back_wait *w)
{
    if (!w || w->is_over)
        return;
    struct back *b = w->back;
    end_wait(w);
    b->wait = NULL;
    destroy(b, false);
}

static void on_wait_deadline(struct deadline *d)
{
    struct back_wait *w = container_of(d, struct back_wait, deadline);
    wait_over(w, ERR_TIMEOUT, w->back->pump.link ? "tls_timeout" : "connect_timeout");
}

static enum err start_tls(struct back *b)
{
    char key[HOST_MAX + 16];
    SSL *ssl;
    authority_print(&b->to, key, sizeof key);
    enum err e = tls_client_new(b->pool->conf.tls, authority_host(&b->to), slice_of(key), &ssl);
    if (e != ERR_OK)
        return e;
    return link_start_tls(b->pump.link, ssl, false, NULL, 0);
}

static const char *dial_word(enum err e)
{
    switch ((int)e) {
    case ERR_UNRESOLVED:
        return "unresolved";
    case ERR_DENIED:
        return "address_denied";
    case ERR_TIMEOUT:
        return "connect_timeout";
    case ERR_LIMIT:
        return "no_descriptors";
    default:
        return "connect_refused";
    }
}

static void on_dialed(void *arg, enum err e, int fd)
{
    struct back_wait *w = arg;
    struct back *b = w->back;
    w->dial = NULL;
    if (e != ERR_OK) {
        wait_over(w, e, dial_word(e));
        return;
    }
    struct link *l = link_create(b->pool->conf.dialer.loop, fd, &pump_link_ops, &b->pump);
    if (!l) {
        wait_over(w, ERR_NOMEM, "memory");
        return;
    }
    struct session *s = h1_create(ROLE_CLIENT, &b->pool->conf.limits, &b->pump.outlet, &no_sink, b);
    pump_attach(&b->pump, l, s, &back_ops, b);
    if (!s) {
        wait_over(w, ERR_NOMEM, "memory");
    } else if (!b->is_tls) {
        wait_over(w, ERR_OK, NULL);
    } else {
        e = start_tls(b);
        if (e != ERR_OK)
            wait_over(w, e, "memory");
    }
}

static void on_back_deadline(struct deadline *d)
{
    destroy(container_of(d, struct back, deadline), true);
}

static struct back *back_create(struct pool *p, const struct authority *to, bool is_tls)
{
    struct back *b = mem_calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->magic = BACK_MAGIC;
    b->pool = p;
    b->to = *to;
    b->is_tls = is_tls;
    b->deadline.fire = on_back_deadline;
    pump_init(&b->pump);
    p->stats.open++;
    return b;
}

static enum err start_wait(struct back *b, pool_cb cb, void *arg, struct back_wait **ret)
{
    struct pool *p = b->pool;
    struct back_wait *w = mem_calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    *w = (struct back_wait){.back = b, .cb = cb, .arg = arg};
    w->deadline.fire = on_wait_deadline;
    enum err e = dial_start(&p->conf.dialer, &b->to, on_dialed, w, &w->dial);
    if (e != ERR_OK) {
        mem_free(w);
        return e;
    }
    p->stats.dials++;
    b->wait = w;
    struct loop *loop = p->conf.dialer.loop;
    deadline_set(&loop->wheel, &w->deadline, loop->now_ms + p->conf.handshake_ms);
    *ret = w;
    return ERR_OK;
}

/* ---- the pool's verbs ---- */

static struct back *take_idle(struct pool *p, const struct authority *to, bool is_tls)
{
    struct list *head = &p->buckets[bucket_of(to, is_tls)];
    for (struct list *l = head->next; l != head; l = l->next) {
        struct back *b = container_of(l, struct back, in_bucket);
        if (b->is_tls != is_tls || !authority_eq(&b->to, to))
            continue;
        leave_idle(b);
        link_set_idle(b->pump.link, false);
        b->is_reused = true;
        b->why = NULL;
        p->stats.reuses++;
        return b;
    }
    return NULL;
}

enum err pool_acquire(struct pool *p, const struct authority *to, bool is_tls, bool fresh_only,
                      pool_cb cb, void *arg, struct back **ret_back, struct back_wait **ret_wait)
{
    struct back *b = fresh_only ? NULL : take_idle(p, to, is_tls);
    if (b) {
        *ret_back = b;
        return ERR_OK;
    }
    b = back_create(p, to, is_tls);
    if (!b)
        return ERR_NOMEM;
    enum err e = start_wait(b, cb, arg, ret_wait);
    if (e != ERR_OK) {
        destroy(b, false);
        return e;
    }
    return ERR_AGAIN;
}

static uint32_t count_idle(struct pool *p, const struct authority *to, bool is_tls)
{
    uint32_t n = 0;
    struct list *head = &p->buckets[bucket_of(to, is_tls)];
    for (struct list *l = head->next; l != head; l = l->next) {
        const struct back *b = container_of(l, struct back, in_bucket);
        n += b->is_tls == is_tls && authority_eq(&b->to, to);
    }
    return n;
}

void pool_release(struct back *b)
{
    struct pool *p = b->pool;
    struct loop *loop = p->conf.dialer.loop;
    if (b->is_dead)
        return;
    struct link *l = b->pump.link;
    if (b->why || !session_is_idle(b->pump.session) || l->state != LINK_OPEN ||
        link_has_unread(l) || link_queued(l) || l->saw_eof || l->is_write_broken ||
        p->conf.idle_total == 0 || p->conf.idle_per_host == 0 ||
        (p->stats.idle >= p->conf.idle_per_host &&
         count_idle(p, &b->to, b->is_tls) >= p->conf.idle_per_host)) {
        destroy(b, true);
        return;
    }
    if (p->stats.idle >= p->conf.idle_total)
        destroy(container_of(p->by_age.next, struct back, in_age), true);
    b->is_idle = true;
    p->stats.idle++;
    link_resume(l);
    link_set_idle(l, true);
    list_add_first(&p->buckets[bucket_of(&b->to, b->is_tls)], &b->in_bucket);
    list_add_last(&p->by_age, &b->in_age);
    deadline_set(&loop->wheel, &b->deadline, loop->now_ms + p->conf.keepalive_ms);
}

void pool_drain(struct pool *p)
{
    while (!list_empty(&p->by_age))
        destroy(container_of(p->by_age.next, struct back, in_age), true);
}

/* ---- swallowing an answer ---- */

static void discard_head(struct stream *st, const struct head *h, bool end)
{
    (void)st;
    (void)h;
    (void)end;
}

static void discard_body(struct stream *st, const void *p, size_t n, bool end)
{
    (void)p;
    (void)end;
    struct back *b = obj_from(st->owner, BACK_MAGIC);
    b->discarded += n;
    if (b->discarded > DISCARD_MAX)
        stream_reset(st);
    else
        stream_credit(st, n);
}

static void discard_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static void discard_close(struct stream *st, enum why why)
{
    struct back *b = obj_from(st->owner, BACK_MAGIC);
    list_remove(&b->in_age);
    deadline_clear(&b->deadline);
    list_remove(&b->in_age);
    if (why == WHY_DONE)
        pool_release(b);
    else
        destroy(b, false);
}

static const struct stream_sink discard_sink = {.on_head = discard_head,
                                                .on_body = discard_body,
                                                .on_sent = discard_sent,
                                                .on_close = discard_close};

void back_discard(struct back *b, struct stream *st)
{
    struct loop *loop = b->pool->conf.dialer.loop;
    st->sink = &discard_sink;
    st->owner = b;
    b->discarded = 0;
    list_add_last(&b->pool->discards, &b->in_age);
    deadline_set(&loop->wheel, &b->deadline, loop->now_ms + DISCARD_MS);
}

/* ---- life of the pool ---- */

enum err pool_create(const struct pool_conf *c, struct pool **ret)
{
    struct pool *p = mem_calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->conf = *c;
    list_init(&p->by_age);
    list_init(&p->discards);
    for (uint32_t i = 0; i < BUCKETS; i++)
        list_init(&p->buckets[i]);
    *ret = p;
    return ERR_OK;
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    pool_drain(p);
    while (!list_empty(&p->discards)) {
        struct back *b = container_of(p->discards.next, struct back, in_age);
        list_remove(&b->in_age);
        destroy(b, false);
    }
    mem_free(p);
}

void pool_set_policy(struct pool *p, const struct policy *policy)
{
    p->conf.dialer.policy = policy;
    pool_drain(p);
}

void pool_stats(const struct pool *p, struct pool_stats *ret)
{
    *ret = p->stats;
}
