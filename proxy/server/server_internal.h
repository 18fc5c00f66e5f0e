/* Between the files of server/. */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H
#include "base/mailbox.h"
#include "base/sbuf.h"
#include "gate/gate.h"
#include "net/listener.h"
#include "server/server.h"
#include "server/window.h"
#include "stub/pages.h"

#include <pthread.h>

#define WORKERS_MAX 64u
#define LISTENERS_MAX 16u
#define DURATION_BUCKETS 11u
#define STATUS_CLASSES 6u /* 0: no answer, 1xx never, 2xx, 3xx, 4xx, 5xx */

struct server;
struct store;
struct keeper;
struct leaf_cache;
struct broker;
struct writer;

/* ---- limits.c: who calls, and how much. Shared by all threads under one short lock; touched once
 * at accept, once at close, and by clients that have a limit. ---- */
struct limits;
enum err limits_create(struct limits **ret) NODISCARD;
void limits_destroy(struct limits *l);
/** Counts a connection in, or refuses: over the limit of this address (or, PER_ADDRESS 0, no
 * limit). */
bool limits_enter(struct limits *l, const struct sockaddr_storage *peer, uint32_t per_address);
void limits_leave(struct limits *l, const struct sockaddr_storage *peer);
/** The address without its port; IPv4 as IPv6 writes it (::ffff:a.b.c.d). */
void address_key(const struct sockaddr_storage *a, unsigned char key[16]);
void limits_note_failure(struct limits *l, const struct sockaddr_storage *peer, const char *word);
/** {"address":...,"connections":n,"failures":[...]} members without braces. */
void limits_print_caller(struct limits *l, const struct sockaddr_storage *peer, struct sbuf *out);
/** 0, or the seconds until this client may ask again. */
uint32_t limits_client_wait_s(struct limits *l, const struct snap_client *c, uint64_t now_ms);
void limits_add_usage(struct limits *l, int64_t client_id, int64_t now_s, uint64_t requests,
                      uint64_t errors, uint64_t up, uint64_t down);
void limits_print_client(struct limits *l, const struct snap_client *c, int64_t now_s,
                         struct sbuf *out);

/* ---- record.c: what exchanges leave behind ---- */
struct recorder;
enum err recorder_create(struct recorder **ret) NODISCARD;
void recorder_destroy(struct recorder *r);
void recorder_add(struct recorder *r, const struct exchange_record *e, uint64_t now_ms);
/** An account's answer begins to go to a client of this pool. */
void recorder_answered(struct recorder *r, int64_t pool_id, int64_t account_id, int64_t generation,
                       uint64_t now_ms);
/** What gathered since the last call goes to main, and from there to the writer. */
void recorder_flush(struct recorder *r, struct server *s);
/** Of that only what the live figures need. */
void recorder_tell(struct recorder *r, struct server *s);

/* Figures of a worker that others read. */
struct worker_figures {
    atomic_uint_fast64_t gates, exchanges, idle_backs, open_backs, dials, dial_failures, reuses;
    atomic_uint_fast64_t requests[STATUS_CLASSES], own_answers, retries;
    atomic_uint_fast64_t bytes_up, bytes_down;
    atomic_uint_fast64_t duration_us_sum, duration_count, duration[DURATION_BUCKETS];
    atomic_uint_fast64_t oom, token_hits;
};
extern const double duration_bounds_s[DURATION_BUCKETS];

/* ---- trust.c: does the clients' side take our certificates? Shared by all threads; its lock is
 * touched only where a handshake failed. ---- */
struct trust;
enum err trust_create(struct trust **ret) NODISCARD;
void trust_destroy(struct trust *t);
/** This caller refused our certificate for HOST, with the alert WORD, a static one. */
void trust_refused(struct trust *t, const struct sockaddr_storage *peer, struct slice host,
                   const char *word, int64_t now_s);
/** How many have gone well, and were refused, since the start; for the sums of the last day.
 * Thread: main. */
void trust_count(struct trust *t, uint64_t well, uint64_t refused, int64_t now_s);
/** {"ok_24h":n,"refused_24h":n,"refused":[...]} members without braces. Thread: main. */
void trust_print(struct trust *t, int64_t now_s, struct sbuf *out);

