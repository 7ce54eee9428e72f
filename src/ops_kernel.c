/* The operators of ops.h, compiled once per instruction set: lanes over channels, no value of a
 * lane ever meeting another's but in norm's sums, whose order is fixed. */
#include "src/ops.h"
#include "src/simd_math.h"

const struct tess_ops *TESS_KERNEL(tess_ops_kernel)(void);

static void depthwise(
    const float *const *in, int k, const float *w, const float *bias, float *out, int channels)
{
    for (int c = 0; c < channels; c += TESS_LANES) {
        int n = channels - c;
        vf acc = vf_load_n(bias + c, n);
        for (int i = 0; i < k; i++)
            acc = vf_fma(vf_load_n(w + (size_t)i * (size_t)channels + c, n),
                         vf_load_n(in[i] + c, n), acc);
        vf_store_n(out + c, acc, n);
    }
}

enum { PARTS = 16, VECTORS = PARTS / TESS_LANES }; /* sums of channels c, c + 16, ... */

static void
norm(const float *x, const float *scale, const float *shift, float eps, float *out, int channels)
{
    const float count = (float)channels;
    vf sums[VECTORS] = {0};
    for (int c = 0; c < channels; c += PARTS)
        for (int v = 0; v < VECTORS; v++) {
            int at = c + v * TESS_LANES;
            sums[v] = sums[v] + vf_load_n(x + at, channels - at);
        }
    const vf mean = vf_set(vf_fold_add(sums) / count);
    vf squares[VECTORS] = {0};
    for (int c = 0; c < channels; c += PARTS)
        for (int v = 0; v < VECTORS; v++) {
            int at = c + v * TESS_LANES, n = channels - at;
            /* a lane past the end would add mean^2: it reads the mean instead of a channel */
            vf d = n >= TESS_LANES ? vf_load(x + at) - mean
                                   : vf_load_n(x + at, n) - vf_load_n((const float *)&mean, n);
            squares[v] = vf_fma(d, d, squares[v]);
        }
    const vf rate = vf_set(1.0f / sqrtf(vf_fold_add(squares) / count + eps));
    for (int c = 0; c < channels; c += TESS_LANES) {
        int n = channels - c;
        vf d = (vf_load_n(x + c, n) - mean) * rate;
        vf_store_n(out + c, vf_fma(d, vf_load_n(scale + c, n), vf_load_n(shift + c, n)), n);
    }
}

static void gelu(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES)
        vf_store_n(out + i, vf_gelu_tanh(vf_load_n(x + i, n - i)), n - i);
}

static void scaled_add(const float *h, const float *gain, const float *y, float *out, int channels)
{
    for (int c = 0; c < channels; c += TESS_LANES) {
        int n = channels - c;
        vf_store_n(out + c,
                   vf_fma(vf_load_n(gain + c, n), vf_load_n(y + c, n), vf_load_n(h + c, n)), n);
    }
}

static void gelu_erf(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES)
        vf_store_n(out + i, vf_gelu_erf(vf_load_n(x + i, n - i)), n - i);
}

static void hyperbolic_tangent(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES)
        vf_store_n(out + i, vf_tanh(vf_load_n(x + i, n - i)), n - i);
}

static void leaky_relu(const float *x, float slope, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES) {
        vf v = vf_load_n(x + i, n - i);
        vf_store_n(out + i, vf_select(vf_less(vf_set(0.0f), v), v, v * vf_set(slope)), n - i);
    }
}

static void scale(const float *x, float factor, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES)
        vf_store_n(out + i, vf_load_n(x + i, n - i) * vf_set(factor), n - i);
}

static void clamp(const float *x, float limit, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES)
        vf_store_n(out + i, vf_min(vf_max(vf_load_n(x + i, n - i), vf_set(-limit)), vf_set(limit)),
                   n - i);
}

static void
snake(const float *x, const float *frequency, const float *gain, float *out, int channels)
{
    for (int c = 0; c < channels; c += TESS_LANES) {
        const int n = channels - c;
        vf v = vf_load_n(x + c, n), sine, cosine;
        vf_sincos(vf_load_n(frequency + c, n) * v, &sine, &cosine);
        vf_store_n(out + c, vf_fma(vf_load_n(gain + c, n), sine * sine, v), n);
    }
}

static void rotate(const float *x, const float *angle, int n_heads, int dim, float *out)
{
    for (int j = 0; j < dim / 2; j += TESS_LANES) {
        vf sine, cosine;
        float s[TESS_LANES], c[TESS_LANES];
        vf_sincos(vf_load_n(angle + j, dim / 2 - j), &sine, &cosine);
        vf_store(s, sine);
        vf_store(c, cosine);
        for (int i = 0; i < TESS_LANES && j + i < dim / 2; i++)
            for (int h = 0; h < n_heads; h++) {
                const float *pair = x + h * dim + 2 * (j + i);
                float a = pair[0], b = pair[1];
                out[h * dim + 2 * (j + i)] = fmaf(a, c[i], -(b * s[i]));
                out[h * dim + 2 * (j + i) + 1] = fmaf(a, s[i], b * c[i]);
            }
    }
}

