/* A token endpoint on loopback for the tests of the broker: TLS under the test's own CA, one
 * thread, answers by script. */
#ifndef UNIT_TOKEN_ENDPOINT_H
#define UNIT_TOKEN_ENDPOINT_H
#include "keys/ca.h"
#include "keys/keys_internal.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum manner {
    SAY_TOKEN,
    SAY_SHORT, /* a token of 90 s */
    SAY_CRLF,
    SAY_GARBAGE,
    SAY_HUGE,
    SAY_500,
    SAY_429, /* with Retry-After: 7 */
    SAY_SIGNATURE,
    SAY_CLOCK,
    SAY_NOTHING, /* closes without an answer */
    SAY_LATE,    /* a token after a second */
    SAY_NEVER,   /* holds the connection */
    SAY_REDIRECT
};

struct endpoint {
    pthread_t thread;
    int listener, port;
    SSL_CTX *ctx;
    atomic_int asked, minted;
    atomic_int manner, next; /* NEXT, when not -1, counts for one request only */
    atomic_int date_offset;  /* seconds that its clock is ahead of ours */
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    char request[65536]; /* the last one, guarded by lock */
};

static inline void endpoint_answer(struct endpoint *e, SSL *ssl, int manner)
{
    static char body[200000];
    const char *status = "200 OK", *extra = "";
    switch (manner) {
    case SAY_LATE:
        usleep(1000000);
        /* fall through */
    case SAY_TOKEN:
    case SAY_SHORT:
        snprintf(body, sizeof body,
                 "{\"access_token\":\"ya29.%d....\",\"expires_in\":%d,\"token_type\":\"Bearer\"}",
                 atomic_fetch_add(&e->minted, 1) + 1, manner == SAY_SHORT ? 90 : 3599);
        break;
    case SAY_CRLF:
        snprintf(body, sizeof body,
                 "{\"access_token\":\"a\\r\\nX-Evil: "
                 "1\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
        break;
    case SAY_HUGE:
        memset(body, ' ', sizeof body - 1);
        break;
    case SAY_500:
        status = "500 Oops";
        snprintf(body, sizeof body, "oops");
        break;
    case SAY_429:
        status = "429 Slow";
        extra = "Retry-After: 7\r\n";
        snprintf(body, sizeof body, "slow");
        break;
    case SAY_SIGNATURE:
        status = "400 Bad";
        snprintf(body, sizeof body,
                 "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}");
        break;
    case SAY_CLOCK:
        status = "400 Bad";
        snprintf(
            body, sizeof body,
            "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: Token must be a "
            "short-lived token (60 minutes) and in a reasonable timeframe.\"}");
        break;
    case SAY_REDIRECT:
        status = "302 Found";
        extra = "Location: https://oauth2.googleapis.com/elsewhere\r\n";
        snprintf(body, sizeof body, "{}");
        break;
    default:
        snprintf(body, sizeof body, "<html>%d</html>", manner);
    }
    char head[512], date[64];
    time_t now = time(NULL) + atomic_load(&e->date_offset);
    struct tm tm;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    int n = snprintf(
        head, sizeof head,
        "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n%s\r\n",
        status, date, strlen(body), extra);
    SSL_write(ssl, head, n);
    SSL_write(ssl, body, (int)strlen(body));
}

/* One request of one connection; false when none came. */
static inline int endpoint_read(struct endpoint *e, SSL *ssl)
{
    static char buf[65536];
    int n = 0, want = -1;
    while (want < 0 || n < want) {
        int got = SSL_read(ssl, buf + n, (int)sizeof buf - 1 - n);
        if (got <= 0)
            return 0;
        n += got;
        buf[n] = '\0';
        char *body = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");
        if (body)
            want = (int)(body + 4 - buf) + (length ? atoi(length + 16) : 0);
    }
    pthread_mutex_lock(&e->lock);
    memcpy(e->request, buf, (size_t)n + 1);
    pthread_mutex_unlock(&e->lock);
    return 1;
}

static inline void endpoint_serve(struct endpoint *e, int fd)
{
    SSL *ssl = SSL_new(e->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && endpoint_read(e, ssl)) {
        atomic_fetch_add(&e->asked, 1);
        int manner = atomic_exchange(&e->next, -1);
        if (manner < 0)
            manner = atomic_load(&e->manner);
        if (manner == SAY_NEVER)
            while (!atomic_load(&e->is_stopping) && atomic_load(&e->manner) == SAY_NEVER)
                usleep(10000);
        else if (manner != SAY_NOTHING)
            endpoint_answer(e, ssl, manner);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
}

static inline void *endpoint_run(void *arg)
{
    struct endpoint *e = arg;
    while (!atomic_load(&e->is_stopping)) {
        struct pollfd p = {.fd = e->listener, .events = POLLIN};
        if (poll(&p, 1, 20) == 1) {
            int fd = accept(e->listener, NULL, NULL);
            if (fd >= 0)
                endpoint_serve(e, fd);
        }
    }
    return NULL;
}

static inline void endpoint_start(struct endpoint *e, struct ca *ca, const char *host)
{
    memset(e, 0, sizeof *e);
    atomic_init(&e->next, -1);
    pthread_mutex_init(&e->lock, NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = NULL;
    if (leaf_sign(ca_cert(ca), ca_key(ca), slice_of(host), key, 7, &x) != ERR_OK)
        abort();
    e->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(e->ctx, x);
    SSL_CTX_use_PrivateKey(e->ctx, key);
    X509_free(x);
    EVP_PKEY_free(key);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    e->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(e->listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(e->listener, 64) != 0 ||
        getsockname(e->listener, (struct sockaddr *)&a, &n) != 0)
        abort();
    e->port = ntohs(a.sin_port);
    if (pthread_create(&e->thread, NULL, endpoint_run, e) != 0)
        abort();
}

static inline void endpoint_stop(struct endpoint *e)
{
    atomic_store(&e->is_stopping, true);
    pthread_join(e->thread, NULL);
    close(e->listener);
    SSL_CTX_free(e->ctx);
    pthread_mutex_destroy(&e->lock);
}

#endif
