/* Events: audit rows by hand, alarms, remarks. */
#include "store/event.h"
#include "store/store_internal.h"

#include "base/check.h"
#include "base/clock.h"

#define WHO_KEPT 128
#define WHAT_KEPT 500
#define TEXT_KEPT 4096
#define REPEAT_MS 600000
#define LIMIT_DEFAULT 100

static const char *const kinds[] = {"audit", "alarm", "info"};

const char *event_kind_name(enum event_kind k)
{
    return kinds[(unsigned)k < ARRAY_LEN(kinds) ? k : EVENT_INFO];
}

bool event_kind_from(struct slice text, enum event_kind *ret)
{
    int i = word_index(kinds, ARRAY_LEN(kinds), text);
    if (i >= 0)
        *ret = (enum event_kind)i;
    return i >= 0;
}

enum err event_put(struct store *s, enum event_kind kind, struct slice who, struct slice what,
                   struct errmsg *msg)
{
    char who_buf[WHO_KEPT], what_buf[WHAT_KEPT];
    struct val kind_v = v_z(event_kind_name(kind));
    struct val who_v = v_text(db_clean(who, who_buf, sizeof who_buf));
    struct val what_v = v_text(db_clean(what, what_buf, sizeof what_buf));
    int64_t now = clock_wall_ms();
    enum err e =
        db_exec(s, msg,
                "UPDATE event SET times = times + 1, at_ms = ?4 WHERE id = (SELECT max(id) "
                "FROM event WHERE kind = ?1 AND who = ?2) AND what = ?3 AND at_ms > ?5",
                VALS(kind_v, who_v, what_v, v_int(now), v_int(now - REPEAT_MS)));
    if (e != ERR_OK || db_changes(s) > 0)
        return e;
    return db_exec(s, msg, "INSERT INTO event (at_ms, kind, who, what) VALUES (?4, ?1, ?2, ?3)",
                   VALS(kind_v, who_v, what_v, v_int(now)));
}

enum err event_audit(struct store *s, struct slice who, struct slice what, struct slice before,
                     struct slice after, int64_t *ret_id, struct errmsg *msg)
{
    char who_buf[WHO_KEPT], what_buf[WHAT_KEPT], before_buf[TEXT_KEPT], after_buf[TEXT_KEPT];
    enum err e =
        db_exec(s, msg,
                "INSERT INTO event (at_ms, kind, who, what, before, after, generation) VALUES "
                "(?1, 'audit', ?2, ?3, ?4, ?5, (SELECT value FROM generation))",
                VALS(v_int(clock_wall_ms()), v_text(db_clean(who, who_buf, sizeof who_buf)),
                     v_text(db_clean(what, what_buf, sizeof what_buf)),
                     v_text(db_clean(before, before_buf, sizeof before_buf)),
                     v_text(db_clean(after, after_buf, sizeof after_buf))));
    if (e == ERR_OK && ret_id)
        *ret_id = db_last_id(s);
    return e;
}

struct walk {
    event_cb cb;
    void *arg;
};

static enum err event_row(struct query *q, void *arg)
{
    const struct walk *w = arg;
    struct event_row ev = {
        .id = col_int(q, 0),
        .at_ms = col_int(q, 1),
        .kind = EVENT_INFO,
        .who = col_text(q, 3),
        .what = col_text(q, 4),
        .times = col_int(q, 5),
        .before = col_text(q, 6),
        .after = col_text(q, 7),
        .generation = col_int(q, 8),
        .undone_by = col_int(q, 9),
        .is_undo = col_int(q, 10) != 0,
    };
    (void)event_kind_from(col_text(q, 2), &ev.kind);
    return w->cb(w->arg, &ev);
}

/* A person is "NAME (uid N)" here. */
#define PASSING                                                                                    \
    "SELECT id, at_ms, kind, who, what, times, before, after, generation, undone_by, is_undo "     \
    "FROM event WHERE id > ?1 AND at_ms >= ?2 "                                                    \
    "AND (?3 = '' OR who = ?3 OR substr(who, 1, length(?3) + 6) = ?3 || ' (uid ') "                \
    "AND ((kind = 'audit' AND ?4) OR (kind = 'alarm' AND ?5) OR (kind = 'info' AND ?6)) "

enum err event_list(struct store *s, const struct event_filter *f, event_cb cb, void *arg,
                    struct errmsg *msg)
{
    struct walk w = {cb, arg};
    unsigned kinds_wanted = f->kinds ? f->kinds : 7;
    int64_t limit = f->limit ? (int64_t)f->limit : LIMIT_DEFAULT;
    return db_each(
        s, event_row, &w, msg,
        f->from_oldest ? PASSING "ORDER BY id LIMIT ?7"
                       : "SELECT * FROM (" PASSING "ORDER BY id DESC LIMIT ?7) ORDER BY id",
        VALS(v_int(f->after_id), v_int(f->since_ms), v_text(f->who),
             v_int((kinds_wanted >> EVENT_AUDIT) & 1), v_int((kinds_wanted >> EVENT_ALARM) & 1),
             v_int((kinds_wanted >> EVENT_INFO) & 1), v_int(limit)));
}
