/* Who calls: the placeholder in a head, and the proof that it does not leave. */
#ifndef AUTH_FIND_H
#define AUTH_FIND_H
#include "auth/memo.h"
#include "base/sbuf.h"
#include "base/seal.h"
#include "http/head.h"
#include "store/client.h"
#include "store/snapshot.h"

/* Lives where auth_find filled it: PLACEHOLDER may point into DECODED, so do not copy the struct.
 */
struct auth_result {
    const struct snap_client *client; /* borrowed from the snapshot; NULL when refused */
    const struct auth_known *known; /* the memo's; NULL when it has none. Valid during this event */
    struct slice placeholder; /* the one candidate: in the head, or in DECODED when it stood encoded
                                 in the query; of a long one the last PLACEHOLDER_MAX bytes */
    bool is_pass, is_signed;  /* it is a pass; or long, as a JWT is: the client has others, too */
    const char *reason;       /* when refused: "none", "several", "unknown", "disabled", "expired",
                                 "pass_expired", "internal" */
    int status;               /* 0, or what to answer: 400, 401, 403, 500 */
    char decoded[PLACEHOLDER_MAX];
};

/** Names the client of a request. Candidates are Authorization: Bearer, x-api-key, x-goog-api-key
 * and the query's key= and access_token=, and what auth_is_protocol_token says yes to, whichever,
 * any number of them, as long as all are the same bytes. API is the rule's; no place belongs to one
 * API only, and a client's service does not restrict the hosts it may call: pools and rules do.
 * MEMO, which NULL is fine for, saves the hash and learns the good ones. Thread: the memo's. */
void auth_find(const struct head *h, const struct snapshot *s, const struct master_key *k,
               struct auth_memo *memo, int64_t now_s, enum api api, struct auth_result *ret);

/** True when one of these places holds the placeholder of any client, be it disabled or expired, or
 * what looks like a pass, or when that cannot be told: such a head must not go to a stranger.
 * Thread: any. */
bool auth_holds_known(const struct head *h, const struct snapshot *s, const struct master_key *k);

/** True when a word of H, in the path or in any field, is the placeholder of a client, or when
 * there are too many that look like one. For requests whose own credential is none that this could
 * be searched by. Thread: any. */
bool auth_has_known_word(const struct head *h, const struct snapshot *s,
                         const struct master_key *k);

/** The same of an AUTHORITY as it was written: is the host, or one of its labels, a placeholder?
 * Then neither a log nor a name server may learn it. Thread: any. */
bool auth_is_known_host(struct slice authority, const struct snapshot *s,
                        const struct master_key *k);

/** One placeholder (or pass) to its client, by its exact bytes: NULL with REASON and STATUS as
 * above. For places other than a head (the stubs). */
const struct snap_client *auth_verify(struct slice placeholder, const struct snapshot *s,
                                      const struct master_key *k, int64_t now_s,
                                      const char **ret_reason, int *ret_status);

/** Proxy-Authorization: Basic. The placeholder is the password, or the user when the password is
 * empty. ERR_INVALID when it cannot be read, ERR_NOT_FOUND for an unknown placeholder, ERR_DENIED
 * for a client that is disabled or expired. RET_IS_LASTING (NULL fine): it is a placeholder itself,
 * and no pass or the like that ends soon. */
enum err auth_basic(struct slice value, const struct snapshot *s, const struct master_key *k,
                    int64_t now_s, const struct snap_client **ret, bool *ret_is_lasting) NODISCARD;

/** Is this element of a Sec-WebSocket-Protocol (a browser's only place for a credential) one? By
 * its looks: "gemini-" or "claude-" and PROTOCOL_TOKEN_MIN bytes in all. */
#define PROTOCOL_TOKEN_MIN 20
bool auth_is_protocol_token(struct slice element);

/** Rebuilds QUERY into OUT without key and access_token, in whatever case or percent-encoding their
 * names stand. Bytes that are not visible ASCII are written percent-encoded, so nothing in OUT can
 * break a line. */
void auth_strip_query(struct slice query, struct sbuf *out);

#endif
