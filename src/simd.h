/* The few vector operations that kernels are written in, for the width this file is compiled for.
 *
 * A kernel source is compiled once per instruction set (CMake: tess_kernels) and exports
 * TESS_KERNEL(name), which is name_scalar, name_avx2, name_avx512 or name_neon. Every operation
 * here is one IEEE operation on each lane, so the same source gives the same bits at every width.
 * vf holds TESS_LANES floats, vi as many int32; a comparison gives a vi of 0 or -1. */
#ifndef TESS_SIMD_H
#define TESS_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TESS_JOIN2(a, b) a##_##b
#define TESS_JOIN(a, b)  TESS_JOIN2(a, b)
#define TESS_KERNEL(x)   TESS_JOIN(x, TESS_ISA)

#if defined(TESS_ISA_AVX512)
#include <immintrin.h>
#define TESS_LANES 16
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
#elif defined(TESS_ISA_AVX2)
#include <immintrin.h>
#define TESS_LANES 8
typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));
#elif defined(TESS_ISA_NEON)
#include <arm_neon.h>
#define TESS_LANES 4
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
#else
#define TESS_LANES 1
typedef float vf;
typedef int32_t vi;
#endif

static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n lanes only, zeros in the rest; n may be more than there are, or none. */
static inline vf vf_load_n(const float *p, int n)
{
    if (n >= TESS_LANES) return vf_load(p);
    float lanes[TESS_LANES] = {0};
    if (n > 0) memcpy(lanes, p, (size_t)n * sizeof *p);
    return vf_load(lanes);
}

static inline void vf_store_n(float *p, vf v, int n)
{
    if (n >= TESS_LANES) {
        vf_store(p, v);
    } else if (n > 0) {
        float lanes[TESS_LANES];
        vf_store(lanes, v);
        memcpy(p, lanes, (size_t)n * sizeof *p);
    }
}

static inline vi vi_load(const int32_t *p)
{
    vi v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vi_store(int32_t *p, vi v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf vf_set(float x)
{
    return x - (vf){0}; /* keeps -0.0: -0.0 - 0.0 = -0.0 */
}

static inline vi vi_set(int32_t x)
{
    return x + (vi){0};
}

/* The lanes' bits as the other type. */
static inline vi vf_bits(vf v)
{
    vi r;
    memcpy(&r, &v, sizeof r);
    return r;
}

static inline vf vi_floats(vi v)
{
    vf r;
    memcpy(&r, &v, sizeof r);
    return r;
}

/* v 2^n modulo 2^32: a plain << would be undefined where it meets the sign. */
static inline vi vi_shift_up(vi v, int n)
{
#if TESS_LANES == 1
    return (vi)((uint32_t)v << n);
#else
    return v << n;
#endif
}

/* a where the mask is -1, b where it is 0. */
static inline vf vf_select(vi mask, vf a, vf b)
{
    return vi_floats((mask & vf_bits(a)) | (~mask & vf_bits(b)));
}

static inline vi vi_select(vi mask, vi a, vi b)
{
    return (mask & a) | (~mask & b);
}

#if TESS_LANES == 1
static inline vi vf_less(vf a, vf b)
{
    return -(int32_t)(a < b);
}
#else
static inline vi vf_less(vf a, vf b)
{
    return (vi)(a < b);
}
#endif

/* b where it is the smaller (larger) one, else a. */
static inline vf vf_min(vf a, vf b)
{
    return vf_select(vf_less(b, a), b, a);
}

static inline vf vf_max(vf a, vf b)
{
    return vf_select(vf_less(a, b), b, a);
}

#if defined(TESS_ISA_AVX512)
static inline vf vf_fma(vf a, vf b, vf c) /* a b + c, rounded once */
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

static inline vf vf_sqrt(vf a)
{
    return (vf)_mm512_sqrt_ps((__m512)a);
}

static inline vf vi_to_vf(vi a)
{
    return (vf)_mm512_cvtepi32_ps((__m512i)a);
}
#elif defined(TESS_ISA_AVX2)
static inline vf vf_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

static inline vf vf_sqrt(vf a)
{
    return (vf)_mm256_sqrt_ps((__m256)a);
}

static inline vf vi_to_vf(vi a)
{
    return (vf)_mm256_cvtepi32_ps((__m256i)a);
}
#elif defined(TESS_ISA_NEON)
static inline vf vf_fma(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

static inline vf vf_sqrt(vf a)
{
    return (vf)vsqrtq_f32((float32x4_t)a);
}

static inline vf vi_to_vf(vi a)
{
    return (vf)vcvtq_f32_s32((int32x4_t)a);
}
#else
static inline vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}

static inline vf vf_sqrt(vf a)
{
    return sqrtf(a);
}

static inline vf vi_to_vf(vi a)
{
    return (vf)a;
}
#endif

/* TESS_LANES halves (IEEE binary16, finite) as floats, exactly. */
static inline vf vf_load_half(const uint16_t *p)
{
#if defined(TESS_ISA_AVX512)
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined(TESS_ISA_AVX2)
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(TESS_ISA_NEON)
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    /* The half's exponent and fraction, moved up, are the value times 2^-112. */
    vf size = vi_floats((*p & 0x7FFF) << 13) * 0x1p112f;
    return *p & 0x8000 ? -size : size;
#endif
}

/* The nearest integer (ties to even) of |v| < 2^22, as a float: adding 1.5 * 2^23 leaves no
 * fraction bits. TESS_MAGIC's low bits then hold the integer: see vf_round_int. */
#define TESS_MAGIC 12582912.0f
static inline vf vf_round(vf v)
{
    return (v + vf_set(TESS_MAGIC)) - vf_set(TESS_MAGIC);
}

static inline vi vf_round_int(vf v)
{
    return vf_bits(v + vf_set(TESS_MAGIC)) - vi_set(0x4B400000);
}

#endif
