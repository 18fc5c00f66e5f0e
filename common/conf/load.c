/* File and environment to one immutable struct conf. The way of a value: scan.c refuses what
 * libconfuse would let pass, libconfuse parses and types, set_* here checks range and form and
 * stores; the environment and the defaults come in by the same set_*. */
#include "base/check.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/conf_internal.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)
#define DEFAULT_CHECKOUT "data/credswap.conf"
#define DEFAULT_INSTALLED "/etc/credswap/credswap.conf"

/* libconfuse's error function has no user pointer; conf_load runs on one thread. */
static _Thread_local struct {
    const char *name;
    struct errmsg *msg;
    bool has_failed;
} parsing;

struct load {
    struct conf *c;
    const char *name;
    const struct conf_option *options;
    size_t count;
    struct errmsg *msg;
};

static void *member(struct conf *c, const struct conf_option *o)
{
    return (char *)c + o->offset;
}

static void list_finish(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->v[i]);
    mem_free(l->v);
    *l = (struct conf_list){0};
}

/* Said with the place that the value came from: "file:line: section.key ..." or "VARIABLE: ...". */
static enum err refuse(const struct load *l, const struct conf_option *o, const char *why)
{
    const struct conf_origin *from = &l->c->origins[o - l->options];
    char env[64];
    if (from->source == SOURCE_FILE)
        return err_set(l->msg, ERR_CONFIG, "%s:%d: %s.%s %s", l->name, from->line, o->section,
                       o->key, why);
    conf_env_name(o, env, sizeof env);
    return err_set(l->msg, ERR_CONFIG, "%s: %s.%s %s", from->source == SOURCE_ENV ? env : "default",
                   o->section, o->key, why);
}

static enum err check_range(const struct load *l, const struct conf_option *o, int64_t v)
{
    char why[128];
    if (v >= o->min && v <= o->max)
        return ERR_OK;
    snprintf(why, sizeof why, "must be from %lld to %lld%s%s", (long long)o->min, (long long)o->max,
             *o->unit ? " " : "", o->unit);
    return refuse(l, o, why);
}

