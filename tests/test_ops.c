/* The operators of every kernel of this CPU against their plain twins: the same bits where the
 * definition has them, else within a measured distance and the same bits at every kernel. */
#include "src/ops.h"
#include "tests/check.h"
#include "tests/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 481, N_EXTREMES = 9 };

/* Channels 1..40 are every tail of every vector width; the last two are the model's. */
static int channels_of(int i)
{
    return i < 40 ? i + 1 : i == 40 ? 256 : MOST;
}
enum { N_CHANNELS = 42 };

static const float extremes[N_EXTREMES] = {0.0f,       -0.0f,       1e38f,      -1e38f, 0x1p-149f,
                                           -0x1p-149f, 0x1.8p-130f, -0x1p-126f, 1e-30f};

static float *floats(int n)
{
    float *p = malloc((size_t)n * sizeof *p);
    assert_non_null(p);
    return p;
}

static float *random_floats(int n, float size, uint64_t seed)
{
    float *p = floats(n);
    for (int i = 0; i < n; i++)
        p[i] = size * random_float(&seed);
    return p;
}

/* Calls check(ops, channels) at every kernel and number of channels. */
static void each_kernel(void (*check)(const struct tess_ops *ops, int channels))
{
    for (int i = 0; tess_kernel_name(i); i++)
        for (int c = 0; c < N_CHANNELS; c++)
            check(tess_ops((enum tess_isa)tess_base_isa(tess_kernel_name(i))), channels_of(c));
}

/* ---- operators with bits of their own ---------------------------------------------------------- */

static void depthwise(const struct tess_ops *ops, int channels)
{
    static const int kernels[] = {1, 2, 7, TESS_MAX_KERNEL};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const int k = kernels[i];
        float *rows = random_floats(k * channels, 1.0f, (uint64_t)channels);
        float *w = random_floats(k * channels, 1.0f, 2), *bias = random_floats(channels, 1.0f, 3);
        float *got = floats(channels), *want = floats(channels);
        const float *in[TESS_MAX_KERNEL];
        for (int r = 0; r < k; r++)
            in[r] = rows + (r * 5 % k) * channels; /* in no order */
        for (int c = 0; c < channels; c += 3)
            rows[c] = extremes[c % N_EXTREMES];
        ops->depthwise(in, k, w, bias, got, channels);
        tess_ops_ref()->depthwise(in, k, w, bias, want, channels);
        assert_memory_equal(got, want, (size_t)channels * sizeof *got);
        free(rows);
        free(w);
        free(bias);
        free(got);
        free(want);
    }
}

/* Out of place and in place. */
static void compare_norm(const struct tess_ops *ops, float *x, int channels)
{
    float *scale = random_floats(channels, 2.0f, 4), *shift = random_floats(channels, 2.0f, 5);
    float *got = floats(channels), *want = floats(channels);
    tess_ops_ref()->norm(x, scale, shift, 1e-6f, want, channels);
    ops->norm(x, scale, shift, 1e-6f, got, channels);
    assert_memory_equal(got, want, (size_t)channels * sizeof *got);
    for (int c = 0; c < channels; c++)
        assert_true(isfinite(got[c]));
    ops->norm(x, scale, shift, 1e-6f, x, channels);
    assert_memory_equal(x, want, (size_t)channels * sizeof *x);
    free(scale);
    free(shift);
    free(got);
    free(want);
}

static void norm(const struct tess_ops *ops, int channels)
{
    float *x = random_floats(channels, 10.0f, (uint64_t)channels);
    for (int c = 0; c < channels; c++)
        x[c] += 3.0f; /* a mean that a wrong tail would square */
    compare_norm(ops, x, channels);
    for (int c = 0; c < channels; c++)
        x[c] = 5.0f;
    compare_norm(ops, x, channels);
    for (int c = 0; c < channels; c++)
        x[c] = extremes[4 + c % 4]; /* subnormal */
    compare_norm(ops, x, channels);
    for (int c = 0; c < channels; c++)
        x[c] = c == channels / 2 ? -1e38f : 1.0f;
    compare_norm(ops, x, channels); /* its square is infinite, its result is not */
    free(x);
}

static void scaled_add(const struct tess_ops *ops, int channels)
{
    float *h = random_floats(channels, 1.0f, (uint64_t)channels);
    float *gain = random_floats(channels, 1.0f, 6), *y = random_floats(channels, 1.0f, 7);
    float *want = floats(channels);
    for (int c = 0; c < channels; c += 2)
        y[c] = extremes[c % N_EXTREMES];
    tess_ops_ref()->scaled_add(h, gain, y, want, channels);
    ops->scaled_add(h, gain, y, h, channels);
    assert_memory_equal(h, want, (size_t)channels * sizeof *h);
    free(h);
    free(gain);
    free(y);
    free(want);
}