/* ---- worker.c ---- */
struct worker {
    struct server *server;
    uint32_t index;
    pthread_t thread;
    bool is_started;
    struct loop *loop;
    struct mailbox *box;
    struct services svc;
    struct gates gates;
    struct gate_counters counters;
    struct worker_figures figures;
    struct recorder *recorder;
    struct tls_ctxs *tls;
    struct resolver *resolver;
    struct parent_proxy parent;
    struct listener *listeners[LISTENERS_MAX];
    uint32_t listener_count;
    int fds[LISTENERS_MAX];
    bool fd_is_tls[LISTENERS_MAX];
    uint32_t fd_count;
    struct deadline second;
    uint64_t memo_age_ms;                    /* the memo is gone through next */
    struct letter drain_letter, stop_letter; /* these two must always get through, memory or not */
    const struct snapshot *told;             /* main's: the snapshot posted last */
    uint64_t next_conn;
    enum err start_error;
};

/** Makes the worker's belongings. All workers are prepared before any is started: they write to
 * each other. */
enum err worker_prepare(struct worker *w, struct errmsg *msg) NODISCARD;
enum err worker_start(struct worker *w, struct errmsg *msg) NODISCARD;
/** Letters to it; thread: main. */
/** False without memory: try again. */
bool worker_post_snapshot(struct worker *w, struct snapshot *s);
/** To be posted to the worker's box when all workers have one; NULL without memory. */
struct letter *worker_conf_letter(struct worker *w, const struct conf *c, const struct policy *p);
void worker_letter_drop(struct letter *l);
void worker_post_drain(struct worker *w);
void worker_post_stop(struct worker *w); /* aborts what is left, and ends the thread */
void worker_join(struct worker *w);

/** Who rests, as the store remembers it. Thread: the one that owns H. */
void cooldowns_merge(struct health *h, const struct snapshot *s);

/* ---- the server ---- */
enum server_state {
    SERVER_STARTING,
    SERVER_RUNNING,
    SERVER_DRAINING
};

/* What a reload replaced: exchanges may look at it yet, so it lives until the end. */
struct former {
    struct former *next;
    struct conf *conf;
    struct policy *policy;
};

struct account_figures {
    int64_t id;
    uint64_t requests, limited, errors;
};

/* The most connections since memory was last given back, and when that is due again. */
struct crowd {
    uint64_t most, due_ms;
};

/* How far main has read the store's pins. */
struct pins_seen {
    int64_t last_id, changes, generation;
    uint64_t again_ms; /* when to read them all again: some were too young to judge; 0 never */
};

struct server {
    struct conf *conf;
    const char *conf_path;
    struct policy *policy;
    struct master_key *key;
    struct store *store; /* main's reading connection */
    int lock_fd;
    struct keeper *keeper;
    struct leaf_cache *leaves;
    struct writer *writer;
    struct broker *broker;
    struct snapshot *snapshot;
    int64_t data_version;
    struct limits *limits;
    struct trust *trust;
    struct pins *pins;
    struct pins_seen pins_seen;
    struct worker *workers[WORKERS_MAX];
    uint32_t worker_count;
    struct authority self[LISTENERS_MAX + 4]; /* what clients may call us */
    uint32_t self_count;
    struct sockaddr_storage listen[LISTENERS_MAX + 1]; /* ours, never to be dialled */
    uint32_t listen_count;
    char page_host[HOST_MAX + 1];
    uint16_t page_port;
    bool page_is_tls;
    atomic_uint_fast64_t replay_bytes;
    atomic_uint_fast64_t connections;

    /* main's own */
    struct loop *loop;
    struct mailbox *box;
    struct event *signals[5];
    struct deadline poll, drain_check;
    uint64_t drain_until_ms;
    atomic_int state;
    struct listener *admin, *control;
    struct list admin_conns, control_conns;
    int admin_fd, control_fd;
    struct account_figures *accounts;
    size_t account_count;
    struct window *window;
    struct health *health;             /* who rests, as workers and the store say */
    int64_t started_at, ca_expires_at; /* Unix s */
    size_t bad_rows;
    bool store_ok, is_other_store; /* other: what the snapshot came from was replaced */
    uint64_t node_told_ms;
    struct crowd crowd;
    struct former *formers;
};

