/* The board: what is read, when, and what it says when it cannot. */
#include "unit/store/fixture.h"

#include "conf/conf.h"
#include "store/cooldown.h"
#include "store/event.h"
#include "store/model.h"
#include "store/node.h"
#include "store/request.h"
#include "store/rule.h"
#include "store/token.h"
#include "store/usage.h"
#include "views/board.h"

#include <fcntl.h>

#define ALL (2u * BOARD_USAGE - 1)
#define NOW 1800000000 /* Unix s, a whole minute; 08:00 UTC */

struct rig {
    struct fix *f;
    struct conf conf;
    struct board_source *b;
    const struct board *d;
};

static void rig_open(struct rig *r, void **state)
{
    *r = (struct rig){.f = *state};
    r->conf.store_path = r->f->path;
    clock_set_fake(1000000, NOW * 1000LL);
    assert_int_equal(board_create(&r->conf, &r->b), ERR_OK);
    r->d = board_get(r->b);
}

static void rig_close(struct rig *r)
{
    board_destroy(r->b);
}

static void join(struct fix *f, const char *pool, const char *account, double weight)
{
    assert_ok(f, pool_set(f->s, slice_of(pool), slice_of(account), weight, &f->msg));
}

static void rows_are_there_with_their_neighbours(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    int64_t b = add_account(f, "b");
    add_account(f, "a");
    join(f, "gemini", "b", 2.5);
    join(f, "gemini", "a", 1);
    join(f, "claude", "b", 0);
    add_client(f, "mia", "gemini-secret-placeholder");
    assert_ok(f, model_set(f->s, SLICE("b"), SLICE("gemini-*"), SLICE(""), &f->msg));
    assert_ok(f, token_store(f->s, f->key, b, SLICE(ACCOUNT_DEFAULT_SCOPE), SLICE("ya29.secret"),
                             NOW + 3000, NOW - 600, 180, &f->msg));
    assert_true(board_refresh(r.b, ALL));
    assert_string_equal(r.d->problem, "");
    assert_true(r.d->is_there && r.d->read_at_ms == NOW * 1000LL && r.d->generation > 1);
    assert_int_equal(r.d->account_count, 2);
    assert_string_equal(r.d->accounts[0].name, "a");
    assert_string_equal(r.d->accounts[1].email, "a@acme-1.iam.gserviceaccount.com");
    assert_int_equal(r.d->accounts[1].models, 1);
    assert_int_equal(r.d->model_count, 1);
    assert_string_equal(r.d->models[0].model, "gemini-*");
    assert_null(r.d->accounts[0].token);
    assert_non_null(r.d->accounts[1].token);
    assert_int_equal(r.d->accounts[1].token->expires_at, NOW + 3000);
    assert_int_equal(r.d->member_count, 3);
    const struct board_pool *gemini = &r.d->pools[board_pool_find(r.d, "gemini")];
    assert_int_equal(gemini->count, 2);
    assert_int_equal(gemini->clients, 1);
    assert_int_equal(r.d->members[gemini->first].account, 0);
    assert_true(board_member_find(r.b, "gemini", "b")->weight > 2.4);
    assert_non_null(board_member_find(r.b, "claude", "b"));
    assert_null(board_member_find(r.b, "claude", "a"));
    assert_null(board_member_find(r.b, "none", "a"));
    assert_int_equal(board_account_find(r.d, "c"), -1);
    assert_string_equal(r.d->clients[0].visible, "gemini-sec");
    assert_string_equal(r.d->clients[0].state, "on");
    assert_int_equal(r.d->rule_count, 6);
    assert_string_equal(r.d->rules[0].action, "swap");
    rig_close(&r);
}

static void nothing_is_read_until_the_store_moves(void **state)
{
    struct rig r;
    rig_open(&r, state);
    add_account(r.f, "a");
    assert_true(board_refresh(r.b, BOARD_ACCOUNTS));
    const struct board_account *was = r.d->accounts;
    assert_false(board_refresh(r.b, BOARD_ACCOUNTS));
    assert_ptr_equal(r.d->accounts, was);
    add_account(r.f, "b");
    assert_true(board_refresh(r.b, BOARD_ACCOUNTS));
    assert_int_equal(r.d->account_count, 2);
    assert_false(board_refresh(r.b, 0));
    board_touch(r.b);
    assert_true(board_refresh(r.b, 0));
    rig_close(&r);
}

