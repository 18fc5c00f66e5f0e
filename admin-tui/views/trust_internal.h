/* Between trust.c (what is shown) and trust_keys.c (words and keys). */
#ifndef VIEWS_TRUST_INTERNAL_H
#define VIEWS_TRUST_INTERNAL_H
#include "cli/ca_facts.h"
#include "views/app.h"
#include "views/lines.h"

#include <sys/stat.h>

struct trust {
    struct screen screen;
    struct table refusals; /* the other list */
    bool is_refusals;      /* which of them is shown */
    struct ca_facts facts;
    struct stat seen;  /* the file that they are of */
    bool has_seen;     /* SEEN holds */
    bool is_rotating;  /* a new CA is handed out and does not sign yet */
    char problem[256]; /* why there are no facts, "" there are */
    char proxy[300];   /* where clients reach us: "http://proxy:3128" */
};

struct table *trust_table(struct trust *v);
/** Sorts and filters both lists anew. */
void trust_update(struct trust *v);
/** Reads the CA's file, if it is another one than before. */
void trust_look(struct trust *v);
/** "30d left: R replaces it"; how that is to be shown. */
uint8_t trust_validity(const struct ca_info *i, int64_t now_s, char ret[96]);
/** "2031-11-20" (UTC). */
char *trust_day(int64_t at_s, char ret[16]);
/** The row under the cursor in lines; nothing when there is none. */
void trust_describe(struct trust *v, struct sbuf *out);
bool trust_key(struct trust *v, int key);

#endif
