/* Host rules, and which of two patterns decides first. */
#include "store/rule.h"
#include "store/store_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdlib.h>

#define PATTERN_MAX 253

static const char *const actions[] = {"swap", "tunnel", "deny"};
static const char *const apis[] = {"", "gemini", "vertex", "anthropic"};

const char *rule_action_name(enum rule_action a)
{
    return actions[(unsigned)a < ARRAY_LEN(actions) ? a : RULE_DENY];
}

bool rule_action_from(struct slice text, enum rule_action *ret)
{
    int i = word_index(actions, ARRAY_LEN(actions), text);
    if (i >= 0)
        *ret = (enum rule_action)i;
    return i >= 0;
}

const char *api_name(enum api a)
{
    return apis[(unsigned)a < ARRAY_LEN(apis) ? a : API_NONE];
}

bool api_from(struct slice text, enum api *ret)
{
    int i = word_index(apis, ARRAY_LEN(apis), text);
    if (i >= 0)
        *ret = (enum api)i;
    return i >= 0;
}

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
           c == ':';
}

bool rule_pattern_is_valid(struct slice p)
{
    if (slice_eq(p, SLICE("*")))
        return true;
    if (p.n == 0 || p.n > PATTERN_MAX)
        return false;
    size_t from = 0;
    if (p.p[0] == '*') {
        if (p.n < 3 || (p.p[1] != '.' && p.p[1] != '-'))
            return false;
        from = 1;
    }
    for (size_t i = from; i < p.n; i++)
        if (!is_host_char(p.p[i]))
            return false;
    return true;
}

/* 0 a whole name, 1 a suffix, 2 "*". */
static int pattern_rank(struct slice p)
{
    if (p.n == 0 || p.p[0] != '*')
        return 0;
    return p.n == 1 ? 2 : 1;
}

int rule_pattern_compare(struct slice a, struct slice b)
{
    int rank = pattern_rank(a) - pattern_rank(b);
    if (rank != 0)
        return rank;
    if (a.n != b.n)
        return a.n > b.n ? -1 : 1;
    return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

/* In the words of rule_pattern_compare, so that lists and snapshots agree. */
#define RULE_ORDER                                                                                 \
    "ORDER BY CASE WHEN pattern = '*' THEN 2 WHEN pattern GLOB '[*]*' THEN 1 ELSE 0 END, "         \
    "length(pattern) DESC, pattern"

struct walk {
    rule_cb cb;
    void *arg;
};

static enum err rule_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct rule r = {
        .id = col_int(q, 0),
        .pattern = col_text(q, 1),
        .action = RULE_DENY,
        .api = API_NONE,
        .paths = col_text(q, 4),
    };
    (void)rule_action_from(col_text(q, 2), &r.action);
    (void)api_from(col_text(q, 3), &r.api);
    return w->cb(w->arg, &r);
}

enum err rule_list(struct store *s, rule_cb cb, void *arg, struct errmsg *msg)
{
    struct walk w = {cb, arg};
    return db_each(s, rule_row, &w, msg,
                   "SELECT id, pattern, action, api, paths FROM host_rule " RULE_ORDER, NO_VALS);
}

static struct slice lower(struct slice p, char *buf, size_t size)
{
    size_t n = p.n < size ? p.n : size;
    for (size_t i = 0; i < n; i++)
        buf[i] = ascii_lower(p.p[i]);
    return slice_make(buf, n);
}

static enum err check_paths(struct store *s, struct slice paths, struct errmsg *msg)
{
    struct slice rest = paths, path;
    while (rest.n > 0 && slice_next(&rest, ',', &path))
        if (path.n == 0 || (path.p[0] != '/' && path.p[0] != '*'))
            return db_set(s, msg, ERR_INVALID,
                          "paths are globs with commas that begin with / or *");
    return ERR_OK;
}

enum err rule_set(struct store *s, struct slice pattern, enum rule_action action, enum api api,
                  struct slice paths, struct errmsg *msg)
{
    char buf[PATTERN_MAX + 1];
    struct slice p = lower(pattern, buf, sizeof buf);
    if (!rule_pattern_is_valid(p))
        return db_set(s, msg, ERR_INVALID, "a pattern is a host name, *.domain, *-suffix or *");
    if (action == RULE_SWAP && slice_eq(p, SLICE("*")))
        return db_set(s, msg, ERR_INVALID, "not every host can be swapped; name the hosts");
    if ((action == RULE_SWAP) == (api == API_NONE))
        return db_set(s, msg, ERR_INVALID, "a swap, and only a swap, names its API");
    enum err e = check_paths(s, paths, msg);
    if (e != ERR_OK)
        return e;
    return db_exec(
        s, msg,
        "INSERT INTO host_rule (pattern, action, api, paths) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT (pattern) DO UPDATE SET action = excluded.action, "
        "api = excluded.api, paths = excluded.paths",
        VALS(v_text(p), v_z(rule_action_name(action)), v_z(api_name(api)), v_text(paths)));
}

enum err rule_remove(struct store *s, struct slice pattern, struct errmsg *msg)
{
    char buf[PATTERN_MAX + 1];
    struct slice p = lower(pattern, buf, sizeof buf);
    enum err e = db_exec(s, msg, "DELETE FROM host_rule WHERE pattern = ?1", VALS(v_text(p)));
    return db_need_change(s, e, "host rule", pattern, msg);
}
