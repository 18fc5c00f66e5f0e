/* Between hosts.c (what is shown), hosts_look.c (what would happen to a host) and hosts_keys.c
 * (what is done). */
#ifndef VIEWS_HOSTS_INTERNAL_H
#define VIEWS_HOSTS_INTERNAL_H
#include "cli/host_look.h"
#include "views/app.h"

#define HOST_FIELDS 4
#define HOST_TEXT 512

/* What decides without a rule of the store: before all of them, or behind. */
enum fixed {
    FIXED_PORT,    /* policy.ports */
    FIXED_ADDRESS, /* policy.deny_networks; also when a name resolves to one */
    FIXED_TOKENS,  /* the token endpoint, while a client has a service-account file */
    FIXED_REST,    /* policy.tunnel */
    FIXED_COUNT
};

struct hosts {
    struct screen screen;
    bool shows_models;
    struct table models;   /* the other list */
    struct policy *policy; /* NULL: the configuration makes no sense */
    char ports[128], deny[256];
    enum verdict rest; /* for hosts without a rule */
    bool has_virtual;  /* a client has a service-account file */
    /* the host that was tested last: looked at anew at each update */
    char tested[HOST_MAX + 16];
    struct sbuf answer;
    /* a rule or row that is being added or changed */
    char form[HOST_FIELDS][HOST_TEXT], was[HOST_FIELDS][HOST_TEXT];
    bool is_change;         /* there is a rule of that pattern */
    char edited[HOST_TEXT]; /* the pattern that was edited, "" when one is added */
};

/* The rows of the list of rules: fixed ones and those of the board, in the order in which they
 * decide. */
int hosts_row_count(const struct hosts *v);
/** NULL: the row is the fixed one *RET_FIXED. */
const struct board_rule *hosts_rule(const struct hosts *v, int row, enum fixed *ret_fixed);
/** The number under which a rule of the board is shown. */
int hosts_number(const struct hosts *v, int64_t rule_id);
const char *hosts_fixed_word(const struct hosts *v, enum fixed f);

/** Looks at v->tested: v->answer becomes lines, what is refused begins with "! ". */
void hosts_look(struct hosts *v);
/** Compiles what the configuration says. */
void hosts_read_conf(struct hosts *v);
bool hosts_key(struct hosts *v, int key);

#endif
