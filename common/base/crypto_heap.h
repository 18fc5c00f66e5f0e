/* OpenSSL's heap. It takes two buffers of 17 KB for each record that comes or goes and gives them
 * back at once (SSL_MODE_RELEASE_BUFFERS), which is dear in malloc(3), and what a client sent stays
 * readable in what was freed. Here such buffers come from a stock of the thread's own, the last one
 * first, and those that clients' records were read into come back wiped. */
#ifndef BASE_CRYPTO_HEAP_H
#define BASE_CRYPTO_HEAP_H
#include <stdbool.h>
#include <stddef.h>

/** Bytes to ask for with SSL_CTX_set_default_read_buffer_len: a buffer of this size, which is more
 * than OpenSSL asks for by itself, is wiped when it is freed. */
#define CRYPTO_WIPED_BYTES 17408u
/** Buffers of a kind that a thread keeps at most. */
#define CRYPTO_STOCK_MAX 64u

/** Before anything else speaks to OpenSSL, and before any thread. False when it was too late:
 * everything works then, but crypto_heap_wipes() says no. */
bool crypto_heap_init(void);
/** Instead of it, for a program that holds keys and is in no hurry: all that OpenSSL gives back is
 * wiped, since what decodes a key leaves copies of it in its heap. */
bool crypto_heap_init_wiping(void);
/** True when buffers of CRYPTO_WIPED_BYTES are wiped. Thread: any. */
bool crypto_heap_wipes(void);
/** N bytes were written at P. Said of everything that is written into such a buffer (by a
 * connection's BIO, as OpenSSL decrypts in place), only that much of it is wiped when it is freed;
 * of one that nothing is known of, all is. P may be anything else. Thread: the buffer's. */
void crypto_heap_filled(const void *p, size_t n);
/** The calling thread's stock goes back to malloc(3): before it ends. */
void crypto_heap_forget(void);

#endif
