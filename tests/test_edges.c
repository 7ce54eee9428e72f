/* Streams at the edge: sound that no microphone gives, codes that no encoder gives, and calls that
 * must be refused and then count as never made. With --nightly an hour of each kind of codes. */
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/random.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much longer than speech or random codes anything may take: denormals would cost 10 times and
 * more. 1.1 is the promise, for the nightly's many seconds; fewer need room for other programs. */
static double slower = 3.0;

static struct codec codec;
static size_t hop, k;
static size_t n;              /* samples of the clip: two seconds */
static size_t n_frames;       /* of the clip */
static size_t n_seconds = 20; /* of each kind of codes */
static float *speech;         /* [n], the clip */
static uint16_t *codes;       /* [n_frames][k], the clip's */

static int set_up(void **state)
{
    (void)state;
    codec = codec_open(NULL, 1, 2);
    hop = (size_t)codec.info.hop;
    k = (size_t)codec.info.codebooks;
    n = 2 * (size_t)codec.info.sample_rate + 7;
    n_frames = codec_frames(&codec, n);
    speech = read_speech(&n);
    codes = zeros(n_frames * k, sizeof *codes);
    codec_encode(&codec, NULL, speech, n, (int)k, codes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(speech);
    free(codes);
    codec_close(&codec);
    return 0;
}

static void assert_finite(const float *pcm, size_t n_samples)
{
    for (size_t i = 0; i < n_samples; i++)
        if (!isfinite(pcm[i])) fail_msg("sample %zu is %g", i, (double)pcm[i]);
}

/* ---- any sound --------------------------------------------------------------------------- */

/* Seconds to encode and decode the clip; its codes must be codes and its audio finite, and both the
 * same when it is pushed hop by hop. */
static double run_sound(const float *pcm)
{
    uint16_t *whole = zeros(n_frames * k, sizeof *whole),
             *split = zeros(n_frames * k, sizeof *split);
    float *audio = zeros(n_frames * hop, sizeof *audio);
    const double before = cpu_seconds();
    codec_encode(&codec, NULL, pcm, n, (int)k, whole);
    codec_decode(&codec, NULL, whole, n_frames, (int)k, audio);
    const double seconds = cpu_seconds() - before;
    for (size_t i = 0; i < n_frames * k; i++)
        assert_in_range(whole[i], 0, codec.info.entries - 1);
    assert_finite(audio, n_frames * hop);

    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    const size_t n_hops = n / hop;
    for (size_t t = 0; t < n_hops; t++)
        assert_int_equal(tess_encoder_push(codec.worker, e, pcm + t * hop, hop, split + t * k, 1),
                         1);
    assert_memory_equal(split, whole, n_hops * k * sizeof *whole);
    tess_encoder_destroy(e, codec.model);
    free(whole);
    free(split);
    free(audio);
    return seconds;
}

static double fastest_sound(const float *pcm)
{
    double best = HUGE_VAL;
    for (int i = 0; i < 3; i++)
        best = fmin(best, run_sound(pcm));
    return best;
}

static void any_finite_sound_is_coded_at_the_same_speed(void **state)
{
    (void)state;
    const struct {
        const char *name;
        float high, low; /* the two halves of a period of 54 samples */
    } sounds[] = {
        {"silence",              0.0f,    0.0f    },
        {"negative zero",        -0.0f,   -0.0f   },
        {"a constant",           1.0f,    1.0f    },
        {"full-scale square",    1.0f,    -1.0f   },
        {"hardly normal",        1e-38f,  1e-38f  },
        {"denormal",             1e-42f,  -1e-42f },
        {"the largest constant", FLT_MAX, FLT_MAX },
        {"the largest square",   FLT_MAX, -FLT_MAX},
    };
    const double speech_seconds = fastest_sound(speech);
    float *pcm = zeros(n, sizeof *pcm);
    for (size_t s = 0; s < sizeof sounds / sizeof *sounds; s++) {
        for (size_t i = 0; i < n; i++)
            pcm[i] = i / 27 % 2 ? sounds[s].low : sounds[s].high;
        const double seconds = fastest_sound(pcm);
        if (!(seconds < slower * speech_seconds))
            fail_msg("%s takes %.3f s, speech %.3f s", sounds[s].name, seconds, speech_seconds);
    }
    free(pcm);
}

static void samples_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    const size_t bytes = tess_encoder_size(codec.model);
    uint64_t seed = 1;
    float *pcm = zeros(n, sizeof *pcm);
    unsigned char *before = zeros(bytes, 1);
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    size_t frame = 0;
    for (size_t at = 0; at < n;) {
        const size_t left = n - at, part = left < 3001 ? left : 3001;
        memcpy(pcm, speech + at, part * sizeof *pcm);
        pcm[random_below(&seed, (int)part)] = bad[random_below(&seed, 4)];
        memcpy(before, e, bytes);
        assert_int_equal(tess_encoder_push(codec.worker, e, pcm, part, out + frame * k, n_frames),
                         TESS_E_NONFINITE);
        assert_memory_equal(e, before, bytes);
        int64_t given = tess_encoder_push(codec.worker, e, speech + at, part, out + frame * k,
                                          n_frames - frame);
        assert_true(given >= 0);
        frame += (size_t)given;
        at += part;
    }
    assert_int_equal(tess_encoder_flush(codec.worker, e, out + frame * k, 1), n_frames - frame);
    assert_memory_equal(out, codes, n_frames * k * sizeof *out);
    tess_encoder_destroy(e, codec.model);
    free(before);
    free(pcm);
    free(out);
}

