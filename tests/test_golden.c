/* The shipped model against its golden vectors, which were computed apart from this library in
 * double precision: latents, codes and audio, on every set of kernels that this CPU has. */
#include "src/safetensors.h"
#include "src/worker.h"
#include "tests/check.h"
#include "tests/codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Single precision through a dozen layers of up to 768 sums each; the latent's own scale is 1. */
static const float LATENT_TOLERANCE = 1e-3f, AUDIO_TOLERANCE = 1e-4f;
/* Squared distances nearer to each other than this may be ordered differently. */
static const float NEAR_TIE = 1e-4f;
enum { PUSH = 64 /* frames: one batch, so that the worker still holds their latents */ };

static struct tess_safetensors file;
static int n_frames, k, width; /* T, K, D of the vectors */
static float *pcm, *latent, *margin, *audio, *audio_half;
static uint16_t *codes;

static float *floats(const char *name, int *rows, int *columns)
{
    struct tess_why why = {""};
    const struct tess_tensor *tensor = tess_safetensors_find(&file, name);
    if (!tensor) fail_msg("golden.safetensors has no '%s'", name);
    float *values = zeros(tensor->n_elements, sizeof *values);
    if (tess_safetensors_widen(tensor, values, &why)) fail_msg("%s", why.text);
    *rows = tensor->dims[0];
    *columns = tensor->dims[1];
    return values;
}

static int set_up(void **state)
{
    (void)state;
    struct tess_why why = {""};
    if (tess_safetensors_open(&file, "tests/data/golden.safetensors", NULL, &why))
        fail_msg("%s", why.text);
    int n_samples, rows, one;
    pcm = floats("pcm", &n_samples, &one);
    audio = floats("audio", &rows, &one);
    assert_int_equal(rows, n_samples);
    audio_half = floats("audio_half", &rows, &one);
    assert_int_equal(rows, n_samples);
    latent = floats("latent", &n_frames, &width);
    margin = floats("margin", &rows, &k);
    const struct tess_tensor *tensor = tess_safetensors_find(&file, "codes");
    assert_non_null(tensor);
    assert_true(tensor->dtype == TESS_I32);
    assert_int_equal(tensor->n_elements, n_frames * k);
    codes = zeros(tensor->n_elements, sizeof *codes);
    for (size_t i = 0; i < tensor->n_elements; i++)
        codes[i] = (uint16_t)tess_le32(tensor->data + 4 * i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(pcm);
    free(latent);
    free(margin);
    free(audio);
    free(audio_half);
    free(codes);
    tess_safetensors_close(&file);
    return 0;
}

static float largest_difference(const float *a, const float *b, size_t n)
{
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= INFINITY)) return INFINITY; /* NaN */
        largest = fmaxf(largest, fabsf(a[i] - b[i]));
    }
    return largest;
}

/* A frame's codes, layer-major: column l * groups + g. Behind a near tie the residual is another, so
 * later layers of that group may differ too. */
static void compare_codes(const uint16_t *got, const uint16_t *want, const float *gap, int groups)
{
    for (int g = 0; g < groups; g++)
        for (int column = g; column < k && gap[column] >= NEAR_TIE; column += groups)
            assert_int_equal(got[column], want[column]);
}

static void latents_and_codes(void **state)
{
    (void)state;
    for (int i = 0; tess_kernel_name(i); i++) {
        struct codec codec = codec_open(tess_kernel_name(i), 1, 1);
        const int hop = codec.info.hop, groups = 2; /* of the default family's shipped model */
        struct tess_encoder *encoder = codec_encoder(&codec, k);
        uint16_t *got = zeros((size_t)(PUSH * k), sizeof *got);
        assert_int_equal(codec.model->latent_width, width);
        for (int from = 0; from < n_frames; from += PUSH) {
            const int n = n_frames - from < PUSH ? n_frames - from : PUSH;
            const int64_t given = tess_encoder_push(codec.worker, encoder, pcm + from * hop,
                                                    (size_t)(n * hop), got, (size_t)n);
            assert_int_equal(given, n);
            const float *z = codec.worker->batch.slots[codec.model->encoder.out_slot];
            const float off = largest_difference(z, latent + from * width, (size_t)(n * width));
            if (!(off < LATENT_TOLERANCE))
                fail_msg("%s: latent %g off", codec.info.kernel, (double)off);
            for (int t = 0; t < n; t++)
                compare_codes(got + t * k, codes + (from + t) * k, margin + (from + t) * k, groups);
        }
        free(got);
        tess_encoder_destroy(encoder, codec.model);
        codec_close(&codec);
    }
}

/* The first `columns` of the golden codes against what they should sound like. */
static void compare_audio(int columns, const float *want)
{
    uint16_t *kept = zeros((size_t)(n_frames * columns), sizeof *kept);
    for (int t = 0; t < n_frames; t++)
        memcpy(kept + t * columns, codes + t * k, (size_t)columns * sizeof *kept);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct codec codec = codec_open(tess_kernel_name(i), 1, 1);
        const size_t n = (size_t)(n_frames * codec.info.hop);
        float *got = zeros(n, sizeof *got);
        codec_decode(&codec, NULL, kept, (size_t)n_frames, columns, got);
        const float off = largest_difference(got, want, n);
        if (!(off < AUDIO_TOLERANCE)) fail_msg("%s: audio %g off", codec.info.kernel, (double)off);
        free(got);
        codec_close(&codec);
    }
    free(kept);
}

static void audio_at_full_rate(void **state)
{
    (void)state;
    compare_audio(k, audio);
}

static void audio_at_half_rate(void **state)
{
    (void)state;
    compare_audio(k / 2, audio_half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latents_and_codes),
        cmocka_unit_test(audio_at_full_rate),
        cmocka_unit_test(audio_at_half_rate),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
