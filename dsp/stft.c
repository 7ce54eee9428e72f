/* Samples in, spectra out, and back. A plan object holds the window and FFTW's plans; a stream's
 * state holds n_fft - hop floats: the last samples (analysis) or the unfinished sums (synthesis).
 *
 * Always holds: a frame's result depends on the state and the frame alone, and the state passes
 * through the same n_fft - hop floats after every frame, inside a push or between two. So neither
 * the output nor the state's bytes know how the frames were split over pushes. */
#include "dsp/stft.h"

#include <assert.h>
#include <fftw3.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ESTIMATE measures no time, so the plan is the same on every run. FFTW_NO_SIMD, which fftw3.h
 * names but the manual does not, keeps out the SSE2, AVX and AVX-512 codelets, which round in
 * different orders: one x86-64 build computes the same bits on every x86-64 CPU. */
enum { PLANNER_FLAGS = FFTW_ESTIMATE | FFTW_NO_SIMD };

/* FFTW's planner is one global object. This guards our calls against each other; executing needs
 * no guard. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

struct tess_stft {
    struct tess_allocator allocator;
    int n_fft, hop;
    double scale;
    fftw_plan forward, inverse;
    double window[]; /* [n_fft] */
};

/* One thread's scratch. Planned and executed at the same distance from a 64-byte boundary, so the
 * plans need no FFTW_UNALIGNED. */
struct scratch {
    double *frame;          /* [n_fft] */
    fftw_complex *spectrum; /* [n_fft / 2 + 1], right behind the frame */
};

static size_t scratch_bytes(int n_fft)
{
    return (size_t)n_fft * sizeof(double) + (size_t)(n_fft / 2 + 1) * sizeof(fftw_complex);
}

static struct scratch split(void *mem, int n_fft)
{
    assert((uintptr_t)mem % 64 == 0);
    double *frame = mem;
    return (struct scratch){frame, (fftw_complex *)(frame + n_fft)};
}

static void make_plans(struct tess_stft *stft, void *mem)
{
    struct scratch s = split(mem, stft->n_fft);
    pthread_mutex_lock(&planner);
    stft->forward = fftw_plan_dft_r2c_1d(stft->n_fft, s.frame, s.spectrum, PLANNER_FLAGS);
    stft->inverse = fftw_plan_dft_c2r_1d(stft->n_fft, s.spectrum, s.frame, PLANNER_FLAGS);
    pthread_mutex_unlock(&planner);
}

/* The long cosine, because a C library may round cos() differently on CPUs with and without FMA. */
static double hann(int n, int n_fft)
{
    const long double pi = 3.141592653589793238462643383279502884L;
    return (double)(0.5L - 0.5L * cosl(2 * pi * n / n_fft));
}

int tess_stft_create(struct tess_stft **stft,
                     const struct tess_stft_config *config,
                     const struct tess_allocator *allocator)
{
    const int n_fft = config->n_fft, hop = config->hop;
    *stft = NULL;
    if (n_fft < 2 || n_fft > 65536 || n_fft % 2 || hop < 1 || hop > n_fft) return TESS_E_ARGUMENT;

    struct tess_allocator a = tess_base_allocator(allocator);
    struct tess_stft *s = tess_base_alloc(&a, sizeof *s + (size_t)n_fft * sizeof *s->window);
    if (!s) return TESS_E_NOMEM;
    s->allocator = a;
    s->n_fft = n_fft;
    s->hop = hop;
    s->scale = config->scale;
    for (int n = 0; n < n_fft; n++)
        s->window[n] = config->window ? (double)config->window[n] : hann(n, n_fft);

    void *mem = tess_base_alloc(&a, scratch_bytes(n_fft));
    if (mem) make_plans(s, mem);
    tess_base_free(&a, mem);
    if (!s->forward || !s->inverse) {
        tess_stft_destroy(s);
        return TESS_E_NOMEM;
    }
    *stft = s;
    return TESS_OK;
}

