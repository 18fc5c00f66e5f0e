/* One connection to the daemon: questions go out as they come, answers are matched by their word.
 */
#include "views/feed.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "views/feed_parse.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLOW_MS 3000  /* then it counts as no answer */
#define LOST_MS 15000 /* then the connection is made anew */
#define OUT_MAX 65536
#define PIECE 65536
#define PIECES 64 /* read in one run */
#define ID_MAX 128

struct feed {
    struct sockaddr_un address; /* sun_path "": there is none */
    int fd;                     /* -1: none */
    struct sbuf in, out;
    size_t sent, scanned;
    unsigned needs;                     /* what was asked last, for the next connection */
    uint64_t asked_ms[FEED_WORD_COUNT]; /* 0: not awaited */
    unsigned ends;                      /* how many of FEED_WORD_END are awaited */
    struct feed_answer last[FEED_WORD_COUNT];
    uint64_t try_ms; /* not before */
    unsigned tries;  /* that failed in a row */
    bool is_up;
    char problem[256];
    char refusals[FEED_WORD_COUNT][160]; /* what it does not tell, and why */
    char result[256];
    bool has_result, result_ok;
};

static const struct {
    enum feed_need need;
    enum feed_word word;
    const char *line;
} questions[] = {
    {FEED_FIGURES, FEED_WORD_FIGURES, "{\"cmd\":\"figures\"}\n"},
    {FEED_LIVE, FEED_WORD_LIVE, "{\"cmd\":\"live\",\"limit\":500}\n"},
    {FEED_TRUST, FEED_WORD_TRUST, "{\"cmd\":\"trust\"}\n"},
    {FEED_LEAVES, FEED_WORD_LEAVES, "{\"cmd\":\"leaves\",\"limit\":500}\n"},
};
_Static_assert(FEED_LIVE_MAX == 500 && FEED_LEAVES_MAX == 500, "what is asked is what is taken");
#define QUESTIONS (sizeof questions / sizeof *questions)

static void say(struct feed *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct feed *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->problem, sizeof f->problem, fmt, ap);
    va_end(ap);
}

enum err feed_create(const char *path, struct feed **ret)
{
    struct feed *f = mem_calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->fd = -1;
    f->address.sun_family = AF_UNIX;
    sbuf_init(&f->in, FEED_LINE_MAX + PIECE);
    sbuf_init(&f->out, OUT_MAX);
    if (!*path)
        say(f, "the daemon has no socket (listen.socket is empty)");
    else if (!slice_copy(slice_of(path), f->address.sun_path, sizeof f->address.sun_path))
        say(f, "listen.socket %.100s... is too long for a socket", path);
    *ret = f;
    return ERR_OK;
}

void feed_destroy(struct feed *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    sbuf_finish(&f->in);
    sbuf_finish(&f->out);
    for (int i = 0; i < FEED_WORD_COUNT; i++)
        feed_answer_finish(&f->last[i]);
    mem_free(f);
}

static void set_result(struct feed *f, bool is_ok, const char *text)
{
    if (f->has_result && !f->result_ok && is_ok)
        return; /* a failure that nobody has read yet is not covered */
    f->has_result = true;
    f->result_ok = is_ok;
    snprintf(f->result, sizeof f->result, "%s", text);
}

/* The connection is over, or there was none; the sentence is in f->problem. */
static void lose(struct feed *f)
{
    static const unsigned waits_ms[] = {1000, 2000, 4000, 5000};
    unsigned last = sizeof waits_ms / sizeof *waits_ms - 1;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    if (f->ends)
        set_result(f, false, "the daemon went away: nobody knows whether the request was ended");
    memset(f->asked_ms, 0, sizeof f->asked_ms);
    f->ends = 0;
    sbuf_clear(&f->in);
    sbuf_clear(&f->out);
    f->sent = f->scanned = 0;
    f->is_up = false;
    f->try_ms = clock_mono_ms() + waits_ms[f->tries < last ? f->tries : last];
    f->tries++;
}

/* ---- asking ---- */

static void flush_out(struct feed *f)
{
    while (f->fd >= 0 && f->sent < f->out.n) {
        ssize_t n = send(f->fd, f->out.p + f->sent, f->out.n - f->sent, MSG_NOSIGNAL);
        if (n > 0) {
            f->sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n == 0 || errno != EINTR) {
            say(f, "the daemon closed the connection");
            lose(f);
            return;
        }
    }
    sbuf_clear(&f->out);
    f->sent = 0;
}

static void ask_now(struct feed *f)
{
    for (size_t i = 0; i < QUESTIONS; i++) {
        if (!(f->needs & questions[i].need) || f->asked_ms[questions[i].word])
            continue;
        sbuf_adds(&f->out, questions[i].line);
        f->asked_ms[questions[i].word] = clock_mono_ms();
    }
    flush_out(f);
}

