/* A world without sockets for one exchange room: a client on a server-role session, providers on
 * client-role sessions, faked services, a clock that stands still. What happens is told as lines;
 * a scenario is a text of what is done ("> ...") and what must be told then, nothing less and
 * nothing more.
 *
 * The files of upstream/ and of the snapshot are replaced by the functions here, so no test that
 * includes this links them. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "exchange/exchange_internal.h"
#include "net/loop.h"
#include "token/token_internal.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0_MS UINT64_C(1000000)
#define WALL0_MS INT64_C(1700000000000)
#define BACKS_MAX 64
#define LOG_MAX (64 * 1024)

#define GEMINI "generativelanguage.googleapis.com"
#define VERTEX "us-central1-aiplatform.googleapis.com"
#define CLAUDE "api.anthropic.com"

#define ALICE "gemini-alice-0123456789abcdef"
#define SOLO "gemini-solo-0123456789abcdef"
#define PAT "gemini-pat-0123456789abcdef"
#define ROWAN "gemini-rowan-0123456789abcdef"
#define CAROL "claude-carol-0123456789abcdef"
#define LATE "gemini-late-0123456789abcdef"
#define BUSY "gemini-busy-0123456789abcdef"
#define NOBODY "gemini-nobody-0123456789abcdef"

#define S(lit)                                                                                     \
    {                                                                                              \
        lit, sizeof(lit) - 1                                                                       \
    }

/* Bytes that a session sent, and how many of them were told. */
struct capture {
    char *p;
    size_t n, size, told, unflushed;
};

struct back {
    struct session *session;
    struct outlet outlet;
    struct capture wire;
    struct authority to;
    bool is_used, is_tls, is_reused, is_idle, is_dead, will_refuse_open;
    size_t discarded;
    int number;
};

struct back_wait {
    bool is_used;
    struct back *back;
    pool_cb cb;
    void *arg;
};

struct token_cell {
    struct token *token;
    int minted;
};

enum account_index {
    A,
    B,
    C,
    D,
    K1,
    K2,
    ACCOUNTS
};

struct world {
    struct loop *loop;
    struct conf conf;
    struct policy *policy;
    struct master_key *key;
    struct snapshot snaps[2];
    int refs[2];
    struct snap_account accounts[ACCOUNTS];
    struct services svc;
    struct token_cell cells[ACCOUNTS];
    atomic_uint_fast64_t replay_bytes;

    struct session *front;
    struct outlet front_outlet;
    struct capture client;
    bool is_front_over, holds_front, holds_back;
    struct front_info info;

    struct back backs[BACKS_MAX];
    int back_count;
    struct back_wait waits[BACKS_MAX];
    const char *dials;  /* "ok" or "wait" */
    const char *tokens; /* "ok", "wait", "fail" */
    struct token_wait *token_wait;
    const struct snap_account *token_for;
    token_cb token_cb;
    void *token_arg;
    bool token_is_pending;
    uint32_t client_wait_s;
    size_t most_held; /* in svc.replay_bytes, at any look */

    char log[LOG_MAX];
    size_t log_n;
    bool is_quiet;
    unsigned answered; /* answers that began to go to the client */
};

static struct world w;

/* ---- telling ---- */

__attribute__((format(printf, 1, 2))) static void tell(const char *fmt, ...)
{
    va_list ap;
    if (w.is_quiet)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(w.log + w.log_n, LOG_MAX - w.log_n, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && w.log_n + (size_t)n + 2 < LOG_MAX);
    w.log_n += (size_t)n;
    w.log[w.log_n++] = '\n';
    w.log[w.log_n] = '\0';
}

static void capture_add(struct capture *c, const void *p, size_t n)
{
    if (c->n + n + 1 > c->size) {
        c->size = (c->n + n + 1) * 2;
        c->p = realloc(c->p, c->size);
        assert_non_null(c->p);
    }
    memcpy(c->p + c->n, p, n);
    c->n += n;
    c->p[c->n] = '\0';
    c->unflushed += n;
}

static void capture_drop(struct capture *c)
{
    free(c->p);
    *c = (struct capture){0};
}

/* The value of a field in the head at P, "" when absent; HOW_MANY counts it. */
static const char *field_of(const char *p, const char *end, const char *name, int *how_many)
{
    static char value[4][512];
    static int turn;
    char *to = value[turn = (turn + 1) % 4];
    size_t n = strlen(name);
    to[0] = '\0';
    for (const char *line = p; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *v = line + n + 1;
        while (*v == ' ')
            v++;
        const char *stop = strstr(v, "\r\n");
        snprintf(to, sizeof value[0], "%.*s", (int)(stop - v), v);
        if (how_many)
            (*how_many)++;
    }
    return to;
}

