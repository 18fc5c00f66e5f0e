/* Whose clients refuse our certificate: the last callers, and the sums of a day. */
#include "base/mem.h"
#include "server/server_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define CALLERS 64u
#define SPAN_S 900
#define SPANS 96 /* a day */
#define DAY_S (SPAN_S * SPANS)

struct refuser {
    unsigned char addr[16];
    char host[HOST_MAX + 1];
    const char *word;
    uint64_t times;
    int64_t last_at; /* Unix s; 0: free */
};

struct span {
    int64_t number; /* Unix s / SPAN_S */
    uint64_t well, refused;
};

struct trust {
    pthread_mutex_t lock; /* guards callers */
    struct refuser callers[CALLERS];
    /* main's */
    uint64_t well, refused; /* seen so far */
    struct span spans[SPANS];
};

enum err trust_create(struct trust **ret)
{
    struct trust *t = mem_calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return ERR_OK;
}

void trust_destroy(struct trust *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

/* With the lock held: the caller's own entry, else the one that is the longest ago. */
static struct refuser *find(struct trust *t, const unsigned char addr[16], struct slice host)
{
    struct refuser *oldest = &t->callers[0];
    for (uint32_t i = 0; i < CALLERS; i++) {
        struct refuser *r = &t->callers[i];
        if (r->last_at && memcmp(r->addr, addr, sizeof r->addr) == 0 &&
            slice_eq(slice_of(r->host), host))
            return r;
        if (r->last_at < oldest->last_at)
            oldest = r;
    }
    *oldest = (struct refuser){.times = 0};
    memcpy(oldest->addr, addr, sizeof oldest->addr);
    (void)slice_copy(host, oldest->host, sizeof oldest->host);
    return oldest;
}

void trust_refused(struct trust *t, const struct sockaddr_storage *peer, struct slice host,
                   const char *word, int64_t now_s)
{
    unsigned char addr[16];
    address_key(peer, addr);
    pthread_mutex_lock(&t->lock);
    struct refuser *r = find(t, addr, host);
    r->word = word;
    r->times++;
    r->last_at = now_s;
    pthread_mutex_unlock(&t->lock);
}

void trust_count(struct trust *t, uint64_t well, uint64_t refused, int64_t now_s)
{
    int64_t number = now_s / SPAN_S;
    struct span *s = &t->spans[number % SPANS];
    if (s->number != number)
        *s = (struct span){.number = number};
    s->well += well - t->well;
    s->refused += refused - t->refused;
    t->well = well;
    t->refused = refused;
}

/* ---- telling ---- */

static void print_address(const unsigned char addr[16], struct sbuf *out)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN] = "?";
    if (memcmp(addr, mapped, sizeof mapped) == 0)
        inet_ntop(AF_INET, addr + 12, text, sizeof text);
    else
        inet_ntop(AF_INET6, addr, text, sizeof text);
    sbuf_add_json(out, slice_of(text));
}

/* "unknown_ca" as "unknown ca". */
static void print_word(const char *word, struct sbuf *out)
{
    sbuf_addc(out, '"');
    for (; *word; word++)
        sbuf_addc(out, (char)(*word == '_' ? ' ' : *word));
    sbuf_addc(out, '"');
}

static void print_refuser(const struct refuser *r, struct sbuf *out)
{
    sbuf_adds(out, "{\"peer\":");
    print_address(r->addr, out);
    sbuf_adds(out, ",\"host\":");
    sbuf_add_json(out, slice_of(r->host));
    sbuf_adds(out, ",\"why\":");
    print_word(r->word, out);
    sbuf_addf(out, ",\"times\":%llu,\"last_at\":%lld}", (unsigned long long)r->times,
              (long long)r->last_at);
}

static int newest_first(const void *left, const void *right)
{
    const struct refuser *a = left, *b = right;
    return (a->last_at < b->last_at) - (a->last_at > b->last_at);
}

void trust_print(struct trust *t, int64_t now_s, struct sbuf *out)
{
    static struct refuser callers[CALLERS]; /* main's alone */
    uint64_t well = 0, refused = 0;
    bool is_first = true;
    for (uint32_t i = 0; i < SPANS; i++) {
        if (t->spans[i].number <= now_s / SPAN_S - SPANS)
            continue;
        well += t->spans[i].well;
        refused += t->spans[i].refused;
    }
    pthread_mutex_lock(&t->lock);
    memcpy(callers, t->callers, sizeof callers);
    pthread_mutex_unlock(&t->lock);
    qsort(callers, CALLERS, sizeof *callers, newest_first);
    sbuf_addf(out, "\"ok_24h\":%llu,\"refused_24h\":%llu,\"refused\":[", (unsigned long long)well,
              (unsigned long long)refused);
    for (uint32_t i = 0; i < CALLERS; i++) {
        if (callers[i].last_at <= now_s - DAY_S || callers[i].last_at == 0)
            continue;
        if (!is_first)
            sbuf_addc(out, ',');
        print_refuser(&callers[i], out);
        is_first = false;
    }
    sbuf_addc(out, ']');
}