/* ---- gather.c: one question to all workers, by letters ---- */
enum ask {
    ASK_OPEN, /* how many exchanges each account has under way, and who has its token */
    ASK_LIVE, /* the exchanges themselves */
    ASK_END   /* that one of them ends */
};

#define POOL_NONE (-1) /* instead of a pool's id: has the worker the account's token in memory? */
struct open_slot {
    int64_t pool_id;
    int64_t account_id; /* 0: free */
    uint32_t count;
};

struct live_row {
    uint64_t began_ms;
    size_t from, n; /* in the part's text */
};

struct gather_ask {
    enum ask ask;
    uint32_t limit;  /* LIVE: rows */
    struct slice id; /* END: which */
    uint32_t uid;    /* END: who wants it */
};

/* One worker's. It is the worker's from the question to its answer, else main's. */
struct gather_part {
    struct letter letter;
    struct gather *gather;
    struct worker *worker;
    bool has_come;
    struct open_slot *open; /* OPEN_SIZE, a power of two; NULL: no memory */
    size_t open_size;
    struct sbuf text; /* JSON objects */
    struct live_row *rows;
    uint32_t row_count;
    uint64_t total;
    bool has_ended;
    char client[128]; /* whose it was */
};

struct gather {
    struct server *server;
    enum ask ask;
    uint32_t limit, uid;
    char id[32];
    void (*done)(struct gather *g);
    void *arg;
    struct deadline deadline;
    uint32_t part_count, back_count;
    bool is_done;
    struct gather_part parts[];
};
/** DONE comes once and never from inside this call: when all workers have answered (or one, that it
 * has ended it), or after a second, with what came. Thread: main. */
enum err gather_begin(struct server *s, const struct gather_ask *q, void (*done)(struct gather *g),
                      void *arg) NODISCARD;
/** Of one member, by all who answered. */
uint64_t gather_open(const struct gather *g, int64_t pool_id, int64_t account_id);

/* feed.c: answers to the console, one line each */
void feed_figures(struct server *s, const struct gather *g, struct sbuf *out);
void feed_live(const struct gather *g, struct sbuf *out);
void feed_trust(struct server *s, struct sbuf *out);
void feed_leaves(struct server *s, uint32_t limit, struct sbuf *out);

/* pinning.c: pins on their way to the store and back */
void on_pinned(struct services *svc, const struct pin *p, const struct snap_client *client);
void on_unpinned(struct services *svc, int64_t pool_id, struct slice name);
/** Reads what is new in the store, all of it when something changed or went; after the snapshot. */
enum err pins_follow(struct server *s, struct errmsg *msg) NODISCARD;

/* status.c */
const char *state_word(const struct server *s);
/** Of all workers: the figure at OFFSET in struct worker. */
uint64_t sum_figures(const struct server *s, size_t offset);
#define SUM(s, field) sum_figures(s, offsetof(struct worker, field))
void status_print(struct server *s, struct sbuf *out);
void metrics_print(struct server *s, struct sbuf *out);
/** True when it serves; else one reason a line. */
bool ready_print(struct server *s, struct sbuf *out);

/* admin.c, control.c: on main's loop */
enum err admin_start(struct server *s, struct errmsg *msg) NODISCARD;
void admin_stop(struct server *s);
/** An audit row: WHAT, by the one with this uid. */
void control_audit(struct server *s, uint32_t uid, const char *what);
enum err control_start(struct server *s, struct errmsg *msg) NODISCARD;
void control_stop(struct server *s);

/* harden.c */
void harden_process(void);
void raise_descriptor_limit(void);
void tune_heap(void);
/** True once, ten seconds after half of a crowd has left: by then those who were leaving with them
 * are gone, too, and who comes back at once finds the memory. */
bool crowd_left(struct crowd *c, uint64_t connections, uint64_t now_ms);
/** Gives memory back to the system when a crowd has left. Only main calls it. */
void heap_follow(struct crowd *c, uint64_t connections, uint64_t now_ms);
void notify_supervisor(const char *state);

/* record.c, on main: figures of accounts from a batch */
void server_add_account(struct server *s, int64_t account_id, uint64_t requests, uint64_t limited,
                        uint64_t errors);

#endif
