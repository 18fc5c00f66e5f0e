/* The screens, in the order of their digits. */
#include "views/list.h"

#include "views/app.h"

const struct view *const views[] = {&accounts_view, &tokens_view, &clients_view,
                                    &live_view,     &hosts_view,  &events_view,
                                    &trust_view,    &nodes_view,  NULL};