/* "~" for CRLF; long bodies as their length. */
static const char *shown(const char *p, size_t n)
{
    static char text[256];
    size_t at = 0;
    if (n > 120) {
        snprintf(text, sizeof text, "<%zu bytes>", n);
        return text;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n')
            i++, text[at++] = '~';
        else
            text[at++] = isprint((unsigned char)p[i]) ? p[i] : '?';
    }
    text[at] = '\0';
    return text;
}

static bool is_head(const struct capture *c)
{
    const char *p = c->p + c->told;
    return strncmp(p, "HTTP/1.", 7) == 0 ||
           (isupper((unsigned char)p[0]) && strstr(p, " HTTP/1.1\r\nhost:"));
}

static void tell_client(void)
{
    struct capture *c = &w.client;
    if (c->told == c->n)
        return;
    const char *p = c->p + c->told, *end = is_head(c) ? strstr(p, "\r\n\r\n") : NULL;
    char head[256] = "";
    if (end) {
        const char *own = field_of(p, end, "proxy-status", NULL);
        const char *wait = field_of(p, end, "retry-after", NULL);
        snprintf(head, sizeof head, " %.3s%s%s%s", p + 9, *own ? " " : "",
                 *own ? strchr(own, '=') + 1 : "", *wait ? " retry-after " : "");
        snprintf(head + strlen(head), sizeof head - strlen(head), "%s", wait);
        p = end + 4;
        if (*own)
            p = c->p + c->n;
    }
    c->told = c->n;
    size_t n = (size_t)(c->p + c->n - p);
    tell("client%s%s%s", head, n ? " | " : "", n ? shown(p, n) : "");
}

static void tell_back(struct back *b)
{
    struct capture *c = &b->wire;
    if (c->told == c->n)
        return;
    const char *p = c->p + c->told, *end = is_head(c) ? strstr(p, "\r\n\r\n") : NULL;
    char head[512] = "";
    if (end) {
        int n = 0;
        const char *bearer = field_of(p, end, "authorization", &n);
        const char *key = field_of(p, end, "x-api-key", &n);
        const char *google = field_of(p, end, "x-goog-api-key", &n);
        snprintf(head, sizeof head, " %.*s %s%s%s%s", (int)(strstr(p, " HTTP/") - p), p, bearer,
                 key, google, n > 1 ? " SEVERAL" : "");
        p = end + 4;
    }
    c->told = c->n;
    size_t n = (size_t)(c->p + c->n - p);
    tell("b%d%s%s%s", b->number, head, n ? " | " : "", n ? shown(p, n) : "");
}

/* ---- the snapshot, faked ---- */

static const char *const placeholders[] = {ALICE, SOLO, PAT, ROWAN, CAROL, LATE, BUSY, NOBODY};

struct snapshot *snapshot_ref(struct snapshot *s)
{
    w.refs[s - w.snaps]++;
    return s;
}

void snapshot_unref(struct snapshot **s)
{
    if (*s)
        w.refs[*s - w.snaps]--;
    *s = NULL;
}

const struct snap_client *snapshot_find_client(const struct snapshot *s,
                                               const unsigned char hash[HMAC_SIZE])
{
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
        unsigned char h[HMAC_SIZE];
        assert_int_equal(placeholder_hash(w.key, slice_of(placeholders[i]), h), ERR_OK);
        if (memcmp(h, hash, sizeof h) == 0)
            return &s->clients[i];
    }
    return NULL;
}

static const struct snap_member all_members[] = {{A, 1e12}, {B, 1e6}, {C, 1}};
static const struct snap_member solo_members[] = {{A, 1}};
static const struct snap_member row_members[] = {{D, 1}};
static const struct snap_member claude_members[] = {{K1, 1e9}, {K2, 1}};
static const struct snap_pool pools[] = {{1, S("all"), all_members, 3},
                                         {2, S("solo"), solo_members, 1},
                                         {3, S("rows"), row_members, 1},
                                         {4, S("claude"), claude_members, 2},
                                         {5, S("empty"), NULL, 0}};