static void say_connect(struct feed *f, int why)
{
    const char *path = f->address.sun_path;
    if (why == ENOENT || why == ECONNREFUSED)
        say(f, "the daemon is not running (nobody listens at %s)", path);
    else if (why == EACCES || why == EPERM)
        say(f, "this user may not open the daemon's socket %s", path);
    else if (why == EAGAIN)
        say(f, "the daemon takes no more connections at %s", path);
    else
        say(f, "cannot reach the daemon at %s: %s", path, strerrordesc_np(why));
}

/* A Unix socket connects at once or not at all. */
static void open_now(struct feed *f)
{
    if (f->fd >= 0 || !f->address.sun_path[0] || clock_mono_ms() < f->try_ms)
        return;
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const struct sockaddr *sa = (const void *)&f->address;
    if (f->fd >= 0 && connect(f->fd, sa, sizeof f->address) == 0)
        return;
    say_connect(f, errno);
    lose(f);
}

void feed_ask(struct feed *f, unsigned needs)
{
    f->needs = needs;
    open_now(f);
    if (f->fd >= 0)
        ask_now(f);
}

void feed_end(struct feed *f, const char *request_id)
{
    struct slice id = slice_of(request_id);
    open_now(f);
    if (f->fd < 0 || id.n > ID_MAX) {
        set_result(f, false,
                   f->fd < 0 ? "the daemon is not there: nothing was ended"
                             : "that is no request: nothing was ended");
        return;
    }
    sbuf_adds(&f->out, "{\"cmd\":\"end\",\"id\":");
    sbuf_add_json(&f->out, id);
    sbuf_adds(&f->out, "}\n");
    if (f->out.failed) {
        say(f, "the daemon does not read what it is asked");
        lose(f);
        set_result(f, false, f->problem);
        return;
    }
    f->ends++;
    if (!f->asked_ms[FEED_WORD_END])
        f->asked_ms[FEED_WORD_END] = clock_mono_ms();
    flush_out(f);
}

void feed_retry(struct feed *f)
{
    f->try_ms = 0;
    f->tries = 0;
}

/* ---- answers ---- */

static enum feed_word oldest(const struct feed *f)
{
    enum feed_word found = FEED_WORD_NONE;
    for (int w = FEED_WORD_NONE + 1; w < FEED_WORD_COUNT; w++)
        if (f->asked_ms[w] && (found == FEED_WORD_NONE || f->asked_ms[w] < f->asked_ms[found]))
            found = (enum feed_word)w;
    return found;
}

static int64_t *when_of(struct feed_answer *a)
{
    switch (a->word) {
    case FEED_WORD_FIGURES:
        return &a->u.figures.at_ms;
    case FEED_WORD_LIVE:
        return &a->u.live.at_ms;
    case FEED_WORD_TRUST:
        return &a->u.trust.at_ms;
    case FEED_WORD_LEAVES:
        return &a->u.leaves.at_ms;
    case FEED_WORD_NONE:
    case FEED_WORD_END:
    case FEED_WORD_COUNT:
        break;
    }
    return NULL;
}

/* Takes A over. */
static void accept_answer(struct feed *f, struct feed_answer *a)
{
    int64_t *when = when_of(a);
    f->problem[0] = f->refusals[a->word][0] = '\0';
    if (!a->is_ok && a->word != FEED_WORD_END)
        snprintf(f->refusals[a->word], sizeof f->refusals[a->word],
                 "the daemon does not tell its %s: %.96s", feed_word_name(a->word), a->error);
    if (a->word == FEED_WORD_END)
        set_result(f, a->is_ok, a->is_ok ? "the request was ended" : a->error);
    if (!a->is_ok || !when) {
        feed_answer_finish(a);
        return;
    }
    *when = clock_wall_ms();
    feed_answer_finish(&f->last[a->word]);
    f->last[a->word] = *a;
}

static void take_line(struct feed *f, struct slice line)
{
    struct feed_answer a;
    struct errmsg msg = {""};
    if (feed_parse(line, &a, &msg) != ERR_OK) {
        say(f, "%.200s", msg.text);
        lose(f);
        return;
    }
    if (a.word == FEED_WORD_NONE)
        a.word = oldest(f);
    if (a.word == FEED_WORD_NONE || !f->asked_ms[a.word]) {
        feed_answer_finish(&a);
        say(f, "the daemon answers what it was not asked");
        lose(f);
        return;
    }
    if (a.word != FEED_WORD_END || --f->ends == 0)
        f->asked_ms[a.word] = 0;
    f->tries = 0;
    f->is_up = true;
    accept_answer(f, &a);
}