static enum err check_text(const struct load *l, const struct conf_option *o, const char *v)
{
    const char *why = "";
    for (const char *p = v; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return refuse(l, o, "holds a control character");
    return !o->check || o->check(slice_of(v), &why) ? ERR_OK : refuse(l, o, why);
}

static enum err set_int(const struct load *l, const struct conf_option *o, int64_t v)
{
    enum err e = check_range(l, o, v);
    if (!e)
        *(int64_t *)member(l->c, o) = v;
    return e;
}

static enum err set_str(const struct load *l, const struct conf_option *o, const char *v)
{
    char **at = member(l->c, o);
    enum err e = check_text(l, o, v);
    if (e)
        return e;
    char *copy = mem_dup(v);
    if (!copy)
        return err_set(l->msg, ERR_NOMEM, "out of memory");
    mem_free(*at);
    *at = copy;
    return ERR_OK;
}

static enum err list_add(const struct load *l, const struct conf_option *o, const char *v)
{
    struct conf_list *list = member(l->c, o);
    enum err e = check_text(l, o, v);
    if (e)
        return e;
    char *copy = mem_dup(v);
    char **grown = copy ? mem_realloc(list->v, (list->n + 1) * sizeof *list->v) : NULL;
    if (!grown) {
        mem_free(copy);
        return err_set(l->msg, ERR_NOMEM, "out of memory");
    }
    list->v = grown;
    list->v[list->n++] = copy;
    return ERR_OK;
}

static enum err list_add_int(const struct load *l, const struct conf_option *o, int64_t v)
{
    char text[24];
    enum err e = check_range(l, o, v);
    if (e)
        return e;
    snprintf(text, sizeof text, "%lld", (long long)v);
    return list_add(l, o, text);
}

static enum err text_to_int(const struct load *l, const struct conf_option *o, struct slice text,
                            int64_t *ret)
{
    uint64_t v;
    if (!slice_to_u64(text, &v) || v > INT64_MAX || (text.n > 1 && text.p[0] == '0'))
        return refuse(l, o, "must be a decimal number");
    *ret = (int64_t)v;
    return ERR_OK;
}

static enum err set_list_text(const struct load *l, const struct conf_option *o, struct slice text)
{
    struct slice item;
    enum err e = ERR_OK;
    list_finish(member(l->c, o));
    if (slice_trim(text).n == 0)
        return ERR_OK;
    while (!e && slice_next(&text, ',', &item)) {
        int64_t v = 0;
        char copy[1024];
        item = slice_trim(item);
        if (!slice_copy(item, copy, sizeof copy))
            return refuse(l, o, "holds a value that is too long");
        if (o->type == OPTION_STR_LIST)
            e = list_add(l, o, copy);
        else if ((e = text_to_int(l, o, item, &v)) == ERR_OK)
            e = list_add_int(l, o, v);
    }
    return e;
}

/* From the environment or the table's default. */
static enum err set_text(const struct load *l, const struct conf_option *o, const char *text)
{
    int64_t v = 0;
    enum err e;
    switch (o->type) {
    case OPTION_INT:
        e = text_to_int(l, o, slice_of(text), &v);
        return e ? e : set_int(l, o, v);
    case OPTION_BOOL:
        if (cfg_parse_boolean(text) < 0)
            return refuse(l, o, "must be true or false");
        *(bool *)member(l->c, o) = cfg_parse_boolean(text) != 0;
        return ERR_OK;
    case OPTION_STR:
        return set_str(l, o, text);
    case OPTION_STR_LIST:
    case OPTION_INT_LIST:
        break;
    }
    return set_list_text(l, o, slice_of(text));
}

/* From what libconfuse parsed. */
static enum err set_parsed(const struct load *l, const struct conf_option *o, cfg_opt_t *from)
{
    unsigned n = cfg_opt_size(from);
    enum err e = ERR_OK;
    switch (o->type) {
    case OPTION_INT:
        return set_int(l, o, cfg_opt_getnint(from, 0));
    case OPTION_BOOL:
        *(bool *)member(l->c, o) = cfg_opt_getnbool(from, 0) == cfg_true;
        return ERR_OK;
    case OPTION_STR:
        return set_str(l, o, cfg_opt_getnstr(from, 0));
    case OPTION_STR_LIST:
    case OPTION_INT_LIST:
        break;
    }
    list_finish(member(l->c, o));
    for (unsigned i = 0; i < n && !e; i++)
        e = o->type == OPTION_STR_LIST ? list_add(l, o, cfg_opt_getnstr(from, i))
                                       : list_add_int(l, o, cfg_opt_getnint(from, i));
    return e;
}

__attribute__((format(printf, 2, 0))) static void on_parse_error(cfg_t *cfg, const char *fmt,
                                                                 va_list ap)
{
    char text[256];
    if (parsing.has_failed) /* the first one is the cause */
        return;
    parsing.has_failed = true;
    vsnprintf(text, sizeof text, fmt, ap);
    err_set(parsing.msg, ERR_CONFIG, "%s:%d: %s", parsing.name, cfg->line, text);
}

#define SECTIONS_MAX 16
#define KEYS_MAX 16
struct grammar {
    cfg_opt_t keys[SECTIONS_MAX][KEYS_MAX];
    cfg_opt_t sections[SECTIONS_MAX];
};

static cfg_opt_t grammar_key(const struct conf_option *o)
{
    cfg_opt_t str = CFG_STR(o->key, NULL, CFGF_NODEFAULT);
    cfg_opt_t strs = CFG_STR_LIST(o->key, NULL, CFGF_NODEFAULT);
    cfg_opt_t number = CFG_INT(o->key, 0, CFGF_NODEFAULT);
    cfg_opt_t numbers = CFG_INT_LIST(o->key, NULL, CFGF_NODEFAULT);
    cfg_opt_t yes_no = CFG_BOOL(o->key, cfg_false, CFGF_NODEFAULT);
    switch (o->type) {
    case OPTION_INT:
        return number;
    case OPTION_BOOL:
        return yes_no;
    case OPTION_STR:
        return str;
    case OPTION_STR_LIST:
        return strs;
    case OPTION_INT_LIST:
        break;
    }
    return numbers;
}

/* The table as libconfuse wants it. */
static void grammar_fill(struct grammar *g, const struct load *l)
{
    static const cfg_opt_t end = CFG_END();
    size_t section = 0, key = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct conf_option *o = &l->options[i];
        g->keys[section][key++] = grammar_key(o);
        CHECK(key < KEYS_MAX && section + 1 < SECTIONS_MAX);
        if (i + 1 < l->count && strcmp(o->section, o[1].section) == 0)
            continue;
        g->keys[section][key] = end;
        cfg_opt_t sec = CFG_SEC(o->section, g->keys[section], CFGF_NODEFAULT);
        g->sections[section++] = sec;
        key = 0;
    }
    g->sections[section] = end;
}

