/* The densest loops a core can run: chains of multiply-adds that wait for no other and touch no
 * memory, of floats and as the integer kernels have them. They have to be compiled for the same
 * instruction sets as the library's kernels, so this one file of the room includes src/simd.h beside
 * src/tessera.h. */
#include "clients/peak.h"

#include "src/simd.h"

/* Enough chains to hide the latency (4 or 5 cycles, 2 units), few enough for the registers: 16 of
 * them with AVX2, 32 otherwise. Named variables, since an array would go to memory. */
#define CHAINS_12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define CHAINS_24(X)                                                                               \
    CHAINS_12(X)                                                                                   \
    X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#ifdef TESS_ISA_AVX2
#define N_CHAINS  12
#define CHAINS(X) CHAINS_12(X)
#else
#define N_CHAINS  24
#define CHAINS(X) CHAINS_24(X)
#endif

#define ADD(i) sum = sum + a##i;

int TESS_KERNEL(cli_peak_rounds)(long n, float *sink)
{
    volatile float factor = 0.5f, term = 1; /* unknown to the compiler; every chain stays near 2 */
    const vf f = vf_set(factor), t = vf_set(term);
#define DECLARE(i) vf a##i = vf_set((float)i);
#define ROUND(i)   a##i = vf_fma(a##i, f, t);
    CHAINS(DECLARE)
    for (long k = 0; k < n; k++) {
        CHAINS(ROUND)
    }
    vf sum = vf_set(0);
    CHAINS(ADD)
    vf_store(sink, sum);
    return N_CHAINS * TESS_LANES * 2;
}

int TESS_KERNEL(cli_peak_rounds_int8)(long n, float *sink)
{
    volatile int32_t factor = 0, term = 1; /* likewise; every chain stays below 24 */
    const vi f = vi_set(factor), t = vi_set(term);
#define DECLARE_INT8(i) vi a##i = vi_set(i);
#define ROUND_INT8(i)   a##i = vi_dot(TESS_DOT == 4 ? a##i : t, a##i, f); /* VNNI adds in place */
    CHAINS(DECLARE_INT8)
    for (long k = 0; k < n; k++) {
        CHAINS(ROUND_INT8)
    }
    vi sum = vi_set(0);
    CHAINS(ADD)
    vf_store(sink, vi_to_vf(sum));
    return N_CHAINS * TESS_LANES * TESS_DOT * 2;
}
