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

/* b where it is the smaller (larger) one, else a: x86's instructions do the same with the operands
 * exchanged, NaN and -0.0 included. */
static inline vf vf_min(vf a, vf b)
{
#if defined(TESS_ISA_AVX512)
    return (vf)_mm512_min_ps((__m512)b, (__m512)a);
#elif defined(TESS_ISA_AVX2)
    return (vf)_mm256_min_ps((__m256)b, (__m256)a);
#else
    return vf_select(vf_less(b, a), b, a);
#endif
}

static inline vf vf_max(vf a, vf b)
{
#if defined(TESS_ISA_AVX512)
    return (vf)_mm512_max_ps((__m512)b, (__m512)a);
#elif defined(TESS_ISA_AVX2)
    return (vf)_mm256_max_ps((__m256)b, (__m256)a);
#else
    return vf_select(vf_less(a, b), b, a);
#endif
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

/* 16 floats to one: of their halves, quarters, ... the sums (vf_fold_add) or the larger ones
 * (vf_fold_max). */
#define TESS_FOLDED (16 / TESS_LANES)
#if defined(TESS_ISA_AVX512) || defined(TESS_ISA_AVX2)
/* Without a detour through memory, which the vectors would then live in. */
static inline __m256 vf_half(const vf v[TESS_FOLDED], int i)
{
#if defined(TESS_ISA_AVX512)
    return i ? _mm512_extractf32x8_ps((__m512)*v, 1) : _mm512_castps512_ps256((__m512)*v);
#else
    return (__m256)v[i];
#endif
}

#define TESS_FOLD(OP, EXPRESSION)                                                                  \
    static inline float vf_fold_##OP(const vf v[TESS_FOLDED])                                      \
    {                                                                                              \
        __m256 a = _mm256_##OP##_ps(vf_half(v, 0), vf_half(v, 1));                                 \
        __m128 b = _mm_##OP##_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));          \
        b = _mm_##OP##_ps(b, _mm_movehl_ps(b, b));                                                 \
        return _mm_cvtss_f32(_mm_##OP##_ss(b, _mm_movehdup_ps(b)));                                \
    }
#else
#define TESS_FOLD(OP, EXPRESSION)                                                                  \
    static inline float vf_fold_##OP(const vf v[TESS_FOLDED])                                      \
    {                                                                                              \
        float s[16];                                                                               \
        memcpy(s, v, sizeof s);                                                                    \
        for (int half = 8; half > 0; half /= 2)                                                    \
            for (int i = 0; i < half; i++)                                                         \
                s[i] = EXPRESSION;                                                                 \
        return s[0];                                                                               \
    }
#endif
TESS_FOLD(add, s[i] + s[i + half])
TESS_FOLD(max, s[i] < s[i + half] ? s[i + half] : s[i])
#undef TESS_FOLD

/* How many integers each lane holds side by side for vi_dot. */
#if defined(TESS_ISA_AVX512)
#define TESS_DOT 4 /* unsigned bytes in x, signed ones in w */
#else
#define TESS_DOT 2 /* of 16 bits */
#endif

/* acc + the sum of a lane's products x w. The 512-bit one is a set of its own, VNNI, which only some
 * sources are compiled for. */
#if !defined(TESS_ISA_AVX512) || defined(__AVX512VNNI__)
static inline vi vi_dot(vi acc, vi x, vi w)
{
#if defined(TESS_ISA_AVX512)
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
#elif defined(TESS_ISA_AVX2)
    /* Not with '+': gcc's overflow sanitizer would take it apart, lane by lane. */
    return (vi)_mm256_add_epi32((__m256i)acc, _mm256_madd_epi16((__m256i)x, (__m256i)w));
#elif defined(TESS_ISA_NEON)
    int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)x), vget_low_s16((int16x8_t)w));
    return acc + (vi)vpaddq_s32(low, vmull_high_s16((int16x8_t)x, (int16x8_t)w));
#else
    return acc + (int16_t)x * (int16_t)w + (int16_t)(x >> 16) * (int16_t)(w >> 16);
#endif
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