static const struct slice pat_models[] = {S("gemini-2.5-*"), S("claude-*")};
static const struct snap_client clients[] = {
    {.id = 1, .name = S("alice"), .enabled = true, .pool = 0},
    {.id = 2, .name = S("solo"), .enabled = true, .pool = 1},
    {.id = 3, .name = S("pat"), .enabled = true, .pool = 0, .models = pat_models, .model_count = 2},
    {.id = 4, .name = S("rowan"), .enabled = true, .pool = 2},
    {.id = 5, .name = S("carol"), .enabled = true, .pool = 3},
    {.id = 6, .name = S("late"), .enabled = true, .pool = 0, .expires_at = 1},
    {.id = 7, .name = S("busy"), .enabled = true, .pool = 0, .rpm = 1},
    {.id = 8, .name = S("nobody"), .enabled = true, .pool = 4},
};
static const struct snap_rule rules[] = {
    {.id = 1, .pattern = S(GEMINI), .action = RULE_SWAP, .api = API_GEMINI},
    {.id = 2, .pattern = S(CLAUDE), .action = RULE_SWAP, .api = API_ANTHROPIC},
    {.id = 3, .pattern = S("*-aiplatform.googleapis.com"), .action = RULE_SWAP, .api = API_VERTEX},
};
static const struct snap_model d_models[] = {
    {S("gemini-2.5-*"), S("europe-west4-aiplatform.googleapis.com")}};

/* ---- the pool, faked ---- */

static void back_put(struct outlet *o, const void *p, size_t n)
{
    struct back *b = o->owner;
    if (!b->is_dead)
        capture_add(&b->wire, p, n);
}

static void nothing(struct outlet *o)
{
    (void)o;
}

static const struct session_sink no_sink = {0};

static struct back *new_back(const struct authority *to, bool is_tls)
{
    static const struct session_limits limits = {65536, 128};
    assert_true(w.back_count < BACKS_MAX);
    struct back *b = &w.backs[w.back_count];
    *b = (struct back){.outlet = {back_put, nothing, NULL, b},
                       .to = *to,
                       .is_tls = is_tls,
                       .number = w.back_count + 1};
    b->session = h1_create(ROLE_CLIENT, &limits, &b->outlet, &no_sink, b);
    if (!b->session)
        return NULL;
    b->is_used = true;
    w.back_count++;
    return b;
}

static void tell_dial(const struct back *b)
{
    char at[HOST_MAX + 16];
    authority_print(&b->to, at, sizeof at);
    size_t n = strlen(at);
    if (n > 4 && strcmp(at + n - 4, ":443") == 0)
        at[n - 4] = '\0';
    tell("b%d %s%s %s", b->number, b->is_reused ? "reused" : "new", b->is_tls ? "" : " plain", at);
}

enum err pool_acquire(struct pool *p, const struct authority *to, unsigned how, pool_cb cb,
                      void *arg, struct back **ret_back, struct back_wait **ret_wait)
{
    bool is_tls = how & POOL_TLS, fresh_only = how & POOL_FRESH;
    (void)p;
    for (int i = w.back_count - 1; i >= 0 && !fresh_only; i--) {
        struct back *b = &w.backs[i];
        if (!b->is_idle || b->is_tls != is_tls || !authority_eq(&b->to, to))
            continue;
        b->is_idle = false;
        b->is_reused = true;
        tell_dial(b);
        *ret_back = b;
        return ERR_OK;
    }
    struct back *b = new_back(to, is_tls);
    if (!b)
        return ERR_NOMEM;
    tell_dial(b);
    for (size_t i = 0; i < BACKS_MAX; i++) {
        if (w.waits[i].is_used)
            continue;
        w.waits[i] = (struct back_wait){true, b, cb, arg};
        *ret_wait = &w.waits[i];
        return ERR_AGAIN;
    }
    fail_msg("too many dials");
    return ERR_LIMIT;
}

void pool_cancel(struct back_wait *wait)
{
    assert_true(wait->is_used);
    wait->is_used = false;
    tell("b%d cancelled", wait->back->number);
    wait->back->is_dead = true;
}

struct stream *back_open(struct back *b)
{
    assert_false(b->is_dead);
    return b->will_refuse_open ? NULL : session_open(b->session);
}

bool back_is_reused(const struct back *b)
{
    return b->is_reused;
}

void back_distrust(struct back *b)
{
    tell("b%d distrusted", b->number);
}

bool back_is_h2(const struct back *b)
{
    return b->session->is_h2;
}

const char *back_why(const struct back *b)
{
    (void)b;
    return "closed";
}

void back_destroy(struct back *b)
{
    assert_false(b->is_dead);
    tell_back(b);
    tell("b%d closed", b->number);
    b->is_dead = true;
}

void pool_release(struct back *b)
{
    assert_false(b->is_dead || b->is_idle);
    if (!session_is_idle(b->session)) {
        back_destroy(b);
        return;
    }
    tell_back(b);
    tell("b%d kept", b->number);
    b->is_idle = true;
}

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
    stream_credit(st, n);
}

static void discard_sent(struct stream *st, size_t n)
{
    (void)st;
    (void)n;
}

static void discard_close(struct stream *st, enum why why)
{
    struct back *b = st->owner;
    if (b->is_dead)
        return;
    if (why == WHY_DONE)
        pool_release(b);
    else
        back_destroy(b);
}

