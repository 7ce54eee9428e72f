/* Linear layers in 8 bits at every kernel of this CPU, bit for bit against gemm8.h's definition. */
#include "src/gemm8.h"
#include "tests/product.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int8_t *bytes(size_t n)
{
    int8_t *p = malloc(n);
    assert_non_null(p);
    return p;
}

/* gemm8.h's formulas for row m, in plain C. */
static void plain_row(const struct tess_windows *rows,
                      int m,
                      const int8_t *w,
                      const float *scale,
                      const float *bias,
                      int n,
                      float *y)
{
    const int k = rows->taps * rows->width;
    int8_t *q = bytes((size_t)k);
    float *x = floats((size_t)k), max = 0.0f;
    for (int i = 0; i < k; i++) {
        x[i] = rows->x[(size_t)m * rows->row_stride + (size_t)(i / rows->width) * rows->tap_stride +
                       (size_t)(i % rows->width)];
        max = fmaxf(max, fabsf(x[i]));
    }
    const int silent = max <= TESS_INT8_SILENCE;
    for (int i = 0; i < k; i++)
        q[i] = silent ? 0 : (int8_t)lrintf(x[i] * (127.0f / max));
    for (int i = 0; i < n; i++) {
        int32_t acc = 0;
        for (int j = 0; j < k; j++)
            acc += q[j] * w[i * k + j];
        y[i] = fmaf((float)acc, (silent ? 0.0f : max / 127.0f) * scale[i], bias ? bias[i] : 0.0f);
    }
    free(q);
    free(x);
}

struct shape {
    int n, taps, width, row_stride, tap_stride, has_bias;
};

enum { MAX_ROWS = 110 }; /* more than twice what a kernel brings to 8 bits at a time */

static void fill(float *x, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_float(seed) * (i % 97 == 0 ? 30.0f : 1.0f); /* some rows have an outlier */
}

/* At every kernel and several counts of rows; a row is compared with itself computed alone. */
static void check_shape(struct shape s)
{
    static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 48, 49, MAX_ROWS};
    const int k = s.taps * s.width;
    const size_t n_x =
        (size_t)((MAX_ROWS - 1) * s.row_stride + (s.taps - 1) * s.tap_stride + s.width);
    float *x = floats(n_x), *bias = floats((size_t)s.n);
    float *scale = floats((size_t)s.n);
    float *expected = floats((size_t)(MAX_ROWS * s.n));
    int8_t *w = bytes((size_t)(s.n * k));
    uint64_t seed = (uint64_t)(s.n * 1000 + k);
    fill(x, n_x, &seed);
    fill(bias, (size_t)s.n, &seed);
    for (int i = 0; i < s.n; i++)
        scale[i] = 0.01f + fabsf(random_float(&seed));
    for (int i = 0; i < s.n * k; i++)
        w[i] = (int8_t)(random_below(&seed, 255) - 127);
    memset(w, 127, (size_t)k); /* the largest sum there can be */
    struct tess_windows rows = {.x = x,
                                .row_stride = (size_t)s.row_stride,
                                .tap_stride = (size_t)s.tap_stride,
                                .taps = s.taps,
                                .width = s.width,
                                .n_rows = MAX_ROWS};
    for (int m = 0; m < MAX_ROWS; m++)
        plain_row(&rows, m, w, scale, s.has_bias ? bias : NULL, s.n, expected + m * s.n);

    struct tess_allocator memory = tess_base_allocator(NULL);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_matrix matrix;
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        assert_int_equal(tess_matrix_create_int8(&matrix, w, scale, s.has_bias ? bias : NULL, s.n,
                                                 k, isa, &memory),
                         0);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            check_product(&matrix, rows, counts[c], c % 2 ? 3 : 0, expected);
        tess_matrix_destroy(&matrix, &memory);
    }
    free(x);
    free(bias);
    free(scale);
    free(expected);
    free(w);
}

static void test_linear_layers(void **state)
{
    (void)state;
    static const int outputs[] = {1, 15, 16, 17, 100, 256}, depths[] = {1, 2, 3, 4, 16, 255, 801};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        for (size_t j = 0; j < sizeof depths / sizeof *depths; j++)
            check_shape((struct shape){outputs[i], 1, depths[j], depths[j], 0, (i + j) % 2});
}

static void test_windows(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {40, 3, 8,  16, 16,  1}, /* kernel 3, stride 2, dilation 2 over [T][8] */
        {17, 7, 5,  5,  5,   0}, /* kernel 7 over [T][5] */
        {16, 2, 6,  20, 10,  1}, /* runs with gaps between */
        {33, 3, 50, 50, 100, 1}, /* runs that meet inside a block of quanta */
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(shapes[i]);
}

/* What has no largest value to speak of is silence; a value half way between two integers goes to the
 * even one. */
static void test_edges_of_a_row(void **state)
{
    (void)state;
    static const float x[4][4] = {
        {0,      0,       0,    0    },
        {1e-30f, -1e-30f, 0,    0    },
        {127,    0.5f,    1.5f, -2.5f},
        {3e38f,  -3e38f,  0,    1    }
    };
    static const float sums[4] = {0, 0, 127 + 0 + 2 - 2, 0}; /* times 3e38 / 127 in the last */
    static const int8_t w[4] = {1, 1, 1, 1};
    static const float scale = 1.0f, bias = 0.25f;
    struct tess_allocator memory = tess_base_allocator(NULL);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_matrix matrix;
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        assert_int_equal(tess_matrix_create_int8(&matrix, w, &scale, &bias, 1, 4, isa, &memory), 0);
        float y[4], *scratch = floats(tess_gemm_scratch(&matrix));
        struct tess_windows rows = {.x = x[0], .row_stride = 4, .taps = 1, .width = 4, .n_rows = 4};
        tess_gemm(&matrix, &rows, y, 1, scratch);
        for (int m = 0; m < 4; m++)
            assert_true(y[m] == sums[m] + bias);
        free(scratch);
        tess_matrix_destroy(&matrix, &memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_layers),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_edges_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
