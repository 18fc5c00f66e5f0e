/* A line of the console's socket as a command. Pure. */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H
#include "base/slice.h"

#include <cjson/cJSON.h>

#define COMMAND_LINE_MAX 65536u
#define COMMAND_LIMIT_MAX 1000000u
#define COMMAND_LIMIT_BAD UINT32_MAX

enum command_kind {
    COMMAND_BAD, /* no JSON object with "cmd" */
    COMMAND_UNKNOWN,
    COMMAND_STATUS,
    COMMAND_REFRESH, /* a new token for an account */
    COMMAND_TEST,    /* the same, asked to see whether it works */
    COMMAND_FORGET,  /* its token is dropped from memory */
    COMMAND_FIGURES,
    COMMAND_LIVE,
    COMMAND_END, /* a request, by its id */
    COMMAND_TRUST,
    COMMAND_LEAVES
};

struct command {
    enum command_kind kind;
    const char *verb, *account, *id; /* as written; NULL when missing */
    uint32_t limit; /* 0: not named. COMMAND_LIMIT_BAD: no whole number from 1 on */
    cJSON *json;    /* owns them */
};

/** Finish it, whatever its kind. */
void command_parse(struct slice line, struct command *ret);
void command_finish(struct command *c);

#endif
