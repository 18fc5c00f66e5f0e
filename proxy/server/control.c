/* The Unix socket: one JSON object a line, asked by the console. Runs on main's loop. */
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/link.h"
#include "server/command.h"
#include "server/server_internal.h"
#include "store/event.h"
#include "store/writer.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_MAGIC MAGIC('c', 't', 'r', 'l')
#define CONTROL_MAX 32u
#define UNREAD_MAX (256u * 1024u) /* of answers; who reads none gets no more, and is not read */
#define ANSWER_MAX (4u << 20)
#define LIVE_MAX 500u
#define LEAVES_SHOWN 256u /* when the line names no limit; of both the most is shown */
#define LIVE_SHOWN 100u

struct control_conn {
    uint32_t magic;
    struct server *server;
    struct list link_all;
    struct link *link;
    struct sbuf line;
    uint32_t uid;
    bool is_over, has_ended; /* has_ended: it asks no more, and may still wait for answers */
    bool is_asking;          /* the workers: the lines behind that one wait */
    uint32_t pending;        /* answers of others that still come: the struct must live */
    struct later_link later;
};

static void free_conn(struct later_link *later)
{
    struct control_conn *c = container_of(later, struct control_conn, later);
    sbuf_finish(&c->line);
    c->magic = 0;
    mem_free(c);
}

static void release(struct control_conn *c)
{
    if (c->is_over && c->pending == 0)
        later_destroy(c->server->loop->later, &c->later, free_conn);
}

static void over(struct control_conn *c)
{
    if (c->is_over)
        return;
    c->is_over = true;
    list_remove(&c->link_all);
    link_destroy(c->link, false);
    release(c);
}

/* Nothing more will be asked: what was put still leaves. */
static void finish(struct control_conn *c)
{
    c->is_over = true;
    list_remove(&c->link_all);
    link_finish(c->link, false);
    release(c);
}

static void settle(struct control_conn *c)
{
    if (!c->is_over && c->has_ended && c->pending == 0)
        finish(c);
}

/* Each line asked gets a line back, also when there was no memory for what it should say. */
static void say(struct control_conn *c, const struct sbuf *out)
{
    static const char sorry[] = "{\"ok\":false,\"error\":\"credswapd is out of memory\"}\n";
    if (c->is_over)
        return;
    if (out->failed)
        link_put(c->link, sorry, sizeof sorry - 1);
    else
        link_put(c->link, out->p, out->n);
}

static void say_error(struct control_conn *c, const char *sentence)
{
    struct sbuf out;
    sbuf_init(&out, 4096);
    sbuf_adds(&out, "{\"ok\":false,\"error\":");
    sbuf_add_json(&out, slice_of(sentence));
    sbuf_adds(&out, "}\n");
    say(c, &out);
    sbuf_finish(&out);
}

/* ---- commands ---- */

static void do_status(struct control_conn *c)
{
    struct sbuf out;
    sbuf_init(&out, ANSWER_MAX);
    sbuf_adds(&out, "{\"ok\":true,\"status\":");
    status_print(c->server, &out);
    if (!out.failed)
        out.n--; /* its newline */
    sbuf_adds(&out, "}\n");
    say(c, &out);
    sbuf_finish(&out);
}

struct refresh {
    struct control_conn *conn;
    char account[128], verb[16];
    uint64_t began_ms;
};

struct audit_job {
    char who[64], what[192];
};

static enum err write_audit(struct store *s, void *arg)
{
    const struct audit_job *j = arg;
    return event_audit(s, slice_of(j->who), slice_of(j->what), (struct slice){"", 0},
                       (struct slice){"", 0}, NULL, NULL);
}

/* The console's own words for who it is. Only the local file is asked: what nsswitch.conf names may
 * lie behind a network, and would be loaded into the process that holds the keys. */
static void find_who(uint32_t uid, char *who, size_t size)
{
    char space[1024];
    struct passwd pw, *found = NULL;
    snprintf(who, size, "uid %u", (unsigned)uid);
    FILE *f = fopen("/etc/passwd", "re");
    while (f && fgetpwent_r(f, &pw, space, sizeof space, &found) == 0)
        if (pw.pw_uid == uid) {
            snprintf(who, size, "%.40s (uid %u)", pw.pw_name, (unsigned)uid);
            break;
        }
    if (f)
        (void)fclose(f);
}

