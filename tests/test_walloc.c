/* WaLLoC inside: what stands between its layers against the published implementation, and what is its
 * own among the families: whole clips both ways, signed codes, columns beyond the samples.
 * Usage: test_walloc MODEL */
#include "src/worker.h"
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/golden.h"
#include "tests/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOP = 256, C = 2, K = 108, LEVELS = 8, LEAST = 1280, SURPLUS = 2 };

static const char *path;
static struct tess_safetensors golden;
static struct codec codec;

static int set_up(void **state)
{
    (void)state;
    golden_open(&golden, "walloc_stereo_5x");
    codec = codec_open_model(path, NULL, 1, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    codec_close(&codec);
    tess_safetensors_close(&golden);
    return 0;
}

/* ---- golden values ----------------------------------------------------------------------------- */

static const char *const cases[] = {"speech", "synth", "click"};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_encoder_taps(void **state)
{
    (void)state;
    const struct tess_graph *graph = &codec.model->encoder;
    for (int i = 0; i < N_CASES; i++) {
        const int n_samples = golden_find(&golden, cases[i], "input")->dims[0];
        float *pcm = golden_values(&golden, cases[i], "input");
        int n;
        struct walk walk;
        walk_begin(&walk, graph, pcm, n_samples, 0);
        const float *bands = walk_to(&walk, LEVELS, &n);
        assert_int_equal(n, n_samples / HOP);
        golden_check(&golden, cases[i], "wpt", bands, n, C * HOP);
        const float *out = walk_to(&walk, graph->n_layers, &n);
        assert_int_equal(n, n_samples / HOP + SURPLUS);
        float *latent = zeros((size_t)(n * K), sizeof *latent);
        for (int j = 0; j < n * K; j++) /* the published one has it companded */
            latent[j] = (float)(127.499 * erf((double)out[j] / (127 / 1.85 * 1.4142135623730951)));
        golden_check(&golden, cases[i], "latent", latent, n, K);
        walk_end(&walk);
        free(pcm);
        free(latent);
    }
}

static void test_decoder_taps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int layers, shorter, channels, steps; /* layers it takes; columns lost; steps a column */
        int kept_of_all;                      /* of every case */
    } taps[] = {
        {"dec.conv1",          1,  0, 756,     1,   0},
        {"dec.block0.conv_t1", 3,  1, 756,     1,   0},
        {"dec.block0",         18, 1, 756,     1,   0},
        {"dec.block1",         35, 2, 108,     1,   0},
        {"wpt_hat",            37, 2, C * HOP, 1,   1},
        {"synth_before_post",  45, 2, C,       HOP, 1},
    };
    for (int i = 0; i < N_CASES; i++) {
        int n_frames, columns, n;
        uint16_t *codes = golden_codes(&golden, cases[i], &n_frames, &columns);
        float *latent = zeros((size_t)(n_frames * K), sizeof *latent);
        struct walk walk;
        assert_int_equal(columns, K);
        assert_int_equal(tess_quantizer_decode(&codec.model->quantizer, codes, n_frames, K, latent),
                         0);
        golden_check(&golden, cases[i], "decoder_in", latent, n_frames, K);
        walk_begin(&walk, &codec.model->decoder, latent, n_frames, 0);
        for (size_t j = 0; j < sizeof taps / sizeof *taps; j++) {
            const float *rows = walk_to(&walk, taps[j].layers, &n);
            assert_int_equal(n, (n_frames - taps[j].shorter) * taps[j].steps);
            if (taps[j].kept_of_all || strcmp(cases[i], "click"))
                golden_check(&golden, cases[i], taps[j].name, rows, n, taps[j].channels);
        }
        walk_end(&walk);
        free(codes);
        free(latent);
    }
}

/* ---- whole clips ------------------------------------------------------------------------------- */

/* Frames of a clip of n samples. */
static int64_t frames_of(int64_t n)
{
    if (n == 0) return 0;
    return ((n < LEAST ? LEAST : n) + HOP - 1) / HOP + SURPLUS;
}

static uint16_t *encode(const struct codec *c, const float *pcm, int64_t n)
{
    const int64_t n_frames = frames_of(n);
    uint16_t *codes = zeros((size_t)(n_frames * K), sizeof *codes);
    struct tess_encode_job job = {.encoder = codec_encoder(c, K),
                                  .pcm = pcm,
                                  .n_samples = (size_t)n,
                                  .end = 1,
                                  .codes = codes,
                                  .capacity = (size_t)n_frames};
    assert_int_equal(tess_encode(c->worker, &job, 1), 0);
    assert_int_equal(job.n_frames, n_frames);
    tess_encoder_destroy(job.encoder, c->model);
    return codes;
}