void tess_stft_destroy(struct tess_stft *stft)
{
    if (!stft) return;
    pthread_mutex_lock(&planner);
    if (stft->forward) fftw_destroy_plan(stft->forward);
    if (stft->inverse) fftw_destroy_plan(stft->inverse);
    pthread_mutex_unlock(&planner);
    struct tess_allocator a = stft->allocator;
    tess_base_free(&a, stft);
}

size_t tess_stft_state(const struct tess_stft *stft)
{
    return (size_t)(stft->n_fft - stft->hop);
}

size_t tess_stft_scratch(const struct tess_stft *stft)
{
    return scratch_bytes(stft->n_fft);
}

/* Moves the window of the last `held` samples on by one hop. */
static void shift_in(float *state, int held, const float *in, int hop)
{
    const int kept = held > hop ? held - hop : 0;
    memmove(state, state + (held - kept), (size_t)kept * sizeof *state);
    memcpy(state + kept, in + hop - (held - kept), (size_t)(held - kept) * sizeof *state);
}

void tess_stft_push(const struct tess_stft *stft,
                    float *state,
                    const float *in,
                    int n_frames,
                    float *out,
                    void *scratch)
{
    const int n_fft = stft->n_fft, hop = stft->hop, held = n_fft - hop, bins = n_fft / 2 + 1;
    const struct scratch s = split(scratch, n_fft);

    for (int t = 0; t < n_frames; t++, in += hop, out += 2 * bins) {
        for (int n = 0; n < held; n++)
            s.frame[n] = stft->window[n] * (double)state[n];
        for (int n = 0; n < hop; n++)
            s.frame[held + n] = stft->window[held + n] * (double)in[n];
        shift_in(state, held, in, hop);

        fftw_execute_dft_r2c(stft->forward, s.frame, s.spectrum);
        for (int f = 0; f < bins; f++) {
            out[f] = (float)(s.spectrum[f][0] * stft->scale);
            out[bins + f] = (float)(s.spectrum[f][1] * stft->scale);
        }
    }
}

/* Adds a frame onto the sums of the frames before it: the first hop of them is finished, the rest
 * moves down by a hop. Each sum is rounded to float once a frame, where it is kept. */
static void overlap_add(const struct tess_stft *stft, const double *frame, float *state, float *out)
{
    const int n_fft = stft->n_fft, hop = stft->hop, held = n_fft - hop;
    const double scale = stft->scale / n_fft;

    for (int n = 0; n < n_fft; n++) {
        const double before = n < held ? (double)state[n] : 0;
        const float sum = (float)(before + frame[n] * stft->window[n] * scale);
        if (n < hop)
            out[n] = sum;
        else
            state[n - hop] = sum;
    }
}

void tess_istft_push(const struct tess_stft *stft,
                     float *state,
                     const float *in,
                     int n_frames,
                     float *out,
                     void *scratch)
{
    const int hop = stft->hop, bins = stft->n_fft / 2 + 1;
    const struct scratch s = split(scratch, stft->n_fft);

    for (int t = 0; t < n_frames; t++, in += 2 * bins, out += hop) {
        for (int f = 0; f < bins; f++) {
            s.spectrum[f][0] = (double)in[f];
            s.spectrum[f][1] = (double)in[bins + f];
        }
        s.spectrum[0][1] = s.spectrum[bins - 1][1] = 0;
        fftw_execute_dft_c2r(stft->inverse, s.spectrum, s.frame);
        overlap_add(stft, s.frame, state, out);
    }
}

void tess_istft_flush(const struct tess_stft *stft, const float *state, float *out)
{
    memcpy(out, state, tess_stft_state(stft) * sizeof *out);
}

int tess_stft_describe(const struct tess_stft *stft, char *text, size_t size)
{
    char *forward = fftw_sprint_plan(stft->forward);
    char *inverse = fftw_sprint_plan(stft->inverse);
    int length = TESS_E_NOMEM;
    if (forward && inverse) length = snprintf(text, size, "%s\n%s\n", forward, inverse);
    free(forward);
    free(inverse);
    return length;
}
