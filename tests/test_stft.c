/* The transforms: against a DFT written out in double, over every split, there and back. */
#include "dsp/stft.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

enum { N_FRAMES = 21 };

static const float window16[16] = {0.5f, 1, -1, 2,      0.25f, 3,  1, 1,
                                   0,    1, 2,  0.125f, 1,     -2, 1, 0.75f};

static const struct tess_stft_config configs[] = {
    {960,  320, NULL,     1.0 / 60},
    {1280, 320, NULL,     1       },
    {16,   4,   window16, 2       },
    {16,   12,  window16, 1       }, /* hops longer than what is held */
    {16,   16,  window16, 1       }, /* nothing is held */
    {2,    1,   NULL,     1       },
};
enum { N_CONFIGS = sizeof configs / sizeof *configs };

/* One plan, one thread's scratch, and a stream of N_FRAMES: samples x, spectra y. */
struct rig {
    struct tess_stft *stft;
    void *scratch;
    int n_fft, hop, bins;
    size_t held;
    float *state; /* [held], zeros */
    float *x;     /* [N_FRAMES hop], noise in -1..1 */
    float *y;     /* [N_FRAMES][2][bins], noise in -1..1 */
};

static void *floats(size_t n)
{
    float *p = calloc(n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static void noise(float *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)seed / 2147483648.0f;
    }
}

static struct rig rig_make(const struct tess_stft_config *config)
{
    struct rig r = {.n_fft = config->n_fft, .hop = config->hop, .bins = config->n_fft / 2 + 1};
    assert_int_equal(tess_stft_create(&r.stft, config, NULL), TESS_OK);
    r.held = tess_stft_state(r.stft);
    assert_int_equal(r.held, r.n_fft - r.hop);
    r.scratch = aligned_alloc(64, (tess_stft_scratch(r.stft) + 63) / 64 * 64);
    assert_non_null(r.scratch);
    r.state = floats(r.held);
    r.x = floats((size_t)(N_FRAMES * r.hop));
    r.y = floats((size_t)(N_FRAMES * 2 * r.bins));
    noise(r.x, (size_t)(N_FRAMES * r.hop), 1);
    noise(r.y, (size_t)(N_FRAMES * 2 * r.bins), 2);
    return r;
}

static void rig_free(struct rig *r)
{
    tess_stft_destroy(r->stft);
    free(r->scratch);
    free(r->state);
    free(r->x);
    free(r->y);
}

static double window_at(const struct tess_stft_config *c, int n)
{
    return c->window ? (double)c->window[n] : 0.5 - 0.5 * cos(2 * PI * n / c->n_fft);
}

/* e^{i 2 pi k / n} with the angle reduced first, which keeps the reference exact to 1e-15. */
static double cos_at(long k, int n)
{
    return cos(2 * PI * (double)(k % n) / n);
}

static double sin_at(long k, int n)
{
    return sin(2 * PI * (double)(k % n) / n);
}

static void spectra_are_the_dft(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_CONFIGS; i++) {
        const struct tess_stft_config *c = &configs[i];
        struct rig r = rig_make(c);
        const int t = 5; /* past the zeros before the start for every config */
        tess_stft_push(r.stft, r.state, r.x, t + 1, r.y, r.scratch);
        const float *frame = r.x + r.hop * (t + 1) - r.n_fft;
        const float *y = r.y + (size_t)t * 2 * (size_t)r.bins;

        for (int f = 0; f < r.bins; f++) {
            double re = 0, im = 0;
            for (int n = 0; n < r.n_fft; n++) {
                const double v = window_at(c, n) * (double)frame[n] * c->scale;
                re += v * cos_at((long)f * n, r.n_fft);
                im -= v * sin_at((long)f * n, r.n_fft);
            }
            /* one rounding to float, 2^-24; what double adds is below 1e-12 */
            assert_true(fabs((double)y[f] - re) <= fabs(re) * 0x1p-24 + 1e-12);
            assert_true(fabs((double)y[r.bins + f] - im) <= fabs(im) * 0x1p-24 + 1e-12);
        }
        rig_free(&r);
    }
}

