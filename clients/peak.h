#ifndef CLI_PEAK_H
#define CLI_PEAK_H

/* Runs n rounds of independent fused multiply-adds that stay in registers, keeps their result in
 * *sink so that none can be left out, and returns the float operations of a round. One for each
 * instruction set. */
typedef int cli_peak_rounds(long n, float *sink);

cli_peak_rounds cli_peak_rounds_scalar;
#ifdef TESS_HAVE_AVX2
cli_peak_rounds cli_peak_rounds_avx2;
#endif
#ifdef TESS_HAVE_AVX512
cli_peak_rounds cli_peak_rounds_avx512;
#endif
#ifdef TESS_HAVE_NEON
cli_peak_rounds cli_peak_rounds_neon;
#endif

#endif