static void add(const struct tess_ops *ops, int channels)
{
    float *a = random_floats(channels, 1.0f, (uint64_t)channels);
    float *b = random_floats(channels, 1.0f, 8), *want = floats(channels);
    tess_ops_ref()->add(a, b, want, channels);
    ops->add(a, b, b, channels);
    assert_memory_equal(b, want, (size_t)channels * sizeof *b);
    free(a);
    free(b);
    free(want);
}

static void test_add(void **state)
{
    (void)state;
    each_kernel(add);
}

static void clamp(const struct tess_ops *ops, int n)
{
    float *x = random_floats(n, 1.0f, (uint64_t)n), *want = floats(n);
    for (int i = 0; i < n; i += 3)
        x[i] = i % 2 ? extremes[i % N_EXTREMES] : 0.5f;
    tess_ops_ref()->clamp(x, 0.5f, want, n);
    ops->clamp(x, 0.5f, x, n);
    assert_memory_equal(x, want, (size_t)n * sizeof *x);
    free(x);
    free(want);
}

static void test_clamp(void **state)
{
    (void)state;
    each_kernel(clamp);
}

static void test_depthwise(void **state)
{
    (void)state;
    each_kernel(depthwise);
}

static void test_norm(void **state)
{
    (void)state;
    each_kernel(norm);
}

static void test_scaled_add(void **state)
{
    (void)state;
    each_kernel(scaled_add);
}

/* ---- operators that approximate ---------------------------------------------------------------- */

static void is_near(float got, float want, double tolerance)
{
    double off = fabs((double)got - (double)want);
    if (off <= tolerance) return; /* never for a NaN */
    fail_msg("%a instead of %a: %g off, %g allowed", (double)got, (double)want, off, tolerance);
}

/* The kernels' and the scalar kernel's values must be the same bits. */
static void check_same(const float *got, const float *scalar, int n)
{
    assert_memory_equal(got, scalar, (size_t)n * sizeof *got);
}

/* Numbers of every size, both signs. */
static float *spread(int n, float largest, uint64_t seed)
{
    float *x = floats(n);
    for (int i = 0; i < n; i++) {
        x[i] =
            ldexpf(random_float(&seed), random_below(&seed, 2) ? 0 : random_below(&seed, 60) - 40);
        if (i % 5 == 4) x[i] = extremes[i / 5 % N_EXTREMES];
        x[i] = fmaxf(fminf(x[i], largest), -largest);
    }
    return x;
}

/* What simd_math.h promises of each function; the roundings around it are added where there are any. */
static double gelu_off(double x)
{
    return 1.25e-7 * fabs(x) + 0x1p-149;
}

/* Half of what erf is off and the last rounding: 1.12e-7 |x| at most, measured over floats of every
 * exponent. */
static double gelu_erf_off(double x)
{
    return 1.25e-7 * fabs(x) + 0x1p-149;
}

/* e^x, at most 1, is off by 1.02 ulp, 2^-24, of it; the difference rounds once more. */
static double elu_off(double x)
{
    return x > 0.0 ? 0.0 : 1.3e-7;
}

static double tanh_off(double x)
{
    (void)x;
    return 1.8e-7 + 0x1p-25; /* the twin is rounded too */
}

static double nothing(double x)
{
    (void)x;
    return 0.0;
}

static void call_gelu(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->gelu(x, out, n);
}

static void call_gelu_erf(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->gelu_erf(x, out, n);
}

static void call_elu(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->elu(x, out, n);
}

static void call_tanh(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->tanh(x, out, n);
}

static void call_leaky_relu(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->leaky_relu(x, 0.1f, out, n);
}

static void call_scale(const struct tess_ops *ops, const float *x, float *out, int n)
{
    ops->scale(x, 1.0f / 3.0f, out, n);
}

/* Operators that look at one value. */
static const struct {
    void (*call)(const struct tess_ops *ops, const float *x, float *out, int n);
    double (*off)(double x);
} elements[] = {
    {call_gelu,       gelu_off    },
    {call_gelu_erf,   gelu_erf_off},
    {call_elu,        elu_off     },
    {call_tanh,       tanh_off    },
    {call_leaky_relu, nothing     },
    {call_scale,      nothing     },
};

static void each_element(const struct tess_ops *ops, int n)
{
    for (size_t e = 0; e < sizeof elements / sizeof *elements; e++) {
        float *x = spread(n, 1e38f, (uint64_t)n);
        float *got = floats(n), *scalar = floats(n), *want = floats(n);
        for (int i = 0; i < n; i += 2)
            x[i] = fmaxf(fminf(8.0f * x[i], 1e38f), -1e38f);
        elements[e].call(ops, x, got, n);
        elements[e].call(tess_ops(TESS_SCALAR), x, scalar, n);
        elements[e].call(tess_ops_ref(), x, want, n);
        check_same(got, scalar, n);
        for (int i = 0; i < n; i++)
            is_near(got[i], want[i], elements[e].off((double)x[i]));
        elements[e].call(ops, x, x, n); /* in place */
        check_same(x, scalar, n);
        free(x);
        free(got);
        free(scalar);
        free(want);
    }
}

