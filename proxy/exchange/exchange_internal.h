/* Between the files of exchange/. */
#ifndef EXCHANGE_INTERNAL_H
#define EXCHANGE_INTERNAL_H
#include "auth/find.h"
#include "auth/scan.h"
#include "base/arena.h"
#include "exchange/exchange.h"
#include "exchange/held.h"
#include "exchange/look.h"
#include "exchange/setup.h"
#include "route/model.h"
#include "route/rpc.h"

#define EXCHANGE_MAGIC MAGIC('e', 'x', 'c', 'h')
#define REQUEST_ID_SIZE 24

enum x_state {
    X_BEGIN,  /* inside exchange_begin */
    X_GRANT,  /* an assertion stands in the body: as X_MODEL */
    X_MODEL,  /* the model, or a pinned name, stands in the body: the client's bytes wake us;
                 deadline: idle_timeout */
    X_TOKEN,  /* the broker fetches a token and wakes us; its own deadline */
    X_DIAL,   /* the pool connects and wakes us; its own deadline */
    X_SEND,   /* the request goes; the provider's answer wakes us; deadline: read_timeout of silence
               */
    X_STREAM, /* the answer goes to the client (committed); deadline: read_timeout of silence */
    X_REPLY,  /* our own answer is on its way out */
    X_OVER,   /* nothing may move any more; destroyed in the next turn */
    X_STATES
};

/* Milliseconds since the beginning, and one more; 0: that has not come yet. Of the present attempt.
 */
struct stamps {
    uint32_t route, token, sent, first;
};

struct call {
    struct rpc_scan scan;
    struct sbuf out; /* the first message for the account picked; empty: as it is held */
    unsigned char head[RPC_HEAD]; /* of the first message */
    uint64_t got;                 /* bytes of the body */
};

struct exchange {
    uint32_t magic;
    enum x_state state;
    struct services *svc;
    struct list link;
    struct front_info info;
    struct stream *front, *back_stream;
    struct back *back;
    struct back_wait *dialling;
    struct token_wait *waiting;
    struct snapshot *snap;
    struct arena arena;
    struct deadline deadline;
    struct later_link later;

    /* the request */
    struct head base; /* what every attempt sends, without credential; path as the client wrote it,
                         keys stripped */
    struct slice original_path; /* for the record, without query */
    struct slice query_keys;
    struct slice placeholder; /* in the arena, which is wiped */
    enum api api;
    const struct snap_rule *rule;
    const struct snap_client *client;
    struct route_match match;
    struct slice model;
    struct model_scan scan;
    struct pinning *pinning; /* of a request about what may live at one account; else NULL */
    struct setup *setup;     /* of a WebSocket, while its first message is awaited; else NULL */
    struct call *call;       /* of gRPC; else NULL */
    bool has_protocols;      /* WebSocket subprotocols other than a credential were asked for */
    bool offers_token;       /* as a WebSocket subprotocol */
    bool request_ended;      /* the client has sent all */
    bool is_relay;           /* nothing is swapped: http://, or a token host */
    bool may_relay;          /* at a token host: policy lets what is not ours through */
    bool may_grant;          /* and we answer what is ours */
    bool is_forwarded; /* bytes of the request went to a provider at least once: the path may be
                          logged */

    /* body bytes that are held: to wait for the back, and to be sent again */
    struct held held;   /* its cursor: what was given to the present back */
    bool is_replayable; /* everything the client sent so far is in held */
    size_t counted;     /* in svc->replay_bytes */
    uint64_t credited;  /* of the body's bytes, to the front */
    uint64_t body_left; /* of them, sent by the present back */
    size_t uncounted;   /* what will leave first and is more than the client sent */

    /* the attempts */
    struct pick_result pick;
    struct token *token;
    struct attempt attempts[ATTEMPTS_MAX];
    uint32_t attempt_count;
    int64_t excluded[ATTEMPTS_MAX];
    uint32_t excluded_count;
    bool token_renewed; /* for this account, after a 401 */
    bool fresh_only;    /* a reused connection died under us */
    uint32_t refused;   /* times a provider said that it did nothing with it (HTTP/2) */
    bool front_is_h2, back_is_h2;