static float dot(const float *a, const float *b, int n)
{
    vf sums[VECTORS] = {0};
    for (int c = 0; c < n; c += PARTS)
        for (int v = 0; v < VECTORS; v++) {
            int at = c + v * TESS_LANES;
            sums[v] = vf_fma(vf_load_n(a + at, n - at), vf_load_n(b + at, n - at), sums[v]);
        }
    return vf_fold_add(sums);
}

static void attend(const float *q,
                   const float *keys,
                   const float *values,
                   int n_keys,
                   int stride,
                   int n_heads,
                   int dim,
                   float *weights,
                   float *out)
{
    const float inverse_root = 1.0f / sqrtf((float)dim);
    for (int h = 0; h < n_heads; h++) {
        float most = -INFINITY, sum = 0.0f;
        for (int s = 0; s < n_keys; s++) {
            weights[s] = dot(q + h * dim, keys + s * stride + h * dim, dim) * inverse_root;
            if (weights[s] > most) most = weights[s];
        }
        for (int s = 0; s < n_keys; s += TESS_LANES)
            vf_store_n(weights + s, vf_exp(vf_load_n(weights + s, n_keys - s) - vf_set(most)),
                       n_keys - s);
        for (int s = 0; s < n_keys; s++)
            sum += weights[s];
        for (int c = 0; c < dim; c += TESS_LANES) {
            vf acc = vf_set(0.0f);
            for (int s = 0; s < n_keys; s++)
                acc = vf_fma(vf_set(weights[s]),
                             vf_load_n(values + s * stride + h * dim + c, dim - c), acc);
            vf_store_n(out + h * dim + c, acc / vf_set(sum), dim - c);
        }
    }
}

static void elu(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i += TESS_LANES) {
        vf v = vf_load_n(x + i, n - i), zero = vf_set(0.0f);
        vf below = vf_exp(vf_min(v, zero)) - vf_set(1.0f);
        vf_store_n(out + i, vf_select(vf_less(zero, v), v, below), n - i);
    }
}

static void add(const float *a, const float *b, float *out, int channels)
{
    for (int c = 0; c < channels; c += TESS_LANES) {
        int n = channels - c;
        vf_store_n(out + c, vf_load_n(a + c, n) + vf_load_n(b + c, n), n);
    }
}

static void lstm(const float *from_x, const float *from_h, float *c, float *h, int channels)
{
    for (int i = 0; i < channels; i += TESS_LANES) {
        const int n = channels - i;
        vf gate[4];
        for (int g = 0; g < 4; g++)
            gate[g] =
                vf_load_n(from_x + g * channels + i, n) + vf_load_n(from_h + g * channels + i, n);
        vf keep = vf_sigmoid(gate[1]) * vf_load_n(c + i, n);
        vf cell = vf_fma(vf_sigmoid(gate[0]), vf_tanh(gate[2]), keep);
        vf_store_n(c + i, cell, n);
        vf_store_n(h + i, vf_sigmoid(gate[3]) * vf_tanh(cell), n);
    }
}

static inline vf tame(vf x)
{
    x = vf_min(vf_max(x, vf_set(-1e15f)), vf_set(1e15f));
    vf size = vf_max(x, -x);
    return vf_select(vf_less(size, vf_set(1e-30f)), vf_set(0.0f), x);
}

static void log_phase(const float *spectrum, int n_bins, int n_phase, float *out)
{
    for (int f = 0; f < n_bins; f += TESS_LANES) {
        int n = n_bins - f;
        vf re = tame(vf_load_n(spectrum + f, n)), im = tame(vf_load_n(spectrum + n_bins + f, n));
        vf power = vf_fma(re, re, im * im);
        vf log_size = vf_set(0.5f) * vf_log(vf_max(power, vf_set(1e-10f)));
        vf_store_n(out + f, (log_size + vf_set(4.0f)) * vf_set(1.0f / 3.0f), n);
        n = n_phase - f;
        if (n <= 0) continue;
        vf flat = vf_exp(log_size * vf_set(-0.7f));
        vf_store_n(out + n_bins + f, re * flat, n);
        vf_store_n(out + n_bins + n_phase + f, im * flat, n);
    }
}

static void polar(const float *o, int n_bins, float most, float *out)
{
    for (int f = 0; f < n_bins; f += TESS_LANES) {
        int n = n_bins - f;
        vf sine, cosine;
        vf_sincos(vf_load_n(o + n_bins + f, n), &sine, &cosine);
        vf size = vf_exp(vf_max(vf_min(vf_load_n(o + f, n), vf_set(most)), vf_set(-60.0f)));
        vf_store_n(out + f, size * cosine, n);
        vf_store_n(out + n_bins + f, size * sine, n);
    }
}

const struct tess_ops *TESS_KERNEL(tess_ops_kernel)(void)
{
    static const struct tess_ops ops = {
        .depthwise = depthwise,
        .norm = norm,
        .gelu = gelu,
        .gelu_erf = gelu_erf,
        .tanh = hyperbolic_tangent,
        .leaky_relu = leaky_relu,
        .scale = scale,
        .clamp = clamp,
        .snake = snake,
        .rotate = rotate,
        .attend = attend,
        .elu = elu,
        .add = add,
        .lstm = lstm,
        .scaled_add = scaled_add,
        .log_phase = log_phase,
        .polar = polar,
    };
    return &ops;
}