/* ---- any codes --------------------------------------------------------------------------- */

enum kind { RANDOM, LARGEST, ZERO, REPEATED, ALTERNATING, N_KINDS };

/* A second of codes. */
static void fill_codes(enum kind kind, uint16_t *out, size_t frames, uint64_t *seed)
{
    const int entries = codec.info.entries;
    const uint16_t one = (uint16_t)(entries / 3), other = (uint16_t)(entries / 2);
    for (size_t t = 0; t < frames; t++)
        for (size_t column = 0; column < k; column++)
            out[t * k + column] = kind == RANDOM     ? (uint16_t)random_below(seed, entries)
                                  : kind == LARGEST  ? (uint16_t)(entries - 1)
                                  : kind == ZERO     ? 0
                                  : kind == REPEATED ? one
                                  : t % 2            ? other
                                                     : one;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One stream a kind, a second of each in turn, so that all kinds meet the same machine. The median
 * second of each is compared with that of random codes. */
static void any_codes_are_decoded_at_the_same_speed(void **state)
{
    (void)state;
    const size_t frames = (size_t)codec.info.sample_rate / hop;
    uint64_t seed = 2;
    uint16_t *in = zeros(frames * k, sizeof *in);
    float *pcm = zeros(frames * hop, sizeof *pcm);
    double *seconds[N_KINDS];
    struct tess_decoder *d[N_KINDS];
    for (int kind = 0; kind < N_KINDS; kind++) {
        seconds[kind] = zeros(n_seconds, sizeof *seconds[kind]);
        d[kind] = codec_decoder(&codec, (int)k);
    }
    for (size_t s = 0; s < n_seconds; s++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            fill_codes((enum kind)kind, in, frames, &seed);
            const double before = cpu_seconds();
            int64_t given = tess_decoder_push(codec.worker, d[kind], in, frames, pcm, frames * hop);
            seconds[kind][s] = cpu_seconds() - before;
            assert_true(given > 0);
            assert_finite(pcm, (size_t)given);
        }
    for (int kind = 0; kind < N_KINDS; kind++) {
        qsort(seconds[kind], n_seconds, sizeof *seconds[kind], ascending);
        const double median = seconds[kind][n_seconds / 2], usual = seconds[RANDOM][n_seconds / 2];
        if (!(median < slower * usual))
            fail_msg("kind %d takes %.3f ms a second, random codes %.3f", kind, 1e3 * median,
                     1e3 * usual);
    }
    for (int kind = 0; kind < N_KINDS; kind++) {
        tess_decoder_destroy(d[kind], codec.model);
        free(seconds[kind]);
    }
    free(in);
    free(pcm);
}

static void codes_outside_their_codebook_are_refused(void **state)
{
    (void)state;
    const size_t bytes = tess_decoder_size(codec.model);
    const uint16_t bad[] = {(uint16_t)codec.info.entries, 0x7FFF, 0x8000, 0xFFFF};
    uint64_t seed = 3;
    uint16_t *in = zeros(n_frames * k, sizeof *in);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_decoder *d = codec_decoder(&codec, (int)k), *before = codec_decoder(&codec, (int)k);
    assert_true(tess_decoder_push(codec.worker, d, codes, 5, pcm, n_frames * hop) > 0);
    memcpy(before, d, bytes);
    for (int i = 0; i < 40; i++) {
        memcpy(in, codes, n_frames * k * sizeof *in);
        in[random_below(&seed, (int)(n_frames * k))] = bad[i % 4];
        assert_int_equal(tess_decoder_push(codec.worker, d, in, n_frames, pcm, n_frames * hop),
                         TESS_E_CODE);
        assert_memory_equal(d, before, bytes);
    }
    tess_decoder_destroy(d, codec.model);
    tess_decoder_destroy(before, codec.model);
    free(in);
    free(pcm);
}

/* ---- refused calls ----------------------------------------------------------------------- */

static void an_output_that_is_too_small_costs_nothing(void **state)
{
    (void)state;
    const size_t n_samples = n_frames * hop;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_samples, sizeof *pcm);
    struct tess_encoder *e = codec_encoder(&codec, (int)k), *e2 = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k), *d2 = codec_decoder(&codec, (int)k);
    const size_t full = (size_t)tess_encoder_frames(e, n);
    assert_int_equal(tess_encoder_push(codec.worker, e, speech, n, out, full - 1), TESS_E_SPACE);
    assert_memory_equal(e, e2, tess_encoder_size(codec.model));
    assert_int_equal(tess_encoder_push(codec.worker, e, speech, n, out, full), full);
    memcpy(e2, e, tess_encoder_size(codec.model));
    assert_int_equal(tess_encoder_flush(codec.worker, e, out, 0), TESS_E_SPACE);
    assert_memory_equal(e, e2, tess_encoder_size(codec.model));

    const size_t given = (size_t)tess_decoder_samples(d, n_frames);
    assert_int_equal(tess_decoder_push(codec.worker, d, codes, n_frames, pcm, given - 1),
                     TESS_E_SPACE);
    assert_memory_equal(d, d2, tess_decoder_size(codec.model));
    assert_int_equal(tess_decoder_push(codec.worker, d, codes, n_frames, pcm, given), given);
    memcpy(d2, d, tess_decoder_size(codec.model));
    assert_int_equal(tess_decoder_flush(codec.worker, d, pcm, n_samples - given - 1), TESS_E_SPACE);
    assert_memory_equal(d, d2, tess_decoder_size(codec.model));
    assert_int_equal(tess_decoder_flush(codec.worker, d, pcm, n_samples - given),
                     n_samples - given);
    tess_encoder_destroy(e, codec.model);
    tess_encoder_destroy(e2, codec.model);
    tess_decoder_destroy(d, codec.model);
    tess_decoder_destroy(d2, codec.model);
    free(out);
    free(pcm);
}

