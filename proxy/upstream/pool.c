/* The pool. A connection dials (its waiters share it when the host is known to speak HTTP/2), is
 * idle (in a list, at priority 0 so that its end is known before any request of the same turn), or
 * in use: by one exchange over HTTP/1, by many over HTTP/2. What an exchange holds is a lease.
 *
 * Reuse rule: the request was fully sent, the answer was framed and fully read, no byte is left in
 * any buffer, nobody said close, no parse error, no early answer (session_is_idle and
 * link_has_unread know). The zero-byte look before reuse is the event base's: a connection that has
 * data or an end since the last turn is taken out before others run, and one parked in this turn
 * was read empty in this turn. HTTP/2 needs no such rule: a stream cannot be taken for another. */
#include "upstream/pool.h"

#include "base/check.h"
#include "base/mem.h"
#include "http/h2.h"
#include "tls/tls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 64u
#define WAITERS_MAX 100u /* for one connection that dials */
#define DISCARD_MAX (64u * 1024u)
#define DISCARD_MS 5000u
#define CONN_MAGIC MAGIC('c', 'o', 'n', 'n')
#define BACK_MAGIC MAGIC('b', 'a', 'c', 'k')

struct conn;

/* A lease: an exchange's part of a connection. Over HTTP/1 there is one at a time, which lies in
 * the connection. */
struct back {
    uint32_t magic;
    struct conn *conn;
    bool is_reused;
    /* while a refused answer is swallowed */
    struct stream *unwanted;
    struct list in_discards;
    struct deadline deadline;
    size_t discarded;
};

struct conn {
    uint32_t magic;
    struct pool *pool;
    struct authority to;
    bool is_tls, is_h2, is_ready, is_idle, is_dead;
    bool offers_h2;
    bool is_spent; /* takes no more; goes with its last user */
    struct pump pump;
    struct dial *dial;
    struct list waiters; /* until it is ready */
    uint32_t waiter_count;
    uint32_t users;      /* leases */
    struct list in_host; /* of its bucket: dialling, idle, or HTTP/2 */
    struct list in_age;  /* while idle */
    struct deadline deadline;
    const char *why;
    struct later_link later;
    struct back own; /* the lease of one that speaks HTTP/1 */
};

