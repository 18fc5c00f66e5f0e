/* Who calls, and how much: addresses with their connections and failures, clients with their day.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "server/server_internal.h"

#include <arpa/inet.h>

#define BUCKETS 4096u
#define CALLERS_MAX 65536u
#define CLIENTS_MAX 65536u
#define FAILURES_KEPT 8u
#define FORGET_S 3600

struct failure {
    const char *word;
    int64_t at_s;
};

struct caller {
    struct caller *next;
    unsigned char addr[16];
    uint32_t connections;
    uint64_t failures;
    struct failure last[FAILURES_KEPT]; /* ring */
};

struct client_day {
    struct client_day *next;
    int64_t id, day;
    uint64_t requests, errors, up, down;
    uint64_t due_ms; /* when the next request is due at an even pace (GCRA) */
};

struct limits {
    pthread_mutex_t lock; /* guards all below */
    struct caller *callers[BUCKETS];
    struct client_day *clients[BUCKETS];
    uint32_t caller_count, client_count;
};

enum err limits_create(struct limits **ret)
{
    struct limits *l = mem_calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    pthread_mutex_init(&l->lock, NULL);
    *ret = l;
    return ERR_OK;
}

void limits_destroy(struct limits *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (l->callers[i]) {
            struct caller *c = l->callers[i];
            l->callers[i] = c->next;
            mem_free(c);
        }
        while (l->clients[i]) {
            struct client_day *c = l->clients[i];
            l->clients[i] = c->next;
            mem_free(c);
        }
    }
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

