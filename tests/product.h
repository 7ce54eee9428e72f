/* What the tests of both kinds of matrix products share. Every buffer is a malloc of its exact size, so
 * that the address sanitizer sees a step past its end. */
#ifndef TESS_TESTS_PRODUCT_H
#define TESS_TESTS_PRODUCT_H

#include "src/gemm.h"
#include "tests/check.h"

#include <stdlib.h>

static const float UNTOUCHED = -77.0f;

static inline float *floats(size_t n)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    return p;
}

/* The first n_rows rows at the matrix's kernel; outputs stand `gap` floats further apart than they
 * need, and what lies between stays as it was. */
static inline void check_product(const struct tess_matrix *matrix,
                                 struct tess_windows rows,
                                 int n_rows,
                                 int gap,
                                 const float *expected)
{
    const int n = matrix->n, stride = n + gap;
    const size_t n_y = (size_t)((n_rows - 1) * stride + n);
    float *y = floats(n_y), *scratch = floats(tess_gemm_scratch(matrix));
    for (size_t i = 0; i < n_y; i++)
        y[i] = UNTOUCHED;
    rows.n_rows = n_rows;
    tess_gemm(matrix, &rows, y, (size_t)stride, scratch);
    for (int m = 0; m < n_rows; m++) {
        assert_memory_equal(y + m * stride, expected + m * n, (size_t)n * sizeof *y);
        for (int i = n; i < stride && m < n_rows - 1; i++)
            assert_true(y[m * stride + i] == UNTOUCHED);
    }
    free(y);
    free(scratch);
}

#endif
