/* WaLLoC inside: what stands between its layers against the published implementation, and what is its
 * own among the families: whole clips both ways, signed codes, columns beyond the samples.
 * Usage: test_walloc MODEL */
#include "src/worker.h"
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOP = 256, C = 2, K = 108, LEVELS = 8, LEAST = 1280, SURPLUS = 2 };

static const char *path;
static struct tess_safetensors golden;
static struct codec codec;

static struct codec open_codec(const char *kernel, int threads)
{
    struct tess_model_options options = {.size = sizeof options, .kernel = kernel};
    struct tess_worker_options how = {.size = sizeof how, .threads = threads};
    struct codec c = {.info.size = sizeof c.info};
    struct tess_why why = {""};
    if (tess_model_open(&c.model, path, &options, &why)) fail_msg("%s", why.text);
    assert_int_equal(tess_model_get_info(c.model, &c.info), 0);
    assert_int_equal(tess_worker_create(&c.worker, c.model, &how), 0);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    struct tess_why why = {""};
    if (tess_safetensors_open(&golden, "tests/families/walloc_stereo_5x/golden_1.safetensors", NULL,
                              &why))
        fail_msg("%s", why.text);
    codec = open_codec(NULL, 1);
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

static const struct tess_tensor *find(const char *at, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", at, name);
    return tess_safetensors_find(&golden, full);
}

static float *values_of(const struct tess_tensor *tensor)
{
    assert_non_null(tensor);
    float *values = zeros(tensor->n_elements, sizeof *values);
    assert_int_equal(tess_safetensors_widen(tensor, values, NULL), 0);
    return values;
}

static uint16_t *codes_of(const char *at, int *n_frames)
{
    const struct tess_tensor *tensor = find(at, "codes");
    assert_non_null(tensor);
    assert_int_equal(tensor->dims[1], K);
    uint16_t *codes = zeros(tensor->n_elements, sizeof *codes);
    for (size_t i = 0; i < tensor->n_elements; i++)
        codes[i] = (uint16_t)tess_le32(tensor->data + 4 * i);
    *n_frames = tensor->dims[0];
    return codes;
}

static void compare(const char *at, const char *part, const float *got, const float *want, int n)
{
    float *limit = values_of(find(at, "limit"));
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= *limit)) /* a NaN is not */
            fail_msg("%s.%s: %g instead of %g, limit %g", at, part, (double)got[i], (double)want[i],
                     (double)*limit);
    free(limit);
}

/* rows [n][width] against what is kept of CASE.NAME: head, tail and root mean squares. */
static void check_tap(const char *of_case, const char *name, const float *rows, int n, int width)
{
    char at[80];
    snprintf(at, sizeof at, "%s.%s", of_case, name);
    const struct tess_tensor *head = find(at, "head"), *rms = find(at, "rms");
    float *start = values_of(head), *end = values_of(find(at, "tail"));
    const int kept = head->dims[0];
    assert_int_equal(head->dims[1], width);
    compare(at, "head", rows, start, kept * width);
    compare(at, "tail", rows + (n - kept) * width, end, kept * width);
    if (rms) {
        float *want = values_of(rms), *got = zeros((size_t)width, sizeof *got);
        for (int c = 0; c < width; c++) {
            double sum = 0;
            for (int t = 0; t < n; t++)
                sum += (double)rows[t * width + c] * (double)rows[t * width + c];
            got[c] = (float)sqrt(sum / n);
        }
        compare(at, "rms", got, want, width);
        free(want);
        free(got);
    }
    free(start);
    free(end);
}

