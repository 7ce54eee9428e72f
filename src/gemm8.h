/* Linear layers in 8 bits: what gemm.h's product is where the model file holds int8 weights.
 *
 *     max     = the largest |x_m[k]| of row m
 *     q[k]    = x_m[k] (127 / max), to the nearest integer, ties to even
 *     acc     = sum over k of q[k] w[n][k], exact
 *     y[m][n] = fma(acc, (max / 127) scale[n], bias[n])
 *
 * A row that holds nothing above TESS_INT8_SILENCE counts as zeros. The integers do not depend on their
 * order, the floats are single operations: the same bits at every width and tiling, and a row's result
 * depends on that row alone. */
#ifndef TESS_GEMM8_H
#define TESS_GEMM8_H

#include "src/gemm.h"

#define TESS_INT8_SILENCE 1e-30f /* below it 127 / max would leave the range of a float */

/** The depth of a panel: k rounded up to what kernels take in one step. */
static inline size_t tess_int8_depth(int k)
{
    return ((size_t)k + 15) & ~(size_t)15;
}

/* Rows in 8 bits lie in blocks of so many values of k: [k / BLOCK][rows][BLOCK]. */
enum { TESS_INT8_BLOCK = 64 };

/** Bytes of scratch: for the rows, 48 at most, that a kernel brings to 8 bits at a time. */
static inline size_t tess_int8_scratch(int k)
{
    return ((size_t)k + TESS_INT8_BLOCK - 1) / TESS_INT8_BLOCK * TESS_INT8_BLOCK * 48;
}

/** Packs w [n][k], -127 to 127, scale [n] and bias [n] (or NULL). Errors: NOMEM. Free with
 *  tess_matrix_destroy; tess_gemm multiplies. */
int tess_matrix_create_int8(struct tess_matrix *matrix,
                            const int8_t *w,
                            const float *scale,
                            const float *bias,
                            int n,
                            int k,
                            enum tess_isa isa,
                            const struct tess_allocator *allocator);

/** tess_gemm for such a matrix. */
void tess_gemm_int8(const struct tess_matrix *matrix,
                    const struct tess_windows *rows,
                    float *y,
                    size_t y_stride,
                    float *scratch);

#endif
