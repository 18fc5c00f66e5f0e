/* The running daemon: its Unix socket (one JSON object a line) and the admin port. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H
#include "base/err.h"
#include "base/sbuf.h"

#include <cjson/cJSON.h>

/** Sends {"cmd":CMD,"account":ACCOUNT} (ACCOUNT may be NULL) and waits for the answer line. *RET is
 * the whole answer and always an object. ERR_REFUSED nobody listens; ERR_TIMEOUT; ERR_PROTOCOL an
 * answer that is none; ERR_DENIED the socket may not be opened; ERR_INVALID "ok" is false, the
 * sentence is the daemon's (then *RET is not set). */
enum err daemon_ask(const char *socket_path, const char *cmd, const char *account, int timeout_ms,
                    cJSON **ret, struct errmsg *msg) NODISCARD;
/** The same with any QUESTION. */
enum err daemon_say(const char *socket_path, const cJSON *question, int timeout_ms, cJSON **ret,
                    struct errmsg *msg) NODISCARD;
/** GET PATH from ADDRESS ("host:port"; a wildcard means loopback): the status and, in BODY (may be
 * NULL), the answer's body. */
enum err daemon_get(const char *address, const char *path, int timeout_ms, int *ret_status,
                    struct sbuf *body, struct errmsg *msg) NODISCARD;
/** The parts that need no socket. HTTP_ANSWER: status from a whole answer, body as a slice of it
 * (chunks not undone). */
bool daemon_parse_http(struct slice answer, int *ret_status, struct slice *ret_body);
enum err daemon_parse_line(struct slice line, cJSON **ret, struct errmsg *msg) NODISCARD;

#endif
