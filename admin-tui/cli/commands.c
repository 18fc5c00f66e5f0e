/* The table itself: the order is that of the help. */
#include "cli/commands.h"

static const struct command *const all[] = {
#define X(name) &command_##name,
    COMMAND_LIST(X)
#undef X
};

enum {
#define X(name) NUMBER_##name,
    COMMAND_LIST(X)
#undef X
    COMMAND_COUNT
};

const struct command_table console_commands = {all, COMMAND_COUNT};