    /* the answer */
    bool is_committed;
    bool answer_ended;
    bool front_closed;
    int status;
    bool is_own_answer;
    bool is_late; /* it waits for the request's end; then late_what and late_retry_s go */
    int late_what;
    int64_t late_retry_s;
    const char *reason;
    uint64_t bytes_up, bytes_down;
    uint64_t front_due; /* of the answer: given to the front, and not sent yet */
    uint64_t began_ms, first_byte_ms;
    struct stamps stamps;
    char request_id[REQUEST_ID_SIZE];
};

void exchange_goto(struct exchange *x, enum x_state to);
static inline uint32_t exchange_stamp(const struct exchange *x)
{
    return (uint32_t)(x->svc->loop->now_ms - x->began_ms) + 1;
}

/** What is known of it now. Inline, since it is made for each request. */
static inline struct exchange_record exchange_tell(const struct exchange *x)
{
    return (struct exchange_record){
        .conn_id = x->info.conn_id,
        .pool_id = x->client ? x->snap->pools[x->client->pool].id : 0,
        .generation = x->snap->generation,
        .request_id = slice_of(x->request_id),
        .peer = slice_of(x->info.peer),
        .method = x->base.method,
        .host = authority_host(&x->info.authority),
        .path = x->is_forwarded ? x->original_path : (struct slice){"", 0},
        .query_keys = x->is_forwarded ? x->query_keys : (struct slice){"", 0},
        .client = x->client,
        .account = x->attempt_count ? x->pick.account : NULL,
        /* only what a provider took for a model: a client may write anything there */
        .model = (x->status == 101 || (x->status >= 200 && x->status < 300)) && !x->is_own_answer
                     ? x->model
                     : (struct slice){"", 0},
        .attempts = x->attempts,
        .attempt_count = x->attempt_count,
        .status = x->status,
        .is_own_answer = x->is_own_answer,
        .reason = x->reason,
        .bytes_up = x->bytes_up,
        .bytes_down = x->bytes_down,
        .ttfb_ms = x->first_byte_ms ? x->first_byte_ms - x->began_ms : 0,
        .ms = x->svc->loop->now_ms - x->began_ms,
        .is_swap = !x->is_relay,
        .front_is_h2 = x->front_is_h2,
        .back_is_h2 = x->back_is_h2,
    };
}

/* swap.c: heads */
enum err swap_prepare(struct exchange *x, const struct head *h);
/** The head for the account picked, with exactly one credential. Lives in the arena. */
enum err swap_head(struct exchange *x, struct head *ret);

/* call.c: the first message of a gRPC call */
enum err call_begin(struct exchange *x) NODISCARD;
void call_finish(struct exchange *x);
/** Its next bytes, which are held, too; IS_LAST: no more can be. True: the model is known, or never
 * will be, and x->scan says so. */
bool call_body(struct exchange *x, const void *p, size_t n, bool is_last);
/** Adds to OUT what is held of the first frame, with its head; of a compressed one nothing. False:
 * no memory. */
bool call_first(struct exchange *x, struct sbuf *out) NODISCARD;
/** Makes the message for the account picked, and H's length and routing fields fit it. */
enum err call_rewrite(struct exchange *x, struct head *h) NODISCARD;
/** What is sent in the place of the first bytes held, which the cursor passes; empty: nothing. */
struct slice call_message(struct exchange *x);
void call_sent(struct exchange *x);

/* retry.c: what an answer or a failure means */
enum judgement {
    JUDGE_PASS,      /* the client's business */
    JUDGE_NEW_TOKEN, /* this exact token was refused: another one, same account */
    JUDGE_OTHER      /* another account or address, if there is one */
};
struct refusal {
    enum judgement judgement;
    const char *cool_reason; /* NULL: nobody cools */
    bool cools_account;      /* the whole account, not only for this model */
    bool
        is_definite; /* refused before any work: may be sent again even when it is not repeatable */
};
struct refusal judge_answer(int status, enum account_kind kind, bool token_renewed);
bool retry_allowed(const struct exchange *x, bool is_definite);
int64_t retry_after_s(const struct head *h); /* -1: none */
/** An answer's status, or, of a gRPC answer that is one head alone (END), the status that its
 * grpc-status stands for (google/rpc/code.proto). */
int grpc_http_status(const struct head *h, bool end);

/* reply.c: the answers that the proxy gives in a provider's place */
/* What is served, as Allow says it. */
#define EXCHANGE_METHODS "POST, GET, PUT, PATCH, HEAD, DELETE, OPTIONS"

