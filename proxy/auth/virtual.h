/* Virtual service accounts: a client by the e-mail of its key file, and by what it signed itself.
 */
#ifndef AUTH_VIRTUAL_H
#define AUTH_VIRTUAL_H
#include "base/slice.h"
#include "store/snapshot.h"

/** The client whose virtual service account is ISSUER, or NULL. */
const struct snap_client *virtual_issuer(const struct snapshot *s, struct slice issuer);
/** Does TEXT look like a JWT that is signed by one of them, good or not? */
bool virtual_is_signed(struct slice text, const struct snapshot *s);
/** The client that signed TEXT, a JWT that stands in a token's place (AIP-4111: SDKs of Google's
 * gRPC services do not ask the token endpoint). NULL when that is not proved, or the time is not
 * now: it is good for an hour at most. Costs an RSA verification. Thread: any. */
const struct snap_client *virtual_bearer(struct slice text, const struct snapshot *s,
                                         int64_t now_s);
/** The end of such a text, which holds what proves it and is short enough to be looked for. */
struct slice virtual_tail(struct slice text);

#endif