static void only_what_is_needed_is_read(void **state)
{
    struct rig r;
    rig_open(&r, state);
    add_account(r.f, "a");
    add_client(r.f, "mia", "gemini-secret-placeholder");
    assert_true(board_refresh(r.b, 0));
    assert_int_equal(r.d->account_count, 1);
    assert_int_equal(r.d->client_count + r.d->rule_count + r.d->event_count, 0);
    assert_true(board_refresh(r.b, BOARD_CLIENTS)); /* the store has not moved, the need has */
    assert_int_equal(r.d->client_count, 1);
    assert_false(board_refresh(r.b, BOARD_CLIENTS));
    add_client(r.f, "joe", "gemini-other-placeholder");
    assert_true(board_refresh(r.b, 0));
    assert_int_equal(r.d->client_count, 1); /* as it was, until somebody looks */
    assert_true(board_refresh(r.b, BOARD_CLIENTS));
    assert_int_equal(r.d->client_count, 2);
    rig_close(&r);
}

static void newest_events_and_requests_come_first(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    assert_ok(f, event_put(f->s, EVENT_ALARM, SLICE("a"), SLICE("one"), &f->msg));
    assert_ok(f, event_put(f->s, EVENT_INFO, SLICE("b"), SLICE("two"), &f->msg));
    for (int64_t i = 1; i <= 3; i++) {
        struct request_row row = {.at_ms = i, .status = 200, .client = SLICE("mia")};
        assert_ok(f, request_add(f->s, &row, &f->msg));
    }
    assert_ok(
        f, event_audit(f->s, SLICE("mia"), SLICE("backup"), SLICE(""), SLICE(""), NULL, &f->msg));
    struct node n = {.name = SLICE("eu-1"), .pid = 7, .state = SLICE("running")};
    assert_ok(f, node_put(f->s, &n, &f->msg));
    assert_true(board_refresh(r.b, BOARD_EVENTS | BOARD_REQUESTS | BOARD_NODES));
    assert_int_equal(r.d->event_count, 3);
    assert_string_equal(r.d->events[0].kind, "audit");
    assert_string_equal(r.d->events[2].what, "one");
    assert_int_equal(r.d->generation_at, NOW);
    assert_int_equal(r.d->request_count, 3);
    assert_int_equal(r.d->requests[0].at_ms, 3);
    assert_string_equal(r.d->nodes[0].name, "eu-1");
    rig_close(&r);
}

static void what_ends_by_itself_ends_on_the_board(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    int64_t id = add_account(f, "a"), expires_at = NOW + 60;
    struct cooldown_row whole = {.account_id = id,
                                 .since_ms = NOW * 1000LL - 5000,
                                 .until_ms = NOW * 1000LL + 29500,
                                 .reason = SLICE("429")};
    struct cooldown_row one = whole;
    one.model = SLICE("gemini-pro");
    one.until_ms += 60000;
    assert_ok(f, cooldown_put(f->s, &whole, &f->msg));
    assert_ok(f, cooldown_put(f->s, &one, &f->msg));
    struct client_fields c = {.expires_at = &expires_at};
    add_client(f, "mia", "gemini-secret-placeholder");
    assert_ok(f, client_set(f->s, SLICE("mia"), &c, &f->msg));
    assert_true(board_refresh(r.b, BOARD_CLIENTS));
    assert_int_equal(r.d->accounts[0].cool_until, NOW + 30);
    assert_string_equal(r.d->accounts[0].cool_reason, "429");
    assert_int_equal(r.d->accounts[0].model_cools, 1);
    assert_false(board_refresh(r.b, BOARD_CLIENTS));
    clock_advance_fake(30000);
    assert_true(board_refresh(r.b, BOARD_CLIENTS));
    assert_int_equal(r.d->accounts[0].cool_until, 0);
    assert_int_equal(r.d->accounts[0].model_cools, 1);
    assert_string_equal(r.d->clients[0].state, "on");
    clock_advance_fake(30000);
    assert_true(board_refresh(r.b, BOARD_CLIENTS));
    assert_string_equal(r.d->clients[0].state, "expired");
    assert_false(board_refresh(r.b, BOARD_CLIENTS));
    assert_ok(f, client_revoke(f->s, SLICE("mia"), &f->msg));
    assert_true(board_refresh(r.b, BOARD_CLIENTS));
    assert_string_equal(r.d->clients[0].state, "revoked");
    rig_close(&r);
}

