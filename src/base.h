/* What every room shares: the public vocabulary (errors, allocators, byte callbacks), memory and
 * the reason of a failure. A function that tessera.h declares is defined in the room it belongs
 * to and declared nowhere else. */
#ifndef TESS_BASE_H
#define TESS_BASE_H

#include "tessera.h"

#include <stdarg.h>

#if defined(__GNUC__)
#define TESS_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TESS_PRINTF(text, first)
#endif

/** The allocator to use for an optional one: a copy of *allocator, or malloc and large pages. */
struct tess_allocator tess_base_allocator(const struct tess_allocator *allocator);

/** `bytes` zeroed bytes (at least one) aligned to 64, or NULL. Free with tess_base_free. */
void *tess_base_alloc(const struct tess_allocator *allocator, size_t bytes);
void tess_base_free(const struct tess_allocator *allocator, void *ptr);

/** Writes the reason (if `why` is not NULL) and returns `error`, so that a check reads
 *  `return tess_base_fail(why, TESS_E_MODEL, "tensor '%s' is missing", name);` */
int tess_base_fail(struct tess_why *why, int error, const char *format, ...) TESS_PRINTF(3, 4);

/* Columns side by side in what kernels walk over (entries of a codebook, outputs of a matrix): a
 * multiple of every vector's width. */
enum { TESS_PANEL = 16 };

/* The sets of kernels; scalar is the definition, the others give the same bits. */
enum tess_isa { TESS_SCALAR, TESS_AVX2, TESS_AVX512, TESS_NEON, TESS_N_ISAS };

/** The set called `name`, or the fastest this CPU runs for NULL. Returns UNSUPPORTED if this
 *  build or CPU lacks it. Any thread. */
int tess_base_isa(const char *name);

/** The name of a set; static text. */
const char *tess_base_isa_name(enum tess_isa isa);

/* A kernel f exists once per set: declare f_scalar, TESS_IF_AVX2(f_avx2), ... and index
 * TESS_KERNEL_TABLE(f) by enum tess_isa. */
#ifdef TESS_HAVE_AVX2
#define TESS_IF_AVX2(...) __VA_ARGS__
#else
#define TESS_IF_AVX2(...)
#endif
#ifdef TESS_HAVE_AVX512
#define TESS_IF_AVX512(...) __VA_ARGS__
#else
#define TESS_IF_AVX512(...)
#endif
#ifdef TESS_HAVE_NEON
#define TESS_IF_NEON(...) __VA_ARGS__
#else
#define TESS_IF_NEON(...)
#endif
#define TESS_KERNEL_TABLE(f)                                                                       \
    {                                                                                              \
        [TESS_SCALAR] = f##_scalar,                                                                \
        TESS_IF_AVX2([TESS_AVX2] = f##_avx2, ) TESS_IF_AVX512([TESS_AVX512] = f##_avx512, )        \
            TESS_IF_NEON([TESS_NEON] = f##_neon, )                                                 \
    }

/* Integers in files are little-endian, put together by hand. */
static inline uint32_t tess_le32(const uint8_t b[4])
{
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t tess_le64(const uint8_t b[8])
{
    return tess_le32(b) | (uint64_t)tess_le32(b + 4) << 32;
}

static inline void tess_put_le32(uint8_t b[4], uint32_t v)
{
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(v >> (8 * i));
}

static inline void tess_put_le64(uint8_t b[8], uint64_t v)
{
    tess_put_le32(b, (uint32_t)v);
    tess_put_le32(b + 4, (uint32_t)(v >> 32));
}

#endif
