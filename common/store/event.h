/* Events: the audit trail of changes, and what people should know. About 10,000 of each kind are
 * kept. */
#ifndef STORE_EVENT_H
#define STORE_EVENT_H
#include "store/store.h"

/* Not event_add and struct event: those names are libevent's. */
enum event_kind {
    EVENT_AUDIT = 0,
    EVENT_ALARM = 1,
    EVENT_INFO = 2
};

struct event_row {
    int64_t id;
    int64_t at_ms; /* Unix ms; of the last one when TIMES > 1 */
    enum event_kind kind;
    struct slice who;  /* audit: the person; others: the account, client or part that it is about */
    struct slice what; /* one sentence */
    int64_t times;     /* repeats within ten minutes are counted, not added */
    struct slice before, after; /* audit: JSON arrays of {"table","id","row"}, else "" */
    int64_t generation;         /* audit: of the configuration, after the change */
    int64_t undone_by;          /* audit: the event that undid it, 0 none */
    bool is_undo;
};
typedef enum err (*event_cb)(void *arg, const struct event_row *e);

/* 0 and empty do not filter. */
struct event_filter {
    int64_t after_id;
    bool from_oldest; /* the oldest LIMIT of them, so that whoever follows misses none */
    int64_t since_ms;
    unsigned kinds;   /* bits: 1 << EVENT_AUDIT ...; 0 all */
    struct slice who; /* "mia" finds "mia (uid 1001)" too */
    size_t limit;     /* 0: 100 */
};

/** An alarm or a remark. The same WHO and WHAT within ten minutes only counts up. For the writer.
 */
enum err event_put(struct store *s, enum event_kind kind, struct slice who, struct slice what,
                   struct errmsg *msg) NODISCARD;
/** An audit row by hand, for acts that change no row (backup, refresh). store_change_commit writes
 * the others. BEFORE and AFTER: text without secrets, or empty. RET_ID may be NULL. */
enum err event_audit(struct store *s, struct slice who, struct slice what, struct slice before,
                     struct slice after, int64_t *ret_id, struct errmsg *msg) NODISCARD;
/** The newest LIMIT that pass (or the oldest), oldest of them first. */
enum err event_list(struct store *s, const struct event_filter *f, event_cb cb, void *arg,
                    struct errmsg *msg) NODISCARD;
const char *event_kind_name(enum event_kind k); /* "audit", "alarm", "info" */
bool event_kind_from(struct slice text, enum event_kind *ret);

#endif
