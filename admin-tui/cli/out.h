/* What the console prints: text made harmless for terminals, aligned tables, JSON. */
#ifndef CLI_OUT_H
#define CLI_OUT_H
#include "base/sbuf.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>

/** Appends TEXT with every control byte, broken UTF-8 and direction mark shown as \xNN. Returns the
 * columns that it takes. */
size_t text_escape(struct sbuf *b, struct slice text);
/** The same to a stream. */
void text_print(FILE *f, const char *text);

enum column_kind {
    COLUMN_TEXT,
    COLUMN_NUMBER,   /* as written */
    COLUMN_QUANTITY, /* 10M; 0 is "-" */
    COLUMN_WEIGHT,
    COLUMN_PERCENT,
    COLUMN_TIME,  /* Unix s as UTC; 0 is "-" */
    COLUMN_UNTIL, /* Unix s as time left; 0 is "-" */
    COLUMN_LIST,  /* array of strings, joined */
    COLUMN_FLAG,  /* yes, no */
};

struct column {
    const char *key; /* of the object in each row; NULL ends the list */
    const char *title;
    enum column_kind kind;
};

/** ROWS is an array of objects. */
void table_print(FILE *f, const struct column *columns, const cJSON *rows, int64_t now_s);
/** One row in fixed widths, for lists that grow at the end; no line end. */
void table_line(struct sbuf *out, const struct column *columns, const cJSON *row, int64_t now_s);
/** One object, a line for each column: "title  value". */
void record_print(FILE *f, const struct column *columns, const cJSON *row, int64_t now_s);
/** True when F is a pipe or terminal that nobody reads any more. */
bool out_is_unread(FILE *f);
/** Indented by two; members in the order in which they were added; ASCII only. */
void json_print(FILE *f, const cJSON *v);
/** The same in one line without spaces; no newline. */
void json_compact(struct sbuf *b, const cJSON *v);

/** cJSON with int64 and slices; adding never fails silently (no memory ends the program). */
cJSON *json_object(void);
cJSON *json_array(void);
void json_text(cJSON *o, const char *key, struct slice s); /* no pointer: null */
void json_z(cJSON *o, const char *key, const char *z);     /* NULL: null */
void json_int(cJSON *o, const char *key, int64_t n);
void json_real(cJSON *o, const char *key, double d);
void json_flag(cJSON *o, const char *key, bool is_set);
void json_add(cJSON *o, const char *key, cJSON *v);
void json_push(cJSON *array, cJSON *v);
const char *json_get_z(const cJSON *o, const char *key); /* "" when absent */

#endif
