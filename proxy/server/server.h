/* The whole: threads, signals, reload, drain, health. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H
#include "base/err.h"

struct conf;

/** Opens everything that CONF names and closes it again: what would stop a start, with its
 * sentence. Nothing is served. */
enum err server_check(const struct conf *c, struct errmsg *msg) NODISCARD;
/** Serves until a signal ends it. Takes CONF over. CONF_PATH (may be NULL) is read again on HUP.
 *  Errors: as far as the start, each with a sentence. Thread: main. */
enum err server_run(struct conf *c, const char *conf_path, struct errmsg *msg) NODISCARD;

#endif