static void test_elements(void **state)
{
    (void)state;
    each_kernel(each_element);
}

/* Pairs of one head or more, turned by small angles and large ones: each of the two products has a
 * sine's 1.25e-7 of its factor, at most 1, and they round twice. In place too. */
static void rotate(const struct tess_ops *ops, int half)
{
    static const float sizes[] = {0.0f, 1.0f, 250.0f, 100000.0f};
    enum { HEADS = 3 };
    const int dim = 2 * half, n = HEADS * dim;
    float *got = floats(n), *scalar = floats(n), *want = floats(n);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *x = random_floats(n, 1.0f, (uint64_t)half);
        float *angle = random_floats(half, sizes[i], 11);
        ops->rotate(x, angle, HEADS, dim, got);
        tess_ops(TESS_SCALAR)->rotate(x, angle, HEADS, dim, scalar);
        tess_ops_ref()->rotate(x, angle, HEADS, dim, want);
        check_same(got, scalar, n);
        for (int j = 0; j < n; j++)
            is_near(got[j], want[j], 2 * 1.25e-7 + 2 * 0x1p-24);
        ops->rotate(x, angle, HEADS, dim, x);
        check_same(x, scalar, n);
        free(x);
        free(angle);
    }
    free(got);
    free(scalar);
    free(want);
}

static void test_rotate(void **state)
{
    (void)state;
    each_kernel(rotate);
}

/* Values within +-1 are averaged: weights off by a part of themselves (e^x's 1.2e-7, a score's
 * roundings), which cancel in part. 1.94e-7 at most, measured over 20,000 such draws. */
static void attend(const struct tess_ops *ops, int dim)
{
    static const int keys[] = {1, 2, 17, 250};
    enum { HEADS = 2, MOST_KEYS = 250 };
    const int width = HEADS * dim, stride = 2 * width;
    float *q = random_floats(width, 1.0f, (uint64_t)dim);
    float *ring = random_floats(MOST_KEYS * stride, 1.0f, 12), weights[MOST_KEYS];
    float *got = floats(width), *scalar = floats(width), *want = floats(width);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const int n = keys[i];
        ops->attend(q, ring, ring + width, n, stride, HEADS, dim, weights, got);
        tess_ops(TESS_SCALAR)
            ->attend(q, ring, ring + width, n, stride, HEADS, dim, weights, scalar);
        tess_ops_ref()->attend(q, ring, ring + width, n, stride, HEADS, dim, weights, want);
        check_same(got, scalar, width);
        for (int j = 0; j < width; j++)
            is_near(got[j], want[j], 3e-7);
    }
    free(q);
    free(ring);
    free(got);
    free(scalar);
    free(want);
}

static void test_attend(void **state)
{
    (void)state;
    each_kernel(attend);
}

/* A sine within 1.25e-7 squares to within 2.5e-7, times a gain up to 4; then two roundings. */
static void snake(const struct tess_ops *ops, int n)
{
    float *x = spread(n, 100.0f, (uint64_t)n);
    float *frequency = random_floats(n, 8.0f, 9), *gain = random_floats(n, 4.0f, 10);
    float *got = floats(n), *scalar = floats(n), *want = floats(n);
    ops->snake(x, frequency, gain, got, n);
    tess_ops(TESS_SCALAR)->snake(x, frequency, gain, scalar, n);
    tess_ops_ref()->snake(x, frequency, gain, want, n);
    check_same(got, scalar, n);
    for (int i = 0; i < n; i++)
        is_near(got[i], want[i], 1.3e-6 + 0x1p-23 * fabs((double)want[i]));
    ops->snake(x, frequency, gain, x, n); /* in place */
    check_same(x, scalar, n);
    free(x);
    free(frequency);
    free(gain);
    free(got);
    free(scalar);
    free(want);
}

static void test_snake(void **state)
{
    (void)state;
    each_kernel(snake);
}

/* Gates within +-10, cells within +-2: a sigmoid is exact to 2e-7, a tanh (its argument's rounding
 * included) to 3e-7, so the cell to (2 + 1) 3e-7 and the output, whose slope is 1, to 1.2e-6. */
