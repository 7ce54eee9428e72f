#ifndef CLI_PEAK_H
#define CLI_PEAK_H

/* Runs n rounds of independent multiply-adds that stay in registers, keeps their result in *sink so
 * that none can be left out, and returns the operations of a round. For each instruction set one of
 * floats, fused, and one of integers in 8 bits. */
typedef int cli_peak_rounds(long n, float *sink);

cli_peak_rounds cli_peak_rounds_scalar, cli_peak_rounds_int8_scalar;
#ifdef TESS_HAVE_AVX2
cli_peak_rounds cli_peak_rounds_avx2, cli_peak_rounds_int8_avx2;
#endif
#ifdef TESS_HAVE_AVX512
cli_peak_rounds cli_peak_rounds_avx512, cli_peak_rounds_int8_avx512;
#endif
#ifdef TESS_HAVE_NEON
cli_peak_rounds cli_peak_rounds_neon, cli_peak_rounds_int8_neon;
#endif

#endif