enum reply {
    REPLY_NO_TOKEN,
    REPLY_UNKNOWN_TOKEN,
    REPLY_PASS_EXPIRED,
    REPLY_SEVERAL_TOKENS,
    REPLY_TOKEN_MISPLACED,
    REPLY_CLIENT_OFF,
    REPLY_MODEL_DENIED,
    REPLY_NO_MODEL,
    REPLY_NO_KIND,
    REPLY_UNAVAILABLE,
    REPLY_CLIENT_LIMIT,
    REPLY_UPSTREAM,
    REPLY_UPSTREAM_CERT,
    REPLY_UPSTREAM_NAME,
    REPLY_UPSTREAM_ADDRESS,
    REPLY_RELAY_ADDRESS, /* the same for http://, where the client chose the name */
    REPLY_UPSTREAM_ANSWER,
    REPLY_TIMEOUT,
    REPLY_CLIENT_TIMEOUT,
    REPLY_PIN_FOREIGN,
    REPLY_PIN_GONE,
    REPLY_PIN_UPLOAD,
    REPLY_PINS_DIFFER,
    REPLY_PINS_MANY,
    REPLY_PIN_UNREADABLE,
    REPLY_PATH,
    REPLY_METHOD,
    REPLY_MISDIRECTED,
    REPLY_BAD_REQUEST,
    REPLY_HOST_DENIED,
    REPLY_INTERNAL,
    REPLY_COUNT
};
/** Over HTTP/2 it waits for a short body's end (is_late): a client that has yet to send it may not
 * read an answer whose stream is reset behind it. */
void reply_error(struct exchange *x, enum reply what, const char *reason, int64_t retry_after);
/** What waited goes. */
void reply_late(struct exchange *x);
/** It will not: the exchange ends. None waiting is fine. */
void reply_forget_late(struct exchange *x);
/** An answer of our own that is no refusal in a provider's shape: BODY is JSON and no cache keeps
 * it. REASON is for the record, NULL fine. */
void reply_json(struct exchange *x, int status, struct slice body, const char *reason);

/* grant.c: the token endpoint, in Google's place, for virtual service accounts */
#define GRANT_BODY_MAX 16384
/** Could the body of this request hold an assertion that is ours to answer? */
bool grant_is_asked(const struct exchange *x, const struct head *h);
/** BODY, whole: answered when its assertion is by one of our virtual accounts; else false, and
 * nothing was done. */
bool grant_answer(struct exchange *x, struct slice body) NODISCARD;

/* admit.c: whether it may be served */
struct objection {
    const char *reason; /* static word; NULL: there is none */
    enum reply what;
    int64_t retry_after_s; /* -1: not said */
};
/** Settles rule, api, client, match and the path's model, or says why not. Asks nobody. */
struct objection admit(struct exchange *x, const struct head *h);
/** The same at a token host: is it still one, and does the request belong to its tunnel? */
struct objection admit_token_host(struct exchange *x, const struct head *h);
/** May the client use the model that is known now? */
bool client_may(const struct exchange *x);

/* pin.c: what lives at one account (see pins.h) */
/** After admit: whose is what the path names? Makes x->pinning when there is something to watch. */
struct objection pin_begin(struct exchange *x);
/** Must the body, which is JSON, be looked at before an account is chosen? */
bool pin_wants_body(const struct exchange *x);
/** Of gRPC: must the first message be whole, whatever it looks like? */
bool pin_wants_call(const struct exchange *x);
/** Its next bytes. False: the rest need not be waited for. */
bool pin_body(struct exchange *x, const void *p, size_t n);
/** With x->pinning: what was seen of the body is all: may it be served, and where? Puts the
 * account's project into the body, which is held. */
struct objection pin_settle(struct exchange *x);
/** The account that must serve; 0: any. */
int64_t pin_account(const struct exchange *x);
/** Where it lives, after a choice. */
void pin_place(const struct exchange *x, struct pick_result *r);
/** The answer's head as the client will get it: an upload's address is learnt, and in gateway mode
 * leads back to us. ERR_PROTOCOL: an address that we do not intercept. */
enum err pin_answer(struct exchange *x, struct head *out) NODISCARD;
void pin_answer_body(struct exchange *x, const void *p, size_t n);
void pin_finish(struct exchange *x);

#endif
