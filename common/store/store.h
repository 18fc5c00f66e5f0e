/* One connection to the store: open, migrate, transactions, backup. SQL lives in this room and
 * nowhere else. */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* A connection belongs to one thread at a time. All functions of the nouns (account.h, pool.h, ...)
 * take it first.
 *
 * Rows come by callback: `enum err cb(void *arg, const struct row *r)`. Text in a row is borrowed
 * until the callback returns, and NUL-terminated. Anything but ERR_OK ends the walk and is
 * returned.
 *
 * Errors of every function here: ERR_BUSY locked by another program, ERR_IO disk full or
 * unreadable, ERR_DENIED read-only, ERR_DB damaged, ERR_EXISTS the name is taken, ERR_NOT_FOUND,
 * ERR_INVALID a value that the schema refuses; MSG (may be NULL) has the sentence. */
struct store;

enum store_flags {
    STORE_READ_ONLY = 1 << 0, /* without it: read and write */
    STORE_CREATE =
        1 << 1, /* make directory (0700) and file (0600) when missing; then call store_migrate */
    STORE_PATIENT = 1 << 2, /* wait 5 s for a lock (console); without it 50 ms (daemon) */
    STORE_ALLOW_NEWER =
        1 << 3, /* only with READ_ONLY: look at a newer schema, as far as its columns allow */
};

/** Closes; NULL is fine. An open transaction is rolled back. */
void store_close(struct store *s);
/** Opens the SQLite file at PATH. Looks before it touches: a damaged file, a file of another
 * program, a newer schema (ERR_SCHEMA) or permissions wider than 0600 in 0700 (ERR_PERMISSION) are
 * refused and left as they are. Errors: ERR_NOT_FOUND no such file (and no STORE_CREATE), and the
 * above. */
enum err store_open(const char *path, unsigned flags, struct store **ret,
                    struct errmsg *msg) NODISCARD;
/** Brings the schema forward, each step in one transaction; an existing store is first copied to
 * PATH.bak-vN. Nothing to do is fine. Two programs at once: the second waits and finds nothing to
 * do. */
enum err store_migrate(struct store *s, struct errmsg *msg) NODISCARD;
/** The schema number of the file, and of this program. */
int store_schema(const struct store *s);
int store_schema_newest(void);
const char *store_path(const struct store *s);

/** The lock that makes one daemon for a store on a machine: held until store_unlock_daemon or the
 * process ends. ERR_BUSY: another one runs; the sentence has its pid. */
enum err store_lock_daemon(const char *path, int *ret_fd, struct errmsg *msg) NODISCARD;
void store_unlock_daemon(int fd);
/** True while a daemon holds that lock: takes and leaves nothing. */
bool store_is_served(const char *path);

/** Another file may lie at the path of *S by now: a backup that was put back while we run. Then *S
 * is closed and that one opened in its place, in the same way (and migrated, unless it is open for
 * reading only); cheap when nothing has moved. On failure *S stays as it is: ERR_NOT_FOUND when no
 * file is there or an empty one, others as store_open. */
enum err store_follow(struct store **s, struct errmsg *msg) NODISCARD;
/** ERR_SCHEMA: a newer program has migrated the store meanwhile; it must not be written. */
enum err store_check_schema(struct store *s, struct errmsg *msg) NODISCARD;

/** Counts edits of the configuration tables; goes up only. */
enum err store_generation(struct store *s, int64_t *ret, struct errmsg *msg) NODISCARD;
/** Changes whenever another connection commits anything (cheap: asks no table). */
enum err store_data_version(struct store *s, int64_t *ret, struct errmsg *msg) NODISCARD;

/** A writing transaction (BEGIN IMMEDIATE). Every function that changes something also works
 * without one. */
enum err store_begin(struct store *s, struct errmsg *msg) NODISCARD;
enum err store_commit(struct store *s, struct errmsg *msg) NODISCARD;
void store_rollback(struct store *s);
/** What is read from here to store_read_end is of one moment. Changes nothing meanwhile. */
enum err store_read_begin(struct store *s, struct errmsg *msg) NODISCARD;
void store_read_end(struct store *s);
/** The process that keeps others from writing to (or reading) the store at PATH, 0 unknown. */
int store_locked_by(const char *path);

/** An audited change: as store_begin, and remembers every configuration row before and after. */
enum err store_change_begin(struct store *s, struct errmsg *msg) NODISCARD;
/** Writes one audit row (WHO, e.g. "mia (uid 1001)"; WHAT, e.g. "weight of sa-prod-1 50 -> 70")
 * with the rows before and after as JSON, without secrets, and commits. No row changed: commits
 * without an audit row. On failure everything is rolled back. store_rollback gives up. RET_EVENT
 * (may be NULL): id of the audit row, 0 when none. */
enum err store_change_commit(struct store *s, struct slice who, struct slice what,
                             int64_t *ret_event, struct errmsg *msg) NODISCARD;
/** Writes back the rows as they were before audit row EVENT (0: the last one that changed rows and
 * is neither undone nor an undo itself), as an audited change of its own. ERR_INVALID: a row was
 * changed again since, the sentence names it; ERR_DENIED: a deleted account or client, a replaced
 * key or placeholder: what was sealed or hashed is gone; ERR_NOT_FOUND: nothing to undo. RET_WHAT
 * (may be NULL) gets what was undone. */
enum err store_undo(struct store *s, struct slice who, int64_t event, struct errmsg *ret_what,
                    struct errmsg *msg) NODISCARD;

/** Copies the whole store while others go on (SQLite's online backup) into a new file DEST (0600;
 * ERR_EXISTS). */
enum err store_backup(struct store *s, const char *dest, struct errmsg *msg) NODISCARD;
/** Replaces the whole content by that of backup FROM, as one transaction; others may go on. The
 * generation goes up. Older backups are migrated. ERR_SCHEMA, ERR_DB as store_open; nothing changes
 * on failure. */
enum err store_restore(struct store *s, const char *from, struct errmsg *msg) NODISCARD;
/** Full integrity check, foreign keys too: ERR_DB with the first finding. Reads everything. */
enum err store_check(struct store *s, struct errmsg *msg) NODISCARD;
/** The master key that jobs of the writer seal with: the writer sets it on its connection. Borrows.
 */
struct master_key;
void store_set_key(struct store *s, const struct master_key *k);
const struct master_key *store_key(const struct store *s);
/** The sentence of the last failure on this connection, "" when there was none. */
const char *store_last_error(const struct store *s);
/** True in WAL mode (doctor). */
bool store_is_wal(struct store *s);

#endif
