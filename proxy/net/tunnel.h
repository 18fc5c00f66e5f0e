/* A blind tunnel: bytes both ways, untouched, with half-close; in the kernel (splice) once it
 * carries a lot. */
#ifndef NET_TUNNEL_H
#define NET_TUNNEL_H
#include "net/link.h"

struct tunnel;
/** Both directions ended, or one broke. BYTES that went up (to the target) and down. */
typedef void (*tunnel_cb)(void *arg, const char *why, uint64_t bytes_up, uint64_t bytes_down);

/** Joins FRONT (a client, open; taken over) with the connected socket FD (taken over). SEEN are
 * bytes of the client that came early. SILENCE_MS ends it when nothing moves. CB once, unless
 * tunnel_destroy comes first. On error both are gone. */
enum err tunnel_join(struct link *front, int fd, const void *seen, size_t n, uint64_t silence_ms,
                     tunnel_cb cb, void *arg, struct tunnel **ret) NODISCARD;
void tunnel_destroy(struct tunnel *t);

#endif
