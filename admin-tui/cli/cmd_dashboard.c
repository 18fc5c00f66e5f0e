/* dashboard: the door to the full screen, which main.c opens: no view is known here. */
#include "cli/cli.h"
#include "cli/commands.h"

static int run_dashboard(struct cli *c)
{
    return c->dashboard ? c->dashboard(c)
                        : cli_fail(c, EX_USAGE, "there is no screen inside a screen");
}

static const struct option_def dashboard_options[] = {
    {"--once", NULL, "print the screen once, as text, for cron and screen readers"},
    {"--plain", NULL, "the same"},
    {"--size", "WxH", "of --once: columns and lines, e.g. 120x40"},
    {"--interval", "SECONDS", "between refreshes: 0.5 to 10, default 1"},
    {"--ascii", NULL, "no line drawing, no blocks"},
    {"--no-color", NULL, "bold and reverse only (also $NO_COLOR)"},
    {"--no-mouse", NULL, "leave the mouse to the terminal"},
    {NULL, NULL, NULL}};
const struct command command_dashboard = {
    "dashboard",
    NULL,
    "[SCREEN]",
    "the full screen (also without a word)",
    "screens: accounts tokens clients live hosts events trust nodes\n",
    dashboard_options,
    0,
    1,
    false,
    run_dashboard};
