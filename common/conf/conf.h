/* Static configuration: file + environment to one immutable struct, from one option table
 * (options.c). */
#ifndef CONF_CONF_H
#define CONF_CONF_H
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct conf_list {
    char **v;
    size_t n;
};

/** All strings are owned by the struct and never NULL; lists may be empty. Times in seconds as in
 * the file. */
struct conf {
    struct {
        struct conf_list proxy, proxy_tls; /* "host:port" */
        struct conf_list proxy_protocol;   /* "private", "any" or CIDRs */
        char *admin, *socket, *advertise;
    } listen;
    struct {
        int64_t workers;       /* 0: one for each core */
        int64_t drain_timeout; /* s */
        int64_t seed;          /* of the account choice; 0: random */
    } run;
    struct {
        char *url; /* "sqlite:PATH" */
        char *master_key_file;
    } store;
    struct {
        char *cert, *key;
        int64_t leaf_days;
    } ca;
    struct {
        char *ca_file;
        struct conf_list connect_to, dns;
        char *parent_proxy;
        int64_t connect_timeout, read_timeout, keepalive; /* s */
        bool http2;
    } upstream;
    struct {
        int64_t early_refresh, timeout; /* s */
        struct conf_list token_uri_allow;
    } oauth;
    struct {
        int64_t attempts, replay_bytes, replay_total_bytes;
    } retry;
    struct {
        struct conf_list clients; /* "private", "any" or CIDRs */
        char *tunnel;             /* "", allow, list, deny */
        struct conf_list ports;   /* decimal */
        struct conf_list swap_domains, deny_networks, allow_networks;
        char *proxy_auth; /* off, optional, required */
        bool virtual_accounts, metadata_server;
    } policy;
    struct {
        int64_t connections, connections_per_client, header_bytes, header_count, header_timeout,
            idle_timeout;
    } limits;
    struct {
        char *level, *format, *file;
    } log;

    char *path;                  /* the file read, "" when all is default */
    char *store_path;            /* PATH of store.url */
    struct conf_origin *origins; /* for conf_dump: one for each option of the table */
};

void conf_destroy(struct conf *c);
/** Reads PATH (NULL: $CREDSWAP_CONFIG, then data/credswap.conf in a checkout, then
 *  /etc/credswap/credswap.conf; a missing default file means all defaults, a missing named one is
 * an error), then CREDSWAP_<SECTION>_<KEY> of the environment. Checks types, ranges, addresses and
 * CIDRs; relative paths stay relative to the working directory. Errors: ERR_CONFIG with "file:line:
 * what" (or the variable's name). Thread: main, before others start. */
enum err conf_load(const char *path, struct conf **ret, struct errmsg *msg) NODISCARD;
/** The same from TEXT, without the environment; NAME stands in the messages. For tests, and to
 * judge a file before it is written. */
enum err conf_parse(struct slice text, const char *name, struct conf **ret,
                    struct errmsg *msg) NODISCARD;
/** Prints section.key = value lines (contract syntax); with ORIGIN also where each value came from
 *  (default, file:line, environment variable). parent_proxy's password is masked. JSON when
 * AS_JSON. */
void conf_dump(const struct conf *c, FILE *out, bool origin, bool as_json);
/** The sample file with every option, its default and its one-line help. */
void conf_print_sample(FILE *out);

#endif