void control_audit(struct server *s, uint32_t uid, const char *what)
{
    struct audit_job *j = mem_calloc(1, sizeof *j);
    if (!j)
        return;
    find_who(uid, j->who, sizeof j->who);
    snprintf(j->what, sizeof j->what, "%s", what);
    writer_post(s->writer, (struct writer_job){write_audit, mem_free, j, false});
}

static void audit(const struct control_conn *c, const char *what, const char *account)
{
    char text[192];
    snprintf(text, sizeof text, "%s %s", what, account);
    control_audit(c->server, c->uid, text);
}

static void on_refreshed(void *arg, struct token *t, const struct token_failure *f)
{
    struct refresh *r = arg;
    struct control_conn *c = r->conn;
    struct sbuf out;
    sbuf_init(&out, 4096);
    if (t) {
        char print[FINGERPRINT_SIZE];
        fingerprint(token_bytes(t), print);
        sbuf_adds(&out, "{\"ok\":true,\"account\":");
        sbuf_add_json(&out, slice_of(r->account));
        sbuf_addf(&out, ",\"fingerprint\":\"%s\",\"expires_at\":%lld,\"ms\":%llu}\n", print,
                  (long long)token_expires_at(t),
                  (unsigned long long)(clock_mono_ms() - r->began_ms));
    } else {
        sbuf_addf(&out, "{\"ok\":false,\"error\":\"no token: %s\",\"retry_after_s\":%u}\n",
                  f->reason ? f->reason : err_str(f->err), f->retry_after_s);
    }
    say(c, &out);
    sbuf_finish(&out);
    struct loop *loop = c->server->loop;
    c->pending--;
    mem_free(r);
    if (c->is_over)
        release(c);
    else
        settle(c);
    loop_end_pass(loop);
}

static void do_account(struct control_conn *c, const char *verb, const char *name)
{
    const struct snap_account *a =
        name ? snapshot_account_by_name(c->server->snapshot, slice_of(name)) : NULL;
    if (!a) {
        say_error(c, "no such account");
        return;
    }
    if (a->kind == ACCOUNT_API_KEY) {
        if (a->api_key) {
            struct sbuf out;
            sbuf_init(&out, 4096);
            sbuf_adds(&out, "{\"ok\":true,\"note\":\"an API key needs no token; it opens\"}\n");
            say(c, &out);
            sbuf_finish(&out);
        } else {
            say_error(c, "the stored API key does not open with this master key");
        }
        return;
    }
    struct refresh *r = mem_calloc(1, sizeof *r);
    if (!r) {
        say_error(c, "credswapd is out of memory");
        return;
    }
    r->conn = c;
    r->began_ms = clock_mono_ms();
    (void)slice_copy(slice_sub(a->name, 0, sizeof r->account - 1), r->account, sizeof r->account);
    if (broker_refresh(c->server->broker, a->id, c->server->box, on_refreshed, r) != ERR_OK) {
        mem_free(r);
        say_error(c, "credswapd is out of memory");
        return;
    }
    c->pending++; /* the answer comes by letter, so not before this */
    audit(c, verb, r->account);
}

/* Memory only: whoever asks has dropped the stored copy, in a change with an audit row of its own.
 */
static void do_forget(struct control_conn *c, const char *name)
{
    const struct snap_account *a =
        name ? snapshot_account_by_name(c->server->snapshot, slice_of(name)) : NULL;
    if (!a) {
        say_error(c, "no such account");
        return;
    }
    if (a->kind != ACCOUNT_API_KEY && broker_forget(c->server->broker, a->id) != ERR_OK) {
        say_error(c, "credswapd is out of memory");
        return;
    }
    struct sbuf out;
    sbuf_init(&out, 4096);
    sbuf_adds(&out, "{\"ok\":true,\"account\":");
    sbuf_add_json(&out, a->name);
    sbuf_adds(&out, "}\n");
    say(c, &out);
    sbuf_finish(&out);
}

/* ---- the live feed ---- */

/* CMD is a word of ours. */
static void say_failed(struct control_conn *c, const char *cmd, const char *sentence)
{
    struct sbuf out;
    sbuf_init(&out, 4096);
    sbuf_addf(&out, "{\"ok\":false,\"cmd\":\"%s\",\"error\":", cmd);
    sbuf_add_json(&out, slice_of(sentence));
    sbuf_adds(&out, "}\n");
    say(c, &out);
    sbuf_finish(&out);
}

static void do_lines(struct control_conn *c);

