/* Amounts in and out. No locale, no scanf: each byte is looked at once. */
#include "cli/quantity.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct unit {
    char letter;
    int64_t size;
};

static const struct unit time_units[] = {{'y', 365LL * 86400}, {'w', 7 * 86400}, {'d', 86400},
                                         {'h', 3600},          {'m', 60},        {'s', 1}};
static const struct unit count_units[] = {
    {'k', 1000}, {'K', 1000}, {'M', 1000000}, {'G', 1000000000}, {'B', 1000000000}};
#define SPAN_MAX (100 * 365LL * 86400)
#define COUNT_MAX 1000000000000000LL

static int64_t unit_size(const struct unit *units, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (units[i].letter == letter)
            return units[i].size;
    return 0;
}

/* Up to 15 digits. */
static const char *digits(const char *z, int64_t *ret)
{
    int64_t v = 0;
    const char *from = z;
    while (*z >= '0' && *z <= '9' && z - from < 15)
        v = v * 10 + (*z++ - '0');
    *ret = v;
    return z == from || (*z >= '0' && *z <= '9') ? NULL : z;
}

bool duration_parse(const char *text, int64_t *ret_s)
{
    int64_t total = 0;
    const char *z = text;
    do {
        int64_t n;
        z = digits(z, &n);
        if (!z || n > SPAN_MAX)
            return false;
        int64_t size = *z ? unit_size(time_units, ARRAY_LEN(time_units), *z) : z > text;
        bool is_bare = !*z && total == 0;
        if (size == 0 || (!*z && !is_bare) || n > SPAN_MAX / size)
            return false;
        total += n * size;
        z += *z != '\0';
    } while (*z);
    if (total < 1 || total > SPAN_MAX)
        return false;
    *ret_s = total;
    return true;
}

/* Digits, perhaps a point and at most MAX more; ret in millionths. */
static const char *decimal(const char *z, int64_t *ret_millionths)
{
    int64_t whole;
    z = digits(z, &whole);
    if (!z || whole > COUNT_MAX / 1000)
        return NULL;
    int64_t part = 0;
    if (*z == '.') {
        z++;
        int places = 0;
        for (; *z >= '0' && *z <= '9'; z++, places++) {
            if (places == 6)
                return NULL;
            part = part * 10 + (*z - '0');
        }
        if (places == 0)
            return NULL;
        for (; places < 6; places++)
            part *= 10;
    }
    *ret_millionths = whole * 1000000 + part;
    return z;
}

bool quantity_parse(const char *text, int64_t *ret)
{
    int64_t plain;
    const char *z = digits(text, &plain);
    if (z && !*z) {
        *ret = plain;
        return plain <= COUNT_MAX;
    }
    int64_t n;
    z = decimal(text, &n);
    if (!z || !*z || z[1])
        return false;
    int64_t size = unit_size(count_units, ARRAY_LEN(count_units), *z);
    if (size == 0 || n / 1000000 > COUNT_MAX / size)
        return false;
    int64_t whole = n / 1000000 * size;
    int64_t part = n % 1000000 * (size / 1000) / 1000;
    *ret = whole + part;
    return *ret <= COUNT_MAX;
}

bool weight_parse(const char *text, double *ret)
{
    int64_t n;
    const char *z = decimal(text, &n);
    if (!z || *z || n > 1000000LL * 1000000)
        return false;
    *ret = (double)n / 1e6;
    return true;
}

static bool day_parse(const char *text, int64_t *ret_unix_s)
{
    struct tm tm = {0};
    if (strlen(text) != 10)
        return false;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end || *end)
        return false;
    *ret_unix_s = (int64_t)timegm(&tm);
    return true;
}

bool expiry_parse(const char *text, int64_t now_s, int64_t *ret_unix_s)
{
    int64_t n;
    if (strcmp(text, "never") == 0) {
        *ret_unix_s = 0;
        return true;
    }
    if (duration_parse(text, &n)) {
        *ret_unix_s = now_s + n;
        return true;
    }
    if (!day_parse(text, &n) || n <= now_s)
        return false;
    *ret_unix_s = n;
    return true;
}

char *duration_print(int64_t s, char buf[QUANTITY_TEXT])
{
    if (s < 0)
        snprintf(buf, QUANTITY_TEXT, "-");
    else if (s >= 86400)
        snprintf(buf, QUANTITY_TEXT, "%lldd%02lldh", (long long)(s / 86400),
                 (long long)(s % 86400 / 3600));
    else if (s >= 3600)
        snprintf(buf, QUANTITY_TEXT, "%lldh%02lldm", (long long)(s / 3600),
                 (long long)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(buf, QUANTITY_TEXT, "%lldm", (long long)(s / 60));
    else
        snprintf(buf, QUANTITY_TEXT, "%llds", (long long)s);
    return buf;
}

char *quantity_print(int64_t n, char buf[QUANTITY_TEXT])
{
    static const struct unit shown[] = {{'G', 1000000000}, {'M', 1000000}, {'K', 1000}};
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        if (n < shown[i].size)
            continue;
        int64_t tenths = n / (shown[i].size / 10);
        if (tenths % 10)
            snprintf(buf, QUANTITY_TEXT, "%lld.%lld%c", (long long)(tenths / 10),
                     (long long)(tenths % 10), shown[i].letter);
        else
            snprintf(buf, QUANTITY_TEXT, "%lld%c", (long long)(tenths / 10), shown[i].letter);
        return buf;
    }
    snprintf(buf, QUANTITY_TEXT, "%lld", (long long)n);
    return buf;
}

char *weight_print(double w, char buf[QUANTITY_TEXT])
{
    snprintf(buf, QUANTITY_TEXT, "%.6f", w);
    char *end = buf + strlen(buf);
    while (end > buf && end[-1] == '0')
        *--end = '\0';
    if (end > buf && end[-1] == '.')
        *--end = '\0';
    return buf;
}
