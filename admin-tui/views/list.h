/* The screens; a new one: its file, a line here, its place in list.c. */
#ifndef VIEWS_LIST_H
#define VIEWS_LIST_H

struct view;

extern const struct view accounts_view; /* accounts.c: accounts and weights */
extern const struct view tokens_view;   /* tokens.c */
extern const struct view clients_view;  /* clients.c */
extern const struct view live_view;     /* live.c: requests */
extern const struct view hosts_view;    /* hosts.c: hosts and rules */
extern const struct view events_view;   /* events.c: events and audit */
extern const struct view trust_view;    /* trust.c: CA and who trusts it */
extern const struct view nodes_view;    /* nodes.c */

#endif
