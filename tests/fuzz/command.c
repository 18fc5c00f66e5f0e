/* room: server */
/* drives: proxy/server/command.c common/keys/json.c */
/* dict: json */
/* A line of the console's socket: a command that was written so, or none. */
#include "server/command.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command c;
    struct slice line = slice_make(data, size);
    command_parse(line, &c);
    CHECK((c.kind == COMMAND_BAD) == (c.verb == NULL));
    CHECK(!c.verb || (c.json && line.n >= strlen(c.verb) + 2));
    if (c.kind == COMMAND_REFRESH)
        CHECK(strcmp(c.verb, "refresh") == 0);
    if (c.kind == COMMAND_STATUS)
        CHECK(strcmp(c.verb, "status") == 0);
    CHECK(c.limit <= COMMAND_LIMIT_MAX || c.limit == COMMAND_LIMIT_BAD);
    CHECK(!c.id || (c.json && line.n >= strlen(c.id) + 2));
    if (c.kind >= COMMAND_FIGURES) {
        static const char *const words[] = {"figures", "live", "end", "trust", "leaves"};
        CHECK(strcmp(c.verb, words[c.kind - COMMAND_FIGURES]) == 0);
    }
    command_finish(&c);
    return 0;
}