static float *decode(const struct codec *c, const uint16_t *codes, int64_t n_frames)
{
    const int64_t n = n_frames ? (n_frames - SURPLUS) * HOP : 0;
    float *pcm = zeros((size_t)(n * C), sizeof *pcm);
    struct tess_decode_job job = {.decoder = codec_decoder(c, K),
                                  .codes = codes,
                                  .n_frames = (size_t)n_frames,
                                  .end = 1,
                                  .pcm = pcm,
                                  .capacity = (size_t)n};
    assert_int_equal(tess_decode(c->worker, &job, 1), 0);
    assert_int_equal(job.n_samples, n);
    tess_decoder_destroy(job.decoder, c->model);
    return pcm;
}

/* Codes may be one off where the published implementation's number is that near to a border. */
static void test_codes_and_audio(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        char at[80];
        const int n = golden_find(&golden, cases[i], "input")->dims[0];
        float *pcm = golden_values(&golden, cases[i], "input");
        float *gap = golden_values(&golden, cases[i], "gap");
        snprintf(at, sizeof at, "%s.gap", cases[i]);
        float *near = golden_values(&golden, at, "limit");
        int n_frames, columns;
        uint16_t *codes = golden_codes(&golden, cases[i], &n_frames, &columns);
        uint16_t *got = encode(&codec, pcm, n);
        assert_int_equal(frames_of(n), n_frames);
        for (int j = 0; j < n_frames * K; j++)
            assert_true(abs((int16_t)got[j] - (int16_t)codes[j]) <= (gap[j] < *near));
        float *audio = decode(&codec, codes, n_frames);
        golden_check(&golden, cases[i], "audio", audio, n, C);
        free(pcm);
        free(gap);
        free(near);
        free(codes);
        free(got);
        free(audio);
    }
}

/* Noise: -0.5 to 0.5. */
static float *noise(int n)
{
    float *pcm = zeros((size_t)(n * C), sizeof *pcm);
    uint64_t seed = 5;
    for (int i = 0; i < n * C; i++)
        pcm[i] = 0.5f * random_float(&seed);
    return pcm;
}

static void test_kernels_and_threads(void **state)
{
    (void)state;
    enum { N = 20000 };
    const int64_t n_frames = frames_of(N);
    float *pcm = noise(N);
    uint16_t *codes = encode(&codec, pcm, N);
    float *audio = decode(&codec, codes, n_frames);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct codec other = codec_open_model(path, tess_kernel_name(i), i + 1, 1);
        uint16_t *same_codes = encode(&other, pcm, N);
        float *same_audio = decode(&other, codes, n_frames);
        assert_memory_equal(same_codes, codes, (size_t)(n_frames * K) * sizeof *codes);
        assert_memory_equal(same_audio, audio, (size_t)(n_frames - SURPLUS) * HOP * C * 4);
        free(same_codes);
        free(same_audio);
        codec_close(&other);
    }
    free(pcm);
    free(codes);
    free(audio);
}

/* A clip is encoded as if zeros followed, to whole hops and at least to LEAST samples. */
static void test_lengths(void **state)
{
    (void)state;
    static const int lengths[] = {0, 1, 255, 256, 257, 1279, LEAST, LEAST + 1, 1536, 30000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int n = lengths[i];
        const int64_t n_frames = frames_of(n);
        float *pcm = noise(n ? (int)(n_frames - SURPLUS) * HOP : 0);
        memset(pcm + n * C, 0, n ? (size_t)((n_frames - SURPLUS) * HOP - n) * C * sizeof *pcm : 0);
        uint16_t *codes = encode(&codec, pcm, n);
        uint16_t *padded = encode(&codec, pcm, n ? (n_frames - SURPLUS) * HOP : 0);
        assert_memory_equal(codes, padded, (size_t)(n_frames * K) * sizeof *codes);
        float *audio = decode(&codec, codes, n_frames);
        for (int64_t j = 0; j < (n ? (n_frames - SURPLUS) * HOP * C : 0); j++)
            assert_true(fabsf(audio[j]) <= 0.5f);
        free(pcm);
        free(codes);
        free(padded);
        free(audio);
    }
    static const uint16_t few[2 * K]; /* columns that give no sample */
    free(decode(&codec, few, 2));
}