/* ---- when it cannot be read ---- */

static void assert_said(const struct rig *r, const char *part)
{
    if (!strstr(r->d->problem, part))
        print_error("problem: \"%s\", wanted: \"%s\"\n", r->d->problem, part);
    assert_non_null(strstr(r->d->problem, part));
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 22];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n = read(in, bytes, sizeof bytes);
    assert_true(n > 0 && n < (ssize_t)sizeof bytes && write(out, bytes, (size_t)n) == n);
    close(in);
    close(out);
}

static void a_store_that_goes_leaves_what_was_read(void **state)
{
    struct rig r;
    rig_open(&r, state);
    char copy[160];
    add_account(r.f, "a");
    assert_true(board_refresh(r.b, ALL));
    snprintf(copy, sizeof copy, "%s/copy.db", r.f->dir);
    assert_ok(r.f, store_backup(r.f->s, copy, &r.f->msg));
    unlink(r.f->path);
    assert_true(board_refresh(r.b, ALL));
    assert_said(&r, "the store is gone");
    assert_true(r.d->is_there && r.d->account_count == 1);
    assert_false(board_refresh(r.b, ALL)); /* nothing new to say */
    copy_file(copy, r.f->path);
    unlink(fix_file(r.f, "t.db-wal"));
    unlink(fix_file(r.f, "t.db-shm"));
    assert_true(board_refresh(r.b, ALL));
    assert_string_equal(r.d->problem, "");
    assert_int_equal(r.d->account_count, 1);
    rig_close(&r);
}

static void a_store_that_never_was_says_how_to_make_one(void **state)
{
    struct rig r;
    rig_open(&r, state);
    char none[160];
    snprintf(none, sizeof none, "%s/none.db", r.f->dir);
    r.conf.store_path = none;
    struct board_source *b = NULL;
    assert_int_equal(board_create(&r.conf, &b), ERR_OK);
    assert_true(board_refresh(b, ALL));
    assert_false(board_get(b)->is_there);
    assert_non_null(strstr(board_get(b)->problem, "credswap ca init"));
    assert_int_equal(access(none, F_OK), -1); /* looking makes nothing */
    board_destroy(b);
    rig_close(&r);
}

