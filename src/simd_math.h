/* Element functions of one vector: our own polynomials, not libm's, so that every CPU and every
 * vector width gives the same bits. Coefficients: minimax fits on the reduced ranges, as in
 * Moshier's Cephes single-precision library. Errors were measured over all floats of the ranges
 * named (tests/test_ops.c holds them on a part). */
#ifndef TESS_SIMD_MATH_H
#define TESS_SIMD_MATH_H

#include "src/simd.h"

/* e^x for x in [-87, 88], clamped outside; 1.02 ulp. */
static inline vf vf_exp(vf x)
{
    x = vf_min(vf_max(x, vf_set(-87.0f)), vf_set(88.0f));
    vf scaled = x * vf_set(1.44269504f);
    vf n = vf_round(scaled);
    vf r = vf_fma(n, vf_set(-0.693359375f), x); /* ln 2 in two parts, the first of 10 bits */
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    p = vf_fma(p, r * r, r) + vf_set(1.0f);
    return p * vi_floats(vi_shift_up(vf_round_int(scaled) + vi_set(127), 23));
}

/* ln x for a normal x > 0; 0.85 ulp. */
static inline vf vf_log(vf x)
{
    /* x = m 2^e with m in [sqrt(1/2), sqrt 2) */
    vi bits = vf_bits(x) - vi_set(0x3F3504F3);
    vf e = vi_to_vf(bits >> 23);
    vf r = vi_floats((bits & vi_set(0x007FFFFF)) + vi_set(0x3F3504F3)) - vf_set(1.0f);
    vf p = vf_set(7.0376836292e-2f);
    p = vf_fma(p, r, vf_set(-1.1514610310e-1f));
    p = vf_fma(p, r, vf_set(1.1676998740e-1f));
    p = vf_fma(p, r, vf_set(-1.2420140846e-1f));
    p = vf_fma(p, r, vf_set(1.4249322787e-1f));
    p = vf_fma(p, r, vf_set(-1.6668057665e-1f));
    p = vf_fma(p, r, vf_set(2.0000714765e-1f));
    p = vf_fma(p, r, vf_set(-2.4999993993e-1f));
    p = vf_fma(p, r, vf_set(3.3333331174e-1f));
    vf square = r * r;
    p = vf_fma(p * r, square, e * vf_set(-2.12194440e-4f));
    p = vf_fma(square, vf_set(-0.5f), p);
    return vf_fma(e, vf_set(0.693359375f), r + p);
}

/* sin x and cos x; absolute error 1.25e-7 for |x| <= 2^20 (beyond, x is clamped: finite, no
 * promise). */
static inline void vf_sincos(vf x, vf *sine, vf *cosine)
{
    x = vf_min(vf_max(x, vf_set(-0x1p20f)), vf_set(0x1p20f));
    vf scaled = x * vf_set(0.636619772f);
    vf n = vf_round(scaled);
    vi quadrant = vf_round_int(scaled);
    /* pi/2 in three parts. The first product cancels x exactly (both are multiples of the same
     * power of two), so what is lost is the rounding of the two corrections. */
    vf r = vf_fma(n, vf_set(-0x1.921fb6p+0f), x);
    r = vf_fma(n, vf_set(0x1.777a5cp-25f), r);
    r = vf_fma(n, vf_set(0x1.ee59dap-50f), r);
    vf square = r * r;
    vf s = vf_set(-1.9515295891e-4f);
    s = vf_fma(s, square, vf_set(8.3321608736e-3f));
    s = vf_fma(s, square, vf_set(-1.6666654611e-1f));
    s = vf_fma(s * square, r, r);
    vf c = vf_set(2.443315711809948e-5f);
    c = vf_fma(c, square, vf_set(-1.388731625493765e-3f));
    c = vf_fma(c, square, vf_set(4.166664568298827e-2f));
    c = vf_fma(c * square, square, vf_fma(square, vf_set(-0.5f), vf_set(1.0f)));
    /* An odd quadrant swaps them; bits 1 of n and of n + 1 give the signs. */
    vi odd = -(quadrant & vi_set(1));
    vi sine_sign = vi_shift_up(quadrant & vi_set(2), 30);
    vi cosine_sign = vi_shift_up((quadrant + vi_set(1)) & vi_set(2), 30);
    *sine = vi_floats(vf_bits(vf_select(odd, c, s)) ^ sine_sign);
    *cosine = vi_floats(vf_bits(vf_select(odd, s, c)) ^ cosine_sign);
}

