/* Placeholders that people bring along. */
#include "cli/placeholder.h"

#include "store/client.h"

enum err placeholder_check(enum service service, struct slice p, struct errmsg *msg)
{
    struct slice name = slice_of(service_name(service));
    if (p.n < PLACEHOLDER_MIN || p.n > PLACEHOLDER_MAX)
        return err_set(msg, ERR_INVALID, "the placeholder has %zu characters; %d to %d are wanted",
                       p.n, PLACEHOLDER_MIN, PLACEHOLDER_MAX);
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] <= 0x20 || p.p[i] >= 0x7f)
            return err_set(msg, ERR_INVALID,
                           "the placeholder holds a space, a control or a non-ASCII character; "
                           "only visible ASCII travels in headers");
    if (!slice_starts(p, name) || p.p[name.n] != '-')
        return err_set(msg, ERR_INVALID, "the placeholder of a %s client must begin with \"%s-\"",
                       name.p, name.p);
    return ERR_OK;
}
