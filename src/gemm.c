/* Weights in, panels out, and the choice of the kernel that reads them (gemm_kernel.c). */
#include "src/gemm.h"

#include "src/gemm8.h"

#include <string.h>

typedef void
gemm_kernel(const struct tess_matrix *, const struct tess_windows *, float *, size_t, float *);
#define KERNEL(isa) gemm_kernel tess_gemm_##isa;
KERNEL(scalar)
TESS_IF_AVX2(KERNEL(avx2))
TESS_IF_AVX512(KERNEL(avx512))
TESS_IF_NEON(KERNEL(neon))

static gemm_kernel *const kernels[] = TESS_KERNEL_TABLE(tess_gemm);

/* The half with the value x, if there is one. */
static int as_half(float x, uint16_t *half)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    if (size == 0) {
        *half = (uint16_t)sign;
        return 1;
    }
    int exponent = (int)(size >> 23) - 127;
    uint32_t fraction = (size & 0x7FFFFF) | 0x800000;
    int drop = exponent < -14 ? -14 - exponent + 13 : 13; /* low bits that a half has not */
    if (exponent > 15 || drop > 23 || (fraction & ((1u << drop) - 1))) return 0;
    uint32_t kept =
        fraction >> drop; /* with its leading one, which adds 1 to a normal's exponent */
    *half = (uint16_t)(sign | (exponent < -14 ? kept : kept + ((uint32_t)(exponent + 14) << 10)));
    return 1;
}

static int all_halves(const float *w, size_t n)
{
    uint16_t half;
    for (size_t i = 0; i < n; i++)
        if (!as_half(w[i], &half)) return 0;
    return 1;
}

int tess_matrix_create(struct tess_matrix *matrix,
                       const float *w,
                       const float *bias,
                       int n,
                       int k,
                       enum tess_isa isa,
                       const struct tess_allocator *allocator)
{
    const size_t nr = TESS_PANEL, rows = (size_t)n, depth = (size_t)k;
    const size_t n_panels = (rows + nr - 1) / nr;
    *matrix = (struct tess_matrix){.n = n, .k = k, .isa = isa, .half = all_halves(w, rows * depth)};
    matrix->panels = tess_base_alloc(allocator, n_panels * depth * nr * (matrix->half ? 2 : 4));
    matrix->bias = tess_base_alloc(allocator, n_panels * nr * sizeof(float));
    if (!matrix->panels || !matrix->bias) {
        tess_matrix_destroy(matrix, allocator);
        return TESS_E_NOMEM;
    }
    if (bias) memcpy(matrix->bias, bias, rows * sizeof *bias);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < depth; i++) {
            size_t at = ((row / nr) * depth + i) * nr + row % nr;
            if (matrix->half)
                as_half(w[row * depth + i], (uint16_t *)matrix->panels + at);
            else
                ((float *)matrix->panels)[at] = w[row * depth + i];
        }
    return 0;
}

void tess_matrix_destroy(struct tess_matrix *matrix, const struct tess_allocator *allocator)
{
    tess_base_free(allocator, matrix->panels);
    tess_base_free(allocator, matrix->bias);
    tess_base_free(allocator, matrix->scale);
    tess_base_free(allocator, matrix->offset);
    *matrix = (struct tess_matrix){0};
}

size_t tess_gemm_scratch(const struct tess_matrix *matrix)
{
    if (matrix->scale) return tess_int8_scratch(matrix->k) / sizeof(float);
    return (size_t)matrix->k * TESS_PANEL * 2;
}

void tess_gemm(const struct tess_matrix *matrix,
               const struct tess_windows *rows,
               float *y,
               size_t y_stride,
               float *scratch)
{
    if (matrix->scale) {
        tess_gemm_int8(matrix, rows, y, y_stride, scratch);
        return;
    }
    enum tess_isa isa = matrix->isa;
    /* A single row is bound by widening its weights, which 256-bit vectors do faster. */
    if (isa == TESS_AVX512 && matrix->half && rows->n_rows == 1) isa = TESS_AVX2;
    kernels[isa](matrix, rows, y, y_stride, scratch);
}
