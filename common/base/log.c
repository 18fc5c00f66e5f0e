/* Lines are made in the thread that has something to say, and written by one that has nothing else
 * to do. */
#include "base/log.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define BATCH_BYTES 65536
#define QUEUE_BYTES (8u * 1024u * 1024u)

struct batch {
    struct batch *next;
    uint32_t lines;
    size_t n;
    char bytes[BATCH_BYTES];
};

static struct {
    pthread_mutex_t lock; /* guards all but the atomics */
    pthread_cond_t more;
    struct batch *first, **last;
    size_t queued;
    bool has_thread, stopping;
    pthread_t thread;
    char path[1024];
    int fd;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .more = PTHREAD_COND_INITIALIZER,
          .last = &sink.first,
          .fd = STDERR_FILENO};
static atomic_int wanted = LOG_INFO;
static atomic_bool is_logfmt;
static atomic_uint_fast64_t dropped;
static _Thread_local struct batch *mine;

static const char *const level_words[] = {"error", "warn", "info", "debug", "trace"};

bool log_level_parse(const char *word, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_words); i++)
        if (strcmp(word, level_words[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

void log_set(const char *level, const char *format)
{
    enum log_level l;
    if (log_level_parse(level, &l))
        atomic_store(&wanted, (int)l);
    atomic_store(&is_logfmt, strcmp(format, "logfmt") == 0);
}

static int open_file(const char *path)
{
    if (strcmp(path, "-") == 0)
        return STDERR_FILENO;
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

enum err log_open(const char *file, const char *level, const char *format, struct errmsg *msg)
{
    if (!slice_copy(slice_of(file), sink.path, sizeof sink.path))
        return err_set(msg, ERR_CONFIG, "log.file: path is too long");
    int fd = open_file(file);
    if (fd < 0)
        return err_set(msg, ERR_IO, "log.file %s: cannot be opened for writing", file);
    sink.fd = fd;
    log_set(level, format);
    return ERR_OK;
}

void log_reopen(void)
{
    int fd = open_file(sink.path);
    if (fd < 0 || fd == STDERR_FILENO)
        return;
    pthread_mutex_lock(&sink.lock);
    int old = sink.fd;
    sink.fd = fd;
    pthread_mutex_unlock(&sink.lock);
    if (old != STDERR_FILENO)
        close(old);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&wanted, memory_order_relaxed);
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t r = write(fd, p, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return; /* a full disk or a closed pipe: the proxy goes on */
        p += r;
        n -= (size_t)r;
    }
}

static void *log_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&sink.lock);
    for (;;) {
        while (!sink.first && !sink.stopping)
            pthread_cond_wait(&sink.more, &sink.lock);
        struct batch *b = sink.first;
        if (!b)
            break;
        sink.first = b->next;
        if (!sink.first)
            sink.last = &sink.first;
        sink.queued -= sizeof *b;
        int fd = fcntl(sink.fd, F_DUPFD_CLOEXEC, 3); /* log_reopen may close it meanwhile */
        if (fd < 0) /* no descriptors: the very thing to tell, so reopening waits this once */
            write_all(sink.fd, b->bytes, b->n);
        pthread_mutex_unlock(&sink.lock);
        if (fd >= 0) {
            write_all(fd, b->bytes, b->n);
            close(fd);
        }
        mem_free(b);
        pthread_mutex_lock(&sink.lock);
    }
    pthread_mutex_unlock(&sink.lock);
    return NULL;
}

enum err log_thread_start(void)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    sink.stopping = false;
    int r = pthread_create(&sink.thread, NULL, log_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sink.has_thread = r == 0;
    return r == 0 ? ERR_OK : ERR_NOMEM;
}

void log_thread_stop(void)
{
    log_flush();
    if (!sink.has_thread)
        return;
    pthread_mutex_lock(&sink.lock);
    sink.stopping = true;
    pthread_cond_signal(&sink.more);
    pthread_mutex_unlock(&sink.lock);
    pthread_join(sink.thread, NULL);
    sink.has_thread = false;
}

void log_flush(void)
{
    struct batch *b = mine;
    mine = NULL;
    if (!b)
        return;
    pthread_mutex_lock(&sink.lock);
    if (!sink.has_thread) {
        write_all(sink.fd, b->bytes, b->n);
        mem_free(b);
    } else if (sink.queued > QUEUE_BYTES) {
        atomic_fetch_add(&dropped, b->lines);
        mem_free(b);
    } else {
        b->next = NULL;
        *sink.last = b;
        sink.last = &b->next;
        sink.queued += sizeof *b;
        pthread_cond_signal(&sink.more);
    }
    pthread_mutex_unlock(&sink.lock);
}

uint64_t log_dropped(void)
{
    return atomic_load(&dropped);
}

/* "2026-11-22T14:02:11.123Z": the seconds are formatted once each. */
static void add_time(struct sbuf *out)
{
    static _Thread_local int64_t last_s = -1;
    static _Thread_local char text[24];
    int64_t ms = clock_wall_ms();
    if (ms / 1000 != last_s) {
        last_s = ms / 1000;
        clock_format_utc(last_s, text, sizeof text);
    }
    sbuf_add(out, text, 19);
    char frac[5] = {'.', (char)('0' + ms % 1000 / 100), (char)('0' + ms % 100 / 10),
                    (char)('0' + ms % 10), 'Z'};
    sbuf_add(out, frac, sizeof frac);
}

static char *put(char *to, const char *p, size_t n)
{
    memcpy(to, p, n);
    return to + n;
}

/* ` key=` or `,"key":` and the value. What needs no escaping is written in one go. */
static void add_kv(struct sbuf *out, const struct log_kv *kv, bool logfmt)
{
    struct slice value = kv->type == LOG_SLICE ? slice_sub(kv->s, 0, 1024) : SLICE("");
    if (kv->type == LOG_SLICE && value.n == 0)
        return;
    char *start = sbuf_reserve(out, kv->key.n + value.n + 6), *to = start;
    if (!to)
        return;
    to = logfmt ? put(to, " ", 1) : put(to, ",\"", 2);
    to = put(to, kv->key.p, kv->key.n);
    to = logfmt ? put(to, "=", 1) : put(to, "\":", 2);
    bool is_plain = value.n && slice_json_plain(value, 0) == value.n;
    if (is_plain) {
        *to++ = '"';
        to = put(to, value.p, value.n);
        *to++ = '"';
    }
    sbuf_commit(out, (size_t)(to - start));
    if (kv->type == LOG_U64)
        sbuf_add_u64(out, kv->u);
    else if (kv->type == LOG_I64)
        sbuf_add_i64(out, kv->i);
    else if (!is_plain)
        sbuf_add_json(out, value);
}

static void make_line(struct sbuf *out, enum log_level level, struct slice event,
                      const struct log_kv *kv, size_t count)
{
    bool logfmt = atomic_load_explicit(&is_logfmt, memory_order_relaxed);
    sbuf_add_slice(out, logfmt ? SLICE("time=") : SLICE("{\"time\":\""));
    add_time(out);
    sbuf_add_slice(out, logfmt ? SLICE(" level=") : SLICE("\",\"level\":\""));
    sbuf_adds(out, level_words[level]);
    sbuf_add_slice(out, logfmt ? SLICE(" event=") : SLICE("\",\"event\":\""));
    sbuf_add_slice(out, event);
    if (!logfmt)
        sbuf_addc(out, '"');
    for (size_t i = 0; i < count; i++)
        add_kv(out, &kv[i], logfmt);
    sbuf_add_slice(out, logfmt ? SLICE("\n") : SLICE("}\n"));
}

void log_write(enum log_level level, const char *event, const struct log_kv *kv, size_t count)
{
    if (mine && BATCH_BYTES - mine->n < LINE_MAX_BYTES)
        log_flush();
    if (!mine) {
        mine = mem_alloc(sizeof *mine);
        if (!mine) {
            atomic_fetch_add(&dropped, 1);
            return;
        }
        mine->n = 0;
        mine->lines = 0;
    }
    struct sbuf line = {
        .p = mine->bytes + mine->n, .size = LINE_MAX_BYTES, .max = LINE_MAX_BYTES - 1};
    make_line(&line, level, slice_of(event), kv, count);
    if (line.failed) {
        atomic_fetch_add(&dropped, 1);
        return;
    }
    mine->n += line.n;
    mine->lines++;
    if (level <= LOG_WARN || !sink.has_thread)
        log_flush();
}
