/* The configuration for people and scripts: `credswap config show --origin`, and the sample file.
 */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/conf_internal.h"
#include "conf/values.h"

#include <inttypes.h>

static const void *member(const struct conf *c, const struct conf_option *o)
{
    return (const char *)c + o->offset;
}

/* A quoted string; JSON and the file share these escapes as long as there are no control
 * characters, which conf_load refuses. */
static void put_string(FILE *out, struct slice s)
{
    fputc('"', out);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            fputc('\\', out);
        fputc(s.p[i], out);
    }
    fputc('"', out);
}

/* parent_proxy may hold a password; nothing else here is a secret. */
static void put_str(FILE *out, const struct conf_option *o, const char *text)
{
    struct slice userinfo, host_port, all = slice_of(text);
    if (strcmp(o->key, "parent_proxy") != 0 || !parent_proxy_split(all, &userinfo, &host_port) ||
        userinfo.n == 0) {
        put_string(out, all);
        return;
    }
    struct sbuf masked;
    sbuf_init(&masked, all.n + 16);
    sbuf_adds(&masked, "http://");
    sbuf_add_slice(&masked, slice_sub(userinfo, 0, slice_find(userinfo, ':', 0)));
    sbuf_adds(&masked, ":***@");
    sbuf_add_slice(&masked, host_port);
    put_string(out, sbuf_slice(&masked));
    sbuf_finish(&masked);
}

static void put_list(FILE *out, const struct conf_option *o, const struct conf_list *l,
                     const char *brackets)
{
    fputc(brackets[0], out);
    for (size_t i = 0; i < l->n; i++) {
        fputs(i ? ", " : "", out);
        if (o->type == OPTION_INT_LIST)
            fputs(l->v[i], out);
        else
            put_string(out, slice_of(l->v[i]));
    }
    fputc(brackets[1], out);
}

static void put_value(FILE *out, const struct conf *c, const struct conf_option *o, bool as_json)
{
    const void *at = member(c, o);
    switch (o->type) {
    case OPTION_INT:
        fprintf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case OPTION_BOOL:
        fputs(*(const bool *)at ? "true" : "false", out);
        break;
    case OPTION_STR:
        put_str(out, o, *(char *const *)at);
        break;
    case OPTION_STR_LIST:
    case OPTION_INT_LIST:
        put_list(out, o, at, as_json ? "[]" : "{}");
        break;
    }
}

static void origin_text(const struct conf *c, size_t i, char *buf, size_t size)
{
    size_t n;
    const struct conf_option *o = conf_options(&n);
    switch (c->origins[i].source) {
    case SOURCE_FILE:
        snprintf(buf, size, "%s:%d", c->path, c->origins[i].line);
        break;
    case SOURCE_ENV:
        conf_env_name(&o[i], buf, size);
        break;
    case SOURCE_DEFAULT:
        snprintf(buf, size, "default");
        break;
    }
}

static void put_json_origin(FILE *out, const char *text)
{
    struct sbuf b;
    sbuf_init(&b, 8192);
    sbuf_add_json(&b, slice_of(text));
    fputs(sbuf_z(&b), out);
    sbuf_finish(&b);
}

void conf_dump(const struct conf *c, FILE *out, bool origin, bool as_json)
{
    size_t n;
    const struct conf_option *o = conf_options(&n);
    char from[1024];
    fputs(as_json ? "{\n" : "", out);
    for (size_t i = 0; i < n; i++) {
        origin_text(c, i, from, sizeof from);
        if (!as_json) {
            fprintf(out, "%s.%s = ", o[i].section, o[i].key);
            put_value(out, c, &o[i], false);
            if (origin)
                fprintf(out, "  # %s", from);
            fputc('\n', out);
            continue;
        }
        fprintf(out, "  \"%s.%s\": %s", o[i].section, o[i].key, origin ? "{\"value\": " : "");
        put_value(out, c, &o[i], true);
        if (origin) {
            fputs(", \"origin\": ", out);
            put_json_origin(out, from);
            fputc('}', out);
        }
        fputs(i + 1 < n ? ",\n" : "\n", out);
    }
    fputs(as_json ? "}\n" : "", out);
}

static void put_default(FILE *out, const struct conf_option *o)
{
    struct slice text = slice_of(o->def), item;
    bool is_list = o->type == OPTION_STR_LIST || o->type == OPTION_INT_LIST;
    bool is_quoted = o->type == OPTION_STR || o->type == OPTION_STR_LIST;
    if (!is_list) {
        if (is_quoted)
            put_string(out, text);
        else
            fputs(o->def, out);
        return;
    }
    fputc('{', out);
    for (int i = 0; text.n && slice_next(&text, ',', &item); i++) {
        fputs(i ? ", " : "", out);
        if (is_quoted)
            put_string(out, item);
        else
            fprintf(out, "%.*s", SLICE_FMT(item));
    }
    fputc('}', out);
}

void conf_print_sample(FILE *out)
{
    size_t n;
    const struct conf_option *o = conf_options(&n);
    fputs(
        "# credswap.conf: every key with its default. Strings are quoted, lists stand in braces.\n"
        "# CREDSWAP_<SECTION>_<KEY> in the environment overrides a key (lists: with commas).\n",
        out);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(o[i].section, o[i - 1].section) != 0)
            fprintf(out, "\n%s {\n", o[i].section);
        fprintf(out, "  # %s%s%s%s\n  %s = ", o[i].help, *o[i].unit ? " [" : "", o[i].unit,
                *o[i].unit ? "]" : "", o[i].key);
        put_default(out, &o[i]);
        fputc('\n', out);
        if (i + 1 == n || strcmp(o[i].section, o[i + 1].section) != 0)
            fputs("}\n", out);
    }
}
