/* The thread that writes. Jobs come from any thread into a list under one lock, which is never held
 * while SQLite works; the thread takes up to 512 of them, runs each in a savepoint of one
 * transaction, and commits.
 *
 * What goes wrong: a job's own error costs that job. When the transaction cannot begin or commit
 * (locked, disk full, read-only, no store there, a newer schema) all its jobs are kept and tried
 * again, after a pause that grows to a second, while the bounds of the queue drop the oldest
 * droppable ones. Nothing that is posted ever waits. */
#include "store/writer.h"
#include "store/cooldown.h"
#include "store/pin.h"
#include "store/store_internal.h"
#include "store/usage.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define BATCH_JOBS 512
#define BATCH_MS 100
#define DROPPABLE_MAX 20000
#define QUEUE_MAX 50000 /* the rest, when the store has been away for very long */
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 1000
#define STOP_MS 5000
#define TIDY_MS 3600000
#define USAGE_KEEP_S ((int64_t)92 * 86400)

struct queued {
    struct queued *next;
    struct writer_job job;
    uint64_t seq; /* from 1, in the order of posting */
    uint64_t posted_ms;
    bool has_failed; /* in the running transaction */
};

struct jobs {
    struct queued *first, **end;
    size_t count;
};

struct writer {
    struct store *s;
    struct master_key *key;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* under lock: */
    struct jobs queues[2]; /* [droppable]; each in the order of posting */
    struct jobs batch;     /* the thread's; only its numbers are read by others */
    uint64_t last_seq;
    struct writer_stats stats;
    bool is_stopping, is_abandoned; /* abandoned: what is left is given up */
    unsigned flushing;              /* somebody waits: do not gather, write */
};

/* Not base/clock.h: a test that stops the clock must not stop this thread's waiting. */
static uint64_t now_ms(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    pthread_cond_timedwait(c, m, &t);
}

static void jobs_init(struct jobs *l)
{
    *l = (struct jobs){.end = &l->first};
}

static void jobs_add(struct jobs *l, struct queued *n)
{
    n->next = NULL;
    *l->end = n;
    l->end = &n->next;
    l->count++;
}

static struct queued *jobs_take(struct jobs *l)
{
    struct queued *n = l->first;
    if (!n)
        return NULL;
    l->first = n->next;
    if (!l->first)
        l->end = &l->first;
    l->count--;
    return n;
}

/* Under lock, as the next three. */
static size_t waiting(const struct writer *w)
{
    return w->queues[0].count + w->queues[1].count;
}

/* Where the next job in the order of posting stands; its list may be empty. */
static struct jobs *next_queue(struct writer *w)
{
    struct jobs *a = &w->queues[0], *b = &w->queues[1];
    if (!a->first || !b->first)
        return a->first ? a : b;
    return a->first->seq < b->first->seq ? a : b;
}

static const struct queued *oldest(struct writer *w)
{
    return w->batch.first ? w->batch.first : next_queue(w)->first;
}

static void job_free(const struct writer_job *job)
{
    if (job->free_arg)
        job->free_arg(job->arg);
}

static void queued_free(struct queued *n)
{
    job_free(&n->job);
    mem_free(n);
}

/* ---- posting ---- */

/* Returns what has to go so that one more fits, or NULL. */
static struct queued *make_room(struct writer *w, const struct writer_job *job)
{
    if (job->droppable && w->queues[true].count >= DROPPABLE_MAX)
        return jobs_take(&w->queues[true]);
    if (waiting(w) < QUEUE_MAX)
        return NULL;
    struct queued *n = jobs_take(&w->queues[true]);
    return n ? n : jobs_take(&w->queues[false]);
}

void writer_post(struct writer *w, struct writer_job job)
{
    struct queued *n = mem_alloc(sizeof *n);
    struct queued *gone = NULL;
    if (n)
        *n = (struct queued){.job = job, .posted_ms = now_ms()};
    pthread_mutex_lock(&w->lock);
    bool takes = n && !w->is_abandoned;
    w->stats.jobs++;
    if (takes) {
        gone = make_room(w, &job);
        n->seq = ++w->last_seq;
        jobs_add(&w->queues[job.droppable], n);
        if (waiting(w) == 1 || waiting(w) == BATCH_JOBS)
            pthread_cond_signal(&w->work);
    }
    bool drops = gone || !takes;
    uint64_t dropped = w->stats.dropped += drops;
    if (drops)
        pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->lock);
    if (drops && (dropped & (dropped - 1)) == 0) /* 1, 2, 4, 8, ...: said, not shouted */
        LOG(LOG_ERROR, "writer_dropped", KV_U("dropped", dropped));
    if (gone)
        queued_free(gone);
    if (!takes) {
        job_free(&job);
        mem_free(n);
    }
}

