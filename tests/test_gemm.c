/* The matrix product of every kernel of this CPU, bit for bit against gemm.h's definition. */
#include "tests/product.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float size =
        exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    return half & 0x8000 ? -size : size;
}

/* Any finite half: subnormal ones, zeros of both signs and 65504 are among them. */
static float random_half(uint64_t *seed)
{
    uint16_t bits = (uint16_t)random_bits(seed);
    if ((bits & 0x7C00) == 0x7C00) bits &= 0xBFFF; /* no infinity, no NaN */
    return half_value(bits);
}

/* gemm.h's formula for every row. */
static void
plain_product(const struct tess_windows *rows, const float *w, const float *bias, int n, float *y)
{
    const int k = rows->taps * rows->width;
    for (int m = 0; m < rows->n_rows; m++)
        for (int i = 0; i < n; i++) {
            float acc = 0.0f;
            for (int j = 0; j < k; j++) {
                size_t tap = (size_t)(j / rows->width), c = (size_t)(j % rows->width);
                float x = rows->x[(size_t)m * rows->row_stride + tap * rows->tap_stride + c];
                acc = fmaf(x, w[i * k + j], acc);
            }
            y[m * n + i] = acc + (bias ? bias[i] : 0.0f);
        }
}

struct shape {
    int n, taps, width, row_stride, tap_stride;
    int halves, has_bias;
};

/* At every kernel and each of the counts of rows, the last of which is the largest. A row is
 * compared with itself computed alone: that it does not depend on its company is checked too. */
static void check_shape(struct shape s, const int *counts, int n_counts)
{
    const int k = s.taps * s.width, max_rows = counts[n_counts - 1];
    const size_t n_x =
        (size_t)((max_rows - 1) * s.row_stride + (s.taps - 1) * s.tap_stride + s.width);
    float *x = floats(n_x), *w = floats((size_t)(s.n * k)), *bias = floats((size_t)s.n);
    float *expected = floats((size_t)(max_rows * s.n));
    uint64_t seed = (uint64_t)(s.n * 1000 + k);
    for (size_t i = 0; i < n_x; i++)
        x[i] = random_float(&seed);
    for (int i = 0; i < s.n * k; i++)
        w[i] = s.halves ? random_half(&seed) : random_float(&seed);
    for (int i = 0; i < s.n; i++)
        bias[i] = random_float(&seed);
    if (!s.halves) w[0] = 1.0f + 0x1p-23f; /* surely none */
    struct tess_windows rows = {.x = x,
                                .row_stride = (size_t)s.row_stride,
                                .tap_stride = (size_t)s.tap_stride,
                                .taps = s.taps,
                                .width = s.width,
                                .n_rows = max_rows};
    plain_product(&rows, w, s.has_bias ? bias : NULL, s.n, expected);

    struct tess_allocator memory = tess_base_allocator(NULL);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_matrix matrix;
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        assert_int_equal(
            tess_matrix_create(&matrix, w, s.has_bias ? bias : NULL, s.n, k, isa, &memory), 0);
        assert_int_equal(matrix.half, s.halves);
        for (int c = 0; c < n_counts; c++)
            check_product(&matrix, rows, counts[c], c % 2 ? 3 : 0, expected);
        tess_matrix_destroy(&matrix, &memory);
    }
    free(x);
    free(w);
    free(bias);
    free(expected);
}

static const int sizes[] = {1, 15, 16, 17, 100, 256, 962};
enum { N_SIZES = sizeof sizes / sizeof *sizes, N_COUNTS = 41 };

static void check_depths(const int *depths, int n_depths, const int *counts, int n_counts)
{
    for (int i = 0; i < N_SIZES; i++)
        for (int j = 0; j < n_depths; j++)
            for (int halves = 0; halves < 2; halves++)
                check_shape((struct shape){.n = sizes[i],
                                           .taps = 1,
                                           .width = depths[j],
                                           .row_stride = depths[j],
                                           .halves = halves,
                                           .has_bias = (i + j) % 2},
                            counts, n_counts);
}

static void test_every_count_of_rows(void **state)
{
    (void)state;
    int counts[N_COUNTS];
    for (int i = 0; i < N_COUNTS - 1; i++)
        counts[i] = i + 1;
    counts[N_COUNTS - 1] = 96;
    check_depths((const int[]){1, 8, 16}, 3, counts, N_COUNTS);
}