static void a_locked_store_says_by_whom(void **state)
{
    struct rig r;
    rig_open(&r, state);
    char pid[48];
    store_close(r.f->s);
    r.f->s = NULL;
    assert_int_equal(shell(r.f, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"), SQLITE_OK);
    clock_unset_fake();
    uint64_t before = clock_mono_ms();
    assert_true(board_refresh(r.b, ALL));
    assert_true(clock_mono_ms() - before < 2000); /* 50 ms, and a busy machine */
    snprintf(pid, sizeof pid, "the store is locked by pid %d", (int)getpid());
    if (strcmp(r.d->problem, pid) != 0) /* /proc/locks may be hidden */
        assert_string_equal(r.d->problem, "the store is locked by another program");
    sqlite3_close(r.f->shell);
    r.f->shell = NULL;
    assert_true(board_refresh(r.b, ALL));
    assert_string_equal(r.d->problem, "");
    assert_int_equal(r.d->pool_count, 2);
    rig_close(&r);
}

static void a_damaged_store_leaves_what_was_read(void **state)
{
    struct rig r;
    rig_open(&r, state);
    char copy[160];
    add_account(r.f, "a");
    assert_true(board_refresh(r.b, ALL));
    snprintf(copy, sizeof copy, "%s/copy.db", r.f->dir);
    assert_ok(r.f, store_backup(r.f->s, copy, &r.f->msg));
    int fd = open(copy, O_RDWR | O_CLOEXEC);
    static char trash[65536];
    memset(trash, 'x', sizeof trash);
    assert_int_equal(pwrite(fd, trash, sizeof trash, 4096), sizeof trash);
    close(fd);
    assert_int_equal(rename(copy, r.f->path), 0);
    unlink(fix_file(r.f, "t.db-wal"));
    unlink(fix_file(r.f, "t.db-shm"));
    assert_true(board_refresh(r.b, ALL));
    assert_said(&r, "damaged");
    assert_int_equal(r.d->account_count, 1);
    assert_false(board_refresh(r.b, ALL));
    rig_close(&r);
}

static void a_newer_schema_is_looked_at_as_far_as_it_goes(void **state)
{
    struct rig r;
    rig_open(&r, state);
    add_account(r.f, "a");
    assert_true(board_refresh(r.b, ALL));
    assert_false(r.d->is_newer);
    int nodes = r.d->node_count;
    assert_int_equal(shell(r.f, "PRAGMA user_version = 99; ALTER TABLE node RENAME TO node2"),
                     SQLITE_OK);
    add_account(r.f, "b");
    assert_true(board_refresh(r.b, BOARD_TOKENS));
    assert_true(r.d->is_newer);
    assert_string_equal(r.d->problem, "");
    assert_int_equal(r.d->account_count, 2);
    assert_true(board_refresh(r.b, BOARD_NODES));
    assert_said(&r, "newer credswap");
    assert_int_equal(r.d->node_count, nodes);
    assert_false(board_refresh(r.b, BOARD_NODES)); /* and not again until it moves */
    rig_close(&r);
    rig_open(&r, state);
    assert_true(board_refresh(r.b, BOARD_TOKENS));
    assert_true(r.d->is_newer && r.d->account_count == 2);
    rig_close(&r);
}

static void an_older_schema_is_left_alone(void **state)
{
    struct rig r;
    rig_open(&r, state);
    assert_int_equal(shell(r.f, "PRAGMA user_version = 1"), SQLITE_OK);
    assert_true(board_refresh(r.b, ALL));
    assert_said(&r, "older");
    assert_false(r.d->is_there);
    assert_int_equal(shell_int(r.f, "PRAGMA user_version"), 1);
    rig_close(&r);
}

static void without_memory_the_board_stays(void **state)
{
    struct rig r;
    rig_open(&r, state);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "account-%02d", i);
        add_account(r.f, name);
        join(r.f, "gemini", name, 1);
    }
    assert_int_equal(shell(r.f, "PRAGMA synchronous = OFF"), SQLITE_OK);
    assert_true(board_refresh(r.b, ALL));
    bool has_failed = true;
    for (long n = 1; has_failed; n++) {
        assert_int_equal(shell(r.f, "UPDATE account SET note = abs(random() % 1000)"), SQLITE_OK);
        clock_advance_fake(10000);
        mem_fail_after(n, 1);
        (void)board_refresh(r.b, ALL);
        mem_fail_after(0, 0);
        has_failed = r.d->problem[0] != '\0';
        assert_int_equal(r.d->account_count, 40);
        assert_int_equal(r.d->member_count, 40);
        assert_true(n < 2000);
    }
    rig_close(&r);
}

/* ---- usage ---- */

static void use(struct fix *f, int64_t at, const char *client, const char *account, int64_t n)
{
    struct usage u = {.minute = at,
                      .client = slice_of(client),
                      .account = slice_of(account),
                      .model = SLICE("m"),
                      .requests = n,
                      .limited = 1,
                      .tokens_in = 10 * n};
    assert_ok(f, usage_add(f->s, &u, &f->msg));
}