static void an_ended_stream_only_resets(void **state)
{
    (void)state;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tess_encoder_push(codec.worker, e, speech, hop + 1, out, 1), 1);
        assert_int_equal(tess_encoder_flush(codec.worker, e, out + k, 1), 1);
        assert_int_equal(tess_encoder_push(codec.worker, e, speech, hop, out, 1), TESS_E_ENDED);
        assert_int_equal(tess_encoder_push(codec.worker, e, speech, 0, out, 1), TESS_E_ENDED);
        assert_int_equal(tess_encoder_flush(codec.worker, e, out, 1), TESS_E_ENDED);
        tess_encoder_reset(e);
        int64_t given = tess_decoder_push(codec.worker, d, out, 2, pcm, 2 * hop);
        assert_true(given >= 0);
        assert_int_equal(tess_decoder_flush(codec.worker, d, pcm + given, 2 * hop - (size_t)given),
                         2 * (int64_t)hop - given);
        assert_int_equal(tess_decoder_push(codec.worker, d, out, 1, pcm, hop), TESS_E_ENDED);
        assert_int_equal(tess_decoder_flush(codec.worker, d, pcm, 2 * hop), TESS_E_ENDED);
        tess_decoder_reset(d);
    }
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
    free(out);
    free(pcm);
}

