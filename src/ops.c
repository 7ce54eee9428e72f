/* The choice of the operators' instruction set. */
#include "src/ops.h"

#define KERNEL(isa) const struct tess_ops *tess_ops_kernel_##isa(void);
KERNEL(scalar)
TESS_IF_AVX2(KERNEL(avx2))
TESS_IF_AVX512(KERNEL(avx512))
TESS_IF_NEON(KERNEL(neon))

static const struct tess_ops *(*const kernels[])(void) = TESS_KERNEL_TABLE(tess_ops_kernel);

const struct tess_ops *tess_ops(enum tess_isa isa)
{
    return kernels[isa]();
}
