/* xoshiro256** (Blackman and Vigna): fast, not for secrets; each worker has its own. */
#include "route/route.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(uint64_t rng[4], uint64_t seed)
{
    if (seed == 0)
        random_bytes(&seed, sizeof seed);
    for (int i = 0; i < 4; i++)
        rng[i] = splitmix(&seed);
}

uint64_t rng_next(uint64_t rng[4])
{
    uint64_t result = rotate(rng[1] * 5, 7) * 9, t = rng[1] << 17;
    rng[2] ^= rng[0];
    rng[3] ^= rng[1];
    rng[1] ^= rng[2];
    rng[0] ^= rng[3];
    rng[2] ^= t;
    rng[3] = rotate(rng[3], 45);
    return result;
}