static void frames_start_in_silence(void **unused)
{
    (void)unused;
    struct rig r = rig_make(&configs[2]);
    float padded[16] = {0}, first[18], same[18];
    memcpy(padded + 12, r.x, 4 * sizeof *padded);

    tess_stft_push(r.stft, r.state, r.x, 1, first, r.scratch);
    memset(r.state, 0, r.held * sizeof *r.state);
    float four[4 * 18];
    tess_stft_push(r.stft, r.state, padded, 4, four, r.scratch);
    memcpy(same, four + (size_t)3 * 18, sizeof same);
    assert_memory_equal(first, same, sizeof first);
    rig_free(&r);
}

/* Sample n of a frame: the inverse DFT of a half spectrum, windowed and scaled. */
static double inverse_at(const struct tess_stft_config *c, const float *y, int n)
{
    const int half = c->n_fft / 2;
    double v = (double)y[0] + (n % 2 ? -1 : 1) * (double)y[half];
    for (int f = 1; f < half; f++)
        v += 2 * ((double)y[f] * cos_at((long)f * n, c->n_fft) -
                  (double)y[half + 1 + f] * sin_at((long)f * n, c->n_fft));
    return v / c->n_fft * window_at(c, n) * c->scale;
}

static void samples_are_the_inverse_dft(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_CONFIGS; i++) {
        const struct tess_stft_config *c = &configs[i];
        struct rig r = rig_make(c);
        enum { T = 5 };
        double *sum = calloc((size_t)(T * r.hop + r.n_fft), sizeof *sum);
        float *out = floats((size_t)(T * r.hop) + r.held);
        assert_non_null(sum);
        for (int t = 0; t < T; t++)
            for (int n = 0; n < r.n_fft; n++)
                sum[t * r.hop + n] += inverse_at(c, r.y + t * 2 * r.bins, n);

        tess_istft_push(r.stft, r.state, r.y, T, out, r.scratch);
        tess_istft_flush(r.stft, r.state, out + T * r.hop);
        /* |sums| stay below 4 and round to float once a frame, over at most four frames:
         * 4 * 4 * 2^-25 = 5e-7 */
        for (int n = 0; n < T * r.hop + (int)r.held; n++)
            assert_true(fabs((double)out[n] - sum[n]) < 1e-6);
        free(sum);
        free(out);
        rig_free(&r);
    }
}

static void splits_change_no_bit(void **unused)
{
    (void)unused;
    static const int steps[] = {1, 2, 3, 7};
    for (int i = 0; i < N_CONFIGS; i++) {
        struct rig r = rig_make(&configs[i]);
        const size_t n_x = (size_t)(N_FRAMES * r.hop), n_y = (size_t)(N_FRAMES * 2 * r.bins);
        float *spectra = floats(n_y), *split_spectra = floats(n_y);
        float *samples = floats(n_x), *split_samples = floats(n_x);
        float *synthesis = floats(r.held), *split_analysis = floats(r.held);
        float *split_synthesis = floats(r.held);
        tess_stft_push(r.stft, r.state, r.x, N_FRAMES, spectra, r.scratch);
        tess_istft_push(r.stft, synthesis, r.y, N_FRAMES, samples, r.scratch);

        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            memset(split_analysis, 0, r.held * sizeof(float));
            memset(split_synthesis, 0, r.held * sizeof(float));
            for (int t = 0; t < N_FRAMES; t += steps[s]) {
                const int n = steps[s] < N_FRAMES - t ? steps[s] : N_FRAMES - t;
                const size_t x = (size_t)(t * r.hop), y = (size_t)(t * 2 * r.bins);
                tess_stft_push(r.stft, split_analysis, r.x + x, n, split_spectra + y, r.scratch);
                tess_istft_push(r.stft, split_synthesis, r.y + y, n, split_samples + x, r.scratch);
            }
            assert_memory_equal(split_spectra, spectra, n_y * sizeof(float));
            assert_memory_equal(split_samples, samples, n_x * sizeof(float));
            assert_memory_equal(split_analysis, r.state, r.held * sizeof(float));
            assert_memory_equal(split_synthesis, synthesis, r.held * sizeof(float));
        }
        free(spectra), free(split_spectra), free(samples), free(split_samples);
        free(synthesis), free(split_analysis), free(split_synthesis);
        rig_free(&r);
    }
}

