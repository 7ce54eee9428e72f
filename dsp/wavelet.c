/* Steps in, half as many with twice the channels out, and back. The filters are symmetric, so each is
 * its middle and one half; the low pass of one direction, with alternating signs, is the high pass of
 * the other. */
#include "dsp/wavelet.h"

#include <stddef.h>

enum { REACH = 4 }; /* steps on either side of a filter's middle */

static const float ANALYSIS[] = {0.8526986790088938f, 0.37740285561283066f, -0.11062440441843718f,
                                 -0.023849465019556843f, 0.03782845550726404f};
static const float SYNTHESIS[] = {0.7884856164055829f, 0.41809227322161724f, -0.0406894176091641f,
                                  -0.06453888262869706f};

/* The rows around row `middle` of [n][width], first [0] to [2 REACH], which go round in a circle. */
static void look_around(const float *in, int n, int width, int middle, const float **rows)
{
    int i = (middle - REACH) % n;
    if (i < 0) i += n;
    for (int j = 0; j <= 2 * REACH; j++) {
        rows[j] = in + (size_t)i * (size_t)width;
        if (++i == n) i = 0;
    }
}

void tess_wavelet_split(const float *in, int n, int channels, int from, int to, float *restrict out)
{
    const float *const a = ANALYSIS, *const s = SYNTHESIS;
    for (int t = from; t < to; t++, out += 2 * channels) {
        const float
            *x[2 * REACH + 1]; /* the low band's middle is step 2 t, the high band's 2 t + 1 */
        look_around(in, n, channels, 2 * t, x);
        for (int c = 0; c < channels; c++) {
            out[2 * c] = a[0] * x[4][c] + a[1] * (x[3][c] + x[5][c]) + a[2] * (x[2][c] + x[6][c]) +
                         a[3] * (x[1][c] + x[7][c]) + a[4] * (x[0][c] + x[8][c]);
            out[2 * c + 1] = s[1] * (x[4][c] + x[6][c]) - s[0] * x[5][c] -
                             s[2] * (x[3][c] + x[7][c]) + s[3] * (x[2][c] + x[8][c]);
        }
    }
}

void tess_wavelet_join(const float *in, int n, int channels, int from, int to, float *restrict out)
{
    const float *const a = ANALYSIS, *const s = SYNTHESIS;
    for (int t = from; t < to; t++, out += channels) {
        const float *x[2 * REACH + 1];
        look_around(in, n, 2 * channels, t / 2, x);
        if (t % 2 == 0)
            for (int c = 0, low = 0, high = 1; c < channels; c++, low += 2, high += 2)
                out[c] = s[0] * x[4][low] + s[2] * (x[3][low] + x[5][low]) +
                         a[1] * (x[3][high] + x[4][high]) + a[3] * (x[2][high] + x[5][high]);
        else
            for (int c = 0, low = 0, high = 1; c < channels; c++, low += 2, high += 2)
                out[c] = s[1] * (x[4][low] + x[5][low]) + s[3] * (x[3][low] + x[6][low]) -
                         a[0] * x[4][high] - a[2] * (x[3][high] + x[5][high]) -
                         a[4] * (x[2][high] + x[6][high]);
    }
}
