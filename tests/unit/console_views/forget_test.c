/* account forget, on a store of its own. */
#include "desk.h"

#include "base/seal.h"
#include "conf/conf.h"
#include "store/account.h"
#include "store/event.h"
#include "store/token.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct desk started(void)
{
    struct desk d;
    desk_open(&d);
    assert_int_equal(desk_run(&d, "ca init --name box"), 0);
    desk_key_file(d.dir, "team");
    assert_int_equal(desk_run(&d, "account add %s/team.json", d.dir), 0);
    return d;
}

static struct store *store_of(const struct desk *d, struct master_key **ret_key)
{
    char path[128];
    struct store *s = NULL;
    struct errmsg msg = {0};
    snprintf(path, sizeof path, "%s/master.key", d->dir);
    assert_int_equal(master_key_load(path, ret_key, &msg), ERR_OK);
    snprintf(path, sizeof path, "%s/db", d->dir);
    assert_int_equal(store_open(path, STORE_PATIENT, &s, &msg), ERR_OK);
    return s;
}

static void put_token(const struct desk *d)
{
    struct master_key *k = NULL;
    struct store *s = store_of(d, &k);
    int64_t id = 0;
    assert_int_equal(account_id(s, SLICE("team"), &id, NULL), ERR_OK);
    assert_int_equal(token_store(s, k, id, SLICE(ACCOUNT_DEFAULT_SCOPE), SLICE("ya29.secret"),
                                 4000000000, 3999996400, 5, NULL),
                     ERR_OK);
    store_close(s);
    master_key_unref(&k);
}

static bool has_token(struct desk *d)
{
    assert_int_equal(desk_run(d, "tokens --json"), 0);
    assert_null(strstr(d->out, "ya29"));
    cJSON *rows = cJSON_Parse(d->out);
    bool has = cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "has_token"));
    cJSON_Delete(rows);
    return has;
}

static void a_forgotten_token_is_gone_from_the_store(void **state)
{
    struct desk d = started();
    put_token(&d);
    assert_true(has_token(&d));
    assert_int_equal(desk_run(&d, "account forget team"), 0);
    assert_non_null(strstr(d.talk, "no daemon runs here"));
    assert_false(has_token(&d));
    assert_int_equal(desk_run(&d, "events --json"), 0);
    assert_non_null(strstr(d.out, "account team: token forgotten"));
    assert_int_equal(desk_run(&d, "account forget none"), EX_FAILED);
    assert_int_equal(desk_talk_lines(&d), 1);
    desk_close(&d);
}

struct server {
    int fd;
    const char *answer;
    char question[256];
};

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->fd, NULL, NULL);
    ssize_t n = recv(fd, s->question, sizeof s->question - 1, 0);
    s->question[n > 0 ? n : 0] = '\0';
    (void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static int forget_with_daemon(struct desk *d, struct server *s)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    pthread_t t;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/sock", d->dir);
    unlink(sa.sun_path);
    s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(s->fd, 1), 0);
    assert_int_equal(pthread_create(&t, NULL, serve, s), 0);
    int code = desk_run(d, "account forget team");
    pthread_join(t, NULL);
    close(s->fd);
    return code;
}

static void the_running_daemon_is_told(void **state)
{
    struct desk d = started();
    struct server well = {.answer = "{\"ok\":true,\"account\":\"team\"}\n"};
    struct server bad = {.answer = "{\"ok\":false,\"error\":\"unknown command\"}\n"};
    put_token(&d);
    assert_int_equal(forget_with_daemon(&d, &well), 0);
    assert_string_equal(well.question, "{\"cmd\":\"forget\",\"account\":\"team\"}\n");
    assert_non_null(strstr(d.talk, "in the running daemon"));
    /* One that does not know the word still has its copy, and that is said. */
    assert_int_equal(forget_with_daemon(&d, &bad), EX_FAILED);
    assert_int_equal(desk_talk_lines(&d), 1);
    assert_non_null(strstr(d.talk, "may still use its copy: unknown command"));
    desk_close(&d);
}

static void an_api_key_has_none(void **state)
{
    struct desk d = started();
    assert_int_equal(
        desk_run_with(&d, "sk-0123456789",
                      "account add --kind api-key --host api.anthropic.com --name k -"),
        0);
    assert_int_equal(desk_run(&d, "account forget k"), EX_DATAERR);
    assert_int_equal(desk_talk_lines(&d), 1);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forgotten_token_is_gone_from_the_store),
        cmocka_unit_test(the_running_daemon_is_told),
        cmocka_unit_test(an_api_key_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
