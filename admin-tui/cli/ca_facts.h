/* What `ca show` and the dashboard tell of the CA, from its certificate file. */
#ifndef CLI_CA_FACTS_H
#define CLI_CA_FACTS_H
#include "keys/ca.h"

struct ca_facts {
    struct ca_info info;  /* of the first certificate: the one that signs */
    char key_type[24];    /* "P-256", "RSA 2048" */
    char file_sha256[65]; /* of the whole file: what an invitation names */
    int certificates;     /* two while the CA is being replaced */
};

/** Pure. ERR_INVALID: PEM holds no certificate. */
enum err ca_facts_of(struct slice pem, struct ca_facts *ret, struct errmsg *msg) NODISCARD;
/** ERR_NOT_FOUND: there is no file; ERR_DENIED, ERR_IO, ERR_TOO_LARGE, each with a sentence. */
enum err ca_facts_load(const char *cert_path, struct ca_facts *ret, struct errmsg *msg) NODISCARD;

/** Where the next CA waits while a rotation goes on. */
#define CA_NEXT_PATH 4096
void ca_next_path(const char *path, char ret[CA_NEXT_PATH]);
/** Was one begun, and not finished? */
bool ca_is_rotating(const char *cert_path);

#endif
