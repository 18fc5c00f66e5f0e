/* The key of a WebSocket's handshake and what a provider must answer to it (RFC 6455 section 4). */
#ifndef HTTP_WS_KEY_H
#define HTTP_WS_KEY_H
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>

#define WS_KEY_SIZE 25    /* with the NUL */
#define WS_ACCEPT_SIZE 29 /* likewise */

/** The value of Sec-WebSocket-Accept that answers KEY. False when there is no SHA-1. Thread: any.
 */
bool ws_accept_of(struct slice key, char ret_accept[WS_ACCEPT_SIZE]) NODISCARD;
/** A random key and its answer. Errors as above. */
bool ws_key_make(char ret_key[WS_KEY_SIZE], char ret_accept[WS_ACCEPT_SIZE]) NODISCARD;

#endif
