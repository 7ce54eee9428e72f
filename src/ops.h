/* Operators on one row of channels at a time. Each exists once per instruction set (ops_kernel.c)
 * with the same bits, and as a plain C twin that says what it means (ops_ref.c). A row's result
 * depends on that row alone. None can fail or allocate; any thread. C is any number of channels;
 * in and out may be the same buffer unless noted. */
#ifndef TESS_OPS_H
#define TESS_OPS_H

#include "src/base.h"

enum { TESS_MAX_KERNEL = 64 }; /* taps of a depthwise convolution */

struct tess_ops {
    /** out[c] = acc, from acc = bias[c]; for i = 0..k-1: acc = fma(w[i][c], in_i[c], acc).
     *  in [k] points to the rows under the window, oldest first; w [k][C]. out is another buffer. */
    void (*depthwise)(
        const float *const *in, int k, const float *w, const float *bias, float *out, int channels);

    /** Layer norm over the channels, biased variance: (x - mean) / sqrt(var + eps) scale + shift.
     *  Sums go into 16 partial sums, channel c to sum c mod 16, which are then folded 8, 4, 2, 1.
     *  Source: arXiv:1607.06450, equation 3. */
    void (*norm)(const float *x,
                 const float *scale,
                 const float *shift,
                 float eps,
                 float *out,
                 int channels);

    /** GELU in its tanh form, n values. Source: arXiv:1606.08415, section 2. */
    void (*gelu)(const float *x, float *out, int n);

    /** GELU itself: x (1 + erf(x / sqrt 2)) / 2, n values. Source: arXiv:1606.08415, section 2. */
    void (*gelu_erf)(const float *x, float *out, int n);

    /** tanh x, n values. */
    void (*tanh)(const float *x, float *out, int n);

    /** x > 0 ? x : slope x, n values. */
    void (*leaky_relu)(const float *x, float slope, float *out, int n);

    /** factor x, n values. */
    void (*scale)(const float *x, float factor, float *out, int n);

    /** x cut to -limit..limit, n values. */
    void (*clamp)(const float *x, float limit, float *out, int n);

    /** out[c] = x[c] + gain[c] sin^2(frequency[c] x[c]). Source: arXiv:2006.08195, equation 3. */
    void (*snake)(
        const float *x, const float *frequency, const float *gain, float *out, int channels);

    /** Turns the pairs (2 j, 2 j + 1) of x [n_heads][dim] by angle[j], angle [dim / 2], of at most
     *  2^20. Source: RoFormer, arXiv:2104.09864, equation 34. */
    void (*rotate)(const float *x, const float *angle, int n_heads, int dim, float *out);

    /** One query's attention: softmax(q k / sqrt dim) v for each head. q and out [n_heads][dim];
     *  keys and values [n_keys], `stride` floats apart; weights: n_keys floats of scratch. Products
     *  are summed as in `norm`, weights and values in the order of the keys.
     *  Source: arXiv:1706.03762, equation 1. */
    void (*attend)(const float *q,
                   const float *keys,
                   const float *values,
                   int n_keys,
                   int stride,
                   int n_heads,
                   int dim,
                   float *weights,
                   float *out);

    /** x > 0 ? x : e^x - 1, n values. Source: arXiv:1511.07289, equation 15. */
    void (*elu)(const float *x, float *out, int n);

    /** out[c] = a[c] + b[c]. */
    void (*add)(const float *a, const float *b, float *out, int channels);

    /** One step of an LSTM: gates [4][C] (i, f, g, o) = from_x + from_h; c = sig(f) c + sig(i)
     *  tanh(g); h = sig(o) tanh(c). c and h [C] are updated in place. */
    void (*lstm)(const float *from_x, const float *from_h, float *c, float *h, int channels);

    /** out[c] = fma(gain[c], y[c], h[c]). */
    void (*scaled_add)(const float *h, const float *gain, const float *y, float *out, int channels);

    /** Spectrum S [2][n_bins] (real parts, imaginary parts) to n_bins + 2 n_phase features: with
     *  a = max(|S|, 1e-5), (ln a + 4) / 3 of every bin, then the real and the imaginary parts of
     *  S a^-0.7 of the first n_phase bins. Parts beyond +-1e15 count as that, below 1e-30 as 0, so
     *  that no finite sample overflows or meets a subnormal. out is another buffer. */
    void (*log_phase)(const float *spectrum, int n_bins, int n_phase, float *out);

    /** o [2 n_bins] to S [2][n_bins]: e^min(o[f], most) (cos p + i sin p), p = o[n_bins + f]. The
     *  magnitude is at least e^-60: no subnormals. out is another buffer. */
    void (*polar)(const float *o, int n_bins, float most, float *out);
};

/** The operators of an instruction set that this build has. */
const struct tess_ops *tess_ops(enum tess_isa isa);

/** The plain C twins. depthwise, norm, leaky_relu, scale, clamp, add and scaled_add give the kernels'
 *  bits; the others are computed in double with libm, which the kernels approximate
 *  (tests/test_ops.c). */
const struct tess_ops *tess_ops_ref(void);

#endif
