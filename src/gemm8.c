/* Weights of 8 bits in, panels out, and the choice of the kernel that reads them (gemm8_kernel.c). */
#include "src/gemm8.h"

#include <string.h>

typedef void
gemm_kernel(const struct tess_matrix *, const struct tess_windows *, float *, size_t, float *);
#define KERNEL(isa) gemm_kernel tess_gemm8_##isa;
KERNEL(scalar)
TESS_IF_AVX2(KERNEL(avx2))
TESS_IF_AVX512(KERNEL(avx512))
TESS_IF_NEON(KERNEL(neon))

static gemm_kernel *const kernels[] = TESS_KERNEL_TABLE(tess_gemm8);

/* AVX-512 came before its instructions for bytes; AVX2's do as well. */
static enum tess_isa kernel_of(enum tess_isa isa)
{
#ifdef TESS_HAVE_AVX512
    if (isa == TESS_AVX512 && !__builtin_cpu_supports("avx512vnni")) return TESS_AVX2;
#endif
    return isa;
}

/* As gemm8_kernel.c multiplies: VNNI takes 4 values at a time, unsigned, so 128 was added to each. */
static size_t group_of(enum tess_isa isa)
{
    return isa == TESS_AVX512 ? 4 : 2;
}

static int32_t offset_of(const int8_t *w, size_t k, enum tess_isa isa)
{
    int32_t sum = 0;
    for (size_t i = 0; i < k && isa == TESS_AVX512; i++)
        sum += w[i];
    return -128 * sum;
}

int tess_matrix_create_int8(struct tess_matrix *matrix,
                            const int8_t *w,
                            const float *scale,
                            const float *bias,
                            int n,
                            int k,
                            enum tess_isa isa,
                            const struct tess_allocator *allocator)
{
    const size_t nr = TESS_PANEL, rows = (size_t)n, width = (size_t)k, depth = tess_int8_depth(k);
    const size_t n_outputs = (rows + nr - 1) / nr * nr;
    isa = kernel_of(isa);
    const size_t group = group_of(isa);
    *matrix = (struct tess_matrix){.n = n, .k = k, .isa = isa};
    int8_t *panels = matrix->panels = tess_base_alloc(allocator, n_outputs * depth);
    matrix->offset = tess_base_alloc(allocator, n_outputs * sizeof *matrix->offset);
    matrix->scale = tess_base_alloc(allocator, n_outputs * sizeof *matrix->scale);
    matrix->bias = tess_base_alloc(allocator, n_outputs * sizeof *matrix->bias);
    if (!panels || !matrix->offset || !matrix->scale || !matrix->bias) {
        tess_matrix_destroy(matrix, allocator);
        return TESS_E_NOMEM;
    }
    memcpy(matrix->scale, scale, rows * sizeof *scale);
    if (bias) memcpy(matrix->bias, bias, rows * sizeof *bias);
    for (size_t row = 0; row < rows; row++) {
        const int8_t *from = w + row * width;
        int8_t *panel = panels + row / nr * nr * depth;
        matrix->offset[row] = offset_of(from, width, isa);
        for (size_t i = 0; i < width; i++)
            panel[(i / group * nr + row % nr) * group + i % group] = from[i];
    }
    return 0;
}

void tess_gemm_int8(const struct tess_matrix *matrix,
                    const struct tess_windows *rows,
                    float *y,
                    size_t y_stride,
                    float *scratch)
{
    kernels[matrix->isa](matrix, rows, y, y_stride, scratch);
}