static enum err take_values(const struct load *l, const struct scan *s, cfg_t *cfg)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct conf_option *o = &l->options[i];
        if (!s->line_of[i])
            continue;
        l->c->origins[i] = (struct conf_origin){SOURCE_FILE, s->line_of[i]};
        cfg_t *section = cfg_getsec(cfg, o->section);
        cfg_opt_t *from = section ? cfg_getopt(section, o->key) : NULL;
        bool is_list = o->type == OPTION_STR_LIST || o->type == OPTION_INT_LIST;
        if (!from || (!is_list && cfg_opt_size(from) != 1))
            return refuse(l, o, "has no value");
        enum err e = set_parsed(l, o, from);
        if (e)
            return e;
    }
    return ERR_OK;
}

static enum err run_confuse(const struct load *l, struct scan *s)
{
    struct grammar g;
    grammar_fill(&g, l);
    cfg_t *cfg = cfg_init(g.sections, CFGF_NONE);
    if (!cfg)
        return err_set(l->msg, ERR_NOMEM, "out of memory");
    cfg_set_error_function(cfg, on_parse_error);
    parsing.name = l->name;
    parsing.msg = l->msg;
    parsing.has_failed = false;
    enum err e = ERR_OK;
    if (cfg_parse_buf(cfg, sbuf_z(&s->clean)) != CFG_SUCCESS) {
        e = ERR_CONFIG;
        if (!parsing.has_failed)
            err_set(l->msg, e, "%s:%d: cannot be parsed", l->name, cfg->line);
    } else {
        e = take_values(l, s, cfg);
    }
    cfg_free(cfg);
    return e;
}

static enum err take_file(const struct load *l, struct slice text)
{
    struct scan s = {.name = l->name};
    sbuf_init(&s.clean, FILE_MAX + 1);
    s.line_of = mem_calloc(l->count, sizeof *s.line_of);
    s.section_line = mem_calloc(l->count, sizeof *s.section_line);
    enum err e = s.line_of && s.section_line ? conf_scan(text, &s, l->msg)
                                             : err_set(l->msg, ERR_NOMEM, "out of memory");
    if (!e)
        e = run_confuse(l, &s);
    mem_free(s.line_of);
    mem_free(s.section_line);
    sbuf_finish_wipe(&s.clean); /* parent_proxy may hold a password */
    return e;
}