/* What the first n_layers make of a clip: rows [*n_out][channels]. */
static float *
run_layers(const struct tess_graph *whole, int n_layers, const float *in, int n_in, int *n_out)
{
    struct tess_graph graph = *whole;
    graph.n_layers = n_layers;
    const struct tess_layer *last = &graph.layers[n_layers - 1];
    int lists[64][2] = {{0}}, *start[64];
    assert_true(n_layers < 64);
    for (int i = 0; i <= n_layers; i++)
        start[i] = lists[i];
    start[0][1] = n_in;
    float *state = zeros(graph.n_state, sizeof *state);
    float *scratch = tess_base_alloc(&graph.allocator, graph.n_scratch * sizeof *scratch);
    struct tess_batch batch = {.n_streams = 1,
                               .start = start,
                               .states = &state,
                               .last = (const unsigned char[]){1},
                               .option = (const int[]){0}};
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        batch.slots[i] = zeros(graph.slot_frame[i] * (size_t)n_in + graph.slot_lag[i], 4);
    memcpy(batch.slots[0], in, (size_t)n_in * (size_t)graph.layers[0].in_channels * sizeof *in);
    struct tess_team *team;
    assert_non_null(scratch);
    assert_int_equal(tess_team_create(&team, 1, &graph.allocator), 0);
    tess_graph_lay_out(&graph, &batch);
    tess_graph_run(&graph, &batch, team, &scratch, NULL);
    tess_team_destroy(team);
    *n_out = start[n_layers][1];
    float *out = batch.slots[last->row.out];
    batch.slots[last->row.out] = NULL;
    for (int i = 0; i < TESS_MAX_SLOTS; i++)
        free(batch.slots[i]);
    free(state);
    tess_base_free(&graph.allocator, scratch);
    return out;
}

static void test_encoder_taps(void **state)
{
    (void)state;
    const struct tess_graph *graph = &codec.model->encoder;
    for (int i = 0; i < N_CASES; i++) {
        const struct tess_tensor *input = find(cases[i], "input");
        float *pcm = values_of(input);
        int n;
        float *bands = run_layers(graph, LEVELS, pcm, input->dims[0], &n);
        assert_int_equal(n, input->dims[0] / HOP);
        check_tap(cases[i], "wpt", bands, n, C * HOP);
        float *latent = run_layers(graph, graph->n_layers, pcm, input->dims[0], &n);
        assert_int_equal(n, input->dims[0] / HOP + SURPLUS);
        for (int j = 0; j < n * K; j++) /* the published one has it companded */
            latent[j] =
                (float)(127.499 * erf((double)latent[j] / (127 / 1.85 * 1.4142135623730951)));
        check_tap(cases[i], "latent", latent, n, K);
        free(pcm);
        free(bands);
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
        int n_frames, n;
        uint16_t *codes = codes_of(cases[i], &n_frames);
        float *latent = zeros((size_t)(n_frames * K), sizeof *latent);
        assert_int_equal(tess_quantizer_decode(&codec.model->quantizer, codes, n_frames, K, latent),
                         0);
        check_tap(cases[i], "decoder_in", latent, n_frames, K);
        for (size_t j = 0; j < sizeof taps / sizeof *taps; j++) {
            if (!taps[j].kept_of_all && strcmp(cases[i], "click") == 0) continue;
            float *rows = run_layers(&codec.model->decoder, taps[j].layers, latent, n_frames, &n);
            assert_int_equal(n, (n_frames - taps[j].shorter) * taps[j].steps);
            check_tap(cases[i], taps[j].name, rows, n, taps[j].channels);
            free(rows);
        }
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
        const struct tess_tensor *input = find(cases[i], "input");
        float *pcm = values_of(input), *gap = values_of(find(cases[i], "gap"));
        snprintf(at, sizeof at, "%s.gap", cases[i]);
        float *near = values_of(find(at, "limit")), *want = values_of(find(cases[i], "audio"));
        int n_frames;
        uint16_t *codes = codes_of(cases[i], &n_frames);
        uint16_t *got = encode(&codec, pcm, input->dims[0]);
        assert_int_equal(frames_of(input->dims[0]), n_frames);
        for (int j = 0; j < n_frames * K; j++)
            assert_true(abs((int16_t)got[j] - (int16_t)codes[j]) <= (gap[j] < *near));
        float *audio = decode(&codec, codes, n_frames);
        snprintf(at, sizeof at, "%s.audio", cases[i]);
        compare(at, "all", audio, want, input->dims[0] * C);
        free(pcm);
        free(gap);
        free(near);
        free(want);
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
        struct codec other = open_codec(tess_kernel_name(i), i + 1);
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
    };
    if (argc != 2) return 2;
    path = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
