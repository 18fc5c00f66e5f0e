/* The broker's inside: one cell for each account that was ever asked for, all on the broker's
 * thread. */
#ifndef TOKEN_BROKER_INTERNAL_H
#define TOKEN_BROKER_INTERNAL_H
#include "conf/conf.h"
#include "store/store.h"
#include "token/oauth2.h"
#include "token/token_internal.h"

/* Account ids are small numbers, mostly in a row. */
#define HASH_FUNCTION(key, n, ret)                                                                 \
    ((ret) = (unsigned)((uint64_t) * (const int64_t *)(key)*0x9e3779b97f4a7c15u >> 32))
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#define uthash_nonfatal_oom(entry) ((entry)->is_lost = true)
#include "base/mem.h"

#include <uthash.h>

#define FLIGHTS_MAX 32 /* calls to the endpoint at once; more wait in line */
#define QUICK_REFUSAL_S                                                                            \
    60 /* a token refused sooner than this after it came counts as a failure                       \
        */
#define QUICK_DELAY_MAX_S 60

/* What the account's row says; read anew for each mint, so that an edit counts at once. */
struct facts {
    char *block; /* owns the text below */
    struct slice email, key_id, token_uri, scope;
    char identity[FINGERPRINT_SIZE]; /* changes with anything that a token depends on */
};

struct cell {
    UT_hash_handle hh;
    bool is_lost; /* uthash had no memory */
    struct broker *b;
    int64_t id;
    char *name;
    struct facts facts;
    struct token *token;   /* the one in use */
    struct token *refused; /* the last one that an upstream refused: neither it nor one before it is
                              taken from the store again */
    uint64_t quick_refusals;
    /* in the air */
    bool is_flying;    /* asked for, or in line for it */
    bool has_resigned; /* signed anew with the endpoint's time already */
    struct oauth2_call *call;
    struct list queue_link;
    struct list waits; /* struct token_wait */
    uint64_t started_ms;
    /* failing */
    enum token_fault fault;
    uint64_t fails, same_fails; /* in a row; of the same fault */
    uint64_t retry_at_ms;       /* monotonic; 0: may be asked */
    int64_t failed_at_ms;       /* wall */
};

struct broker {
    const struct conf *conf;
    char *store_path;
    struct master_key *key;
    struct keeper *keeper;
    struct writer *writer;
    pthread_t thread;
    struct event_base *base;
    struct mailbox *mailbox;
    pthread_mutex_t ports_lock;
    struct list ports; /* guarded by ports_lock */
    /* the broker's thread only: */
    struct oauth2 *oauth2;
    struct store *store; /* NULL: could not be opened yet */
    struct snapshot *snapshot;
    struct cell *cells;
    struct list queue; /* cells that wait for a free flight */
    unsigned flights;
    int64_t correction_s; /* our clock minus the endpoint's, once it complained */
    struct {
        atomic_uint_fast64_t mints, mint_failures, from_store, waits, in_flight, mint_ms_sum;
        atomic_int_fast64_t skew_s;
    } stats;
};

/* ---- cell.c: one account's story ---- */

/** Owns W: answers it now or when the flight lands. */
void cell_ask(struct broker *b, struct token_wait *w);
/** A worker saw that T is getting old, or an upstream refused it. */
void cell_renew(struct broker *b, int64_t id, struct token *t);
void cell_refuse(struct broker *b, int64_t id, struct token *t);
/** A person wants the token gone: nobody uses it any more, nor is it taken from the store again. */
void cell_drop(struct broker *b, int64_t id);
/** After a new snapshot: forgets accounts that went, starts anew with those that were edited. */
void cells_sync(struct broker *b);
/** The flight of C is over: A's token is owned from here on. */
void mint_landed(struct cell *c, const struct token_answer *a, uint32_t retry_after_s);
/** Starts what waits in line, as far as there is room. */
void flights_pump(struct broker *b);
/** Everybody who waits gets REASON; all cells go. */
void cells_destroy(struct broker *b);

/* ---- mint.c: from account to assertion to answer ---- */

/** Reads the account's row into C's facts; *RET_CHANGED: they are not what they were. */
enum err facts_load(struct cell *c, bool *ret_changed) NODISCARD;
void facts_finish(struct facts *f);
/** The stored token, when it is usable and newer than the refused one; NULL otherwise. One
 * reference. */
struct token *stored_token(struct cell *c);
/** Signs and sends; the answer comes to mint_landed (or an aborted call to nobody). On failure *RET
 * says why. */
bool mint_send(struct cell *c, struct token_answer *ret);

/* ---- persist.c: what the writer keeps ---- */

void persist_token(struct cell *c, struct token *t, uint64_t mint_ms);
void persist_failure(struct cell *c, const struct token_answer *a, uint64_t delay_ms);
void persist_drop(struct cell *c, struct token *t);
void persist_alarm(struct broker *b, struct slice who, struct slice what);

/* ---- broker.c ---- */

/** To every worker: T is the account's token now; or DROP (NULL: whatever you have) is not. */
void broker_push(struct broker *b, int64_t account_id, struct token *t, struct token *drop);

#endif
