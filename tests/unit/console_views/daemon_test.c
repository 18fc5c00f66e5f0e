/* The conversation with the daemon: answers of every kind, and a socket of our own. */
#include "desk.h"

#include "cli/daemon.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

static void http_answers_are_taken_apart(void **state)
{
    int status = 0;
    struct slice body;
    assert_true(daemon_parse_http(
        SLICE("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno snapshot\n"), &status, &body));
    assert_int_equal(status, 503);
    assert_true(slice_eq(body, SLICE("no snapshot\n")));
    assert_false(daemon_parse_http(SLICE(""), &status, &body));
    assert_false(daemon_parse_http(SLICE("HTTP/1.1 200 OK\r\nA: b\r\n"), &status, &body));
    assert_false(daemon_parse_http(SLICE("SSH-2.0-OpenSSH_9.2\r\n\r\n"), &status, &body));
    assert_false(daemon_parse_http(SLICE("HTTP/1.1 +20 OK\r\n\r\n"), &status, &body));
}

static void answer_lines_are_objects_with_ok(void **state)
{
    cJSON *v = NULL;
    struct errmsg msg = {0};
    assert_int_equal(
        daemon_parse_line(SLICE("{\"ok\":true,\"state\":\"running\"}\n{\"ok\":false}"), &v, &msg),
        ERR_OK);
    assert_string_equal(json_get_z(v, "state"), "running");
    cJSON_Delete(v);
    assert_int_equal(
        daemon_parse_line(SLICE("{\"ok\":false,\"error\":\"no such account\"}\n"), &v, &msg),
        ERR_INVALID);
    assert_string_equal(msg.text, "no such account");
    assert_int_equal(daemon_parse_line(SLICE("\n"), &v, &msg), ERR_PROTOCOL);
    assert_int_equal(daemon_parse_line(SLICE("[true]\n"), &v, &msg), ERR_PROTOCOL);
    assert_int_equal(daemon_parse_line(SLICE("{\"ok\":1}\n"), &v, &msg), ERR_PROTOCOL);
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
    for (const char *z = s->answer; *z; z++) /* byte by byte */
        if (send(fd, z, 1, MSG_NOSIGNAL) != 1)
            break;
    close(fd);
    return NULL;
}

static enum err ask(const char *answer, struct server *s, cJSON **ret, struct errmsg *msg)
{
    struct desk d;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    pthread_t t;
    desk_open(&d);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/sock", d.dir);
    *s = (struct server){.fd = socket(AF_UNIX, SOCK_STREAM, 0), .answer = answer};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(s->fd, 1), 0);
    assert_int_equal(pthread_create(&t, NULL, serve, s), 0);
    enum err e = daemon_ask(sa.sun_path, "refresh", "a\"b", 5000, ret, msg);
    pthread_join(t, NULL);
    close(s->fd);
    desk_close(&d);
    return e;
}

static void one_line_goes_and_one_comes(void **state)
{
    struct server s;
    cJSON *v = NULL;
    struct errmsg msg = {0};
    assert_int_equal(ask("{\"ok\":true,\"mint_ms\":12}\n", &s, &v, &msg), ERR_OK);
    assert_string_equal(s.question, "{\"cmd\":\"refresh\",\"account\":\"a\\\"b\"}\n");
    assert_int_equal(cJSON_GetObjectItem(v, "mint_ms")->valueint, 12);
    cJSON_Delete(v);
    assert_int_equal(ask("{\"ok\":true", &s, &v, &msg), ERR_CLOSED);
    assert_int_equal(ask("{\"ok\":false,\"error\":\"e\"}\n", &s, &v, &msg), ERR_INVALID);
}

static void nobody_there_is_refused(void **state)
{
    cJSON *v = NULL;
    int status;
    struct errmsg msg = {0};
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(daemon_ask("/nonexistent/sock", "status", NULL, 1000, &v, &msg), ERR_REFUSED);
    assert_non_null(strstr(msg.text, "not running"));
    assert_int_equal(daemon_ask(longest, "status", NULL, 1000, &v, &msg), ERR_CONFIG);
    assert_int_equal(daemon_get("127.0.0.1:1", "/readyz", 1000, &status, NULL, &msg), ERR_REFUSED);
    assert_int_equal(daemon_get("nonsense", "/readyz", 1000, &status, NULL, &msg), ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_answers_are_taken_apart),
        cmocka_unit_test(answer_lines_are_objects_with_ok),
        cmocka_unit_test(one_line_goes_and_one_comes),
        cmocka_unit_test(nobody_there_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