/* ---- the thread ---- */

static void note_error(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->stats.last_error_at_ms = clock_wall_ms();
    snprintf(w->stats.last_error, sizeof w->stats.last_error, "%.*s",
             (int)sizeof w->stats.last_error - 1, store_last_error(w->s));
    pthread_mutex_unlock(&w->lock);
}

/* Waits for the first job, then for company: more jobs within BATCH_MS of the oldest's arrival.
 * False: stop. */
static bool gather(struct writer *w, uint64_t tidy_at)
{
    pthread_mutex_lock(&w->lock);
    while (w->batch.count == 0 && waiting(w) == 0 && !w->is_stopping && now_ms() < tidy_at)
        wait_until(&w->work, &w->lock, tidy_at);
    while (waiting(w) > 0 && w->batch.count + waiting(w) < BATCH_JOBS && !w->is_stopping &&
           w->flushing == 0) {
        uint64_t due = next_queue(w)->first->posted_ms + BATCH_MS;
        if (now_ms() >= due)
            break;
        wait_until(&w->work, &w->lock, due);
    }
    struct queued *n;
    while (w->batch.count < BATCH_JOBS && (n = jobs_take(next_queue(w))) != NULL)
        jobs_add(&w->batch, n);
    bool goes_on = !w->is_abandoned && (w->batch.count > 0 || !w->is_stopping);
    pthread_mutex_unlock(&w->lock);
    return goes_on;
}

/* Not the job's fault: it would fare no better alone, and may fare better later. */
static bool is_weather(struct store *s)
{
    switch (s->last_rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_NOMEM:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_NOTADB:
        return true;
    default:
        return false;
    }
}

/* A job's own error is undone alone. */
static enum err run_one(struct writer *w, struct queued *n)
{
    struct scope sc;
    enum err e = db_scope_begin(w->s, &sc, NULL);
    if (e != ERR_OK)
        return e;
    w->s->last_rc = SQLITE_OK;
    enum err job = n->job.run(w->s, n->job.arg);
    if (job != ERR_OK && (is_weather(w->s) || sqlite3_get_autocommit(w->s->db)))
        return job;
    n->has_failed = job != ERR_OK;
    if (n->has_failed) {
        LOG(LOG_WARN, "writer_job_failed", KV_Z("reason", store_last_error(w->s)));
        note_error(w);
    }
    e = db_scope_end(w->s, &sc, job, NULL);
    return n->has_failed && !sqlite3_get_autocommit(w->s->db) ? ERR_OK : e;
}

/* The store at the path, not the file that was there once; and none that a newer program owns. */
static enum err begin_batch(struct writer *w)
{
    struct errmsg msg = {0};
    enum err e = store_follow(&w->s, &msg);
    if (e != ERR_OK) {
        w->s->last = msg;
        return e;
    }
    e = store_begin(w->s, NULL);
    return e == ERR_OK ? store_check_schema(w->s, NULL) : e;
}

static enum err write_batch(struct writer *w)
{
    enum err e = begin_batch(w);
    for (struct queued *n = w->batch.first; n && e == ERR_OK; n = n->next)
        e = run_one(w, n);
    if (e == ERR_OK)
        return store_commit(w->s, NULL);
    store_rollback(w->s);
    return e;
}

/* Committed: the jobs are history. */
static void finish_batch(struct writer *w)
{
    struct jobs done = w->batch;
    if (!done.first)
        done.end = &done.first;
    uint64_t failed = 0;
    for (struct queued *n = done.first; n; n = n->next)
        failed += n->has_failed;
    pthread_mutex_lock(&w->lock);
    jobs_init(&w->batch);
    w->stats.failed += failed;
    w->stats.commits++;
    bool was_healthy = w->stats.is_healthy;
    w->stats.is_healthy = true;
    pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->lock);
    if (!was_healthy)
        LOG(LOG_INFO, "writer_recovered", KV_U("written", done.count));
    while (done.first)
        queued_free(jobs_take(&done));
    log_flush();
}

/* Not committed: the batch stays, and the thread rests. Posts do not wake it early, a stop does. */
static void rest(struct writer *w, uint64_t pause_ms)
{
    note_error(w);
    pthread_mutex_lock(&w->lock);
    bool was_healthy = w->stats.is_healthy;
    size_t left = w->batch.count + waiting(w);
    w->stats.is_healthy = false;
    pthread_mutex_unlock(&w->lock);
    if (was_healthy)
        LOG(LOG_ERROR, "writer_stuck", KV_Z("reason", store_last_error(w->s)),
            KV_U("waiting", left));
    log_flush();
    pthread_mutex_lock(&w->lock);
    uint64_t until = now_ms() + pause_ms;
    while (now_ms() < until && !w->is_abandoned)
        wait_until(&w->work, &w->lock, until);
    pthread_mutex_unlock(&w->lock);
}

