/* Short blocking conversations with credswapd, each with a deadline for the whole of it. */
#include "cli/daemon.h"

#include "base/check.h"
#include "base/clock.h"
#include "cli/out.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (8 << 20)

/* Waits for EVENTS until the deadline. */
static enum err wait_for(int fd, short events, uint64_t deadline)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        if (now >= deadline)
            return ERR_TIMEOUT;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, (int)(deadline - now));
        if (n > 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return ERR_IO;
    }
}

static enum err from_errno(int why)
{
    switch (why) {
    case ENOENT:
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
        return ERR_REFUSED;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

static enum err connect_to(const struct sockaddr *sa, socklen_t len, uint64_t deadline, int *ret)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_IO;
    enum err e = ERR_OK;
    if (connect(fd, sa, len) != 0 && errno != EINPROGRESS) {
        e = from_errno(errno);
    } else {
        e = wait_for(fd, POLLOUT, deadline);
        int why = 0;
        socklen_t size = sizeof why;
        if (e == ERR_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) == 0 && why)
            e = from_errno(why);
    }
    if (e == ERR_OK)
        *ret = fd;
    else
        close(fd);
    return e;
}

static enum err send_all(int fd, struct slice s, uint64_t deadline)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n > 0) {
            s = slice_sub(s, (size_t)n, s.n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return ERR_CLOSED;
        enum err e = wait_for(fd, POLLOUT, deadline);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* Until the peer closes, or (END not '\0') until END has come. */
static enum err receive(int fd, struct sbuf *out, char end, uint64_t deadline)
{
    for (;;) {
        char *to = sbuf_reserve(out, 4096);
        if (!to)
            return ERR_TOO_LARGE;
        ssize_t n = recv(fd, to, 4096, 0);
        if (n == 0)
            return end ? ERR_CLOSED : ERR_OK;
        if (n > 0) {
            sbuf_commit(out, (size_t)n);
            if (end && memchr(to, end, (size_t)n))
                return ERR_OK;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return ERR_CLOSED;
        enum err e = wait_for(fd, POLLIN, deadline);
        if (e != ERR_OK)
            return e;
    }
}

static enum err talk(int fd, const cJSON *question, uint64_t deadline, cJSON **ret,
                     struct errmsg *msg)
{
    struct sbuf line;
    sbuf_init(&line, ANSWER_MAX);
    json_compact(&line, question);
    sbuf_addc(&line, '\n');
    enum err e = line.failed ? ERR_NOMEM : send_all(fd, sbuf_slice(&line), deadline);
    sbuf_clear(&line);
    if (e == ERR_OK)
        e = receive(fd, &line, '\n', deadline);
    if (e == ERR_OK)
        e = daemon_parse_line(sbuf_slice(&line), ret, msg);
    else
        err_set(msg, e, "the daemon did not answer: %s", err_str(e));
    sbuf_finish(&line);
    return e;
}

enum err daemon_say(const char *socket_path, const cJSON *question, int timeout_ms, cJSON **ret,
                    struct errmsg *msg)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    uint64_t deadline = clock_mono_ms() + (uint64_t)timeout_ms;
    int fd = -1;
    if (!slice_copy(slice_of(socket_path), sa.sun_path, sizeof sa.sun_path))
        return err_set(msg, ERR_CONFIG, "listen.socket %s is too long for a socket", socket_path);
    enum err e = connect_to((const struct sockaddr *)&sa, sizeof sa, deadline, &fd);
    if (e == ERR_REFUSED)
        return err_set(msg, e, "the daemon is not running (nobody listens at %s)", socket_path);
    if (e != ERR_OK)
        return err_set(msg, e, "cannot reach the daemon at %s: %s", socket_path, err_str(e));
    e = talk(fd, question, deadline, ret, msg);
    close(fd);
    return e;
}

enum err daemon_ask(const char *socket_path, const char *cmd, const char *account, int timeout_ms,
                    cJSON **ret, struct errmsg *msg)
{
    cJSON *question = json_object();
    json_z(question, "cmd", cmd);
    if (account)
        json_z(question, "account", account);
    enum err e = daemon_say(socket_path, question, timeout_ms, ret, msg);
    cJSON_Delete(question);
    return e;
}

/* ---- the admin port ---- */

static enum err dial(const char *address, uint64_t deadline, int *ret, struct errmsg *msg)
{
    char host[256], port[16];
    struct slice s = slice_of(address);
    size_t cut = s.n;
    while (cut > 0 && s.p[cut - 1] != ':')
        cut--;
    struct slice h = slice_sub(s, 0, cut ? cut - 1 : 0);
    if (h.n >= 2 && h.p[0] == '[')
        h = slice_sub(h, 1, h.n - 1);
    if (cut == 0 || !slice_copy(h, host, sizeof host) ||
        !slice_copy(slice_sub(s, cut, s.n), port, sizeof port))
        return err_set(msg, ERR_CONFIG, "listen.admin \"%s\" is no host:port", address);
    if (strcmp(host, "0.0.0.0") == 0 || !*host || strcmp(host, "*") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    else if (strcmp(host, "::") == 0)
        snprintf(host, sizeof host, "::1");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return err_set(msg, ERR_UNRESOLVED, "%s does not resolve", host);
    enum err e = ERR_REFUSED;
    for (const struct addrinfo *a = list; a && e != ERR_OK; a = a->ai_next)
        e = connect_to(a->ai_addr, a->ai_addrlen, deadline, ret);
    freeaddrinfo(list);
    return e == ERR_OK ? e : err_set(msg, e, "nobody answers at %s: %s", address, err_str(e));
}

enum err daemon_get(const char *address, const char *path, int timeout_ms, int *ret_status,
                    struct sbuf *body, struct errmsg *msg)
{
    uint64_t deadline = clock_mono_ms() + (uint64_t)timeout_ms;
    int fd = -1, status = 0;
    enum err e = dial(address, deadline, &fd, msg);
    if (e != ERR_OK)
        return e;
    struct sbuf b;
    struct slice rest = {NULL, 0};
    sbuf_init(&b, ANSWER_MAX);
    sbuf_addf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address);
    e = send_all(fd, sbuf_slice(&b), deadline);
    sbuf_clear(&b);
    if (e == ERR_OK)
        e = receive(fd, &b, '\0', deadline);
    close(fd);
    if (e == ERR_OK && !daemon_parse_http(sbuf_slice(&b), &status, &rest))
        e = ERR_PROTOCOL;
    if (e == ERR_OK && body)
        sbuf_add_slice(body, rest);
    if (e == ERR_OK)
        *ret_status = status;
    else
        err_set(msg, e, "no HTTP answer from %s: %s", address, err_str(e));
    sbuf_finish(&b);
    return e;
}
