/* Names of files, caches and operations out of JSON that passes by: an answer that says what was
 * made, or a request's body that uses it. Nothing is kept but the names, and where in the bytes the
 * client wrote its project. Pure. */
#ifndef EXCHANGE_PIN_SCAN_H
#define EXCHANGE_PIN_SCAN_H
#include "route/resource.h"

#define PIN_TEXT_MAX 512 /* of a value, decoded */
#define PIN_DEPTH_MAX 256

enum pin_scan_kind {
    PIN_SCAN_MADE,  /* "name" at the top, "name" inside "file" */
    PIN_SCAN_SHOWN, /* "uri", "responsesFile" anywhere: an operation's result */
    PIN_SCAN_USED   /* "fileUri", "cachedContent", "operationName", "uri", "fileName" anywhere */
};

struct pin_name {
    struct slice name;              /* short; lives during the call */
    uint64_t project_at, project_n; /* in the bytes fed: of "projects/THIS/..."; 0: none is there */
};
typedef void (*pin_name_cb)(void *arg, const struct pin_name *n);

struct pin_scan {
    enum pin_scan_kind kind;
    struct slice host; /* of URLs; outlives this */
    pin_name_cb found;
    void *arg;
    bool is_over;       /* no more is looked at: the value has ended, or this is no JSON */
    bool is_unreadable; /* a value was longer than we keep and begins like a name */
    uint64_t at;        /* bytes fed */
    uint32_t depth;
    uint64_t is_object[PIN_DEPTH_MAX / 64]; /* bit: the kind of each container */
    bool in_string, is_key, wants_value, is_escaped, is_too_long;
    bool in_file; /* inside the top-level member "file" */
    unsigned hex_left, hex;
    char key[24];
    size_t key_n;
    char value[PIN_TEXT_MAX];
    size_t value_n;
    uint64_t project_at, project_end;
};

/** HOST: the provider's, for URLs. FOUND is told each name, in the order in which they come, also
 * the same one again. */
void pin_scan_init(struct pin_scan *s, enum pin_scan_kind kind, struct slice host,
                   pin_name_cb found, void *arg);
/** Eats N bytes. False: over, nothing more will be found. */
bool pin_scan_feed(struct pin_scan *s, const void *p, size_t n);

#endif
