/* The one outgoing call of this proxy that is not a client's: an assertion for a token, by libcurl
 * on the broker's loop. */
#ifndef TOKEN_OAUTH2_H
#define TOKEN_OAUTH2_H
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct conf;
struct event_base;
struct oauth2;
struct oauth2_call;

struct oauth2_result {
    enum err err;       /* ERR_OK: an answer came, whatever it says */
    const char *reason; /* static word when it did not */
    int status;
    struct slice body;      /* borrowed until the callback returns, then wiped */
    int64_t date_s;         /* the endpoint's Date, Unix s; 0 when it gave none */
    uint32_t retry_after_s; /* 0: not said */
};
typedef void (*oauth2_cb)(void *arg, const struct oauth2_result *r);

/** CONF is borrowed. Certificates are always verified, redirects never followed, and nothing of the
 * environment counts
 *  (*_proxy variables, netrc). Thread: the one that runs BASE, as for all below. */
enum err oauth2_create(struct event_base *base, const struct conf *conf,
                       struct oauth2 **ret) NODISCARD;
/** Ends all calls without their callbacks. */
void oauth2_destroy(struct oauth2 *o);
/** Posts ASSERTION (a whole JWT, copied and wiped afterwards) to URI. CB comes once, later, unless
 * aborted. ERR_DENIED when URI is not https. */
enum err oauth2_fetch(struct oauth2 *o, const char *uri, struct slice assertion, oauth2_cb cb,
                      void *arg, struct oauth2_call **ret) NODISCARD;
void oauth2_abort(struct oauth2_call *c);

/** The part "::DIALHOST:DIALPORT" of the first entry of LIST ("HOST:PORT:DIALHOST:DIALPORT", a
 * leading * in HOST matches any beginning, an empty HOST or PORT matches all) that is for HOST and
 * PORT; false when none is. Pure. */
bool connect_to_match(char *const *list, size_t count, struct slice host, uint16_t port, char *ret,
                      size_t size);

#endif
