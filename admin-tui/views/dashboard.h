/* The dashboard's door. */
#ifndef VIEWS_DASHBOARD_H
#define VIEWS_DASHBOARD_H

struct cli;

/** With the options of C's arguments: on the terminal until it is left, or (--once) printed. An
 * exit code. */
int dashboard_run(struct cli *c);

#endif
