/* What the operators mean, in plain C: the tests' truth for the kernels. Where a sum has a fixed
 * order the bits are the definition; element functions are libm's in double. */
#include "src/ops.h"

#include <math.h>

static void depthwise(
    const float *const *in, int k, const float *w, const float *bias, float *out, int channels)
{
    for (int c = 0; c < channels; c++) {
        out[c] = bias[c];
        for (int i = 0; i < k; i++)
            out[c] = fmaf(w[i * channels + c], in[i][c], out[c]);
    }
}

static float fold(float sums[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

static void
norm(const float *x, const float *scale, const float *shift, float eps, float *out, int channels)
{
    float sums[16] = {0}, squares[16] = {0};
    for (int c = 0; c < channels; c++)
        sums[c % 16] += x[c];
    float mean = fold(sums) / (float)channels;
    for (int c = 0; c < channels; c++)
        squares[c % 16] = fmaf(x[c] - mean, x[c] - mean, squares[c % 16]);
    float rate = 1.0f / sqrtf(fold(squares) / (float)channels + eps);
    for (int c = 0; c < channels; c++)
        out[c] = fmaf((x[c] - mean) * rate, scale[c], shift[c]);
}

static void gelu(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        double v = (double)x[i];
        out[i] = (float)(0.5 * v * (1.0 + tanh(0.7978845608 * (v + 0.044715 * v * v * v))));
    }
}

static void scaled_add(const float *h, const float *gain, const float *y, float *out, int channels)
{
    for (int c = 0; c < channels; c++)
        out[c] = fmaf(gain[c], y[c], h[c]);
}

static void gelu_erf(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)(0.5 * (double)x[i] * (1.0 + erf((double)x[i] / sqrt(2.0))));
}

static void hyperbolic_tangent(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)tanh((double)x[i]);
}

static void leaky_relu(const float *x, float slope, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}

static void scale(const float *x, float factor, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = factor * x[i];
}

static void clamp(const float *x, float limit, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = x[i] < -limit ? -limit : x[i] > limit ? limit : x[i];
}

static void
snake(const float *x, const float *frequency, const float *gain, float *out, int channels)
{
    for (int c = 0; c < channels; c++) {
        double sine = sin((double)(frequency[c] * x[c])); /* the product is rounded first */
        out[c] = (float)((double)x[c] + (double)gain[c] * sine * sine);
    }
}

static void rotate(const float *x, const float *angle, int n_heads, int dim, float *out)
{
    for (int h = 0; h < n_heads; h++)
        for (int j = 0; j < dim / 2; j++) {
            double a = (double)x[h * dim + 2 * j], b = (double)x[h * dim + 2 * j + 1];
            double c = cos((double)angle[j]), s = sin((double)angle[j]);
            out[h * dim + 2 * j] = (float)(a * c - b * s);
            out[h * dim + 2 * j + 1] = (float)(a * s + b * c);
        }
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
    for (int h = 0; h < n_heads; h++) {
        double most = -HUGE_VAL, sum = 0.0;
        for (int s = 0; s < n_keys; s++) {
            double product = 0.0;
            for (int c = 0; c < dim; c++)
                product += (double)q[h * dim + c] * (double)keys[s * stride + h * dim + c];
            weights[s] = (float)(product / sqrt((double)dim));
            most = fmax(most, (double)weights[s]);
        }
        for (int s = 0; s < n_keys; s++)
            sum += exp((double)weights[s] - most);
        for (int c = 0; c < dim; c++) {
            double value = 0.0;
            for (int s = 0; s < n_keys; s++)
                value += exp((double)weights[s] - most) * (double)values[s * stride + h * dim + c];
            out[h * dim + c] = (float)(value / sum);
        }
    }
}

static void elu(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = x[i] > 0.0f ? x[i] : (float)expm1((double)x[i]);
}

static void add(const float *a, const float *b, float *out, int channels)
{
    for (int c = 0; c < channels; c++)
        out[c] = a[c] + b[c];
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void lstm(const float *from_x, const float *from_h, float *c, float *h, int channels)
{
    for (int i = 0; i < channels; i++) {
        double gate[4];
        for (int g = 0; g < 4; g++)
            gate[g] = (double)from_x[g * channels + i] + (double)from_h[g * channels + i];
        double cell = sigmoid(gate[1]) * (double)c[i] + sigmoid(gate[0]) * tanh(gate[2]);
        c[i] = (float)cell;
        h[i] = (float)(sigmoid(gate[3]) * tanh(cell));
    }
}

static double tame(float x)
{
    double size = fmin(fabs((double)x), 1e15);
    return size < 1e-30 ? 0.0 : copysign(size, (double)x);
}

static void log_phase(const float *spectrum, int n_bins, int n_phase, float *out)
{
    for (int f = 0; f < n_bins; f++) {
        double re = tame(spectrum[f]), im = tame(spectrum[n_bins + f]);
        double size = fmax(hypot(re, im), 1e-5);
        out[f] = (float)((log(size) + 4.0) / 3.0);
        if (f >= n_phase) continue;
        out[n_bins + f] = (float)(re * pow(size, -0.7));
        out[n_bins + n_phase + f] = (float)(im * pow(size, -0.7));
    }
}

static void polar(const float *o, int n_bins, float most, float *out)
{
    for (int f = 0; f < n_bins; f++) {
        double size = exp(fmax(fmin((double)o[f], (double)most), -60.0)), p = (double)o[n_bins + f];
        out[f] = (float)(size * cos(p));
        out[n_bins + f] = (float)(size * sin(p));
    }
}

const struct tess_ops *tess_ops_ref(void)
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