static void test_refusals(void **state)
{
    (void)state;
    struct tess_encoder *encoder = codec_encoder(&codec, K);
    struct tess_decoder *decoder = codec_decoder(&codec, K);
    uint16_t *codes = zeros(20 * K, sizeof *codes);
    float *pcm = zeros(20 * HOP * C, sizeof *pcm);
    assert_int_equal(tess_encoder_push(codec.worker, encoder, pcm, LEAST, codes, 20),
                     TESS_E_UNSUPPORTED);
    assert_int_equal(tess_decoder_push(codec.worker, decoder, codes, 8, pcm, 20 * HOP),
                     TESS_E_UNSUPPORTED);
    struct tess_encode_job e = {
        .encoder = encoder, .pcm = pcm, .n_samples = 1, .end = 1, .codes = codes, .capacity = 6};
    assert_int_equal(tess_encode(codec.worker, &e, 1), TESS_E_SPACE);
    struct tess_decode_job d = {.decoder = decoder,
                                .codes = codes,
                                .n_frames = 7,
                                .end = 1,
                                .pcm = pcm,
                                .capacity = 5 * HOP - 1};
    assert_int_equal(tess_decode(codec.worker, &d, 1), TESS_E_SPACE);
    codes[K] = 128;
    d.capacity = 5 * HOP;
    assert_int_equal(tess_decode(codec.worker, &d, 1), TESS_E_CODE);
    codes[K] = (uint16_t)-127;
    assert_int_equal(tess_decode(codec.worker, &d, 1), 0);

    const size_t most = (size_t)codec.info.max_samples;
    float *long_pcm = zeros((most + 1) * C, sizeof *long_pcm);
    uint16_t *many = zeros((most / HOP + 3) * K, sizeof *many);
    e.pcm = long_pcm;
    e.n_samples = most + 1;
    assert_int_equal(tess_encode(codec.worker, &e, 1), TESS_E_ARGUMENT);
    tess_decoder_reset(decoder);
    d.codes = many;
    d.n_frames = most / HOP + 3;
    assert_int_equal(tess_decode(codec.worker, &d, 1), TESS_E_ARGUMENT);
    free(long_pcm);
    free(many);
    free(codes);
    free(pcm);
    tess_encoder_destroy(encoder, codec.model);
    tess_decoder_destroy(decoder, codec.model);
}

static void test_info(void **state)
{
    (void)state;
    const struct tess_model_info *info = &codec.info;
    assert_int_equal(info->channels, C);
    assert_int_equal(info->hop, HOP);
    assert_int_equal(info->codebooks, K);
    assert_int_equal(info->codebooks_default, K);
    assert_int_equal(info->codebooks_legal, 0);
    assert_int_equal(info->entries, 255);
    assert_int_equal(info->code_min, -127);
    assert_int_equal(info->encode, TESS_WHOLE_CLIP);
    assert_int_equal(info->decode, TESS_WHOLE_CLIP);
    assert_int_equal(info->encode_delay, SURPLUS * HOP);
    assert_int_equal(info->min_samples, LEAST);
    assert_int_equal(tess_model_codebooks(codec.model, 0), K);
    assert_int_equal(tess_model_codebooks(codec.model, K), K);
    static const int none[] = {-1, 1, 64, K - 1, K + 1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(tess_model_codebooks(codec.model, none[i]), TESS_E_ARGUMENT);
}

/* An allocator with an end. */
static size_t most = SIZE_MAX;

static void *alloc(void *ctx, size_t n)
{
    (void)ctx;
    return n > most ? NULL : malloc(n);
}

static void release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

/* A clip that memory is too small for is that job's trouble alone. */
static void test_memory_for_one(void **state)
{
    (void)state;
    enum { SHORT = 3 * HOP, LONG = 4000 * HOP, FRAMES = LONG / HOP + SURPLUS };
    static uint16_t codes[2][FRAMES * K];
    const struct tess_allocator allocator = {.alloc = alloc, .release = release};
    const struct tess_model_options options = {.size = sizeof options, .allocator = &allocator};
    const struct tess_worker_options two = {.size = sizeof two, .max_streams = 2};
    struct tess_model *model;
    struct tess_worker *worker;
    float *pcm = zeros((size_t)LONG * C, sizeof *pcm);
    assert_int_equal(tess_model_open(&model, path, &options, NULL), 0);
    assert_int_equal(tess_worker_create(&worker, model, &two), 0);
    most = 1 << 20;
    for (int longer = 0; longer < 2; longer++) {
        struct tess_encode_job jobs[2];
        for (int i = 0; i < 2; i++) {
            jobs[i] = (struct tess_encode_job){.pcm = pcm,
                                               .n_samples = i == longer ? LONG : SHORT,
                                               .end = 1,
                                               .codes = codes[i],
                                               .capacity = FRAMES};
            assert_int_equal(tess_encoder_create(&jobs[i].encoder, model, NULL), 0);
        }
        assert_int_equal(tess_encode(worker, jobs, 2), TESS_E_NOMEM);
        assert_int_equal(jobs[longer].error, TESS_E_NOMEM);
        assert_int_equal(jobs[!longer].error, 0);
        assert_int_equal(jobs[!longer].n_frames, frames_of(SHORT));
        for (int i = 0; i < 2; i++)
            tess_encoder_destroy(jobs[i].encoder, model);
    }
    most = SIZE_MAX;
    tess_worker_destroy(worker);
    tess_model_close(model);
    free(pcm);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_encoder_taps),
        cmocka_unit_test(test_decoder_taps),
        cmocka_unit_test(test_codes_and_audio),
        cmocka_unit_test(test_kernels_and_threads),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_for_one),
    };
    if (argc != 2) return 2;
    path = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
