/* Numbers for tests: the same on every machine, from a seed that the caller keeps. */
#ifndef TESS_TESTS_RANDOM_H
#define TESS_TESTS_RANDOM_H

#include <stdint.h>

/* splitmix64, public domain, by S. Vigna. */
static inline uint64_t random_bits(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 .. limit - 1 */
static inline int random_below(uint64_t *seed, int limit)
{
    return (int)(random_bits(seed) % (uint64_t)limit);
}

/* -1 .. 1 */
static inline float random_float(uint64_t *seed)
{
    return (float)(int32_t)(random_bits(seed) >> 32) * 0x1p-31f;
}

#endif
