/* room: console_cli */
/* drives: admin-tui/cli/legacy.c */
/* dict: json */
/* The three files of the old system: whatever they hold, they become values or a sentence. */
#include "../../admin-tui/cli/legacy.h"

#include "base/check.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_map(const struct legacy_map *m)
{
    for (size_t i = 0; i < m->account_count; i++) {
        CHECK(m->accounts[i].name[0] &&
              memchr(m->accounts[i].name, '\0', sizeof m->accounts[i].name));
        CHECK(!memchr(m->accounts[i].file.p, '/', m->accounts[i].file.n));
    }
    for (size_t i = 0; i < m->client_count; i++)
        CHECK(m->clients[i].skipped || m->clients[i].pool < m->pool_count);
    for (size_t i = 0; i < m->pool_count; i++)
        for (size_t k = 0; k < m->pools[i].member_count; k++)
            CHECK(m->pools[i].members[k].account < m->account_count &&
                  m->pools[i].members[k].weight > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice json = slice_make(data, size);
    struct legacy_map m;
    struct errmsg msg;
    struct sbuf b;
    int64_t at;
    if (legacy_parse(json, &m, &msg) == ERR_OK)
        check_map(&m);
    legacy_finish(&m);
    sbuf_init(&b, 1 << 16);
    if (legacy_token(json, &b, &at, &msg) == ERR_OK)
        CHECK(b.n > 0 && at > 0);
    sbuf_clear(&b);
    if (legacy_app(json, &b, &msg) != ERR_OK)
        CHECK(msg.text[0]);
    sbuf_finish(&b);
    return 0;
}
