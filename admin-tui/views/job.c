/* A job is a `struct cli` of its own on a thread of its own, which prints into memory. The thread
 * ends with the job; joining it is what makes its result ours. */
#include "views/job.h"

#include "base/arena.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORDS_MAX 300
#define OUT_MAX (64u << 20)
#define INPUT_MAX (4u << 20)
#define SPACE 4096

/* A stream into an sbuf, with its stdio buffer, so that both can be wiped. */
struct capture {
    struct sbuf text;
    char space[SPACE];
};

struct job_box {
    char *config, *what;
    int fd; /* eventfd: the thread is through */
    pthread_t thread;
    bool is_running; /* the thread was not joined yet */
    char *argv[WORDS_MAX + 1];
    int argc;
    struct sbuf input;
    cli_change_cb change; /* NULL: argv */
    void *arg;
    void (*free_arg)(void *arg);
    int code;
    struct capture out, talk;
    int64_t reviewed;
};

enum err job_box_create(const char *config, struct job_box **ret)
{
    struct job_box *b = mem_calloc(1, sizeof *b);
    if (!b)
        return ERR_NOMEM;
    sbuf_init(&b->input, INPUT_MAX);
    sbuf_init(&b->out.text, OUT_MAX);
    sbuf_init(&b->talk.text, OUT_MAX);
    b->config = config ? mem_dup(config) : NULL;
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0 || (config && !b->config)) {
        enum err e = b->fd < 0 ? ERR_IO : ERR_NOMEM;
        job_box_destroy(b);
        return e;
    }
    *ret = b;
    return ERR_OK;
}

/* All that the job was made of. */
static void clear_job(struct job_box *b)
{
    for (int i = 0; i < b->argc; i++)
        mem_free_wiped(b->argv[i]);
    b->argc = 0;
    sbuf_finish_wipe(&b->input);
    b->change = NULL;
    b->reviewed = 0;
}

void job_forget(struct job_box *b)
{
    if (b->is_running)
        return;
    sbuf_finish_wipe(&b->out.text);
    sbuf_finish_wipe(&b->talk.text);
}

void job_box_destroy(struct job_box *b)
{
    if (!b)
        return;
    if (b->is_running)
        pthread_join(b->thread, NULL);
    b->is_running = false;
    clear_job(b);
    job_forget(b);
    if (b->fd >= 0)
        close(b->fd);
    mem_free(b->config);
    mem_free(b->what);
    mem_free(b);
}

bool job_is_running(const struct job_box *b)
{
    return b->is_running;
}

int job_fd(const struct job_box *b)
{
    return b->fd;
}

/* ---- on the thread ---- */

static ssize_t capture_write(void *arg, const char *p, size_t n)
{
    struct capture *c = arg;
    sbuf_add(&c->text, p, n);
    return c->text.failed ? 0 : (ssize_t)n;
}

static FILE *capture_open(struct capture *c)
{
    FILE *f = fopencookie(c, "w", (cookie_io_functions_t){.write = capture_write});
    if (f)
        (void)setvbuf(f, c->space, _IOFBF, sizeof c->space);
    return f;
}

static void capture_close(struct capture *c, FILE *f)
{
    if (f)
        (void)fclose(f); /* it cannot fail but by capture_write, which remembers that */
    mem_wipe(c->space, sizeof c->space);
}

static int run_change(struct job_box *b, struct cli *c)
{
    c->args.config = b->config;
    c->args.yes = c->args.no_input = true;
    int code = cli_writes(c);
    return code ? code : cli_change(c, b->change, b->arg, b->what, NULL);
}

static int run(struct job_box *b)
{
    struct cli c;
    const struct slice input = sbuf_slice(&b->input);
    cli_init(&c);
    c.input = &input;
    c.reviewed = b->reviewed;
    c.out = capture_open(&b->out);
    c.talk = capture_open(&b->talk);
    int code = EX_TEMPFAIL;
    if (c.out && c.talk)
        code = b->change ? run_change(b, &c) : cli_run(&c, b->argc, b->argv);
    cli_finish(&c);
    capture_close(&b->out, c.out);
    capture_close(&b->talk, c.talk);
    return code;
}

