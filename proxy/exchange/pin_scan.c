/* JSON with a stack of bits: which container is an object, so that a key is told from a value.
 * Malformed JSON ends the search; the provider will refuse it. Long strings (a picture in base64)
 * are skipped sixteen bytes at a time. */
#include "exchange/pin_scan.h"

#include "base/check.h"

#define PROJECTS "projects/"

void pin_scan_init(struct pin_scan *s, enum pin_scan_kind kind, struct slice host,
                   pin_name_cb found, void *arg)
{
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->host = host;
    s->found = found;
    s->arg = arg;
}

static bool is_key_of(const struct pin_scan *s, const char *const *words)
{
    struct slice key = slice_make(s->key, s->key_n);
    for (; *words; words++)
        if (slice_eq(key, slice_of(*words)))
            return true;
    return false;
}

/* May the value of the present key name something? Field names come in both spellings that the
 * providers take. */
static bool is_wanted(const struct pin_scan *s)
{
    static const char *const shown[] = {"uri", "responsesFile", "responses_file", NULL};
    static const char *const used[] = {
        "fileUri",       "file_uri",       "uri",      "cachedContent", "cached_content",
        "operationName", "operation_name", "fileName", "file_name",     NULL};
    switch (s->kind) {
    case PIN_SCAN_MADE:
        return (s->depth == 1 || (s->depth == 2 && s->in_file)) &&
               slice_eq(slice_make(s->key, s->key_n), SLICE("name"));
    case PIN_SCAN_SHOWN:
        return is_key_of(s, shown);
    case PIN_SCAN_USED:
        return is_key_of(s, used);
    }
    return false;
}

static bool in_object(const struct pin_scan *s)
{
    uint32_t top = s->depth - 1;
    return s->depth > 0 && (s->is_object[top / 64] >> top % 64 & 1);
}

/* ---- what was found ---- */

static void tell_name(struct pin_scan *s)
{
    char buf[RESOURCE_MAX];
    struct pin_name n = {.project_at = 0};
    struct slice value = slice_make(s->value, s->value_n);
    if (s->is_too_long) {
        s->is_unreadable |= resource_may_begin(value, s->host);
        return;
    }
    if (!resource_from_text(value, s->host, buf, &n.name))
        return;
    if (s->project_end > s->project_at) {
        n.project_at = s->project_at;
        n.project_n = s->project_end - s->project_at;
    }
    s->found(s->arg, &n);
}

/* ---- strings ---- */

/* One decoded byte, whose bytes in the text begin at FROM. */
static void value_byte(struct pin_scan *s, char c, uint64_t from)
{
    const size_t prefix = sizeof PROJECTS - 1;
    if (s->value_n == PIN_TEXT_MAX) {
        s->is_too_long = true;
        return;
    }
    if (c == '/' && s->project_at && !s->project_end)
        s->project_end = from;
    s->value[s->value_n++] = c;
    if (s->value_n == prefix && memcmp(s->value, PROJECTS, prefix) == 0)
        s->project_at = s->at + 1; /* the byte behind the one that is being read */
}

static void string_byte(struct pin_scan *s, char c, uint64_t from)
{
    if (s->is_key) {
        if (s->key_n < sizeof s->key)
            s->key[s->key_n++] = c;
        else
            s->is_too_long = true;
    } else if (s->wants_value) {
        value_byte(s, c, from);
    }
}

static void string_begins(struct pin_scan *s)
{
    s->in_string = true;
    s->is_key = in_object(s) && !s->wants_value;
    s->is_too_long = false;
    if (s->is_key) {
        s->key_n = 0;
        return;
    }
    s->wants_value = in_object(s) && is_wanted(s);
    s->value_n = 0;
    s->project_at = s->project_end = 0;
}

static void string_ends(struct pin_scan *s)
{
    s->in_string = false;
    if (s->is_key && s->is_too_long)
        s->key_n = 0; /* none of ours is so long */
    if (!s->is_key && s->wants_value)
        tell_name(s);
    if (!s->is_key)
        s->wants_value = false;
}

static bool escaped_byte(struct pin_scan *s, char c)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (s->hex_left) {
        int v = hex_value(c);
        if (v < 0)
            return false;
        s->hex = s->hex << 4 | (unsigned)v;
        if (--s->hex_left == 0) {
            s->is_escaped = false;
            string_byte(s, s->hex < 0x80 ? (char)s->hex : '\x7f', s->at - 5);
        }
        return true;
    }
    if (c == 'u') {
        s->hex_left = 4;
        s->hex = 0;
        return true;
    }
    const char *hit = c ? strchr(letters, c) : NULL;
    if (!hit)
        return false;
    s->is_escaped = false;
    string_byte(s, bytes[hit - letters], s->at - 1);
    return true;
}

static bool in_string_byte(struct pin_scan *s, char c)
{
    if (s->is_escaped)
        return escaped_byte(s, c);
    if (c == '\\')
        s->is_escaped = true;
    else if (c == '"')
        string_ends(s);
    else
        string_byte(s, c, s->at);
    return true;
}

/* ---- between strings ---- */

static bool opens(struct pin_scan *s, bool is_object)
{
    if (s->depth == PIN_DEPTH_MAX)
        return false;
    if (s->depth == 1 && s->kind == PIN_SCAN_MADE)
        s->in_file =
            is_object && in_object(s) && slice_eq(slice_make(s->key, s->key_n), SLICE("file"));
    uint64_t bit = (uint64_t)1 << s->depth % 64;
    uint64_t *word = &s->is_object[s->depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    s->depth++;
    s->key_n = 0;
    s->wants_value = false;
    return true;
}

static bool closes(struct pin_scan *s, bool is_object)
{
    if (s->depth == 0 || in_object(s) != is_object)
        return false;
    s->depth--;
    s->wants_value = false;
    if (s->depth == 1)
        s->in_file = false;
    return s->depth > 0;
}

static bool plain_byte(struct pin_scan *s, char c)
{
    if (s->depth == 0 && (!c || !strchr(" \t\r\n{[\xef\xbb\xbf", c)))
        return false; /* a text that is no object or list names nothing; a byte order mark is fine
                       */
    switch (c) {
    case '"':
        string_begins(s);
        return true;
    case ':':
        s->wants_value = in_object(s);
        return true;
    case ',':
        s->wants_value = false;
        return true;
    case '{':
    case '[':
        return opens(s, c == '{');
    case '}':
    case ']':
        return closes(s, c == '}');
    default:
        return true;
    }
}

/* Bytes of a string that nobody wants, from P[I] on. */
static size_t unwanted(const struct pin_scan *s, const char *p, size_t i, size_t n)
{
    if (!s->in_string || s->is_escaped || s->is_key || s->wants_value)
        return i;
    return slice_json_plain(slice_make(p, n), i);
}

bool pin_scan_feed(struct pin_scan *s, const void *bytes, size_t n)
{
    const char *p = bytes;
    uint64_t start = s->at;
    for (size_t i = 0; i < n && !s->is_over; i++) {
        i = unwanted(s, p, i, n);
        if (i == n)
            break;
        s->at = start + i;
        s->is_over = !(s->in_string ? in_string_byte(s, p[i]) : plain_byte(s, p[i]));
    }
    s->at = start + n;
    return !s->is_over;
}