/* Counts on both sides of where tiles and widening change. */
static void test_deep_products(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 4, 5, 7, 12, 13, 24, 25, 40};
    check_depths((const int[]){256, 801}, 2, counts, sizeof counts / sizeof *counts);
}

static void test_windows(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 7, 13, 31};
    static const struct shape shapes[] = {
        {40, 3, 8,  16, 16, 1, 1}, /* kernel 3, stride 2, dilation 2 over [T][8] */
        {40, 3, 8,  16, 16, 0, 1},
        {17, 7, 5,  5,  5,  1, 0}, /* kernel 7 over [T][5] */
        {17, 1, 35, 5,  0,  1, 0}, /* the same, as one run */
        {33, 4, 1,  1,  3,  0, 1}, /* kernel 4, dilation 3 over one channel */
        {16, 2, 6,  20, 10, 1, 1}, /* runs with gaps between */
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(shapes[i], counts, sizeof counts / sizeof *counts);
}

static void test_no_rows_touch_nothing(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL);
    const float w = 1.0f, x = 1.0f;
    float y = UNTOUCHED, scratch[2 * TESS_PANEL];
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_matrix matrix;
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        struct tess_windows none = {.x = &x, .row_stride = 1, .taps = 1, .width = 1};
        assert_int_equal(tess_matrix_create(&matrix, &w, NULL, 1, 1, isa, &memory), 0);
        tess_gemm(&matrix, &none, &y, 1, scratch);
        assert_true(y == UNTOUCHED);
        tess_matrix_destroy(&matrix, &memory);
    }
}

/* Each finite half as a weight, times one: the float it stands for. */
static void test_every_half_is_exact(void **state)
{
    (void)state;
    enum { N = 2 * 0x7C00, ROWS = 25 }; /* 1 and 25 rows: with and without widening beforehand */
    float *w = floats(N), *expected = floats((size_t)N * ROWS), x[ROWS];
    for (int i = 0; i < N; i++)
        w[i] = half_value((uint16_t)(i < 0x7C00 ? i : 0x8000 + i - 0x7C00));
    for (int m = 0; m < ROWS; m++) {
        x[m] = 1.0f;
        for (int i = 0; i < N; i++)
            expected[m * N + i] = w[i] + 0.0f; /* -0 + 0 = 0 */
    }
    struct tess_allocator memory = tess_base_allocator(NULL);
    struct tess_windows rows = {.x = x, .row_stride = 1, .taps = 1, .width = 1};
    for (int i = 0; tess_kernel_name(i); i++) {
        struct tess_matrix matrix;
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        assert_int_equal(tess_matrix_create(&matrix, w, NULL, N, 1, isa, &memory), 0);
        assert_true(matrix.half);
        check_product(&matrix, rows, 1, 0, expected);
        check_product(&matrix, rows, ROWS, 0, expected);
        tess_matrix_destroy(&matrix, &memory);
    }
    free(w);
    free(expected);
}

static void test_what_is_no_half(void **state)
{
    (void)state;
    static const float values[] = {65505,        65520,     65536,        1e38f,
                                   0x1p-25f,     0x3p-25f,  1 + 0x1p-11f, 0x1.002p-14f,
                                   0x1.ffep-15f, 0x1p-149f, -65536,       -0x1p-25f};
    struct tess_allocator memory = tess_base_allocator(NULL);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const float w[3] = {1, values[i], 2};
        struct tess_matrix matrix;
        assert_int_equal(tess_matrix_create(&matrix, w, NULL, 3, 1, TESS_SCALAR, &memory), 0);
        assert_false(matrix.half);
        tess_matrix_destroy(&matrix, &memory);
    }
}

static int allocations_left;

static void *few(void *ctx, size_t bytes)
{
    (void)ctx;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *ctx, void *ptr)
{
    (void)ctx;
    free(ptr);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const struct tess_allocator memory = {few, release, NULL};
    const float w = 1.0f;
    for (int n = 0; n < 3; n++) {
        struct tess_matrix matrix;
        allocations_left = n;
        int err = tess_matrix_create(&matrix, &w, NULL, 1, 1, TESS_SCALAR, &memory);
        assert_int_equal(err, n < 2 ? TESS_E_NOMEM : 0);
        tess_matrix_destroy(&matrix, &memory); /* harmless after a failure */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_count_of_rows),
        cmocka_unit_test(test_deep_products),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_no_rows_touch_nothing),
        cmocka_unit_test(test_every_half_is_exact),
        cmocka_unit_test(test_what_is_no_half),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