/* The shipped model with another name: the same numbers, another fingerprint. */
static struct tess_model *open_renamed(void)
{
    FILE *file = fopen(TEST_MODEL, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const size_t size = (size_t)ftell(file);
    unsigned char *bytes = zeros(size, 1);
    rewind(file);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    const size_t length = strlen(codec.info.name);
    size_t at = 0;
    while (at + length < size && memcmp(bytes + at, codec.info.name, length))
        at++;
    assert_true(at + length < size);
    bytes[at] = bytes[at] == 'x' ? 'y' : 'x';
    struct tess_model *model;
    struct tess_why why = {""};
    if (tess_model_open_memory(&model, bytes, size, NULL, &why)) fail_msg("%s", why.text);
    free(bytes);
    return model;
}

static void streams_of_another_model_or_direction_are_refused(void **state)
{
    (void)state;
    struct tess_model *other = open_renamed();
    struct tess_encoder *e;
    struct tess_decoder *d;
    uint16_t out[64] = {0};
    float *pcm = zeros(hop, sizeof *pcm);
    assert_int_equal(tess_encoder_create(&e, other, NULL), 0);
    assert_int_equal(tess_decoder_create(&d, other, NULL), 0);
    assert_int_equal(tess_encoder_push(codec.worker, e, pcm, hop, out, 1), TESS_E_MISMATCH);
    assert_int_equal(tess_decoder_push(codec.worker, d, out, 1, pcm, hop), TESS_E_MISMATCH);
    tess_encoder_destroy(e, other);
    tess_decoder_destroy(d, other);
    tess_model_close(other);

    e = codec_encoder(&codec, (int)k);
    d = codec_decoder(&codec, (int)k);
    assert_int_equal(
        tess_encoder_push(codec.worker, (struct tess_encoder *)(void *)d, pcm, hop, out, 1),
        TESS_E_MISMATCH);
    assert_int_equal(
        tess_decoder_push(codec.worker, (struct tess_decoder *)(void *)e, out, 1, pcm, hop),
        TESS_E_MISMATCH);
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
    free(pcm);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k);
    for (int codebooks = -1; codebooks <= (int)k + 1; codebooks++) {
        const struct tess_stream_options options = {.size = sizeof options, .codebooks = codebooks};
        const int legal = codebooks == 0 || (codebooks > 0 && codebooks <= (int)k &&
                                             codec.info.codebooks_legal >> (codebooks - 1) & 1);
        const int want = legal ? 0 : TESS_E_ARGUMENT;
        assert_int_equal(tess_encoder_init(e, codec.model, &options), want);
        assert_int_equal(tess_decoder_init(d, codec.model, &options), want);
    }
    const struct tess_stream_options old = {.size = sizeof old - 1};
    assert_int_equal(tess_encoder_init(e, codec.model, &old), TESS_E_ARGUMENT);
    assert_int_equal(tess_decoder_init(d, codec.model, &old), TESS_E_ARGUMENT);

    struct tess_encode_job enc[3] = {{.encoder = e}};
    struct tess_decode_job dec[3] = {{.decoder = d}};
    assert_int_equal(tess_encode(codec.worker, enc, 0), 0);
    assert_int_equal(tess_encode(codec.worker, enc, -1), TESS_E_ARGUMENT);
    assert_int_equal(tess_encode(codec.worker, enc, 3), TESS_E_ARGUMENT); /* the worker's are 2 */
    assert_int_equal(tess_decode(codec.worker, dec, 0), 0);
    assert_int_equal(tess_decode(codec.worker, dec, -1), TESS_E_ARGUMENT);
    assert_int_equal(tess_decode(codec.worker, dec, 3), TESS_E_ARGUMENT);
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_finite_sound_is_coded_at_the_same_speed),
        cmocka_unit_test(samples_that_are_not_finite_are_refused),
        cmocka_unit_test(any_codes_are_decoded_at_the_same_speed),
        cmocka_unit_test(codes_outside_their_codebook_are_refused),
        cmocka_unit_test(an_output_that_is_too_small_costs_nothing),
        cmocka_unit_test(an_ended_stream_only_resets),
        cmocka_unit_test(streams_of_another_model_or_direction_are_refused),
        cmocka_unit_test(options_out_of_range_are_refused),
    };
    if (argc > 1 && !strcmp(argv[1], "--nightly")) {
        n_seconds = 3600;
        slower = 1.1;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