void back_discard(struct back *b, struct stream *st)
{
    static const struct stream_sink sink = {.on_head = discard_head,
                                            .on_body = discard_body,
                                            .on_sent = discard_sent,
                                            .on_close = discard_close};
    tell("b%d discards", b->number);
    st->sink = &sink;
    st->owner = b;
}

/* ---- the other services ---- */

static int index_of(const struct snap_account *a)
{
    return (int)(a->id - 1);
}

static struct token *mint(const struct snap_account *a)
{
    struct token_cell *c = &w.cells[index_of(a)];
    char text[64];
    snprintf(text, sizeof text, "tok-%s-%d", a->name.p, c->minted + 1);
    struct token *t = token_new(secret_new(text, strlen(text)), clock_wall_s() + 3600, 3600, 300);
    if (!t)
        return NULL;
    c->minted++;
    token_unref(&c->token);
    return c->token = t;
}

static struct token *fake_peek(struct token_cache *c, const struct snap_account *a)
{
    (void)c;
    return w.cells[index_of(a)].token;
}

static enum err fake_fetch(struct token_cache *c, const struct snap_account *a, token_cb cb,
                           void *arg, struct token_wait **ret_wait)
{
    (void)c;
    assert_false(w.token_is_pending);
    w.token_wait = mem_calloc(1, sizeof *w.token_wait);
    if (!w.token_wait)
        return ERR_NOMEM;
    tell("fetch %s", a->name.p);
    w.token_for = a;
    w.token_cb = cb;
    w.token_arg = arg;
    w.token_is_pending = true;
    *ret_wait = w.token_wait;
    return ERR_OK;
}

static void fake_cancel(struct token_wait *wait)
{
    assert_true(w.token_is_pending && wait == w.token_wait);
    w.token_is_pending = false;
    mem_free(wait);
    tell("fetch cancelled");
}

static void finish_fetch(bool ok)
{
    static const struct token_failure failure = {ERR_DENIED, "invalid_grant", 30};
    assert_true(w.token_is_pending);
    w.token_is_pending = false;
    mem_free(w.token_wait);
    struct token *t = ok ? mint(w.token_for) : NULL;
    w.token_cb(w.token_arg, t, t ? NULL : &failure);
}

static void fake_invalidate(struct token_cache *c, const struct snap_account *a, struct token *t)
{
    (void)c;
    struct slice bytes = token_bytes(t);
    tell("invalidate %.*s", (int)bytes.n, bytes.p);
    if (w.cells[index_of(a)].token == t)
        token_unref(&w.cells[index_of(a)].token);
}

static void fake_cooled(struct services *s, const struct snap_account *a, const struct cooldown *c)
{
    (void)s;
    assert_int_equal(c->account_id, a->id);
    tell("cool %s %s %s %lld s", a->name.p, c->model[0] ? c->model : "*", c->reason,
         (long long)(c->until_ms - clock_wall_ms()) / 1000);
}

static uint32_t fake_wait_s(struct services *s, const struct snap_client *c)
{
    (void)s;
    return c->rpm ? w.client_wait_s : 0;
}

static void fake_answered(struct services *s, const struct snapshot *snap,
                          const struct snap_client *c, const struct snap_account *a)
{
    (void)s;
    CHECK(c && a && snap->pools[c->pool].member_count);
    w.answered++;
}

static void fake_record(struct services *s, const struct exchange_record *r)
{
    char tried[256] = "";
    (void)s;
    for (uint32_t i = 0; i < r->attempt_count; i++) {
        const struct attempt *a = &r->attempts[i];
        size_t n = strlen(tried);
        snprintf(tried + n, sizeof tried - n, " %.*s:", (int)a->account.n, a->account.p);
        n = strlen(tried);
        if (a->status)
            snprintf(tried + n, sizeof tried - n, "%d", a->status);
        else
            snprintf(tried + n, sizeof tried - n, "%s", a->reason ? a->reason : "-");
    }
    tell("record %d%s%s%s%s", r->status, r->is_own_answer ? " own" : "", tried,
         r->reason ? " " : "", r->reason ? r->reason : "");
}

/* ---- the client ---- */

static void front_put(struct outlet *o, const void *p, size_t n)
{
    (void)o;
    capture_add(&w.client, p, n);
}

static void entry_head(struct stream *st, const struct head *h, bool end)
{
    exchange_begin(&w.svc, &w.info, st, h, end);
}

static void entry_body(struct stream *st, const void *p, size_t n, bool end)
{
    (void)st;
    (void)p;
    (void)n;
    (void)end;
}

static void entry_close(struct stream *st, enum why why)
{
    (void)st;
    (void)why;
}

