/* What a ClientHello's extensions say, before OpenSSL has judged them. Pure. */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H
#include "base/slice.h"

/** The host_name of an SNI extension's bytes (RFC 6066 section 3), into them; an empty slice when
 * it is malformed (OpenSSL refuses it later). */
struct slice hello_host(const unsigned char *p, size_t n);
/** Does the client's list of protocols, each with its length before it (RFC 7301 section 3.1), have
 * PROTO, in the same form? */
bool hello_offers(const unsigned char *list, size_t n, const unsigned char *proto);

#endif