/* Whole lines of what came; true when there was one. */
static bool take_lines(struct feed *f)
{
    size_t start = 0;
    for (;;) {
        struct slice all = sbuf_slice(&f->in);
        size_t end = slice_find(all, '\n', start > f->scanned ? start : f->scanned);
        if (end == all.n)
            break;
        take_line(f, slice_sub(all, start, end));
        if (f->fd < 0)
            return true;
        start = end + 1;
    }
    if (start)
        memmove(f->in.p, f->in.p + start, f->in.n - start);
    f->in.n -= start;
    f->scanned = f->in.n;
    if (f->in.n > FEED_LINE_MAX) {
        say(f, "the daemon's answer is too large");
        lose(f);
    }
    return start > 0 || f->fd < 0;
}

static bool read_in(struct feed *f)
{
    bool has_news = false;
    for (int i = 0; f->fd >= 0 && i < PIECES; i++) {
        char *to = sbuf_reserve(&f->in, PIECE);
        ssize_t n = to ? recv(f->fd, to, PIECE, 0) : 0;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            say(f, to ? "the daemon closed the connection"
                      : "there is no memory for the daemon's answer");
            lose(f);
            return true;
        }
        sbuf_commit(&f->in, (size_t)n);
        has_news |= take_lines(f);
    }
    return has_news;
}

/* ---- time ---- */

static uint64_t waited_ms(const struct feed *f)
{
    enum feed_word w = oldest(f);
    uint64_t now = clock_mono_ms();
    return w == FEED_WORD_NONE || now < f->asked_ms[w] ? 0 : now - f->asked_ms[w];
}

static void look_at_clock(struct feed *f)
{
    uint64_t waited = waited_ms(f);
    if (f->fd < 0 || waited < SLOW_MS)
        return;
    f->is_up = false;
    say(f, "no answer for %llu s", (unsigned long long)waited / 1000);
    if (waited >= LOST_MS)
        lose(f);
}

bool feed_run(struct feed *f)
{
    char was[sizeof f->problem];
    snprintf(was, sizeof was, "%s", f->problem);
    bool is_there = f->fd >= 0, has_news = false;
    if (!is_there && f->needs) {
        open_now(f);
        if (f->fd >= 0)
            ask_now(f);
    }
    flush_out(f);
    if (f->fd >= 0)
        has_news = read_in(f);
    look_at_clock(f);
    return has_news || is_there != (f->fd >= 0) || strcmp(was, f->problem) != 0;
}

int feed_fd(const struct feed *f, short *ret_events)
{
    if (f->fd >= 0)
        *ret_events = (short)(f->sent < f->out.n ? POLLIN | POLLOUT : POLLIN);
    return f->fd;
}

uint64_t feed_due_ms(const struct feed *f)
{
    if (f->fd < 0)
        return f->needs && f->address.sun_path[0] ? (f->try_ms ? f->try_ms : clock_mono_ms()) : 0;
    enum feed_word w = oldest(f);
    if (w == FEED_WORD_NONE)
        return 0;
    uint64_t waited = waited_ms(f);
    return f->asked_ms[w] + (waited < SLOW_MS ? SLOW_MS : (waited / 1000 + 1) * 1000);
}

bool feed_is_up(const struct feed *f)
{
    return f->is_up;
}

bool feed_is_waiting(const struct feed *f)
{
    return f->fd >= 0 && oldest(f) != FEED_WORD_NONE;
}

const char *feed_problem(const struct feed *f)
{
    for (size_t i = 0; !*f->problem && i < QUESTIONS; i++)
        if (f->needs & questions[i].need && *f->refusals[questions[i].word])
            return f->refusals[questions[i].word];
    return f->problem;
}

int64_t feed_next_try_s(const struct feed *f)
{
    uint64_t now = clock_mono_ms();
    return f->fd >= 0 || f->try_ms <= now ? 0 : (int64_t)((f->try_ms - now + 999) / 1000);
}

const struct feed_figures *feed_figures(const struct feed *f)
{
    return &f->last[FEED_WORD_FIGURES].u.figures;
}

const struct feed_live *feed_live(const struct feed *f)
{
    return &f->last[FEED_WORD_LIVE].u.live;
}

const struct feed_trust *feed_trust(const struct feed *f)
{
    return &f->last[FEED_WORD_TRUST].u.trust;
}

const struct feed_leaves *feed_leaves(const struct feed *f)
{
    return &f->last[FEED_WORD_LEAVES].u.leaves;
}

const char *feed_result(struct feed *f, bool *ret_ok)
{
    if (!f->has_result)
        return NULL;
    f->has_result = false;
    *ret_ok = f->result_ok;
    return f->result;
}