static void entry_open(struct session *s, struct stream *st)
{
    static const struct stream_sink sink = {.on_head = entry_head,
                                            .on_body = entry_body,
                                            .on_sent = discard_sent,
                                            .on_close = entry_close};
    st->sink = &sink;
    st->owner = s;
}

static void front_finished(struct session *s)
{
    tell_client();
    tell("client %s", s->is_broken ? "cut" : "ended");
    w.is_front_over = true;
}

static void front_fault(struct session *s, const struct fault *f)
{
    (void)s;
    tell("client fault %d %s", f->status, f->reason);
    w.is_front_over = true;
}

static bool connect_client(const char *host)
{
    static const struct session_limits limits = {65536, 128};
    static const struct session_sink sink = {
        .on_open = entry_open, .on_finished = front_finished, .on_fault = front_fault};
    session_destroy(w.front);
    capture_drop(&w.client);
    w.is_front_over = false;
    assert_int_equal(authority_parse(slice_of(host), 443, &w.info.authority), ERR_OK);
    w.front_outlet = (struct outlet){front_put, nothing, NULL, NULL};
    w.front = h1_create(ROLE_SERVER, &limits, &w.front_outlet, &sink, NULL);
    return w.front != NULL;
}

/* ---- time and turns ---- */

static bool flush_front(void)
{
    size_t n = w.client.unflushed;
    if (!n || w.is_front_over)
        return false;
    tell_client();
    w.client.unflushed = 0;
    session_flushed(w.front, n);
    return true;
}

static bool flush_back(struct back *b)
{
    size_t n = b->wire.unflushed;
    if (!n || b->is_dead)
        return false;
    tell_back(b);
    b->wire.unflushed = 0;
    session_flushed(b->session, n);
    return true;
}

/* *WORD becomes a static one. */
static enum err dial_error(const char **word)
{
    static const struct {
        const char *word;
        enum err e;
    } errors[] = {{"connect_refused", ERR_REFUSED},
                  {"certificate", ERR_CERT},
                  {"tls", ERR_TLS},
                  {"unresolved", ERR_UNRESOLVED},
                  {"address_denied", ERR_DENIED},
                  {"connect_timeout", ERR_TIMEOUT},
                  {"no_descriptors", ERR_LIMIT}};
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (strcmp(errors[i].word, *word) == 0) {
            *word = errors[i].word;
            return errors[i].e;
        }
    return ERR_OK;
}

/* The oldest dial that waits ends. */
static bool finish_dial(const char *how)
{
    for (size_t i = 0; i < BACKS_MAX; i++) {
        struct back_wait wait = w.waits[i];
        if (!wait.is_used)
            continue;
        w.waits[i].is_used = false;
        enum err e = dial_error(&how);
        if (e != ERR_OK)
            wait.back->is_dead = true;
        wait.cb(wait.arg, e, e == ERR_OK ? NULL : how, e == ERR_OK ? wait.back : NULL);
        return true;
    }
    return false;
}

static void turn(void)
{
    loop_now(w.loop);
    wheel_turn(&w.loop->wheel, w.loop->now_ms);
    event_base_loop(w.loop->base, EVLOOP_NONBLOCK);
    size_t held = (size_t)atomic_load(&w.replay_bytes);
    if (held > w.most_held)
        w.most_held = held;
}

/* Until nothing moves any more. */
static void settle(void)
{
    for (bool moved = true; moved;) {
        moved = !w.holds_front && flush_front();
        for (int i = 0; i < w.back_count && !w.holds_back; i++)
            moved |= flush_back(&w.backs[i]);
        if (strcmp(w.dials, "wait") != 0)
            moved |= finish_dial(w.dials);
        if (w.token_is_pending && strcmp(w.tokens, "wait") != 0) {
            finish_fetch(strcmp(w.tokens, "ok") == 0);
            moved = true;
        }
        turn();
    }
}

static void pass_time(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        clock_advance_fake(1000);
        turn();
        settle();
    }
}

/* As a link does: reading stops while the session wants no more. Returns what was taken. */
static size_t client_sends(const char *p, size_t n)
{
    size_t taken = 0;
    while (taken < n && !w.is_front_over && session_wants_read(w.front)) {
        size_t piece = n - taken < 16384 ? n - taken : 16384;
        if (session_feed(w.front, p + taken, piece) != ERR_OK) {
            tell("client fault %d %s", w.front->fault.status, w.front->fault.reason);
            w.is_front_over = true;
        }
        taken += piece;
        settle();
    }
    return taken;
}

