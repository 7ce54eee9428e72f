/* The search kernels behind tess_codebook_nearest, one for each instruction set. */
#ifndef TESS_NEAREST_H
#define TESS_NEAREST_H

#include "rvq/codebook.h"

#define TESS_NEAREST(isa)                                                                          \
    void tess_nearest_##isa(const struct tess_codebook *book, const float *z, int stride, int n,   \
                            uint16_t *codes, int code_stride);
TESS_NEAREST(scalar)
TESS_IF_AVX2(TESS_NEAREST(avx2))
TESS_IF_AVX512(TESS_NEAREST(avx512))
TESS_IF_NEON(TESS_NEAREST(neon))
#undef TESS_NEAREST

#endif
