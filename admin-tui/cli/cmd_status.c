/* status: what the running daemon says of itself, as a screen for people or as it came. */
#include "base/check.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/quantity.h"
#include "conf/conf.h"

#define STATUS_TIMEOUT_MS 3000
#define LINE_MAX_BYTES (1 << 16)

/* The daemon's object, or one that says why there is none. */
static cJSON *ask_status(struct cli *c)
{
    struct errmsg msg = {0};
    cJSON *answer = NULL;
    enum err e =
        daemon_ask(c->conf->listen.socket, "status", NULL, STATUS_TIMEOUT_MS, &answer, &msg);
    cJSON *inner = cJSON_DetachItemFromObjectCaseSensitive(answer, "status");
    if (cJSON_IsObject(inner)) { /* the same object as the admin port's /status */
        cJSON_Delete(answer);
        return inner;
    }
    cJSON_Delete(inner);
    if (e != ERR_OK) {
        answer = json_object();
        json_flag(answer, "ok", false);
        json_z(answer, "state", e == ERR_REFUSED ? "down" : "unreachable");
        json_z(answer, "error", msg.text);
    }
    return answer;
}

/* ---- for people: a sentence for each part; what the daemon did not say is "--" ---- */

static void add_value(struct sbuf *b, const cJSON *v)
{
    if (cJSON_IsString(v))
        sbuf_adds(b, *v->valuestring ? v->valuestring : "--");
    else if (cJSON_IsNumber(v))
        sbuf_add_i64(b, (int64_t)v->valuedouble);
    else
        sbuf_adds(b, "--");
}

/* Fills PATTERN: each $ is the next of KEYS (with spaces between them) in O. */
static void say(cJSON *screen, const char *title, const cJSON *o, const char *keys,
                const char *pattern)
{
    struct sbuf b;
    struct slice rest = slice_of(keys), key;
    char name[64];
    sbuf_init(&b, LINE_MAX_BYTES);
    for (const char *z = pattern; *z; z++) {
        if (*z != '$') {
            sbuf_addc(&b, *z);
            continue;
        }
        CHECK(slice_next(&rest, ' ', &key) && slice_copy(key, name, sizeof name));
        add_value(&b, cJSON_GetObjectItemCaseSensitive(o, name));
    }
    json_z(screen, title, sbuf_z(&b));
    sbuf_finish(&b);
}

static void say_uptime(cJSON *screen, const cJSON *answer)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(answer, "uptime_s");
    char text[QUANTITY_TEXT] = "--";
    if (cJSON_IsNumber(v))
        duration_print((int64_t)v->valuedouble, text);
    json_z(screen, "up for", text);
}

static void say_store(cJSON *screen, const cJSON *store)
{
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(store, "ok");
    say(screen, "store", store, "generation queue dropped failed bad_rows",
        cJSON_IsTrue(ok) ? "works: generation $, $ waiting, $ dropped, $ failed, $ rows unreadable"
        : cJSON_IsFalse(ok)
            ? "CANNOT BE READ OR WRITTEN: generation $, $ waiting, $ dropped, $ failed, $ rows "
              "unreadable"
            : "generation $, $ waiting, $ dropped, $ failed, $ rows unreadable");
}

static const struct column account_columns[] = {{"name", "ACCOUNT", COLUMN_TEXT},
                                                {"kind", "KIND", COLUMN_TEXT},
                                                {"state", "STATE", COLUMN_TEXT},
                                                {"requests", "REQUESTS", COLUMN_NUMBER},
                                                {"limited", "LIMITED", COLUMN_NUMBER},
                                                {"errors", "ERRORS", COLUMN_NUMBER},
                                                {NULL, NULL, COLUMN_TEXT}};

/* Members that a newer daemon adds, as they came. */
static void say_others(cJSON *screen, const cJSON *answer)
{
    static const char *const known[] = {
        "ok",        "cmd",    "state", "version",  "pid",    "workers", "uptime_s", "connections",
        "exchanges", "listen", "ca",    "requests", "tokens", "store",   "accounts", "error"};
    const cJSON *v;
    cJSON_ArrayForEach(v, answer)
    {
        bool is_known = !name_is_valid(slice_of(v->string));
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known |= strcmp(v->string, known[i]) == 0;
        struct sbuf b;
        sbuf_init(&b, 1 << 20);
        if (cJSON_IsString(v))
            sbuf_adds(&b, v->valuestring);
        else
            json_compact(&b, v);
        if (!is_known && !cJSON_GetObjectItemCaseSensitive(screen, v->string))
            json_z(screen, v->string, sbuf_z(&b));
        sbuf_finish(&b);
    }
}

static cJSON *make_screen(const cJSON *answer)
{
    cJSON *screen = json_object();
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(answer, "error");
    say(screen, "credswapd", answer, "state", "$");
    if (cJSON_IsString(part)) {
        say(screen, "because", answer, "error", "$");
        return screen;
    }
    say_uptime(screen, answer);
    say(screen, "version", answer, "version pid workers", "$, process $, $ workers");
    say(screen, "serves at", answer, "listen", "$");
    say(screen, "open", answer, "connections exchanges", "$ connections, $ requests under way");
    part = cJSON_GetObjectItemCaseSensitive(answer, "requests");
    say(screen, "answered", part, "2xx 3xx 4xx 5xx none", "2xx $, 3xx $, 4xx $, 5xx $, cut $");
    say(screen, "of them", part, "own_answers retries",
        "$ by the proxy itself; $ times another account was tried");
    part = cJSON_GetObjectItemCaseSensitive(answer, "tokens");
    say(screen, "tokens", part, "mints mint_failures from_store in_flight clock_skew_s",
        "$ minted, $ failed, $ from the store, $ under way; clock $ s off");
    say_store(screen, cJSON_GetObjectItemCaseSensitive(answer, "store"));
    part = cJSON_GetObjectItemCaseSensitive(answer, "ca");
    say(screen, "CA until", part, "expires_at", "$");
    say(screen, "CA sha256", part, "sha256", "$");
    say_others(screen, answer);
    return screen;
}

static void print_screen(struct cli *c, const cJSON *answer)
{
    struct column columns[64] = {{NULL, NULL, COLUMN_TEXT}};
    const cJSON *accounts = cJSON_GetObjectItemCaseSensitive(answer, "accounts"), *v;
    cJSON *screen = make_screen(answer);
    size_t n = 0;
    cJSON_ArrayForEach(v, screen) if (n + 1 < ARRAY_LEN(columns)) columns[n++] =
        (struct column){v->string, v->string, COLUMN_TEXT};
    columns[n] = (struct column){NULL, NULL, COLUMN_TEXT};
    record_print(c->out, columns, screen, c->now_s);
    cJSON_Delete(screen);
    if (cJSON_GetArraySize(accounts) == 0)
        return;
    fputc('\n', c->out);
    table_print(c->out, account_columns, accounts, c->now_s);
}

static int run_status(struct cli *c)
{
    int code = cli_conf(c);
    if (code)
        return code;
    cJSON *answer = ask_status(c);
    if (c->args.json)
        json_print(c->out, answer);
    else
        print_screen(c, answer);
    cJSON_Delete(answer);
    return 0;
}

const struct command command_status = {
    "status", NULL, "",        "what the running daemon says of itself", NULL, NULL, 0,
    0,        true, run_status};