/* 1 / (1 + e^-x); absolute error 1.8e-7. */
static inline vf vf_sigmoid(vf x)
{
    return vf_set(1.0f) / (vf_set(1.0f) + vf_exp(-x));
}

/* tanh x = 1 - 2 / (1 + e^2x) for large |x|, an odd polynomial near 0, where that would cancel;
 * absolute error 1.8e-7. */
static inline vf vf_tanh(vf x)
{
    vf square = x * x;
    vf p = vf_set(-5.70498872745e-3f);
    p = vf_fma(p, square, vf_set(2.06390887954e-2f));
    p = vf_fma(p, square, vf_set(-5.37397155531e-2f));
    p = vf_fma(p, square, vf_set(1.33314422036e-1f));
    p = vf_fma(p, square, vf_set(-3.33332819422e-1f));
    vf near = vf_fma(p * square, x, x);
    vf far = vf_set(1.0f) - vf_set(2.0f) / (vf_set(1.0f) + vf_exp(x + x));
    return vf_select(vf_less(square, vf_set(0.390625f)), near, far);
}

/* GELU, tanh form: 0.5 x (1 + tanh u) = x / (1 + e^(-2u)), u = 0.7978845608 (x + 0.044715 x^3);
 * absolute error 1.25e-7 |x|. */
static inline vf vf_gelu_tanh(vf x)
{
    vf u = vf_fma(x * x, vf_set(-0.07135481283f), vf_set(-1.5957691216f)) * x;
    return x / (vf_set(1.0f) + vf_exp(u));
}

/* erf x: a polynomial below 1, the tail e^-x^2 / x times one of 1 / x^2 above; absolute error
 * 2e-7. */
static inline vf vf_erf(vf x)
{
    vf size = vf_max(x, -x), square = x * x;
    vf p = vf_set(7.853861353153693e-5f);
    p = vf_fma(p, square, vf_set(-8.010193625184903e-4f));
    p = vf_fma(p, square, vf_set(5.188327685732524e-3f));
    p = vf_fma(p, square, vf_set(-2.685381193529856e-2f));
    p = vf_fma(p, square, vf_set(1.128358514861418e-1f));
    p = vf_fma(p, square, vf_set(-3.761262582423300e-1f));
    p = vf_fma(p, square, vf_set(1.128379165726710e+0f));
    vf z = vf_set(1.0f) / vf_max(size, vf_set(1.0f)), w = z * z;
    vf q = vf_set(2.326819970068386e-2f); /* 1 <= size < 2 */
    q = vf_fma(q, w, vf_set(-1.387039388740657e-1f));
    q = vf_fma(q, w, vf_set(3.687424674597105e-1f));
    q = vf_fma(q, w, vf_set(-5.824733027278666e-1f));
    q = vf_fma(q, w, vf_set(6.210004621745983e-1f));
    q = vf_fma(q, w, vf_set(-4.944515323274145e-1f));
    q = vf_fma(q, w, vf_set(3.404879937665872e-1f));
    q = vf_fma(q, w, vf_set(-2.741127028184656e-1f));
    q = vf_fma(q, w, vf_set(5.638259427386472e-1f));
    vf r = vf_set(-1.047766399936249e+1f); /* size >= 2 */
    r = vf_fma(r, w, vf_set(1.297719955372516e+1f));
    r = vf_fma(r, w, vf_set(-7.495518717768503e+0f));
    r = vf_fma(r, w, vf_set(2.921019019210786e+0f));
    r = vf_fma(r, w, vf_set(-1.015265279202700e+0f));
    r = vf_fma(r, w, vf_set(4.218463358204948e-1f));
    r = vf_fma(r, w, vf_set(-2.820767439740514e-1f));
    r = vf_fma(r, w, vf_set(5.641895067754075e-1f));
    vf tail = vf_select(vf_less(size, vf_set(2.0f)), q, r) * z * vf_exp(-square);
    vf far = vf_set(1.0f) - tail;
    far = vf_select(vf_less(x, vf_set(0.0f)), -far, far);
    return vf_select(vf_less(size, vf_set(1.0f)), p * x, far);
}

static inline vf vf_gelu_erf(vf x)
{
    vf half = vf_set(0.5f) * x;
    return vf_fma(half, vf_erf(x * vf_set(0.707106781f)), half);
}

#endif