static void lstm(const struct tess_ops *ops, int n)
{
    float *x = random_floats(4 * n, 5.0f, (uint64_t)n), *h = random_floats(4 * n, 5.0f, 9);
    float *cells[3], *outputs[3];
    const struct tess_ops *kinds[] = {ops, tess_ops(TESS_SCALAR), tess_ops_ref()};
    for (int i = 0; i < 3; i++) {
        cells[i] = random_floats(n, 2.0f, 10);
        outputs[i] = floats(n);
        kinds[i]->lstm(x, h, cells[i], outputs[i], n);
    }
    check_same(cells[0], cells[1], n);
    check_same(outputs[0], outputs[1], n);
    for (int i = 0; i < n; i++) {
        is_near(cells[0][i], cells[2][i], 9e-7);
        is_near(outputs[0][i], outputs[2][i], 1.2e-6);
    }
    for (int i = 0; i < 3; i++) {
        free(cells[i]);
        free(outputs[i]);
    }
    free(x);
    free(h);
}

static void test_lstm(void **state)
{
    (void)state;
    each_kernel(lstm);
}

/* e is exact to 1.25e-7 and, times its size, the angle to 1.25e-7; their product rounds once more:
 * 2^-24, in all 3.1e-7 of the magnitude. */
static void polar(const struct tess_ops *ops, int n)
{
    float *o = floats(2 * n), *got = floats(2 * n), *scalar = floats(2 * n), *want = floats(2 * n);
    uint64_t seed = (uint64_t)n;
    for (int f = 0; f < n; f++) {
        o[f] = random_float(&seed) * (f % 2 ? 8.0f : 80.0f);
        o[n + f] = ldexpf(random_float(&seed), random_below(&seed, 41) - 20);
        if (f % 7 == 6) o[f] = extremes[f / 7 % N_EXTREMES];
    }
    ops->polar(o, n, 6.0f, got);
    tess_ops(TESS_SCALAR)->polar(o, n, 6.0f, scalar);
    tess_ops_ref()->polar(o, n, 6.0f, want);
    check_same(got, scalar, 2 * n);
    for (int f = 0; f < n; f++) {
        double size = hypot((double)want[f], (double)want[n + f]);
        is_near(got[f], want[f], 3.1e-7 * size);
        is_near(got[n + f], want[n + f], 3.1e-7 * size);
    }
    for (int f = 0; f < n; f++)
        o[n + f] = extremes[f % N_EXTREMES]; /* no promise but finite */
    ops->polar(o, n, 6.0f, got);
    tess_ops(TESS_SCALAR)->polar(o, n, 6.0f, scalar);
    check_same(got, scalar, 2 * n);
    for (int f = 0; f < 2 * n; f++)
        assert_true(fabsf(got[f]) <= 404.0f); /* e^6 = 403.4 */
    free(o);
    free(got);
    free(scalar);
    free(want);
}

/* How far roundings may carry, l being ln a. |S|^2 is off by two of 2^-24 and its logarithm, 2 l, by
 * 0.85 ulp more, so l by 6e-8 + 1.02e-7 |l|. A feature is a third of that and four roundings away, a
 * part 0.7 of that, 0.7 l's two roundings, e^x's 1.02 ulp and two roundings. */
static void compare_log_phase(const struct tess_ops *ops, const float *s, int n_bins, int n_phase)
{
    const int n = n_bins + 2 * n_phase;
    float *got = floats(n), *scalar = floats(n), *want = floats(n);
    ops->log_phase(s, n_bins, n_phase, got);
    tess_ops(TESS_SCALAR)->log_phase(s, n_bins, n_phase, scalar);
    tess_ops_ref()->log_phase(s, n_bins, n_phase, want);
    check_same(got, scalar, n);
    for (int f = 0; f < n_bins; f++) {
        double l = fabs(3.0 * (double)want[f] - 4.0);
        is_near(got[f], want[f], 2e-8 + 3.4e-8 * l + 2.4e-7 * fabs((double)want[f]));
        if (f >= n_phase) continue;
        for (int i = n_bins + f; i < n; i += n_phase)
            is_near(got[i], want[i], (2.9e-7 + 1.4e-7 * l) * fabs((double)want[i]));
    }
    free(got);
    free(scalar);
    free(want);
}

static void log_phase(const struct tess_ops *ops, int n_bins)
{
    float *s = spread(2 * n_bins, INFINITY, (uint64_t)n_bins);
    compare_log_phase(ops, s, n_bins, n_bins);
    compare_log_phase(ops, s, n_bins, (n_bins + 2) / 3);
    compare_log_phase(ops, s, n_bins, 1);
    free(s);
}

static void test_polar(void **state)
{
    (void)state;
    each_kernel(polar);
}

static void test_log_phase(void **state)
{
    (void)state;
    each_kernel(log_phase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depthwise),  cmocka_unit_test(test_norm),
        cmocka_unit_test(test_scaled_add), cmocka_unit_test(test_add),
        cmocka_unit_test(test_clamp),      cmocka_unit_test(test_elements),
        cmocka_unit_test(test_rotate),     cmocka_unit_test(test_attend),
        cmocka_unit_test(test_snake),      cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_polar),      cmocka_unit_test(test_log_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