static void say_ended(struct control_conn *c, const struct gather *g)
{
    bool has_ended = false, is_silent = false;
    for (uint32_t i = 0; i < g->part_count; i++) {
        has_ended |= g->parts[i].has_come && g->parts[i].has_ended;
        is_silent |= !g->parts[i].has_come;
    }
    struct sbuf out;
    sbuf_init(&out, 4096);
    sbuf_adds(&out, "{\"ok\":true,\"cmd\":\"end\"}\n");
    if (has_ended)
        say(c, &out);
    else
        say_failed(c, "end",
                   is_silent ? "a worker has not answered; the request may yet end"
                             : "no such request");
    sbuf_finish(&out);
}

static void say_gathered(struct control_conn *c, const struct gather *g)
{
    struct sbuf out;
    if (g->ask == ASK_END) {
        say_ended(c, g);
        return;
    }
    sbuf_init(&out, ANSWER_MAX);
    if (g->ask == ASK_LIVE)
        feed_live(g, &out);
    else
        feed_figures(c->server, g, &out);
    say(c, &out);
    sbuf_finish(&out);
}

static void on_gathered(struct gather *g)
{
    struct control_conn *c = g->arg;
    struct loop *loop = c->server->loop;
    c->pending--;
    c->is_asking = false;
    if (c->is_over) {
        release(c);
    } else {
        say_gathered(c, g);
        do_lines(c);
        settle(c);
    }
    loop_end_pass(loop);
}

static void ask_workers(struct control_conn *c, const char *cmd, const struct gather_ask *q)
{
    if (gather_begin(c->server, q, on_gathered, c) != ERR_OK) {
        say_failed(c, cmd, "credswapd is out of memory");
        return;
    }
    c->is_asking = true;
    c->pending++;
}

static void do_live(struct control_conn *c, uint32_t limit)
{
    uint32_t most = limit ? limit : LIVE_SHOWN;
    struct gather_ask q = {.ask = ASK_LIVE, .limit = most < LIVE_MAX ? most : LIVE_MAX};
    ask_workers(c, "live", &q);
}

static void do_end(struct control_conn *c, const char *id)
{
    struct gather_ask q = {.ask = ASK_END, .id = slice_of(id ? id : ""), .uid = c->uid};
    if (id && *id)
        ask_workers(c, "end", &q);
    else
        say_failed(c, "end", "which request? wanted \"id\"");
}

static void say_known(struct control_conn *c, const struct command *cmd)
{
    struct sbuf out;
    sbuf_init(&out, ANSWER_MAX);
    if (cmd->kind == COMMAND_TRUST)
        feed_trust(c->server, &out);
    else
        feed_leaves(c->server, cmd->limit ? cmd->limit : LEAVES_SHOWN, &out);
    say(c, &out);
    sbuf_finish(&out);
}

static void do_feed(struct control_conn *c, const struct command *cmd)
{
    if (cmd->limit == COMMAND_LIMIT_BAD) {
        say_failed(c, cmd->verb, "limit: wanted a whole number from 1 on");
        return;
    }
    switch ((int)cmd->kind) {
    case COMMAND_FIGURES:
        ask_workers(c, "figures", &(struct gather_ask){.ask = ASK_OPEN});
        break;
    case COMMAND_LIVE:
        do_live(c, cmd->limit);
        break;
    case COMMAND_END:
        do_end(c, cmd->id);
        break;
    default:
        say_known(c, cmd);
        break;
    }
}

static void do_line(struct control_conn *c, struct slice line)
{
    struct command cmd;
    command_parse(line, &cmd);
    switch (cmd.kind) {
    case COMMAND_BAD:
        say_error(c, "one JSON object a line, with \"cmd\"");
        break;
    case COMMAND_UNKNOWN:
        say_error(c, "unknown command");
        break;
    case COMMAND_STATUS:
        do_status(c);
        break;
    case COMMAND_REFRESH:
    case COMMAND_TEST:
        do_account(c, cmd.verb, cmd.account);
        break;
    case COMMAND_FORGET:
        do_forget(c, cmd.account);
        break;
    case COMMAND_FIGURES:
    case COMMAND_LIVE:
    case COMMAND_END:
    case COMMAND_TRUST:
    case COMMAND_LEAVES:
        do_feed(c, &cmd);
        break;
    }
    command_finish(&cmd);
}

/* ---- the connection ---- */

static void on_ready(struct link *l)
{
    (void)l;
}

