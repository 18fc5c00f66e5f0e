/* What a client must set to go through the proxy and trust its CA. Pure: facts in, text out. The
 * templates are those of the proxy's own /env.* pages, so both say the same. */
#ifndef CLI_ENV_H
#define CLI_ENV_H
#include "base/sbuf.h"

struct conf;

struct env_facts {
    char proxy[300]; /* "http://host:port" */
    struct slice ca_pem;
    const char *ca_path;     /* dotenv: where the CA file is on this machine */
    const char *bundle_path; /* dotenv: the system's roots and our CA in one file */
};

enum env_shell {
    ENV_SH,
    ENV_FISH,
    ENV_POWERSHELL,
    ENV_DOTENV,
    ENV_GITHUB,
    ENV_GITLAB
};
bool env_shell_from(const char *text, enum env_shell *ret);

/** Where clients reach the proxy: listen.advertise, else the first listener; a wildcard listener is
 * this machine's HOSTNAME. ERR_CONFIG with a sentence when there is none. */
enum err env_proxy(const struct conf *conf, const char *hostname, char ret[300],
                   struct errmsg *msg) NODISCARD;
/** Appends the script or lines. ERR_INVALID when a fact holds characters that no shell should see.
 */
enum err env_render(const struct env_facts *f, enum env_shell shell, struct sbuf *out) NODISCARD;

#endif
