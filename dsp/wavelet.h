/* One level of a wavelet packet transform and its inverse: each channel is split into a low and a
 * high band at half the rate, and joined again. The wavelet is the biorthogonal CDF 9/7 (Cohen,
 * Daubechies, Feauveau 1992) scaled so that both low passes sum to sqrt 2. Signals are circular: a
 * clip of an even number of steps joins to exactly what was split, but for rounding.
 *
 * Sums are of floats, in the order of the source, eight numbers of nearly the same size at most: what
 * they round off is far below what a code can tell. The same bits on every CPU. None can fail or
 * allocate; any thread. In and out are different buffers. */
#ifndef TESS_WAVELET_H
#define TESS_WAVELET_H

/** Rows from..to of out [N / 2][2 C], of in [N][C]: channel c becomes 2 c, low, and 2 c + 1, high. N is
 *  even. `out` is row `from`. */
void tess_wavelet_split(const float *in, int n, int channels, int from, int to, float *out);

/** Rows from..to of out [2 N][C], of in [N][2 C]. `out` is row `from`. */
void tess_wavelet_join(const float *in, int n, int channels, int from, int to, float *out);

#endif
