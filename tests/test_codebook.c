/* Entries and latents in, the nearest entry out: against a double-precision search, and bit for
 * bit against the definition, at every instruction set of this CPU. */
#include "rvq/codebook.h"
#include "tests/check.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>

/* The header's definition, written down once more. */
static int plain_nearest(const float *z, const float *entries, int n_entries, int dim)
{
    int nearest = 0;
    float best = INFINITY;
    for (int v = 0; v < n_entries; v++) {
        const float *e = entries + v * dim;
        float sq = 0;
        for (int d = 0; d < dim; d++)
            sq = fmaf(e[d], e[d], sq);
        float score = sq * 0.5f;
        for (int d = 0; d < dim; d++)
            score = fmaf(-z[d], e[d], score);
        if (score < best) {
            best = score;
            nearest = v;
        }
    }
    return nearest;
}

static double product(const float *a, const float *b, int dim)
{
    double sum = 0;
    for (int d = 0; d < dim; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

/* The code's entry is the nearest up to rounding. Half the difference of two squared distances is
 * the difference of two scores, |e|^2 / 2 - z.e; each score is a chain of 2 dim + 1 roundings of
 * partial sums that stay below |e|^2 + |e| |z|, so each rounding is at most 2^-24 of that. */
static void check_exactness(const float *z, const float *entries, int n_entries, int dim, int code)
{
    double lowest = HUGE_VAL, chosen = HUGE_VAL, size = 0;
    for (int v = 0; v < n_entries; v++) {
        const float *e = entries + v * dim;
        double ee = product(e, e, dim), score = ee / 2 - product(z, e, dim);
        size = fmax(size, ee + sqrt(ee * product(z, z, dim)));
        lowest = fmin(lowest, score);
        if (v == code) chosen = score;
    }
    assert_true(chosen <= lowest + 2 * (2 * dim + 1) * size * 0x1p-24);
}

static void check_search(enum tess_isa isa, int n_entries, int dim, int n, int extra)
{
    struct tess_allocator memory = tess_base_allocator(NULL);
    int stride = dim + extra, columns = 1 + extra;
    float *entries = malloc((size_t)(n_entries * dim) * sizeof *entries);
    float *z = malloc((size_t)(n * stride) * sizeof *z);
    uint16_t *codes = malloc((size_t)(n * columns) * sizeof *codes);
    assert_true(entries && z && codes);
    uint64_t seed = (uint64_t)(n_entries * 1000 + dim);
    for (int i = 0; i < n_entries * dim; i++)
        entries[i] = random_float(&seed);
    for (int i = 0; i < n * stride; i++)
        z[i] = random_float(&seed);
    for (int i = 0; i < n * columns; i++)
        codes[i] = 0xFFFF;

    struct tess_codebook book;
    assert_int_equal(tess_codebook_create(&book, entries, n_entries, dim, isa, 1, &memory), 0);
    tess_codebook_nearest(&book, z, stride, n, codes, columns);
    for (int t = 0; t < n; t++) {
        int code = codes[t * columns];
        assert_int_equal(code, plain_nearest(z + t * stride, entries, n_entries, dim));
        check_exactness(z + t * stride, entries, n_entries, dim, code);
        for (int c = 1; c < columns; c++)
            assert_int_equal(codes[t * columns + c], 0xFFFF);
    }
    tess_codebook_destroy(&book, &memory);
    free(entries);
    free(z);
    free(codes);
}

/* At every instruction set that this CPU has. */
static void check_all(int n_entries, int dim, int n, int extra)
{
    for (int i = 0; tess_kernel_name(i); i++)
        check_search((enum tess_isa)tess_base_isa(tess_kernel_name(i)), n_entries, dim, n, extra);
}

/* One search of the test's own data at every instruction set. */
static void check_codes(
    const float *entries, int n_entries, int dim, const float *z, const uint16_t *expected, int n)
{
    struct tess_allocator memory = tess_base_allocator(NULL);
    for (int i = 0; tess_kernel_name(i); i++) {
        enum tess_isa isa = (enum tess_isa)tess_base_isa(tess_kernel_name(i));
        struct tess_codebook book;
        uint16_t code = 0xFFFF;
        assert_int_equal(tess_codebook_create(&book, entries, n_entries, dim, isa, 1, &memory), 0);
        for (int t = 0; t < n; t++) {
            tess_codebook_nearest(&book, z + t * dim, dim, 1, &code, 1);
            assert_int_equal(code, expected[t]);
        }
        tess_codebook_destroy(&book, &memory);
    }
}

static void test_every_width(void **state)
{
    (void)state;
    for (int dim = 1; dim <= 20; dim++)
        check_all(75, dim, 11, dim % 3);
    check_all(130, 128, 9, 0);
}

static void test_every_size(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 15, 16, 17, 31, 33, 1000, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_all(sizes[i], 8, 13, 8);
}

static void test_every_count(void **state)
{
    (void)state;
    for (int n = 0; n <= 9; n++)
        check_all(50, 5, n, 1);
}

/* Entries repeat with period 3, so each latent has many exact ties in and across lanes; the last
 * three latents are equally far from entries 0 and 2, from 1 and 2, and from all. */
static void test_ties_take_the_lowest_index(void **state)
{
    (void)state;
    static const float three[3][2] = {
        {1,  0},
        {-1, 0},
        {0,  1}
    };
    static const float z[6][2] = {
        {2,  0},
        {-2, 0},
        {0,  2},
        {1,  1},
        {-1, 1},
        {0,  0}
    };
    static const uint16_t expected[6] = {0, 1, 2, 0, 1, 0};
    float entries[100][2];
    for (int v = 0; v < 100; v++)
        for (int d = 0; d < 2; d++)
            entries[v][d] = three[v % 3][d];
    check_codes(entries[0], 100, 2, z[0], expected, 6);
}

/* Scores that overflow to +-infinity still give an index below V. */
static void test_huge_values(void **state)
{
    (void)state;
    static const float entries[3][1] = {{3e38f}, {-3e38f}, {3e38f}};
    static const float z[2][1] = {{3e38f}, {-3e38f}};
    const uint16_t expected[2] = {(uint16_t)plain_nearest(z[0], entries[0], 3, 1),
                                  (uint16_t)plain_nearest(z[1], entries[0], 3, 1)};
    check_codes(entries[0], 3, 1, z[0], expected, 2);
}

static void *no_memory(void *ctx, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    return NULL;
}

static void release_nothing(void *ctx, void *ptr)
{
    (void)ctx;
    assert_null(ptr);
}

static void test_refusals(void **state)
{
    (void)state;
    struct tess_allocator memory = tess_base_allocator(NULL),
                          none = {no_memory, release_nothing, NULL};
    struct tess_codebook book;
    float entry = 1;
    assert_int_equal(tess_codebook_create(&book, &entry, 0, 1, TESS_SCALAR, 1, &memory),
                     TESS_E_ARGUMENT);
    assert_int_equal(tess_codebook_create(&book, &entry, 65537, 1, TESS_SCALAR, 1, &memory),
                     TESS_E_ARGUMENT);
    assert_int_equal(tess_codebook_create(&book, &entry, 1, 0, TESS_SCALAR, 1, &memory),
                     TESS_E_ARGUMENT);
    assert_int_equal(tess_codebook_create(&book, &entry, 1, 1, TESS_SCALAR, 1, &none),
                     TESS_E_NOMEM);
    tess_codebook_destroy(&book, &none); /* harmless after a failure */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_width), cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_every_count), cmocka_unit_test(test_ties_take_the_lowest_index),
        cmocka_unit_test(test_huge_values), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
