/* Pins between the table that workers share and the store: what workers learn goes to the writer,
 * what people delete (or another start left) comes back. */
#include "base/clock.h"
#include "base/mem.h"
#include "server/server_internal.h"
#include "store/pin.h"
#include "store/writer.h"

/* ---- to the store ---- */

struct pin_job {
    struct pins *pins; /* to be told when it is committed */
    struct pin pin;
    bool is_written;
    char client[136];
};

static enum err write_pin(struct store *s, void *arg)
{
    struct pin_job *j = arg;
    struct pin_row row = {.name = slice_of(j->pin.name),
                          .pool_id = j->pin.pool_id,
                          .account_id = j->pin.account_id,
                          .client = slice_of(j->client),
                          .domain = slice_of(j->pin.domain),
                          .made_at = clock_wall_s(),
                          .expires_at = j->pin.expires_at};
    enum err e = pin_put(s, &row, NULL);
    j->is_written = e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* pool or account went meanwhile */
}

/* After the commit, or when it was given up. */
static void free_pin(void *arg)
{
    struct pin_job *j = arg;
    if (j->is_written)
        pins_written(j->pins, j->pin.pool_id, slice_of(j->pin.name));
    mem_free(j);
}

static enum err write_unpin(struct store *s, void *arg)
{
    const struct pin_job *j = arg;
    return pin_remove(s, j->pin.pool_id, slice_of(j->pin.name), NULL);
}

void on_pinned(struct services *svc, const struct pin *p, const struct snap_client *client)
{
    const struct worker *w = svc->worker;
    struct pin_job *j = mem_calloc(1, sizeof *j);
    if (!j)
        return; /* it holds until the next start */
    j->pins = svc->pins;
    j->pin = *p;
    (void)slice_copy(client->name, j->client, sizeof j->client);
    writer_post(w->server->writer, (struct writer_job){write_pin, free_pin, j, false});
}

void on_unpinned(struct services *svc, int64_t pool_id, struct slice name)
{
    const struct worker *w = svc->worker;
    struct pin_job *j = mem_calloc(1, sizeof *j);
    if (!j)
        return;
    j->pin.pool_id = pool_id;
    (void)slice_copy(name, j->pin.name, sizeof j->pin.name);
    writer_post(w->server->writer, (struct writer_job){write_unpin, mem_free, j, false});
}

/* ---- from the store ---- */

static enum err take_row(void *arg, const struct pin_row *row)
{
    struct server *s = arg;
    struct pin p = {
        .pool_id = row->pool_id, .account_id = row->account_id, .expires_at = row->expires_at};
    s->pins_seen.last_id = row->id;
    if (slice_copy(row->name, p.name, sizeof p.name) &&
        slice_copy(row->domain, p.domain, sizeof p.domain))
        pins_stored(s->pins, &p);
    return ERR_OK;
}

enum err pins_follow(struct server *s, struct errmsg *msg)
{
    struct pins_seen *seen = &s->pins_seen;
    int64_t changes = 0, generation = s->snapshot->generation;
    enum err e = pin_changes(s->store, &changes, msg);
    if (e != ERR_OK)
        return e == ERR_SCHEMA ? ERR_OK : e;
    bool is_due = seen->again_ms && seen->again_ms <= clock_mono_ms();
    bool is_whole = is_due || changes != seen->changes || generation != seen->generation;
    if (!is_whole)
        return pin_list(s->store, seen->last_id, 0, take_row, s, msg);
    pins_sweep_begin(s->pins);
    seen->last_id = 0;
    e = pin_list(s->store, 0, 0, take_row, s,
                 msg); /* expired ones, too: they may have been edited */
    if (e != ERR_OK)
        return e; /* nothing was swept: the next look begins anew */
    seen->again_ms = pins_sweep(s->pins, s->snapshot, clock_mono_ms());
    seen->changes = changes;
    seen->generation = generation;
    return ERR_OK;
}
