/* What of a token's story is kept: by letters to the writer, which nobody waits for. */
#include "base/clock.h"
#include "store/event.h"
#include "store/token.h"
#include "store/writer.h"
#include "token/broker_internal.h"

#include <stdio.h>

struct job {
    int64_t account_id;
    struct master_key *key;
    struct token *token;
    uint64_t mint_ms;
    int64_t fails, retry_at;
    struct slice scope, who, what; /* text behind the struct */
};

static void job_free(void *arg)
{
    struct job *j = arg;
    master_key_unref(&j->key);
    token_unref(&j->token);
    mem_free(j);
}

static struct slice put(char **at, struct slice s)
{
    struct slice copy = slice_make(*at, s.n);
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static struct job *job_new(struct slice scope, struct slice who, struct slice what)
{
    struct job *j = mem_calloc(1, sizeof *j + scope.n + who.n + what.n + 1);
    if (!j)
        return NULL;
    char *at = (char *)(j + 1);
    j->scope = put(&at, scope);
    j->who = put(&at, who);
    j->what = put(&at, what);
    return j;
}

static void post(struct broker *b, struct job *j, enum err (*run)(struct store *, void *))
{
    if (j && b->writer)
        writer_post(b->writer, (struct writer_job){.run = run, .free_arg = job_free, .arg = j});
    else if (j)
        job_free(j);
}

/* ---- jobs, on the writer's thread ---- */

/* An account that was removed meanwhile needs nothing kept. */
static enum err unless_gone(enum err e)
{
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err run_token(struct store *s, void *arg)
{
    const struct job *j = arg;
    return unless_gone(token_store(s, j->key, j->account_id, j->scope, token_bytes(j->token),
                                   j->token->expires_at, j->token->minted_at, (int64_t)j->mint_ms,
                                   NULL));
}

static enum err run_failure(struct store *s, void *arg)
{
    const struct job *j = arg;
    return unless_gone(
        token_fail(s, j->account_id, j->scope, j->fails, j->retry_at, j->what, NULL));
}

static enum err run_alarm(struct store *s, void *arg)
{
    const struct job *j = arg;
    return event_put(s, EVENT_ALARM, j->who, j->what, NULL);
}

static enum err run_drop(struct store *s, void *arg)
{
    const struct job *j = arg;
    char print[FINGERPRINT_SIZE];
    fingerprint(token_bytes(j->token), print);
    return unless_gone(token_drop(s, j->account_id, j->scope, slice_of(print), NULL));
}

/* ---- letters, on the broker's thread ---- */

void persist_token(struct cell *c, struct token *t, uint64_t mint_ms)
{
    struct job *j = job_new(c->facts.scope, SLICE(""), SLICE(""));
    if (j) {
        j->account_id = c->id;
        j->key = master_key_ref(c->b->key);
        j->token = token_ref(t);
        j->mint_ms = mint_ms;
    }
    post(c->b, j, run_token);
}

void persist_drop(struct cell *c, struct token *t)
{
    struct job *j = job_new(c->facts.scope, SLICE(""), SLICE(""));
    if (j) {
        j->account_id = c->id;
        j->token = token_ref(t);
    }
    post(c->b, j, run_drop);
}

void persist_failure(struct cell *c, const struct token_answer *a, uint64_t delay_ms)
{
    char what[300];
    snprintf(what, sizeof what, "%s: %s", a->reason, a->advice);
    struct job *j = job_new(c->facts.scope, SLICE(""), slice_of(what));
    if (j) {
        j->account_id = c->id;
        j->fails = (int64_t)c->fails;
        j->retry_at = clock_wall_s() + (int64_t)((delay_ms + 999) / 1000);
    }
    post(c->b, j, run_failure);
    if (fault_is_permanent(a->fault))
        persist_alarm(c->b, slice_of(c->name), slice_of(what));
}

void persist_alarm(struct broker *b, struct slice who, struct slice what)
{
    post(b, job_new(SLICE(""), who, what), run_alarm);
}