static void usage_is_summed_by_member_and_client(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    add_account(f, "a");
    add_account(f, "b");
    join(f, "gemini", "a", 1);
    join(f, "gemini", "b", 1);
    join(f, "claude", "a", 1);
    add_client(f, "mia", "gemini-secret-placeholder");
    add_client(f, "joe", "gemini-other-placeholder");
    assert_true(board_refresh(r.b, 0));
    assert_false(board_member_find(r.b, "gemini", "a")->figures.is_known);
    use(f, NOW, "mia", "a", 5);
    use(f, NOW - 60, "mia", "a", 7);
    use(f, NOW - 60, "joe", "a", 11);
    use(f, NOW - 240, "joe", "b", 13);
    use(f, NOW - 300, "joe", "b", 1000);
    use(f, NOW - 60, "gone", "a", 1000);
    clock_advance_fake(20000);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    const struct board_figures *a = &board_member_find(r.b, "gemini", "a")->figures;
    assert_true(a->is_known && a->window_s == 260 && a->open == -1);
    assert_int_equal(a->requests, 23);
    assert_int_equal(a->limited, 3);
    assert_int_equal(a->recent_s, 80);
    assert_int_equal(a->recent, 23);
    assert_int_equal(board_member_find(r.b, "gemini", "b")->figures.requests, 13);
    assert_int_equal(board_member_find(r.b, "gemini", "b")->figures.recent, 0);
    assert_int_equal(board_member_find(r.b, "claude", "a")->figures.requests, 0);
    assert_string_equal(r.d->clients[0].name, "joe");
    assert_true(r.d->clients[0].has_usage && r.d->usage_at_ms == NOW * 1000LL + 20000);
    assert_int_equal(r.d->clients[0].today_requests, 1024);
    assert_int_equal(r.d->clients[0].today_tokens_in, 10240);
    assert_int_equal(r.d->clients[0].minute_requests, 11);
    assert_int_equal(r.d->clients[1].today_requests, 12);
    rig_close(&r);
}

static void minutes_that_are_over_are_not_asked_again(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    add_account(f, "a");
    join(f, "gemini", "a", 1);
    add_client(f, "mia", "gemini-secret-placeholder");
    for (int i = 0; i < 5; i++)
        use(f, NOW - 60 * i, "mia", "a", 1 << i);
    use(f, NOW - 3600, "mia", "a", 100);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->members[0].figures.requests, 31);
    assert_int_equal(r.d->clients[0].today_requests, 131);
    /* What nobody does: if it is not seen, it was not asked. */
    assert_int_equal(shell(f, "UPDATE usage SET requests = requests + 1000"), SQLITE_OK);
    clock_advance_fake(2000);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->members[0].figures.requests, 2031);
    assert_int_equal(r.d->clients[0].today_requests, 2131);
    clock_advance_fake(58000); /* the next minute: the oldest one goes out of the window */
    use(f, NOW + 60, "mia", "a", 3);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->members[0].figures.requests, 2031 - 16 + 3);
    assert_int_equal(r.d->clients[0].today_requests, 2134);
    for (int i = 0; i < 20; i++) { /* minute by minute they go into the day */
        clock_advance_fake(60000);
        use(f, NOW + 120 + 60 * i, "mia", "a", 1);
        assert_true(board_refresh(r.b, BOARD_USAGE));
    }
    assert_int_equal(r.d->members[0].figures.requests, 5);
    assert_int_equal(r.d->clients[0].today_requests, 2154);
    rig_close(&r);
}

static void a_day_begins_at_midnight(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    int64_t midnight = NOW - NOW % 86400 + 86400;
    add_account(f, "a");
    join(f, "gemini", "a", 1);
    add_client(f, "mia", "gemini-secret-placeholder");
    use(f, midnight - 60, "mia", "a", 100);
    use(f, midnight, "mia", "a", 1);
    use(f, midnight + 60, "mia", "a", 2);
    clock_set_fake(5000000, (midnight - 1) * 1000);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->clients[0].today_requests, 100); /* not what a clock ahead of ours says */
    clock_advance_fake(61000);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->clients[0].today_requests, 3);
    assert_int_equal(r.d->members[0].figures.requests, 103);
    rig_close(&r);
}