/* Old history goes once an hour. A failure waits for the next hour. */
static void tidy(struct writer *w)
{
    enum err e = begin_batch(w);
    if (e == ERR_OK)
        e = usage_prune(w->s, clock_wall_s() - USAGE_KEEP_S, NULL);
    if (e == ERR_OK)
        e = cooldown_prune(w->s, clock_wall_ms() - TIDY_MS, NULL);
    if (e == ERR_OK)
        e = pin_prune(w->s, clock_wall_s(), NULL);
    if (e == ERR_OK)
        e = store_commit(w->s, NULL);
    if (e == ERR_OK)
        (void)!db_script(w->s, "PRAGMA optimize", NULL);
    else
        store_rollback(w->s);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    uint64_t pause_ms = PAUSE_MIN_MS, tidy_at = now_ms() + TIDY_MS;
    while (gather(w, tidy_at)) {
        if (w->batch.count == 0) {
            tidy(w);
        } else if (write_batch(w) == ERR_OK) {
            finish_batch(w);
            pause_ms = PAUSE_MIN_MS;
        } else {
            rest(w, pause_ms);
            pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
        }
        if (now_ms() >= tidy_at)
            tidy_at = now_ms() + TIDY_MS;
    }
    log_flush();
    return NULL;
}

/* ---- life ---- */

static enum err open_own(const char *path, struct store **ret, struct errmsg *msg)
{
    struct store *s = NULL;
    enum err e = store_open(path, STORE_CREATE, &s, msg);
    if (e == ERR_OK)
        e = store_migrate(s, msg);
    if (e == ERR_OK)
        *ret = s;
    else
        store_close(s);
    return e;
}

static void destroy(struct writer *w)
{
    store_close(w->s);
    master_key_unref(&w->key);
    mem_free(w);
}

enum err writer_start(const char *path, struct master_key *key, struct writer **ret,
                      struct errmsg *msg)
{
    struct writer *w = mem_calloc(1, sizeof *w);
    if (!w)
        return err_set(msg, ERR_NOMEM, "writer: %s", err_str(ERR_NOMEM));
    jobs_init(&w->queues[0]);
    jobs_init(&w->queues[1]);
    jobs_init(&w->batch);
    w->stats.is_healthy = true;
    w->key = master_key_ref(key);
    enum err e = open_own(path, &w->s, msg);
    if (e != ERR_OK) {
        destroy(w);
        return e;
    }
    store_set_key(w->s, w->key);
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0 &&
          pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->work, &attr) == 0 &&
          pthread_cond_init(&w->done, &attr) == 0);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        destroy(w);
        return err_set(msg, ERR_NOMEM, "writer: the system gives no thread");
    }
    *ret = w;
    return ERR_OK;
}

/* Under lock. True when every job up to SEQ is written, failed or dropped: what is left is in
 * order. */
static bool is_done(struct writer *w, uint64_t seq)
{
    const struct queued *n = oldest(w);
    return !n || n->seq > seq;
}

enum err writer_flush(struct writer *w, uint64_t timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    pthread_mutex_lock(&w->lock);
    uint64_t target = w->last_seq;
    w->flushing++;
    pthread_cond_signal(&w->work);
    while (!is_done(w, target) && now_ms() < until)
        wait_until(&w->done, &w->lock, until);
    w->flushing--;
    enum err e = is_done(w, target) ? ERR_OK : ERR_TIMEOUT;
    pthread_mutex_unlock(&w->lock);
    return e;
}

static void jobs_free(struct jobs *l)
{
    while (l->first)
        queued_free(jobs_take(l));
}

void writer_stop(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    (void)!writer_flush(w, STOP_MS);
    pthread_mutex_lock(&w->lock);
    w->is_abandoned = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    size_t lost = w->batch.count + waiting(w);
    if (lost > 0)
        LOG(LOG_ERROR, "writer_lost", KV_U("jobs", lost), KV_Z("reason", w->stats.last_error));
    jobs_free(&w->batch);
    jobs_free(&w->queues[0]);
    jobs_free(&w->queues[1]);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    destroy(w);
}

void writer_stats(struct writer *w, struct writer_stats *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = w->stats;
    const struct queued *n = oldest(w);
    ret->queue = w->batch.count + waiting(w);
    ret->oldest_ms = n ? now_ms() - n->posted_ms : 0;
    pthread_mutex_unlock(&w->lock);
}
