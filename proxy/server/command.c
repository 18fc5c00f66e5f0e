/* {"cmd":"refresh","account":"NAME"}: from the console to control.c. */
#include "server/command.h"

#include "keys/json.h"

static const char *text_of(const cJSON *json, const char *name)
{
    const cJSON *v = NULL;
    return json_member(json, name, &v) == ERR_OK ? cJSON_GetStringValue(v) : NULL;
}

static uint32_t limit_of(const cJSON *json)
{
    const cJSON *v = NULL;
    if (json_member(json, "limit", &v) != ERR_OK)
        return COMMAND_LIMIT_BAD;
    if (!v)
        return 0;
    double n = cJSON_IsNumber(v) ? cJSON_GetNumberValue(v) : 0;
    if (!(n >= 1 && n <= COMMAND_LIMIT_MAX) || n != (double)(uint32_t)n)
        return COMMAND_LIMIT_BAD;
    return (uint32_t)n;
}

void command_parse(struct slice line, struct command *ret)
{
    static const struct {
        const char *verb;
        enum command_kind kind;
    } verbs[] = {
        {"status", COMMAND_STATUS}, {"refresh", COMMAND_REFRESH}, {"test", COMMAND_TEST},
        {"forget", COMMAND_FORGET}, {"figures", COMMAND_FIGURES}, {"live", COMMAND_LIVE},
        {"end", COMMAND_END},       {"trust", COMMAND_TRUST},     {"leaves", COMMAND_LEAVES}};
    *ret = (struct command){.kind = COMMAND_BAD};
    if (json_object_parse(line, COMMAND_LINE_MAX, &ret->json, NULL) != ERR_OK)
        return;
    ret->verb = text_of(ret->json, "cmd");
    ret->account = text_of(ret->json, "account");
    ret->id = text_of(ret->json, "id");
    ret->limit = limit_of(ret->json);
    if (!ret->verb)
        return;
    ret->kind = COMMAND_UNKNOWN;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(ret->verb, verbs[i].verb) == 0)
            ret->kind = verbs[i].kind;
}

void command_finish(struct command *c)
{
    cJSON_Delete(c->json);
    c->json = NULL;
}
