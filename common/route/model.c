/* A scanner with a depth and no stack: strings are skipped, and only keys of the outermost object
 * are looked at. */
#include "route/model.h"

static const char wanted[] = "model";
#define WANTED_N (sizeof wanted - 1)
#define DEPTH_MAX 1000u

void model_scan_init(struct model_scan *m)
{
    memset(m, 0, sizeof *m);
}

static enum model_scan_state give_up(struct model_scan *m)
{
    m->state = MODEL_NONE;
    return MODEL_NONE;
}

static void key_byte(struct model_scan *m, char c)
{
    if (m->key_n < WANTED_N && wanted[m->key_n] == c)
        m->key_n++;
    else
        m->key_n = 255;
}

/* A byte inside a string. False: over. */
static bool string_byte(struct model_scan *m, char c)
{
    if (m->is_escaped) {
        m->is_escaped = false;
        if (m->is_key && m->whole)
            return false; /* it may spell our name */
        if (m->is_key)
            m->key_n = 255;
        return !m->in_value;
    }
    if (c == '\\') {
        m->is_escaped = true;
        return !m->in_value; /* an escaped name is nobody's model */
    }
    if (c == '"') {
        m->in_string = false;
        if (m->in_value) {
            m->in_value = false;
            m->is_named = m->name_n > 0;
            if (!m->whole)
                m->state = m->is_named ? MODEL_FOUND : MODEL_NONE;
            return m->whole && m->is_named;
        }
        if (m->is_key)
            m->key_is_model = m->key_n == WANTED_N;
        m->is_key = false;
        return true;
    }
    if (m->in_value) {
        if (m->name_n == MODEL_MAX || c < 0x21 || c > 0x7e)
            return false;
        m->name[m->name_n++] = c;
    } else if (m->is_key) {
        key_byte(m, c);
    }
    return true;
}

/* Of a number, true, false or null: outside of strings JSON has no other. A reader that takes more
 * (bare names, single quotes) must not find another model than we did. */
static bool is_scalar_byte(char c)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+' ||
           c == '.';
}

/* A byte between strings. False: over. */
static bool plain_byte(struct model_scan *m, char c)
{
    bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (m->depth == 0) {
        m->depth = c == '{';
        return space || c == '{';
    }
    switch (c) {
    case '"':
        m->in_string = true;
        if (m->depth == 1 && m->after_key && m->key_is_model) {
            if (m->is_named)
                return false; /* the name twice: readers differ in which one counts */
            m->in_value = true;
        } else if (m->depth == 1 && !m->after_key) {
            m->is_key = true;
            m->key_n = 0;
        } else {
            m->is_key = false;
        }
        return true;
    case ':':
        m->after_key |= m->depth == 1;
        return true;
    case ',':
        if (m->depth == 1)
            m->after_key = m->key_is_model = false;
        return true;
    case '{':
    case '[':
        m->key_is_model = m->depth == 1 ? false : m->key_is_model;
        return ++m->depth < DEPTH_MAX;
    case '}':
    case ']':
        return --m->depth > 0 || (m->whole && m->is_named);
    default:
        if (m->depth == 1 && m->after_key && m->key_is_model && !space)
            return false; /* "model": 5 */
        return !m->whole || space || (is_scalar_byte(c) && (m->depth > 1 || m->after_key));
    }
}

enum model_scan_state model_scan_end(struct model_scan *m)
{
    if (m->state == MODEL_MORE)
        m->state = m->whole && m->is_named && m->depth == 0 ? MODEL_FOUND : MODEL_NONE;
    return m->state;
}

enum model_scan_state model_scan_feed(struct model_scan *m, const void *bytes, size_t n)
{
    const char *p = bytes;
    for (size_t i = 0; i < n && m->state == MODEL_MORE; i++) {
        bool on = m->in_string ? string_byte(m, p[i]) : plain_byte(m, p[i]);
        if (!on && m->state == MODEL_MORE)
            return give_up(m);
    }
    return m->state;
}