/* False: the session refused it. */
static void back_says(struct back *b, const char *p, size_t n)
{
    while (n && !b->is_dead && session_wants_read(b->session)) {
        size_t piece = n < 16384 ? n : 16384;
        if (session_feed(b->session, p, piece) != ERR_OK && !b->is_dead) {
            tell("b%d fault", b->number);
            b->is_dead = true;
        }
        p += piece;
        n -= piece;
        settle();
    }
}

/* ---- a world begins and ends ---- */

static int world_make(void **state)
{
    static const char key[] = "0123456789abcdef0123456789abcde";
    static char *swap[] = {"googleapis.com", "anthropic.com"}, *ports[] = {"443"},
                *deny[] = {"private"}, *proxy[] = {"127.0.0.1:3128"};
    struct errmsg msg;
    (void)state;
    memset(&w, 0, sizeof w);
    clock_set_fake(T0_MS, WALL0_MS);
    w.conf.retry.attempts = 3;
    w.conf.retry.replay_bytes = 1048576;
    w.conf.retry.replay_total_bytes = 67108864;
    w.conf.limits.idle_timeout = 120;
    w.conf.upstream.read_timeout = 300;
    w.conf.listen.proxy = (struct conf_list){proxy, 1};
    w.conf.policy.clients = (struct conf_list){deny, 1};
    w.conf.policy.ports = (struct conf_list){ports, 1};
    w.conf.policy.swap_domains = (struct conf_list){swap, 2};
    w.conf.policy.deny_networks = (struct conf_list){deny, 1};
    w.conf.policy.tunnel = "";
    w.conf.policy.proxy_auth = "optional";
    if (policy_create(&w.conf, &w.policy, &msg) != ERR_OK ||
        master_key_new(slice_make(key, 32), &w.key) != ERR_OK || loop_create(&w.loop) != ERR_OK)
        return 1;
    static const char *const names[] = {"a", "b", "c", "d", "k1", "k2"};
    static const char *const projects[] = {"proj-a", "proj-b", "proj-c", "proj-d", "", ""};
    for (int i = 0; i < ACCOUNTS; i++)
        w.accounts[i] = (struct snap_account){.id = i + 1,
                                              .name = slice_of(names[i]),
                                              .project = slice_of(projects[i]),
                                              .location = SLICE("us-central1"),
                                              .kind = i < K1 ? ACCOUNT_SERVICE : ACCOUNT_API_KEY};
    w.accounts[D].models = d_models;
    w.accounts[D].model_count = 1;
    w.accounts[K1].host = w.accounts[K2].host = SLICE(CLAUDE);
    w.accounts[K1].api_key = secret_new("sk-one", 6);
    w.accounts[K2].api_key = secret_new("sk-two", 6);
    for (int i = 0; i < 2; i++)
        w.snaps[i] = (struct snapshot){.generation = i + 1,
                                       .accounts = w.accounts,
                                       .account_count = ACCOUNTS,
                                       .pools = pools,
                                       .pool_count = ARRAY_LEN(pools),
                                       .clients = clients,
                                       .client_count = ARRAY_LEN(clients),
                                       .rules = rules,
                                       .rule_count = ARRAY_LEN(rules)};
    w.svc = (struct services){.loop = w.loop,
                              .conf = &w.conf,
                              .policy = w.policy,
                              .key = w.key,
                              .snapshot = &w.snaps[0],
                              .replay_bytes = &w.replay_bytes,
                              .token_peek = fake_peek,
                              .token_fetch = fake_fetch,
                              .token_wait_cancel = fake_cancel,
                              .token_invalidate = fake_invalidate,
                              .cooled = fake_cooled,
                              .client_wait_s = fake_wait_s,
                              .answered = fake_answered,
                              .record = fake_record};
    list_init(&w.svc.exchanges);
    rng_seed(w.svc.rng, 42);
    if (health_create(&w.svc.health) != ERR_OK)
        return 1;
    for (int i = 0; i < K1; i++)
        mint(&w.accounts[i]);
    w.info = (struct front_info){.is_intercepted = true, .conn_id = 7, .peer = "10.0.0.1:5"};
    w.dials = w.tokens = "ok";
    return 0;
}