/* Hann squared, 960 wide and 320 apart, adds up to 3 * 3 / 8 everywhere. */
static void synthesis_undoes_analysis(void **unused)
{
    (void)unused;
    struct rig r = rig_make(&configs[0]);
    struct tess_stft *back;
    const struct tess_stft_config config = {960, 320, NULL, 60 / 1.125};
    assert_int_equal(tess_stft_create(&back, &config, NULL), TESS_OK);
    float *sums = floats(r.held), *out = floats((size_t)(N_FRAMES * r.hop));

    tess_stft_push(r.stft, r.state, r.x, N_FRAMES, r.y, r.scratch);
    tess_istft_push(back, sums, r.y, N_FRAMES, out, r.scratch);
    /* 2^-24 from each spectrum (they average out over 960 bins) and from each of three sums */
    for (int n = 0; n < (int)r.held; n++)
        assert_true(fabsf(out[n]) < 1e-6f);
    for (int n = (int)r.held; n < N_FRAMES * r.hop; n++)
        assert_true(fabsf(out[n] - r.x[n - (int)r.held]) < 1e-6f);
    free(sums);
    free(out);
    tess_stft_destroy(back);
    rig_free(&r);
}

static void flush_gives_what_silence_would_push_out(void **unused)
{
    (void)unused;
    struct rig r = rig_make(&configs[0]);
    float *out = floats((size_t)(N_FRAMES * r.hop)), *tail = floats(r.held);
    float *before = floats(r.held), *silence = floats((size_t)(2 * 2 * r.bins));

    tess_istft_push(r.stft, r.state, r.y, 4, out, r.scratch);
    memcpy(before, r.state, r.held * sizeof *before);
    tess_istft_flush(r.stft, r.state, tail);
    assert_memory_equal(r.state, before, r.held * sizeof *before);
    tess_istft_push(r.stft, r.state, silence, 2, out, r.scratch);
    for (size_t n = 0; n < r.held; n++)
        assert_true(tail[n] == out[n]);
    free(out), free(tail), free(before), free(silence);
    rig_free(&r);
}

static void imaginary_ends_are_ignored(void **unused)
{
    (void)unused;
    struct rig r = rig_make(&configs[2]);
    float out[4], same[4];
    tess_istft_push(r.stft, r.state, r.y, 1, out, r.scratch);
    memset(r.state, 0, r.held * sizeof *r.state);
    r.y[r.bins] = 100;
    r.y[2 * r.bins - 1] = -100;
    tess_istft_push(r.stft, r.state, r.y, 1, same, r.scratch);
    assert_memory_equal(out, same, sizeof out);
    rig_free(&r);
}

/* The names of FFTW's vector codelets end in v before their size: "n1fv_16", "hc2cfdftv_20". */
static void no_codelet_depends_on_the_cpu(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_CONFIGS; i++) {
        struct rig r = rig_make(&configs[i]);
        char text[16384];
        const int length = tess_stft_describe(r.stft, text, sizeof text);
        assert_in_range(length, 1, sizeof text - 1);
        assert_non_null(strstr(text, "_"));
        assert_null(strstr(text, "v_"));
        rig_free(&r);
    }
}

static void refuses_impossible_sizes(void **unused)
{
    (void)unused;
    static const struct tess_stft_config bad[] = {
        {0,     1,  NULL, 1},
        {15,    5,  NULL, 1},
        {65538, 2,  NULL, 1},
        {16,    0,  NULL, 1},
        {16,    17, NULL, 1}
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tess_stft *stft;
        assert_int_equal(tess_stft_create(&stft, &bad[i], NULL), TESS_E_ARGUMENT);
        assert_null(stft);
    }
    tess_stft_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spectra_are_the_dft),
        cmocka_unit_test(frames_start_in_silence),
        cmocka_unit_test(samples_are_the_inverse_dft),
        cmocka_unit_test(splits_change_no_bit),
        cmocka_unit_test(synthesis_undoes_analysis),
        cmocka_unit_test(flush_gives_what_silence_would_push_out),
        cmocka_unit_test(imaginary_ends_are_ignored),
        cmocka_unit_test(no_codelet_depends_on_the_cpu),
        cmocka_unit_test(refuses_impossible_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
