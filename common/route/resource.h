/* Names of what lives at one account of a provider: uploads, files, caches, operations, batches,
 * tuned models. However a path, a body or an answer spells one, it gets the same short name:
 * "files/abc", "cachedContents/1", "publishers/google/models/veo/operations/7". Version, host,
 * project and location are left out: ids are the provider's and unique, and the client's project is
 * not the account's. Pure. */
#ifndef ROUTE_RESOURCE_H
#define ROUTE_RESOURCE_H
#include "base/slice.h"
#include "store/snapshot.h"

#define RESOURCE_MAX 256 /* of a name, with its NUL */

/** The short name in BUF of what TEXT, out of JSON, names: a relative name, with or without project
 * and location, or a URL at HOST. False: it names nothing of this kind. */
bool resource_from_text(struct slice text, struct slice host, char buf[RESOURCE_MAX],
                        struct slice *ret);
/** Could a longer text that begins with TEXT name something of this kind? */
bool resource_may_begin(struct slice text, struct slice host);
/** Of an upload under way. Its id is as good as a key to it, so the name is made of its hash. */
struct slice resource_upload(struct slice upload_id, char buf[RESOURCE_MAX]);
/** The value of the query's upload_id, however that name is encoded; empty when there is none or
 * two that differ. */
struct slice resource_upload_id(struct slice query);

/* What an answer to a request may bring. */
enum resource_effect {
    EFFECT_NONE,
    EFFECT_MAKES,  /* the answer names what was made */
    EFFECT_UPLOAD, /* the same, or where the upload goes on */
    EFFECT_SHOWS,  /* it may name files that the provider made meanwhile: an operation's result */
    EFFECT_ENDS    /* what the path names is gone when it succeeds */
};
struct resource_request {
    struct slice name; /* what the path or query names, in buf; "" nothing */
    char buf[RESOURCE_MAX];
    bool is_upload;     /* it is about an upload, whose name may be unclear: "" */
    bool is_unreadable; /* broken, or longer than anything that we know: it could name anything */
    enum resource_effect effect;
};
/** TARGET: path and query. For Gemini and Vertex; others name nothing. */
void resource_request(enum api api, struct slice method, struct slice target,
                      struct resource_request *ret);
/** How long a name is remembered, from now on. */
int64_t resource_life_s(struct slice name);
/** "tunedModels/x" for "tunedModels/x/operations/y", which are made together; else empty. */
struct slice resource_parent(struct slice name);

#endif