struct back_wait {
    struct conn *conn;
    struct list in_conn;
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
    struct list by_age;           /* idle ones, oldest first */
    struct {
        struct authority to;
        bool is_h2;
    } known[BUCKETS]; /* what a host lately chose; one for each bucket */
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

static void free_conn(struct later_link *later)
{
    struct conn *c = container_of(later, struct conn, later);
    session_destroy(c->pump.session); /* not before: it may have been inside feed */
    c->magic = 0;
    mem_free(c);
}

static void leave_idle(struct conn *c)
{
    if (!c->is_idle)
        return;
    c->is_idle = false;
    list_remove(&c->in_age);
    deadline_clear(&c->deadline);
    c->pool->stats.idle--;
}

/* What HTTP/2 still has to say (RST_STREAM, and why it goes) leaves first. */
static void let_go(struct conn *c, bool clean)
{
    struct link *l = c->pump.link;
    if (l && c->is_h2 && link_queued(l)) {
        c->pump.link = NULL; /* it outlives us */
        link_finish(l, true);
    } else if (l) {
        link_destroy(l, clean);
    }
}

static void destroy(struct conn *c, bool clean)
{
    if (c->is_dead)
        return;
    c->is_dead = true;
    leave_idle(c);
    list_remove(&c->in_host);
    deadline_clear(&c->deadline);
    dial_cancel(c->dial);
    c->dial = NULL;
    let_go(c, clean);
    c->pool->stats.open--;
    later_destroy(c->pool->conf.dialer.loop->later, &c->later, free_conn);
}

/* Nobody new gets it; whoever has a part of it may finish. */
static void retire(struct conn *c, bool clean)
{
    list_remove(&c->in_host);
    c->is_spent = true;
    if (c->users == 0)
        destroy(c, clean);
}

static void ready(struct conn *c);
static void failed(struct conn *c, enum err e, const char *why);

static const struct session_sink h1_sink = {0};

static void on_h2_finished(struct session *s)
{
    retire(obj_from(s->owner, CONN_MAGIC), true);
}

static const struct session_sink h2_sink = {.on_finished = on_h2_finished};

static const struct pump_ops conn_ops;

/* After TLS: the protocol that the host chose. */
static void on_conn_ready(struct pump *p)
{
    struct conn *c = obj_from(p->owner, CONN_MAGIC);
    struct pool *pool = c->pool;
    if (c->is_ready)
        return;
    uint32_t bucket = bucket_of(&c->to, c->is_tls);
    c->is_h2 = c->is_tls && tls_chose_h2(p->link->ssl);
    if (c->offers_h2) {
        pool->known[bucket].to = c->to;
        pool->known[bucket].is_h2 = c->is_h2;
    }
    struct session *s =
        c->is_h2 ? h2_create(ROLE_CLIENT, &pool->conf.limits, &c->pump.outlet, &h2_sink, c)
                 : h1_create(ROLE_CLIENT, &pool->conf.limits, &c->pump.outlet, &h1_sink, c);
    pump_attach(&c->pump, p->link, s, &conn_ops, c);
    if (s)
        ready(c);
    else
        failed(c, ERR_NOMEM, "memory");
}

static void on_conn_fault(struct pump *p)
{
    struct conn *c = obj_from(p->owner, CONN_MAGIC);
    c->why = p->session->fault.reason;
    if (c->is_h2 || c->is_idle)
        retire(c, false);
    else
        link_pause(p->link);
}

static void on_conn_end(struct pump *p, enum err e, const char *why)
{
    struct conn *c = obj_from(p->owner, CONN_MAGIC);
    if (!c->why)
        c->why = why;
    if (!c->is_ready)
        failed(c, e == ERR_OK ? ERR_CLOSED : e, why);
    else if (c->is_idle || c->is_h2)
        retire(c, e == ERR_OK);
}

static const struct pump_ops conn_ops = {
    .on_ready = on_conn_ready, .on_fault = on_conn_fault, .on_end = on_conn_end};

/* ---- leases ---- */

static struct back *lease(struct conn *c, bool is_reused)
{
    struct back *b = c->is_h2 ? mem_alloc(sizeof *b) : &c->own;
    if (!b)
        return NULL;
    CHECK(c->is_h2 || c->users == 0);
    *b = (struct back){.magic = BACK_MAGIC, .conn = c, .is_reused = is_reused};
    list_init(&b->in_discards);
    leave_idle(c);
    link_set_idle(c->pump.link, false);
    if (!c->is_h2)
        list_remove(&c->in_host);
    c->users++;
    return b;
}

/* The lease ends. Returns the connection. */
static struct conn *end_lease(struct back *b)
{
    struct conn *c = b->conn;
    list_remove(&b->in_discards);
    deadline_clear(&b->deadline);
    c->users--;
    b->magic = 0;
    if (c->is_h2)
        mem_free(b);
    return c;
}

static uint32_t count_idle(struct pool *p, const struct authority *to, bool is_tls)
{
    uint32_t n = 0;
    struct list *head = &p->buckets[bucket_of(to, is_tls)];
    for (struct list *l = head->next; l != head; l = l->next) {
        const struct conn *c = container_of(l, struct conn, in_host);
        n += c->is_idle && c->is_tls == is_tls && authority_eq(&c->to, to);
    }
    return n;
}

static bool may_stay(struct conn *c)
{
    struct pool *p = c->pool;
    const struct link *l = c->pump.link;
    return !c->why && !c->is_spent && session_is_idle(c->pump.session) && l->state == LINK_OPEN &&
           !link_has_unread(l) && !l->saw_eof && !l->is_write_broken && !l->is_failed &&
           (c->is_h2 || !link_queued(l)) && p->conf.idle_total > 0 && p->conf.idle_per_host > 0 &&
           (p->stats.idle < p->conf.idle_per_host ||
            count_idle(p, &c->to, c->is_tls) < p->conf.idle_per_host);
}

/* Nobody uses it. */
static void park(struct conn *c)
{
    struct pool *p = c->pool;
    struct loop *loop = p->conf.dialer.loop;
    if (!may_stay(c)) {
        destroy(c, true);
        return;
    }
    if (p->stats.idle >= p->conf.idle_total)
        destroy(container_of(p->by_age.next, struct conn, in_age), true);
    c->is_idle = true;
    p->stats.idle++;
    link_resume(c->pump.link);
    link_set_idle(c->pump.link, true);
    list_remove(&c->in_host);
    list_add_first(&p->buckets[bucket_of(&c->to, c->is_tls)], &c->in_host);
    list_add_last(&p->by_age, &c->in_age);
    deadline_set(&loop->wheel, &c->deadline, loop->now_ms + p->conf.keepalive_ms);
}

void pool_release(struct back *b)
{
    struct conn *c = end_lease(b);
    if (!c->is_dead && c->users == 0)
        park(c);
}

void back_destroy(struct back *b)
{
    if (!b)
        return;
    struct conn *c = end_lease(b);
    if (!c->is_h2)
        destroy(c, false);
    else if (!c->is_dead && c->users == 0)
        park(c); /* its stream was broken off; the others have nothing to do with it */
}

void back_distrust(struct back *b)
{
    if (b->conn->is_h2 && !b->conn->is_dead)
        retire(b->conn, false);
}

bool back_is_reused(const struct back *b)
{
    return b->is_reused;
}

bool back_is_h2(const struct back *b)
{
    return b->conn->is_h2;
}

const char *back_why(const struct back *b)
{
    return b->conn->why ? b->conn->why : "closed";
}

struct stream *back_open(struct back *b)
{
    return b->conn->is_dead ? NULL : session_open(b->conn->pump.session);
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
    list_remove(&w->in_conn);
    w->conn->waiter_count--;
    later_destroy(w->conn->pool->conf.dialer.loop->later, &w->later, free_wait);
}

static void wait_over(struct back_wait *w, enum err e, const char *why, struct back *b)
{
    pool_cb cb = w->cb;
    void *arg = w->arg;
    end_wait(w);
    cb(arg, e, why, b);
}

static struct back_wait *first_waiter(struct conn *c)
{
    return list_empty(&c->waiters) ? NULL
                                   : container_of(c->waiters.next, struct back_wait, in_conn);
}

static void failed(struct conn *c, enum err e, const char *why)
{
    c->pool->stats.dial_failures++;
    c->is_ready = true; /* no more of this */
    destroy(c, false);
    for (struct back_wait *w; (w = first_waiter(c)) != NULL;)
        wait_over(w, e, why, NULL);
}

static struct conn *conn_create(struct pool *p, const struct authority *to, bool is_tls,
                                bool offers_h2);
static enum err start_dial(struct conn *c);

/* It waited for a connection that turned out to have no room for it. */
static void wait_for_another(struct back_wait *w)
{
    struct conn *old = w->conn, *c = conn_create(old->pool, &old->to, old->is_tls, old->offers_h2);
    list_remove(&w->in_conn);
    old->waiter_count--;
    enum err e = c ? start_dial(c) : ERR_NOMEM;
    w->conn = c ? c : old;
    list_add_last(&w->conn->waiters, &w->in_conn);
    w->conn->waiter_count++;
    if (e == ERR_OK)
        return;
    if (c)
        destroy(c, false);
    wait_over(w, e, "memory", NULL);
}

static void ready(struct conn *c)
{
    bool is_first = true;
    c->is_ready = true;
    if (!c->is_h2)
        list_remove(&c->in_host);
    for (struct back_wait *w; (w = first_waiter(c)) != NULL; is_first = false) {
        bool has_room = !c->is_dead && !c->is_spent && (is_first || c->is_h2) &&
                        session_has_room(c->pump.session);
        if (!has_room) {
            wait_for_another(w);
            continue;
        }
        struct back *b = lease(c, false);
        wait_over(w, b ? ERR_OK : ERR_NOMEM, b ? NULL : "memory", b);
    }
    if (!c->is_dead && !c->is_idle && c->users == 0)
        park(c);
}

void pool_cancel(struct back_wait *w)
{
    if (!w || w->is_over)
        return;
    struct conn *c = w->conn;
    end_wait(w);
    if (!c->is_ready && list_empty(&c->waiters))
        destroy(c, false);
}

static void on_wait_deadline(struct deadline *d)
{
    struct back_wait *w = container_of(d, struct back_wait, deadline);
    struct conn *c = w->conn;
    const char *why = c->pump.link ? "tls_timeout" : "connect_timeout";
    bool is_last = c->waiter_count == 1;
    c->pool->stats.dial_failures += is_last;
    if (is_last)
        destroy(c, false);
    wait_over(w, ERR_TIMEOUT, why, NULL);
}

static enum err start_tls(struct conn *c)
{
    char key[HOST_MAX + 16];
    SSL *ssl;
    authority_print(&c->to, key, sizeof key);
    enum err e = tls_client_new(c->pool->conf.tls, authority_host(&c->to), slice_of(key),
                                c->offers_h2, &ssl);
    if (e != ERR_OK)
        return e;
    return link_start_tls(c->pump.link, ssl, false, NULL, 0);
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
    struct conn *c = arg;
    c->dial = NULL;
    if (e != ERR_OK) {
        failed(c, e, dial_word(e));
        return;
    }
    struct link *l = link_create(c->pool->conf.dialer.loop, fd, &pump_link_ops, &c->pump);
    if (!l) {
        failed(c, ERR_NOMEM, "memory");
        return;
    }
    pump_attach(&c->pump, l, NULL, &conn_ops, c);
    if (!c->is_tls) {
        on_conn_ready(&c->pump);
    } else {
        e = start_tls(c);
        if (e != ERR_OK)
            failed(c, e, "memory");
    }
}

static void on_conn_deadline(struct deadline *d)
{
    destroy(container_of(d, struct conn, deadline), true);
}

static struct conn *conn_create(struct pool *p, const struct authority *to, bool is_tls,
                                bool offers_h2)
{
    struct conn *c = mem_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->magic = CONN_MAGIC;
    c->pool = p;
    c->to = *to;
    c->is_tls = is_tls;
    c->offers_h2 = offers_h2;
    c->deadline.fire = on_conn_deadline;
    list_init(&c->waiters);
    list_init(&c->in_host);
    list_init(&c->in_age);
    pump_init(&c->pump);
    p->stats.open++;
    return c;
}

static enum err start_dial(struct conn *c)
{
    struct pool *p = c->pool;
    enum err e = dial_start(&p->conf.dialer, &c->to, on_dialed, c, &c->dial);
    if (e != ERR_OK)
        return e;
    p->stats.dials++;
    list_add_first(&p->buckets[bucket_of(&c->to, c->is_tls)], &c->in_host);
    return ERR_OK;
}

static enum err add_waiter(struct conn *c, pool_cb cb, void *arg, struct back_wait **ret)
{
    struct pool *p = c->pool;
    struct back_wait *w = mem_calloc(1, sizeof *w);
    if (!w)
        return ERR_NOMEM;
    *w = (struct back_wait){.conn = c, .cb = cb, .arg = arg};
    w->deadline.fire = on_wait_deadline;
    list_add_last(&c->waiters, &w->in_conn);
    c->waiter_count++;
    struct loop *loop = p->conf.dialer.loop;
    deadline_set(&loop->wheel, &w->deadline, loop->now_ms + p->conf.handshake_ms);
    *ret = w;
    return ERR_OK;
}

/* ---- the pool's verbs ---- */

/* One that can take a request now; and one that dials and will be able to, when there is none. */
static struct conn *look(struct pool *p, const struct authority *to, bool is_tls,
                         struct conn **ret_dialling)
{
    uint32_t bucket = bucket_of(to, is_tls);
    struct list *head = &p->buckets[bucket];
    /* A host that was never asked may speak HTTP/2: the first handshake tells for all. */
    bool may_share = is_tls && (p->known[bucket].is_h2 || !authority_eq(&p->known[bucket].to, to));
    *ret_dialling = NULL;
    for (struct list *l = head->next; l != head; l = l->next) {
        struct conn *c = container_of(l, struct conn, in_host);
        if (c->is_tls != is_tls || !authority_eq(&c->to, to))
            continue;
        if (c->is_idle || (c->is_ready && c->is_h2 && session_has_room(c->pump.session)))
            return c;
        if (!c->is_ready && may_share && c->offers_h2 && c->waiter_count < WAITERS_MAX)
            *ret_dialling = c;
    }
    return NULL;
}

enum err pool_acquire(struct pool *p, const struct authority *to, unsigned how, pool_cb cb,
                      void *arg, struct back **ret_back, struct back_wait **ret_wait)
{
    bool is_tls = how & POOL_TLS, offers_h2 = is_tls && p->conf.http2 && !(how & POOL_HTTP1);
    struct conn *dialling = NULL, *c = how & POOL_FRESH ? NULL : look(p, to, is_tls, &dialling);
    if (c) {
        struct back *b = lease(c, true);
        if (!b)
            return ERR_NOMEM;
        if (!c->is_h2)
            c->why = NULL;
        p->stats.reuses++;
        *ret_back = b;
        return ERR_OK;
    }
    if (dialling) {
        enum err e = add_waiter(dialling, cb, arg, ret_wait);
        return e == ERR_OK ? ERR_AGAIN : e;
    }
    c = conn_create(p, to, is_tls, offers_h2);
    if (!c)
        return ERR_NOMEM;
    enum err e = add_waiter(c, cb, arg, ret_wait);
    if (e == ERR_OK) {
        e = start_dial(c);
        if (e != ERR_OK)
            end_wait(*ret_wait);
    }
    if (e != ERR_OK) {
        destroy(c, false);
        return e;
    }
    return ERR_AGAIN;
}

void pool_drain(struct pool *p)
{
    while (!list_empty(&p->by_age))
        destroy(container_of(p->by_age.next, struct conn, in_age), true);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct list *next;
        for (struct list *l = p->buckets[i].next; l != &p->buckets[i]; l = next) {
            struct conn *c = container_of(l, struct conn, in_host);
            next = l->next;
            if (c->is_ready)
                retire(c, true); /* HTTP/2, in use */
        }
    }
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
    if (why == WHY_DONE)
        pool_release(b);
    else
        back_destroy(b);
}

static const struct stream_sink discard_sink = {.on_head = discard_head,
                                                .on_body = discard_body,
                                                .on_sent = discard_sent,
                                                .on_close = discard_close};

static void on_discard_deadline(struct deadline *d)
{
    stream_reset(container_of(d, struct back, deadline)->unwanted);
}

void back_discard(struct back *b, struct stream *st)
{
    struct conn *c = b->conn;
    struct loop *loop = c->pool->conf.dialer.loop;
    if (c->is_h2) { /* the rest of it costs the provider a frame to stop */
        st->owner = NULL;
        stream_reset(st);
        pool_release(b);
        return;
    }
    st->sink = &discard_sink;
    st->owner = b;
    b->unwanted = st;
    b->discarded = 0;
    b->deadline.fire = on_discard_deadline;
    list_add_last(&c->pool->discards, &b->in_discards);
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
    while (!list_empty(&p->discards))
        stream_reset(container_of(p->discards.next, struct back, in_discards)->unwanted);
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
