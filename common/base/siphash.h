/* SipHash-2-4: a keyed hash for tables whose keys strangers choose. Who does not know the key
 * cannot aim at one chain. Pure. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H
#include "base/slice.h"

#include <stdint.h>

#define SIPHASH_KEY 16

uint64_t siphash(const unsigned char key[SIPHASH_KEY], struct slice bytes);

#endif
