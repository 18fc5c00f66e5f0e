/* status as a screen: what the daemon said, in words, and nothing else. */
#include "desk.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

struct daemon {
    int fd;
    const char *answer;
};

static void *serve(void *arg)
{
    const struct daemon *s = arg;
    char question[256];
    int fd = accept(s->fd, NULL, NULL);
    assert_true(recv(fd, question, sizeof question, 0) > 0);
    assert_int_equal(send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL), strlen(s->answer));
    close(fd);
    return NULL;
}

/* `credswap WORDS` beside a daemon that says ANSWER. */
static void run(struct desk *d, const char *answer, const char *words)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct daemon s = {socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), answer};
    pthread_t t;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/sock", d->dir);
    unlink(sa.sun_path);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(s.fd, 1), 0);
    assert_int_equal(pthread_create(&t, NULL, serve, &s), 0);
    assert_int_equal(desk_run(d, "%s", words), 0);
    pthread_join(t, NULL);
    close(s.fd);
}

static const char whole[] =
    "{\"ok\":true,\"status\":{\"version\":\"0.1.0\",\"state\":\"running\",\"pid\":77,\"workers\":2,"
    "\"uptime_s\":273840,\"connections\":5,\"exchanges\":3,\"listen\":\"0.0.0.0:3128\",\"ca\":{"
    "\"sha256\":\"ab12\",\"expires_at\":\"2036-01-01T00:00:00Z\"},\"requests\":{\"none\":1,\"2xx\":"
    "1200,\"3xx\":0,\"4xx\":4,\"5xx\":2,\"own_answers\":6,\"retries\":9},\"tokens\":{\"mints\":12,"
    "\"mint_failures\":1,\"from_store\":3,\"in_flight\":0,\"clock_skew_s\":-2},\"store\":{\"ok\":"
    "true,\"generation\":14,\"bad_rows\":0,\"queue\":0,\"dropped\":0,\"failed\":0,\"commits\":8},"
    "\"accounts\":[{\"name\":\"team-1\",\"kind\":\"service-account\",\"state\":\"drain\","
    "\"requests\":10,\"limited\":2,\"errors\":1}]}}\n";

static void it_is_a_screen_for_people(void **state)
{
    struct desk d;
    desk_open(&d);
    run(&d, whole, "status");
    assert_non_null(strstr(d.out, "credswapd  running\n"));
    assert_non_null(strstr(d.out, "3d04h"));
    assert_non_null(strstr(d.out, "5 connections, 3 requests under way"));
    assert_non_null(strstr(d.out, "2xx 1200, 3xx 0, 4xx 4, 5xx 2, cut 1"));
    assert_non_null(strstr(d.out, "clock -2 s off"));
    assert_non_null(strstr(d.out, "works: generation 14"));
    assert_non_null(strstr(d.out, "team-1"));
    assert_null(strchr(d.out, '{'));
    run(&d, whole, "status --json");
    cJSON *o = cJSON_Parse(d.out);
    assert_string_equal(json_get_z(o, "state"), "running");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(o, "accounts")), 1);
    cJSON_Delete(o);
    desk_close(&d);
}

static void what_was_not_said_is_a_dash(void **state)
{
    struct desk d;
    desk_open(&d);
    run(&d, "{\"ok\":true,\"status\":{\"state\":\"starting\",\"store\":{\"ok\":false}}}\n",
        "status");
    assert_non_null(strstr(d.out, "starting"));
    assert_non_null(strstr(d.out, "-- connections"));
    assert_non_null(strstr(d.out, "CANNOT BE READ OR WRITTEN"));
    assert_null(strstr(d.out, " 0 "));
    desk_close(&d);
}

static void new_words_are_shown_and_harmless(void **state)
{
    struct desk d;
    desk_open(&d);
    run(&d,
        "{\"ok\":true,\"status\":{\"state\":\"run\\u001b[2Jning\",\"news\":{\"a\":[1]},"
        "\"bad\\u001b[2J\":1,\"state\":2}}\n",
        "status");
    assert_non_null(strstr(d.out, "{\"a\":[1]}"));
    assert_null(strchr(d.out, 0x1b));
    run(&d, "{\"ok\":false,\"error\":\"no\\u001b[2J\"}\n", "status");
    assert_non_null(strstr(d.out, "unreachable"));
    assert_null(strchr(d.out, 0x1b));
    desk_close(&d);
}

static void what_is_under_way_is_listed(void **state)
{
    struct desk d;
    desk_open(&d);
    run(&d,
        "{\"ok\":true,\"cmd\":\"live\",\"total\":1,\"live\":[{\"id\":\"01JD\",\"age_ms\":1200,"
        "\"phase\":\"stream\",\"client\":null,\"account\":\"team-1\",\"host\":\"h\\u001b[2J\"}]}\n",
        "live list");
    assert_non_null(strstr(d.out, "01JD"));
    assert_non_null(strstr(d.out, "stream"));
    assert_null(strchr(d.out, 0x1b));
    run(&d, "{\"ok\":true,\"cmd\":\"live\",\"total\":0,\"live\":[]}\n", "live list --json");
    assert_string_equal(d.out, "[]\n");
    run(&d, "{\"ok\":true,\"cmd\":\"end\"}\n", "live end 01JD");
    assert_non_null(strstr(d.talk, "01JD ended"));
    run(&d, "{\"ok\":true,\"leaves\":[{\"host\":\"a.test\",\"hits\":7}]}\n", "ca leaves");
    assert_non_null(strstr(d.out, "a.test"));
    run(&d, "{\"ok\":true,\"refused\":[{\"peer\":\"10.0.0.9\",\"why\":\"unknown ca\"}]}\n",
        "ca refused");
    assert_non_null(strstr(d.out, "unknown ca"));
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_screen_for_people),
        cmocka_unit_test(what_was_not_said_is_a_dash),
        cmocka_unit_test(new_words_are_shown_and_harmless),
        cmocka_unit_test(what_is_under_way_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