void conf_env_name(const struct conf_option *o, char *buf, size_t size)
{
    snprintf(buf, size, "CREDSWAP_%s_%s", o->section, o->key);
    for (char *p = buf; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
}

static enum err take_environment(const struct load *l)
{
    for (size_t i = 0; i < l->count; i++) {
        char name[64];
        conf_env_name(&l->options[i], name, sizeof name);
        const char *text = getenv(name); // NOLINT(concurrency-mt-unsafe): before threads start
        if (!text)
            continue;
        l->c->origins[i] = (struct conf_origin){SOURCE_ENV, 0};
        enum err e = set_text(l, &l->options[i], text);
        if (e)
            return e;
    }
    return ERR_OK;
}

static enum err take_defaults(const struct load *l)
{
    for (size_t i = 0; i < l->count; i++) {
        enum err e = set_text(l, &l->options[i], l->options[i].def);
        if (e)
            return e;
    }
    return ERR_OK;
}

/* What one key alone cannot tell. */
static enum err check_together(const struct load *l)
{
    struct conf *c = l->c;
    if (c->retry.replay_bytes > c->retry.replay_total_bytes)
        return err_set(l->msg, ERR_CONFIG,
                       "%s: retry.replay_bytes (%lld) is more than retry.replay_total_bytes (%lld)",
                       l->name, (long long)c->retry.replay_bytes,
                       (long long)c->retry.replay_total_bytes);
    c->store_path = mem_dup(c->store.url + strlen("sqlite:"));
    return c->store_path ? ERR_OK : err_set(l->msg, ERR_NOMEM, "out of memory");
}

static enum err build(const char *name, const struct slice *text, bool use_environment,
                      struct conf **ret, struct errmsg *msg)
{
    struct load l = {.name = *name ? name : "configuration", .msg = msg};
    l.options = conf_options(&l.count);
    l.c = mem_calloc(1, sizeof *l.c);
    if (!l.c)
        return err_set(msg, ERR_NOMEM, "out of memory");
    l.c->origins = mem_calloc(l.count, sizeof *l.c->origins);
    l.c->path = mem_dup(name);
    if (!l.c->origins || !l.c->path) {
        conf_destroy(l.c);
        return err_set(msg, ERR_NOMEM, "out of memory");
    }
    enum err e = take_defaults(&l);
    if (!e && text)
        e = take_file(&l, *text);
    if (!e && use_environment)
        e = take_environment(&l);
    if (!e)
        e = check_together(&l);
    if (e)
        conf_destroy(l.c);
    else
        *ret = l.c;
    return e;
}

void conf_destroy(struct conf *c)
{
    size_t n;
    const struct conf_option *o = conf_options(&n);
    if (!c)
        return;
    for (size_t i = 0; i < n; i++) {
        if (o[i].type == OPTION_STR) {
            char *text = *(char **)member(c, &o[i]);
            mem_wipe(text, text ? strlen(text) : 0);
            mem_free(text);
        } else if (o[i].type == OPTION_STR_LIST || o[i].type == OPTION_INT_LIST) {
            list_finish(member(c, &o[i]));
        }
    }
    mem_free(c->origins);
    mem_free(c->path);
    mem_free(c->store_path);
    mem_free(c);
}

enum err conf_parse(struct slice text, const char *name, struct conf **ret, struct errmsg *msg)
{
    return build(name, &text, false, ret, msg);
}

static enum err read_file(const char *path, struct sbuf *text, struct errmsg *msg)
{
    char buf[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(msg, ERR_CONFIG, "%s: %s", path, strerrordesc_np(errno));
    errno = 0;
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        sbuf_add(text, buf, n);
    enum err e = ERR_OK;
    if (ferror(f))
        e = err_set(msg, ERR_CONFIG, "%s: %s", path, strerrordesc_np(errno));
    else if (text->failed)
        e = err_set(msg, ERR_CONFIG, "%s: larger than %u bytes", path, FILE_MAX);
    (void)fclose(f);
    mem_wipe(buf, sizeof buf);
    return e;
}

/* "" when there is none, and all is default. */
static const char *default_path(void)
{
    const char *named = getenv("CREDSWAP_CONFIG"); // NOLINT(concurrency-mt-unsafe)
    if (named && *named)
        return named;
    if (access(DEFAULT_CHECKOUT, F_OK) == 0)
        return DEFAULT_CHECKOUT;
    return access(DEFAULT_INSTALLED, F_OK) == 0 ? DEFAULT_INSTALLED : "";
}

enum err conf_load(const char *path, struct conf **ret, struct errmsg *msg)
{
    struct sbuf text;
    const char *name = path ? path : default_path();
    sbuf_init(&text, FILE_MAX);
    enum err e = *name || path ? read_file(name, &text, msg) : ERR_OK;
    struct slice s = sbuf_slice(&text);
    if (!e)
        e = build(name, &s, true, ret, msg);
    sbuf_finish_wipe(&text);
    return e;
}
