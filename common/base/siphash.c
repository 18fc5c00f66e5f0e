/* https://www.aumasson.jp/siphash/siphash.pdf */
#include "base/siphash.h"

static uint64_t word(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t w = 0;
    for (size_t i = 0; i < n; i++)
        w |= (uint64_t)p[i] << 8 * i;
    return w;
}

static uint64_t turn(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void rounds(uint64_t v[4], unsigned count)
{
    while (count--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = turn(v[1], 13) ^ v[0];
        v[3] = turn(v[3], 16) ^ v[2];
        v[0] = turn(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = turn(v[1], 17) ^ v[2];
        v[3] = turn(v[3], 21) ^ v[0];
        v[2] = turn(v[2], 32);
    }
}

static void eat(uint64_t v[4], uint64_t w)
{
    v[3] ^= w;
    rounds(v, 2);
    v[0] ^= w;
}

uint64_t siphash(const unsigned char key[SIPHASH_KEY], struct slice bytes)
{
    uint64_t a = word(key, 8), b = word(key + 8, 8);
    uint64_t v[4] = {a ^ 0x736f6d6570736575u, b ^ 0x646f72616e646f6du, a ^ 0x6c7967656e657261u,
                     b ^ 0x7465646279746573u};
    size_t i = 0;
    for (; bytes.n - i >= 8; i += 8)
        eat(v, word(bytes.p + i, 8));
    eat(v, (uint64_t)bytes.n << 56 | (bytes.n > i ? word(bytes.p + i, bytes.n - i) : 0));
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
