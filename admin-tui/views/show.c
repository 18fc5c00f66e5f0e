/* How figures and states are written, on every screen alike. */
#include "views/app.h"

#include "base/clock.h"
#include "cli/quantity.h"

#include <stdio.h>

char *show_span(int64_t s, char buf[16])
{
    char text[QUANTITY_TEXT];
    if (s < 0)
        snprintf(buf, 16, "--");
    else if (s == 0)
        snprintf(buf, 16, "0s");
    else if (s < 3600)
        snprintf(buf, 16, "%d%c", (int)(s < 60 ? s : s / 60), s < 60 ? 's' : 'm');
    else
        snprintf(buf, 16, "%.15s", duration_print(s, text));
    return buf;
}

char *show_time(int64_t at_s, int64_t now_s, char buf[16])
{
    char utc[32];
    if (at_s <= 0) {
        snprintf(buf, 16, "--");
        return buf;
    }
    clock_format_utc(at_s, utc, sizeof utc); /* 2026-11-22T14:02:11Z */
    bool is_today = at_s / 86400 == now_s / 86400 || (at_s <= now_s && now_s - at_s < 43200);
    if (is_today)
        snprintf(buf, 16, "%.8s", utc + 11);
    else
        snprintf(buf, 16, "%.5s %.5s", utc + 5, utc + 11);
    return buf;
}

char *show_count(int64_t n, char buf[16])
{
    char text[QUANTITY_TEXT];
    snprintf(buf, 16, "%.15s", quantity_print(n, text));
    return buf;
}

bool account_serves(const struct board *b, const struct board_account *a)
{
    return a->state == ACCOUNT_UP && a->cool_until <= b->now_s;
}

/* Has it no token, and could get none? */
static bool fails(const struct board *b, const struct board_account *a)
{
    const struct board_token *t = a->token;
    return t && t->fails > 0 && (!t->has_token || t->expires_at <= b->now_s);
}

uint8_t show_account_state(const struct board *b, const struct board_account *a, char buf[16])
{
    char left[16];
    if (a->state == ACCOUNT_OFF) {
        snprintf(buf, 16, "OFF");
        return STYLE_DIM;
    }
    if (a->state == ACCOUNT_DRAIN) {
        snprintf(buf, 16, "DRAIN");
        return STYLE_WARN;
    }
    if (fails(b, a)) {
        snprintf(buf, 16, "FAIL");
        return STYLE_FAIL;
    }
    if (a->cool_until > b->now_s) {
        snprintf(buf, 16, "COOL %.10s", show_span(a->cool_until - b->now_s, left));
        return STYLE_WARN;
    }
    snprintf(buf, 16, "up");
    return STYLE_PLAIN;
}

uint8_t show_token_left(const struct board *b, const struct board_account *a, char buf[16])
{
    if (a->kind == ACCOUNT_API_KEY) {
        snprintf(buf, 16, "key");
        return STYLE_PLAIN;
    }
    if (fails(b, a)) {
        snprintf(buf, 16, "FAIL");
        return STYLE_FAIL;
    }
    if (!a->token || !a->token->has_token || a->token->expires_at <= b->now_s) {
        snprintf(buf, 16, "--");
        return STYLE_DIM;
    }
    show_span(a->token->expires_at - b->now_s, buf);
    return STYLE_PLAIN;
}