/* Nothing may be left behind, whatever happened. */
static int world_end(void **state)
{
    (void)state;
    mem_fail_after(0, 0);
    w.is_quiet = true;
    w.holds_front = w.holds_back = false;
    if (w.front && !w.is_front_over)
        session_abort(w.front);
    settle();
    bool clean = list_empty(&w.svc.exchanges) && w.svc.exchange_count == 0 && w.refs[0] == 0 &&
                 w.refs[1] == 0 && atomic_load(&w.replay_bytes) == 0 && !w.token_is_pending;
    for (int i = 0; i < BACKS_MAX; i++) {
        struct back *b = &w.backs[i];
        clean = clean && !w.waits[i].is_used;
        if (b->is_used && !b->is_dead && !b->is_idle) {
            print_error("b%d was forgotten\n", b->number);
            clean = false;
        }
        b->is_dead = true;
        session_destroy(b->session);
        capture_drop(&b->wire);
    }
    session_destroy(w.front);
    capture_drop(&w.client);
    for (int i = 0; i < ACCOUNTS; i++) {
        token_unref(&w.cells[i].token);
        secret_unref(&w.accounts[i].api_key);
    }
    health_destroy(w.svc.health);
    loop_destroy(w.loop);
    policy_destroy(w.policy);
    master_key_unref(&w.key);
    clock_unset_fake();
    if (!clean)
        print_error("something was left behind\n");
    return clean ? 0 : 1;
}

/* ---- scenarios ---- */

#define GENERATE "/v1beta/models/gemini-2.5-pro:generateContent"
#define HEAD_JSON "content-type: application/json~"

/* What clients ask, "~" for CRLF. */
static const struct {
    const char *name, *host, *text;
} requests[] = {
    {"gemini", GEMINI,
     "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~" HEAD_JSON
     "content-length: 2~~{}"},
    {"solo", GEMINI,
     "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " SOLO "~content-length: 2~~{}"},
    {"upload", GEMINI,
     "POST /upload/v1beta/files HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
     "~content-length: 4~~data"},
    {"get", GEMINI, "GET /v1beta/models HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE "~~"},
    {"claude", CLAUDE,
     "POST /v1/messages HTTP/1.1~host: " CLAUDE "~x-api-key: " CAROL
     "~content-length: 22~~{\"model\":\"claude-x-1\"}"},
    {"vertex", VERTEX,
     "POST /v1/projects/mine/locations/us-central1/publishers/google/models/"
     "gemini-2.5-pro:generateContent HTTP/1.1~host: " VERTEX "~authorization: Bearer " ALICE
     "~content-length: 2~~{}"},
    {"rows", VERTEX,
     "POST /v1/projects/mine/locations/us-central1/publishers/google/models/"
     "gemini-2.5-pro:generateContent HTTP/1.1~host: " VERTEX "~authorization: Bearer " ROWAN
     "~content-length: 2~~{}"},
    {"open", GEMINI,
     "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
     "~content-length: 10~~12345"},
    {"stream", GEMINI,
     "POST " GENERATE " HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
     "~transfer-encoding: chunked~~"},
    {"open upload", GEMINI,
     "POST /upload/v1beta/files HTTP/1.1~host: " GEMINI "~x-goog-api-key: " ALICE
     "~content-length: 10~~12345"},
    {"open claude", CLAUDE,
     "POST /v1/messages HTTP/1.1~host: " CLAUDE "~x-api-key: " CAROL
     "~content-length: 34~~{\"max\":1,"},
};

static size_t unescape(const char *text, char *to, size_t size)
{
    size_t n = 0;
    for (; *text; text++) {
        assert_true(n + 2 < size);
        if (*text == '~') {
            to[n++] = '\r';
            to[n++] = '\n';
        } else {
            to[n++] = *text;
        }
    }
    to[n] = '\0';
    return n;
}

static void send_text(const char *text)
{
    static char bytes[65536];
    size_t n = unescape(text, bytes, sizeof bytes);
    client_sends(bytes, n);
}

static void do_ask(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        if (strcmp(requests[i].name, name) != 0)
            continue;
        struct authority to;
        assert_int_equal(authority_parse(slice_of(requests[i].host), 443, &to), ERR_OK);
        if (!w.front || w.is_front_over || !authority_eq(&to, &w.info.authority))
            assert_true(connect_client(requests[i].host));
        send_text(requests[i].text);
        return;
    }
    fail_msg("no request %s", name);
}

/* "STATUS[ field: value~...] | body" */
static void do_says(struct back *b, const char *what)
{
    static char text[8192], bytes[16384];
    const char *body = strstr(what, " | ");
    const char *fields = what + 3;
    int n = (int)(body ? body - fields : (long)strlen(fields));
    body = body ? body + 3 : "";
    snprintf(text, sizeof text, "HTTP/1.1 %.3s Text~%.*s%scontent-length: %zu~~", what,
             n ? n - 1 : 0, fields + (n ? 1 : 0), n ? "~" : "", strlen(body));
    size_t len = unescape(text, bytes, sizeof bytes);
    memcpy(bytes + len, body, strlen(body));
    back_says(b, bytes, len + strlen(body));
}