static void usage_is_summed_now_and_then_only(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    add_account(f, "a");
    join(f, "gemini", "a", 1);
    add_client(f, "mia", "gemini-secret-placeholder");
    use(f, NOW, "mia", "a", 1);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    use(f, NOW, "mia", "a", 1);
    clock_advance_fake(500);
    assert_true(board_refresh(r.b, BOARD_USAGE)); /* accounts were read, usage was not */
    assert_int_equal(r.d->members[0].figures.requests, 1);
    clock_advance_fake(500);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_int_equal(r.d->members[0].figures.requests, 2);
    clock_advance_fake(5000);
    assert_false(board_refresh(r.b, BOARD_USAGE)); /* nothing came: nothing to sum */
    board_member_find(r.b, "gemini", "a")->figures.open = 3;
    assert_int_equal(r.d->members[0].figures.open, 3);
    rig_close(&r);
}

/* More rows than are walked at once: the sums come later, and are right. */
static void a_busy_store_is_summed_in_pieces(void **state)
{
    struct rig r;
    rig_open(&r, state);
    struct fix *f = r.f;
    assert_int_equal(
        shell(f, "PRAGMA synchronous = OFF; BEGIN;"
                 "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400) "
                 "INSERT INTO client (name, service, pool) "
                 "SELECT printf('c%d', i), 'gemini', 'gemini' FROM c;"
                 "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) "
                 "INSERT INTO account (name, kind) SELECT printf('a%d', i), 'service' FROM c;"
                 "INSERT INTO pool_member (pool, account) SELECT 'gemini', name FROM account;"
                 "INSERT INTO usage (minute, client, account, model, requests) "
                 "SELECT 1800000000, c.name, a.name, 'm', 3 FROM client c, account a;"
                 "INSERT INTO usage (minute, client, account, model, requests) "
                 "SELECT 1800000000 - 600, c.name, a.name, 'm', 4 FROM client c, account a;"
                 "COMMIT"),
        SQLITE_OK);
    clock_unset_fake();
    assert_true(board_refresh(r.b, BOARD_USAGE));
    int64_t minute = r.d->now_s - r.d->now_s % 60; /* of those who run this */
    char sql[96];
    snprintf(sql, sizeof sql, "UPDATE usage SET minute = minute + %lld", (long long)(minute - NOW));
    assert_int_equal(shell(f, sql), SQLITE_OK);
    board_touch(r.b);
    assert_true(board_refresh(r.b, BOARD_USAGE));
    int pieces = 0;
    while (r.d->members[0].figures.requests == 0 && ++pieces < 100000) {
        board_touch(r.b);
        assert_true(board_refresh(r.b, BOARD_USAGE));
    }
    assert_true(pieces > 0);
    for (int i = 0; i < r.d->member_count; i++)
        assert_int_equal(r.d->members[i].figures.requests, 1200);
    rig_close(&r);
    rig_open(&r, state); /* who waits for it gets it without rests, and knows when it is whole */
    clock_unset_fake();
    assert_true(board_refresh(r.b, BOARD_USAGE));
    assert_true(r.d->is_summing);
    assert_int_equal(r.d->members[0].figures.requests, 0);
    for (pieces = 0; r.d->is_summing && pieces < 1000; pieces++)
        assert_true(board_refresh(r.b, BOARD_USAGE | BOARD_AT_ONCE));
    assert_true(pieces > 0 && pieces < 1000);
    assert_int_equal(r.d->members[0].figures.requests, 1200);
    rig_close(&r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(rows_are_there_with_their_neighbours),
        T(nothing_is_read_until_the_store_moves),
        T(only_what_is_needed_is_read),
        T(newest_events_and_requests_come_first),
        T(what_ends_by_itself_ends_on_the_board),
        T(a_store_that_goes_leaves_what_was_read),
        T(a_store_that_never_was_says_how_to_make_one),
        T(a_locked_store_says_by_whom),
        T(a_damaged_store_leaves_what_was_read),
        T(a_newer_schema_is_looked_at_as_far_as_it_goes),
        T(an_older_schema_is_left_alone),
        T(without_memory_the_board_stays),
        T(usage_is_summed_by_member_and_client),
        T(minutes_that_are_over_are_not_asked_again),
        T(a_day_begins_at_midnight),
        T(usage_is_summed_now_and_then_only),
        T(a_busy_store_is_summed_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