static void *work(void *arg)
{
    struct job_box *b = arg;
    const uint64_t one = 1;
    b->code = run(b);
    if (b->change && b->free_arg)
        b->free_arg(b->arg);
    clear_job(b);
    arena_thread_finish();
    (void)!write(b->fd, &one, sizeof one); /* to an eventfd that stands at 0 it cannot fail */
    return NULL;
}

/* ---- starting and fetching ---- */

/* The screen's signals are not for this thread. */
static enum err start(struct job_box *b, const char *what)
{
    sigset_t all, was;
    char *name = mem_dup(what);
    if (!name)
        return ERR_NOMEM;
    mem_free(b->what);
    b->what = name;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int failed = pthread_create(&b->thread, NULL, work, b);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    b->is_running = failed == 0;
    return failed ? ERR_LIMIT : ERR_OK;
}

static bool add_word(struct job_box *b, const char *word)
{
    char *copy = b->argc < WORDS_MAX ? mem_dup(word) : NULL;
    if (!copy)
        return false;
    b->argv[b->argc++] = copy;
    b->argv[b->argc] = NULL;
    return true;
}

static bool add_words(struct job_box *b, const char *const *words, int count)
{
    bool ok = add_word(b, "credswap") && add_word(b, "--yes") && add_word(b, "--no-input");
    if (ok && b->config)
        ok = add_word(b, "--config") && add_word(b, b->config);
    for (int i = 0; ok && i < count; i++)
        ok = add_word(b, words[i]);
    return ok;
}

static bool ends_by_itself(const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], "--follow") == 0 || strcmp(words[i], "-f") == 0)
            return false;
    return true;
}

void job_reviewed(struct job_box *b, int64_t generation)
{
    if (!b->is_running)
        b->reviewed = generation;
}

enum err job_run(struct job_box *b, const char *const *argv, int count, struct slice input,
                 const char *what)
{
    if (b->is_running)
        return ERR_BUSY;
    if (count > WORDS_MAX - 5 || !ends_by_itself(argv, count))
        return ERR_INVALID;
    job_forget(b);
    sbuf_add_slice(&b->input, input);
    enum err e = b->input.failed || !add_words(b, argv, count) ? ERR_NOMEM : start(b, what);
    if (e != ERR_OK)
        clear_job(b);
    return e;
}

enum err job_change(struct job_box *b, cli_change_cb change, void *arg, void (*free_arg)(void *arg),
                    const char *what)
{
    if (b->is_running)
        return ERR_BUSY;
    job_forget(b);
    b->change = change;
    b->arg = arg;
    b->free_arg = free_arg;
    enum err e = start(b, what);
    if (e != ERR_OK)
        clear_job(b);
    return e;
}

/* "credswap: " at the start of lines names the program, which a screen of it need not. */
static void strip(struct sbuf *b)
{
    static const struct slice lead = {"credswap: ", 10};
    size_t to = 0;
    for (size_t at = 0; at < b->n;) {
        struct slice rest = slice_sub(sbuf_slice(b), at, b->n);
        if (slice_starts(rest, lead))
            rest = slice_sub(rest, lead.n, rest.n);
        at = b->n - rest.n;
        size_t n = slice_find(rest, '\n', 0);
        n += n < rest.n;
        memmove(b->p + to, b->p + at, n);
        to += n;
        at += n;
    }
    if (to < b->n)
        mem_wipe(b->p + to, b->n - to);
    b->n = to;
}

bool job_result(struct job_box *b, struct job_result *ret)
{
    uint64_t count = 0;
    if (!b->is_running || read(b->fd, &count, sizeof count) != sizeof count)
        return false;
    pthread_join(b->thread, NULL);
    b->is_running = false;
    strip(&b->talk.text);
    *ret = (struct job_result){.what = b->what,
                               .code = b->code,
                               .out = slice_of(sbuf_z(&b->out.text)),
                               .talk = slice_of(sbuf_z(&b->talk.text))};
    return true;
}