/* Answers the lines that are there, as long as the answers are taken. */
static void do_lines(struct control_conn *c)
{
    size_t from = 0, at = 0;
    while (!c->is_over && !c->is_asking && link_queued(c->link) <= UNREAD_MAX &&
           (at = slice_find(sbuf_slice(&c->line), '\n', from)) < c->line.n) {
        do_line(c, slice_sub(sbuf_slice(&c->line), from, at));
        from = at + 1;
    }
    if (c->is_over)
        return;
    if (from)
        memmove(c->line.p, c->line.p + from, c->line.n - from);
    c->line.n -= from;
    if (c->is_asking || link_queued(c->link) > UNREAD_MAX)
        link_pause(c->link);
    else if (c->line.n > COMMAND_LINE_MAX)
        over(c);
    else
        link_resume(c->link);
}

static void on_data(struct link *l, const void *p, size_t n)
{
    struct control_conn *c = obj_from(l->owner, CONTROL_MAGIC);
    sbuf_add(&c->line, p, n);
    if (c->line.failed)
        over(c);
    else
        do_lines(c);
}

static void on_eof(struct link *l)
{
    struct control_conn *c = obj_from(l->owner, CONTROL_MAGIC);
    c->has_ended = true;
    settle(c);
}

static void on_error(struct link *l, enum err e, const char *why)
{
    (void)e;
    (void)why;
    over(obj_from(l->owner, CONTROL_MAGIC));
}

static void on_flushed(struct link *l, size_t n)
{
    struct control_conn *c = obj_from(l->owner, CONTROL_MAGIC);
    if (n && !c->is_asking && link_queued(l) <= UNREAD_MAX / 2)
        do_lines(c);
}

static const struct link_ops ops = {.on_ready = on_ready,
                                    .on_data = on_data,
                                    .on_eof = on_eof,
                                    .on_error = on_error,
                                    .on_flushed = on_flushed};

static uint32_t count_conns(const struct server *s)
{
    uint32_t n = 0;
    for (const struct list *l = s->control_conns.next; l != &s->control_conns; l = l->next)
        n++;
    return n;
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *peer)
{
    (void)peer;
    struct server *s = arg;
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof who;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
    struct control_conn *c = count_conns(s) < CONTROL_MAX ? mem_calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    c->magic = CONTROL_MAGIC;
    c->server = s;
    c->uid = (uint32_t)who.uid;
    sbuf_init(&c->line, COMMAND_LINE_MAX + LOOP_READ_BYTES);
    c->link = link_create(s->loop, fd, &ops, c);
    if (!c->link) {
        mem_free(c);
        return;
    }
    list_add_last(&s->control_conns, &c->link_all);
}

/* Who may use it is said by the directory that the operator made for it. Not being in that group is
 * no failure: then it is for the daemon's own. */
static void take_group(const char *path)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct stat at;
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (!slice_copy(n ? slice_make(path, n) : SLICE("."), dir, sizeof dir))
        return;
    if (stat(dir, &at) == 0 && at.st_gid != getegid())
        (void)!lchown(path, (uid_t)-1, at.st_gid);
}

static int bind_socket(const char *path, struct errmsg *msg)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!slice_copy(slice_of(path), a.sun_path, sizeof a.sun_path)) {
        err_set(msg, ERR_CONFIG, "listen.socket: the path is too long");
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    unlink(path); /* the store's lock says that no other daemon owns it */
    mode_t old = umask(0117);
    int r = bind(fd, (const struct sockaddr *)&a, sizeof a);
    umask(old);
    if (r != 0 || listen(fd, 64) != 0) {
        err_set(msg, ERR_IO, "listen.socket %s: cannot be bound", path);
        close(fd);
        return -1;
    }
    take_group(path);
    return fd;
}

enum err control_start(struct server *s, struct errmsg *msg)
{
    if (!*s->conf->listen.socket)
        return ERR_OK;
    int fd = bind_socket(s->conf->listen.socket, msg);
    if (fd < 0)
        return ERR_IO;
    enum err e = listener_start(s->loop, fd, on_accept, s, &s->control);
    return e == ERR_OK ? e : err_set(msg, e, "listen.socket cannot be started");
}

void control_stop(struct server *s)
{
    if (s->control)
        unlink(s->conf->listen.socket);
    listener_stop(s->control);
    s->control = NULL;
    while (!list_empty(&s->control_conns))
        over(container_of(s->control_conns.next, struct control_conn, link_all));
}
