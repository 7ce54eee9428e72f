/* The matrix product every layer's bits rest on: rows times packed weights, one fused multiply-add
 * after the other in the order of k, so that a row's result depends on that row alone: not on the
 * number of rows beside it, the tiling, the vector width or the CPU.
 *
 *     y[m][n] = (acc = 0; for k = 0..K-1: acc = fma(x_m[k], w[n][k], acc)) + bias[n]
 *
 * A row x_m is a window: `taps` runs of `width` floats, `tap_stride` apart, the next row's window
 * starting `row_stride` further on. A linear layer is one tap with row_stride = width; a convolution
 * over [T][C] with kernel k, stride s, dilation d is k taps of C, d C apart, s C from row to row
 * (undilated, its window is one run of k C floats). Nothing is copied into place. */
#ifndef TESS_GEMM_H
#define TESS_GEMM_H

#include "src/base.h"

struct tess_matrix {
    int n, k; /* outputs, inputs */
    int half; /* the panels hold halves, as the model file does: the kernel widens them, exactly */
    void *panels; /* [ceil(n / 16)][k][16] float or uint16_t, zeros where n ends; int8_t: gemm8.h */
    float *bias;  /* [n rounded up to 16]; zeros for a layer without */
    float *scale; /* [n rounded up to 16] what 1 in 8 bits stands for; NULL: not in 8 bits */
    int32_t *offset; /* [n rounded up to 16] where the kernel's sums start; NULL likewise */
    enum tess_isa isa;
};

struct tess_windows {
    const float *x;
    size_t row_stride, tap_stride; /* floats */
    int taps, width;               /* taps * width = k */
    int n_rows;
};

/** Packs w [n][k] and bias [n] (or NULL). If every weight is a half, as in a float16 file, the
 *  panels are kept as halves: half the memory to stream, the same bits. Errors: NOMEM.
 *  Free with destroy. */
int tess_matrix_create(struct tess_matrix *matrix,
                       const float *w,
                       const float *bias,
                       int n,
                       int k,
                       enum tess_isa isa,
                       const struct tess_allocator *allocator);
void tess_matrix_destroy(struct tess_matrix *matrix, const struct tess_allocator *allocator);

/** Floats of scratch that a product with this matrix takes. */
size_t tess_gemm_scratch(const struct tess_matrix *matrix);

/** y [n_rows][y_stride] = rows times matrix plus bias. scratch: tess_gemm_scratch floats of this
 *  thread. Cannot fail, allocates nothing, any thread. */
void tess_gemm(const struct tess_matrix *matrix,
               const struct tess_windows *rows,
               float *y,
               size_t y_stride,
               float *scratch);

#endif