void address_key(const struct sockaddr_storage *a, unsigned char key[16])
{
    memset(key, 0, 16);
    if (a->ss_family == AF_INET) {
        key[10] = key[11] = 0xff;
        memcpy(key + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    } else if (a->ss_family == AF_INET6) {
        memcpy(key, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
    }
}

static uint32_t bucket_of(const unsigned char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h % BUCKETS;
}

static bool is_forgotten(const struct caller *c, int64_t now_s)
{
    return c->connections == 0 &&
           (c->failures == 0 || now_s - c->last[(c->failures - 1) % FAILURES_KEPT].at_s > FORGET_S);
}

/* With the lock held. Old entries of the bucket go on the way. */
static struct caller *find_caller(struct limits *l, const struct sockaddr_storage *peer, bool make)
{
    unsigned char key[16];
    address_key(peer, key);
    int64_t now_s = clock_wall_s();
    struct caller **at = &l->callers[bucket_of(key, sizeof key)];
    struct caller **head = at;
    while (*at) {
        struct caller *c = *at;
        if (memcmp(c->addr, key, sizeof key) == 0)
            return c;
        if (is_forgotten(c, now_s)) {
            *at = c->next;
            mem_free(c);
            l->caller_count--;
        } else {
            at = &c->next;
        }
    }
    if (!make || l->caller_count >= CALLERS_MAX)
        return NULL;
    struct caller *c = mem_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    memcpy(c->addr, key, sizeof key);
    c->next = *head;
    *head = c;
    l->caller_count++;
    return c;
}

bool limits_enter(struct limits *l, const struct sockaddr_storage *peer, uint32_t per_address)
{
    pthread_mutex_lock(&l->lock);
    struct caller *c = find_caller(l, peer, true);
    /* a full table locks nobody out: limits.connections still holds */
    bool ok = !c || per_address == 0 || c->connections < per_address;
    if (c && ok)
        c->connections++;
    pthread_mutex_unlock(&l->lock);
    return ok;
}

void limits_leave(struct limits *l, const struct sockaddr_storage *peer)
{
    pthread_mutex_lock(&l->lock);
    struct caller *c = find_caller(l, peer, false);
    if (c && c->connections)
        c->connections--;
    pthread_mutex_unlock(&l->lock);
}

void limits_note_failure(struct limits *l, const struct sockaddr_storage *peer, const char *word)
{
    pthread_mutex_lock(&l->lock);
    struct caller *c = find_caller(l, peer, true);
    if (c)
        c->last[c->failures++ % FAILURES_KEPT] = (struct failure){word, clock_wall_s()};
    pthread_mutex_unlock(&l->lock);
}

void limits_print_caller(struct limits *l, const struct sockaddr_storage *peer, struct sbuf *out)
{
    char ip[INET6_ADDRSTRLEN] = "?", when[32];
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, ip,
                  sizeof ip);
    else if (peer->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, ip,
                  sizeof ip);
    pthread_mutex_lock(&l->lock);
    struct caller *c = find_caller(l, peer, false);
    uint64_t n = c ? c->failures : 0;
    sbuf_addf(out, "\"address\":\"%s\",\"connections\":%u,\"failures\":%llu,\"last_failures\":[",
              ip, c ? c->connections : 0u, (unsigned long long)n);
    for (uint64_t i = 0; i < FAILURES_KEPT && i < n; i++) {
        const struct failure *f = &c->last[(n - 1 - i) % FAILURES_KEPT];
        clock_format_utc(f->at_s, when, sizeof when);
        sbuf_addf(out, "%s{\"what\":\"%s\",\"at\":\"%s\"}", i ? "," : "", f->word, when);
    }
    sbuf_addc(out, ']');
    pthread_mutex_unlock(&l->lock);
}

/* ---- clients ---- */

static struct client_day *find_client(struct limits *l, int64_t id, int64_t now_s, bool make)
{
    struct client_day **head = &l->clients[(uint64_t)id % BUCKETS];
    struct client_day *c = *head;
    while (c && c->id != id)
        c = c->next;
    if (!c && make && l->client_count < CLIENTS_MAX && (c = mem_calloc(1, sizeof *c))) {
        c->id = id;
        c->next = *head;
        *head = c;
        l->client_count++;
    }
    if (c && c->day != now_s / 86400) {
        c->day = now_s / 86400;
        c->requests = c->errors = c->up = c->down = 0;
    }
    return c;
}

uint32_t limits_client_wait_s(struct limits *l, const struct snap_client *client, uint64_t now_ms)
{
    if (client->rpm <= 0)
        return 0;
    uint64_t pace_ms = 60000u / (uint64_t)client->rpm;
    uint32_t wait = 0;
    pthread_mutex_lock(&l->lock);
    struct client_day *c = find_client(l, client->id, clock_wall_s(), true);
    if (c) {
        uint64_t due = c->due_ms > now_ms ? c->due_ms : now_ms;
        if (due + pace_ms > now_ms + 60000u) /* a minute's worth may come at once */
            wait = (uint32_t)((due + pace_ms - now_ms - 60000u) / 1000u) + 1;
        else
            c->due_ms = due + (pace_ms ? pace_ms : 1);
    }
    pthread_mutex_unlock(&l->lock);
    return wait;
}

void limits_add_usage(struct limits *l, int64_t client_id, int64_t now_s, uint64_t requests,
                      uint64_t errors, uint64_t up, uint64_t down)
{
    pthread_mutex_lock(&l->lock);
    struct client_day *c = find_client(l, client_id, now_s, true);
    if (c) {
        c->requests += requests;
        c->errors += errors;
        c->up += up;
        c->down += down;
    }
    pthread_mutex_unlock(&l->lock);
}

void limits_print_client(struct limits *l, const struct snap_client *client, int64_t now_s,
                         struct sbuf *out)
{
    char when[32];
    pthread_mutex_lock(&l->lock);
    const struct client_day *c = find_client(l, client->id, now_s, false);
    struct client_day none = {0};
    if (!c)
        c = &none;
    sbuf_adds(out, "{\"client\":");
    sbuf_add_json(out, client->name);
    sbuf_addf(out, ",\"limits\":{\"rpm\":%lld,\"tokens_per_day\":%lld},", (long long)client->rpm,
              (long long)client->tokens_per_day);
    sbuf_addf(
        out, "\"today\":{\"requests\":%llu,\"errors\":%llu,\"bytes_up\":%llu,\"bytes_down\":%llu},",
        (unsigned long long)c->requests, (unsigned long long)c->errors, (unsigned long long)c->up,
        (unsigned long long)c->down);
    pthread_mutex_unlock(&l->lock);
    sbuf_addf(out, "\"resets_at\":\"%s\"",
              clock_format_utc((now_s / 86400 + 1) * 86400, when, sizeof when));
    if (client->expires_at)
        sbuf_addf(out, ",\"expires_at\":\"%s\"",
                  clock_format_utc(client->expires_at, when, sizeof when));
    sbuf_adds(out, "}\n");
}
