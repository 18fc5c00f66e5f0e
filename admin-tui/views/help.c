/* One page: the screen at hand, then what holds everywhere. '/' searches it. */
#include "views/app_internal.h"

static const char everywhere[] =
    "\n"
    "EVERYWHERE\n"
    "  1-8 Tab S-Tab    other screens        j k arrows PgUp PgDn g G   move\n"
    "  /  filter        n N next match       Esc  clears, goes back\n"
    "     words, -word, state=up, client:ci, status>=400, age>30s, \"or\"\n"
    "  s S  sort by the next column, reverse Space  mark\n"
    "  Enter  detail    u  undo              w  review what is staged\n"
    "  p  pause         r  refresh now       < >  interval 0.5 1 2 5 10 s\n"
    "  :  a command, as on the command line  e.g.  :account show NAME\n"
    "  C  colours       A  ASCII or UTF-8    Ctrl-L  draws all anew\n"
    "  ? F1  this page  q  leaves            F10  leaves, and nothing else\n"
    "\n"
    "  Edits of weights and states are staged first: w shows what they would do,\n"
    "  y applies them. Enter never confirms. Times are UTC. -- is not known.\n"
    "\n"
    "STATES\n"
    "  up       gets requests by its weight\n"
    "  DRAIN    no new ones; those under way go on\n"
    "  OFF      none at all\n"
    "  COOL     rests after 429s, failures or refused tokens, then comes back by itself\n"
    "  FAIL     no token can be had for it: screen 2 says why\n"
    "  EXPECT   share by weight of the accounts that can serve now\n"
    "  ACTUAL   share of the answers in the window; ! only beyond three sigma,\n"
    "           which is 7 points of 400 requests, 2 points of 5,000\n";

void help_show(struct app *a)
{
    struct sbuf b;
    sbuf_init(&b, 65536);
    sbuf_adds(&b, views[a->view]->help);
    sbuf_adds(&b, everywhere);
    app_page(a, views[a->view]->name, sbuf_slice(&b), false);
    sbuf_finish(&b);
}
