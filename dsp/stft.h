/* Streaming short-time Fourier transform and its inverse. The plan is shared and immutable; a
 * stream's state is a flat block of floats that starts as zeros.
 *
 * Frame t of the analysis looks at the n_fft samples that end with hop t, zeros before the start:
 * x[hop (t+1) - n_fft .. hop (t+1)). The synthesis adds frame t back onto the same samples, so it
 * holds back n_fft - hop samples: its first output belongs to sample -(n_fft - hop).
 *
 * FFTW runs in double, planned with FFTW_ESTIMATE | FFTW_NO_SIMD, so that every x86-64 CPU computes
 * the same bits; results are rounded to float. FFTW takes its twiddles from the C library's sincos,
 * whose last bit may depend on the CPU's FMA; for sizes of small factors (320, 960, 1280, powers of
 * two) they came out alike. */
#ifndef TESS_STFT_H
#define TESS_STFT_H

#include "src/base.h"

struct tess_stft; /* plans and window, shared by threads */

struct tess_stft_config {
    int n_fft; /* even, 2..65536 */
    int hop;   /* 1..n_fft */
    /* [n_fft], copied; NULL = periodic Hann: 0.5 - 0.5 cos(2 pi n / n_fft) */
    const float *window;
    double scale; /* of the spectra (analysis) or of the samples (synthesis); 1 = unnormalised */
};

/** Makes the plans for both directions. Errors: ARGUMENT, NOMEM. Any thread: FFTW's planner, which
 *  is global, is guarded, but not against a program that plans with FFTW by itself at the same
 *  time. Free with destroy. */
int tess_stft_create(struct tess_stft **stft,
                     const struct tess_stft_config *config,
                     const struct tess_allocator *allocator);
void tess_stft_destroy(struct tess_stft *stft);

/** Floats of state of one stream: n_fft - hop, in either direction. */
size_t tess_stft_state(const struct tess_stft *stft);

/** Bytes of scratch of one thread, aligned to 64. */
size_t tess_stft_scratch(const struct tess_stft *stft);

/** Whole hops in, spectra out: in [T hop], out [T][2][n_fft/2 + 1], a frame's real parts, then its
 *  imaginary parts (forward DFT, e^{-i...}) times `scale`. Cannot fail, allocates nothing. */
void tess_stft_push(const struct tess_stft *stft,
                    float *state,
                    const float *in,
                    int n_frames,
                    float *out,
                    void *scratch);

/** Spectra in [T][2][n_fft/2 + 1], samples out [T hop]: inverse DFT with 1 / n_fft, times the
 *  window, overlap-added, times `scale`. The imaginary parts of the first and last bin are
 *  ignored. Cannot fail, allocates nothing. */
void tess_istft_push(const struct tess_stft *stft,
                     float *state,
                     const float *in,
                     int n_frames,
                     float *out,
                     void *scratch);

/** The n_fft - hop samples still held back. The state is not changed. */
void tess_istft_flush(const struct tess_stft *stft, const float *state, float *out);

/** FFTW's text of both plans with the names of their codelets, for the test that none of them
 *  depends on the CPU; written and counted as by snprintf. Errors: NOMEM. */
int tess_stft_describe(const struct tess_stft *stft, char *text, size_t size);

#endif
