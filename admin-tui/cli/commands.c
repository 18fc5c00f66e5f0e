/* The table itself: the order is that of the help. */
#include "cli/commands.h"

#include "base/check.h"

static const struct command *const all[] = {
#define X(name) &command_##name,
    COMMAND_LIST(X)
#undef X
};

const struct command_table console_commands = {all, ARRAY_LEN(all)};