static void do_back(const char *line)
{
    static char bytes[16384];
    char *rest;
    long number = strtol(line, &rest, 10);
    assert_true(number >= 1 && number <= w.back_count);
    struct back *b = &w.backs[number - 1];
    rest++;
    assert_false(b->is_dead);
    if (strncmp(rest, "says ", 5) == 0) {
        do_says(b, rest + 5);
    } else if (strncmp(rest, "raw ", 4) == 0) {
        back_says(b, bytes, unescape(rest + 4, bytes, sizeof bytes));
    } else if (strcmp(rest, "gone") == 0) {
        if (b->is_idle)
            b->is_idle = false, b->is_dead = true;
        session_abort(b->session);
    } else if (strcmp(rest, "ends") == 0) {
        session_eof(b->session);
    } else if (strcmp(rest, "is stale") == 0) {
        b->will_refuse_open = true;
    } else {
        fail_msg("b%s?", line);
    }
}

static void do_line(const char *line)
{
    static char x[65536];
    memset(x, 'x', sizeof x);
    if (strncmp(line, "ask ", 4) == 0)
        do_ask(line + 4);
    else if (strncmp(line, "send ", 5) == 0)
        send_text(line + 5);
    else if (strncmp(line, "bytes ", 6) == 0)
        client_sends(x, strtoul(line + 6, NULL, 10));
    else if (strncmp(line, "wait ", 5) == 0)
        pass_time((unsigned)strtoul(line + 5, NULL, 10));
    else if (strncmp(line, "dials ", 6) == 0)
        w.dials = strcmp(line + 6, "wait") == 0 ? "wait" : "ok";
    else if (strncmp(line, "dial ", 5) == 0)
        assert_true(finish_dial(line + 5));
    else if (strncmp(line, "tokens ", 7) == 0)
        w.tokens = line[7] == 'o' ? "ok" : line[7] == 'w' ? "wait" : "fail";
    else if (strncmp(line, "token ", 6) == 0)
        finish_fetch(strcmp(line + 6, "comes") == 0);
    else if (strcmp(line, "no tokens") == 0)
        for (int i = 0; i < ACCOUNTS; i++)
            token_unref(&w.cells[i].token);
    else if (strncmp(line, "attempts ", 9) == 0)
        w.conf.retry.attempts = strtol(line + 9, NULL, 10);
    else if (strncmp(line, "replay ", 7) == 0)
        w.conf.retry.replay_bytes = strtol(line + 7, NULL, 10);
    else if (strcmp(line, "client gone") == 0)
        session_abort(w.front), w.is_front_over = true;
    else if (strcmp(line, "hold front") == 0)
        w.holds_front = true;
    else if (strcmp(line, "flush front") == 0)
        w.holds_front = false;
    else if (strcmp(line, "hold back") == 0)
        w.holds_back = true;
    else if (strcmp(line, "flush back") == 0)
        w.holds_back = false;
    else if (line[0] == 'b')
        do_back(line + 1);
    else
        fail_msg("%s?", line);
    settle();
}

/* TEXT: lines; "> what is done", then what is told. */
static inline void play(const char *text)
{
    char done[1024] = "", *told = calloc(1, LOG_MAX);
    assert_non_null(told);
    w.log_n = 0;
    w.log[0] = '\0';
    while (*text || *done) {
        size_t n = strcspn(text, "\n");
        bool is_action = text[0] == '>' || !*text;
        if (is_action && *done) {
            w.log_n = 0;
            w.log[0] = '\0';
            do_line(done);
            if (strcmp(told, w.log) != 0) {
                print_error("> %s\n--- expected\n%s--- told\n%s", done, told, w.log);
                free(told);
                fail();
                return;
            }
            done[0] = told[0] = '\0';
        }
        if (text[0] == '>')
            snprintf(done, sizeof done, "%.*s", (int)n - 2, text + 2);
        else if (n)
            snprintf(told + strlen(told), LOG_MAX - strlen(told), "%.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
    free(told);
}

#define SIM(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

/* World after world, each with what PREPARE (NULL: nothing) adds, one allocation of ACT later each
 * time: it fails, the exchange ends, the client is answered or cut, nothing stays. */
static inline void fail_each(void **state, const char *host, void (*prepare)(void),
                             void (*act)(void))
{
    assert_true(connect_client(host));
    unsigned long before = mem_count();
    act();
    long all = (long)(mem_count() - before);
    assert_true(all > 3 && all < 400);
    for (long n = 1; n <= all + 1; n++) {
        assert_int_equal(world_end(state), 0);
        assert_int_equal(world_make(state), 0);
        if (prepare)
            prepare();
        assert_true(connect_client(host));
        mem_fail_after(n, 0);
        act();
        mem_fail_after(0, 0);
        settle();
        if (w.svc.exchange_count || (w.front && !w.is_front_over && !w.client.n))
            fail_msg("allocation %ld: %s", n, w.log);
    }
}

#endif
