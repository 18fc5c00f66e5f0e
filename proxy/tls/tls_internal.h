/* Shared by the files of this room only. */
#ifndef TLS_TLS_INTERNAL_H
#define TLS_TLS_INTERNAL_H
#include "tls/lru.h"
#include "tls/tls.h"

#include <openssl/evp.h>

#define LEAVES_MAX 1024
#define SERVER_CTXS_MAX 256
#define SESSIONS_MAX 256

/* One generation of ticket keys; NAME goes out in clear with each ticket. */
struct ticket_key {
    unsigned char name[16], mac[32], cipher[32];
};
struct ticket_keys {
    struct ticket_key now, before;
    uint64_t version; /* 1 is the first; before is valid from 2 on */
};

/** The process-wide leaf key. Borrowed. */
EVP_PKEY *leaf_cache_key(const struct leaf_cache *c);
/** Brings *KEYS up to date; one atomic load when nothing was rotated. Thread: any. */
void leaf_cache_tickets(struct leaf_cache *c, struct ticket_keys *keys);
/** As leaf_get; also the Unix time from which on it should be asked for again. */
enum err leaf_get_until(struct leaf_cache *c, struct slice host, X509 **ret,
                        int64_t *ret_renew_at) NODISCARD;
/** N more handshakes found the leaf ready, in a context that was made of it. */
void leaf_cache_add_hits(struct leaf_cache *c, struct slice host, uint64_t n);

struct tls_ctxs {
    struct leaf_cache *leaves;
    uint64_t unreported; /* hits, in all entries */
    EVP_PKEY *leaf_key;  /* a copy of its own: reference counts shared by workers are dear */
    struct ticket_keys tickets;
    EVP_CIPHER *ticket_cipher;
    struct lru *servers; /* host to struct server_entry */
    SSL_CTX *client;
    struct lru *sessions; /* "HOST KEY" to SSL_SESSION */
};

/** A context with what both roles have in common; app data is T. NULL when OpenSSL refuses. */
SSL_CTX *tls_ctx_new(const SSL_METHOD *method, struct tls_ctxs *t);
/** Slots of SSL and SSL_CTX objects, made once for the process. */
enum tls_slot {
    SLOT_CTX_HOST,    /* SSL_CTX: char *, the server context's host */
    SLOT_SNI,         /* SSL: non-NULL when the client sent another name */
    SLOT_SESSION_KEY, /* SSL: char *, under which sessions of a client connection are kept */
    SLOT_OUTER,       /* SSL: non-NULL on the proxy port: CONNECT comes over HTTP/1 */
    SLOT_COUNT
};
int tls_slot(enum tls_slot slot);

enum err server_ctxs_init(struct tls_ctxs *t) NODISCARD;
enum err client_ctx_init(struct tls_ctxs *t, const char *ca_file, struct errmsg *msg) NODISCARD;

#endif
