/* The model's name out of a JSON body that is still arriving: the top-level member "model", read in
 * passing. Pure. */
#ifndef ROUTE_MODEL_H
#define ROUTE_MODEL_H
#include "base/slice.h"

#define MODEL_MAX 128

enum model_scan_state {
    MODEL_MORE,  /* not seen yet; feed what comes next */
    MODEL_FOUND, /* name holds it */
    MODEL_NONE   /* there is none, or this is no JSON object, or the name is too long or escaped */
};

struct model_scan {
    enum model_scan_state state;
    unsigned depth; /* of {} and [] */
    bool whole; /* set it before feeding: read to the end, and refuse a second or an escaped name
                   (model_scan_end) */
    bool in_string, is_escaped, is_key, after_key, in_value;
    bool is_named;       /* name holds it */
    bool key_is_model;   /* the last key at depth 1 was "model" */
    unsigned char key_n; /* bytes of the key seen, 255: it cannot be ours */
    size_t name_n;
    char name[MODEL_MAX];
};

void model_scan_init(struct model_scan *m);
/** Eats N bytes; returns the state. Nothing is kept but the name. */
/** The body has ended: MODEL_FOUND or MODEL_NONE from here on. */
enum model_scan_state model_scan_end(struct model_scan *m);
enum model_scan_state model_scan_feed(struct model_scan *m, const void *bytes, size_t n);

#endif
