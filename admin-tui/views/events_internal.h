/* Between events.c (the list), events_say.c (one event in words) and events_keys.c (what is done).
 */
#ifndef VIEWS_EVENTS_INTERNAL_H
#define VIEWS_EVENTS_INTERNAL_H
#include "views/app.h"

enum events_kind {
    EVENTS_AUDIT = 1 << 0,
    EVENTS_ALARM = 1 << 1,
    EVENTS_INFO = 1 << 2,
    EVENTS_ALL = 7
};

struct events {
    struct screen screen;
    unsigned kinds; /* shown */
    bool follows;
    int *rows, count, space; /* indices of the board's events, of these kinds */
};

/** NULL: the board has fewer by now. */
const struct board_event *events_event(const struct events *v, int row);
unsigned events_kind_of(const struct board_event *e);
/** What is known of it in lines: who, when, what differs, who undid it. "!" begins a warning. */
void events_describe(const struct board *b, const struct board_event *e, struct sbuf *out);
/** Its table of what differs: a line for each thing, and for each of its columns. */
void events_changes(const struct board_event *e, struct sbuf *out);
/** A line of JSON. */
void events_json(const struct board_event *e, struct sbuf *out);
void events_update(struct events *v);
bool events_key(struct events *v, int key);

#endif
