/* A published family's model against what its own implementation computed, layer by layer, codes and
 * audio; then against itself: pushes of any size, company, moved streams and other kernels give the
 * same bits. Usage: test_families MODEL NAME [--of-another-seed], the last without golden values. */
#include "src/worker.h"
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/golden.h"
#include "tests/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STREAMS = 3, GUARD = 64 };

static const char *model_path, *name; /* as in tests/families */
static struct tess_safetensors golden;
static struct codec codec;
static int k; /* columns of the golden codes */

static const char *const cases[] = {"speech", "synth", "click"};
enum { N_CASES = sizeof cases / sizeof *cases };

/* ---- golden values ----------------------------------------------------------------------------- */

/* What the networks see of a clip that is a segment. */
static void scale_down(const char *of_case, float *pcm, int n)
{
    if (!golden_find(&golden, of_case, "scale")) return;
    float *scale = golden_values(&golden, of_case, "scale");
    for (int i = 0; i < n; i++)
        pcm[i] /= *scale;
    free(scale);
}

static void test_activations(void **state)
{
    (void)state;
    const struct tess_model *model = codec.model;
    for (int i = 0; i < N_CASES; i++) {
        const struct tess_tensor *input = golden_find(&golden, cases[i], "input");
        if (!input || (codec.info.segment && input->dims[0] > codec.info.segment)) continue;
        const int hop = codec.info.hop, n = input->dims[0];
        const int n_rows = model->pad_last ? (n + hop - 1) / hop * hop : n;
        float *pcm = golden_values(&golden, cases[i], "input");
        float *padded = zeros((size_t)(n_rows * codec.info.channels), sizeof *padded);
        memcpy(padded, pcm, (size_t)(n * codec.info.channels) * sizeof *pcm);
        scale_down(cases[i], padded, n * codec.info.channels);
        int n_checked = golden_walk(&golden, cases[i], &model->encoder, padded, n_rows), n_frames,
            columns;
        uint16_t *codes = golden_codes(&golden, cases[i], &n_frames, &columns);
        float *latent = zeros((size_t)(n_frames * model->latent_width), sizeof *latent);
        assert_int_equal(tess_quantizer_decode(&model->quantizer, codes, n_frames, columns, latent),
                         0);
        n_checked += golden_walk(&golden, cases[i], &model->decoder, latent, n_frames);
        assert_int_equal(n_checked, golden_count(&golden, cases[i]));
        free(pcm);
        free(padded);
        free(codes);
        free(latent);
    }
}

/* ---- streams ----------------------------------------------------------------------------------- */

/* How recordings are coded: samples to codes or codes to samples, and at most how many of them a push
 * takes (0: all there are). */
struct run {
    const struct codec *codec;
    enum tess_direction direction;
    int columns, option, most;
    uint64_t seed;
    const float *scales; /* decoding segments: theirs */
};

/* One stream's: samples or codes in [n] and out [n_out], which has room for `room`. */
struct recording {
    const void *in;
    void *out;
    int n, room, n_in, n_out;
    float scales[4]; /* encoding segments: theirs */
    int n_scales;    /* passed either way */
    unsigned char *stream;
};

static size_t stream_bytes(const struct run *run)
{
    return run->direction == TESS_ENCODE ? tess_encoder_size(run->codec->model)
                                         : tess_decoder_size(run->codec->model);
}

static void start(const struct run *run, struct recording *r)
{
    const struct tess_stream_options options = {
        .size = sizeof options, .codebooks = run->columns, .option = run->option};
    r->n_in = r->n_out = r->n_scales = 0;
    r->stream = zeros(stream_bytes(run) + GUARD, 1);
    memset(r->stream + stream_bytes(run), 0x5A, GUARD);
    void *block = r->stream;
    int err = run->direction == TESS_ENCODE ? tess_encoder_init(block, run->codec->model, &options)
                                            : tess_decoder_init(block, run->codec->model, &options);
    assert_int_equal(err, 0);
}

/* The stream goes on elsewhere, its old place spoilt; behind it nothing may have been written. */
static void move_stream(const struct run *run, struct recording *r)
{
    const size_t n = stream_bytes(run);
    unsigned char *elsewhere = zeros(n + GUARD, 1);
    for (size_t i = n; i < n + GUARD; i++)
        assert_int_equal(r->stream[i], 0x5A);
    memcpy(elsewhere, r->stream, n + GUARD);
    memset(r->stream, 0xA5, n);
    free(r->stream);
    r->stream = elsewhere;
}

static void
push_samples(const struct run *run, struct recording *const *r, const int *n, int n_jobs)
{
    struct tess_encode_job jobs[MAX_STREAMS];
    for (int j = 0; j < n_jobs; j++)
        jobs[j] = (struct tess_encode_job){
            .encoder = (struct tess_encoder *)(void *)r[j]->stream,
            .pcm = (const float *)r[j]->in + r[j]->n_in * run->codec->info.channels,
            .n_samples = (size_t)n[j],
            .end = r[j]->n_in + n[j] == r[j]->n,
            .codes = (uint16_t *)r[j]->out + r[j]->n_out * run->columns,
            .capacity = (size_t)(r[j]->room - r[j]->n_out),
            .scales = r[j]->scales + r[j]->n_scales,
            .scale_capacity =
                (size_t)(sizeof r[j]->scales / sizeof(float)) - (size_t)r[j]->n_scales};
    assert_int_equal(tess_encode(run->codec->worker, jobs, n_jobs), 0);
    for (int j = 0; j < n_jobs; j++) {
        r[j]->n_out += (int)jobs[j].n_frames;
        r[j]->n_scales += (int)jobs[j].n_scales;
    }
}

/* Scales of the segments that begin among the next n frames. */
static int due_scales(const struct run *run, const struct recording *r, int n)
{
    if (!run->scales) return 0;
    const int full = run->codec->info.segment / run->codec->info.hop, at = r->n_in + n;
    return (at == r->n ? at / full + 1 : (at + full - 1) / full) - r->n_scales;
}

static void push_codes(const struct run *run, struct recording *const *r, const int *n, int n_jobs)
{
    struct tess_decode_job jobs[MAX_STREAMS];
    for (int j = 0; j < n_jobs; j++)
        jobs[j] = (struct tess_decode_job){
            .decoder = (struct tess_decoder *)(void *)r[j]->stream,
            .codes = (const uint16_t *)r[j]->in + r[j]->n_in * run->columns,
            .n_frames = (size_t)n[j],
            .end = r[j]->n_in + n[j] == r[j]->n,
            .pcm = (float *)r[j]->out + r[j]->n_out * run->codec->info.channels,
            .capacity = (size_t)(r[j]->room - r[j]->n_out),
            .scales = run->scales ? run->scales + r[j]->n_scales : NULL,
            .n_scales = (size_t)due_scales(run, r[j], n[j])};
    assert_int_equal(tess_decode(run->codec->worker, jobs, n_jobs), 0);
    for (int j = 0; j < n_jobs; j++) {
        r[j]->n_out += (int)jobs[j].n_samples;
        r[j]->n_scales += (int)jobs[j].n_scales;
    }
}

/* All recordings from start to end, side by side. */
static void code(struct run run, struct recording *recordings, int n)
{
    int n_left = n;
    for (int b = 0; b < n; b++)
        start(&run, &recordings[b]);
    while (n_left) {
        struct recording *r[MAX_STREAMS];
        int sizes[MAX_STREAMS], n_jobs = 0;
        for (int b = 0; b < n; b++) {
            const int left = recordings[b].n - recordings[b].n_in;
            if (left == 0) continue;
            sizes[n_jobs] = left;
            if (run.most)
                sizes[n_jobs] = 1 + random_below(&run.seed, left < run.most ? left : run.most);
            r[n_jobs++] = &recordings[b];
        }
        if (run.direction == TESS_ENCODE)
            push_samples(&run, r, sizes, n_jobs);
        else
            push_codes(&run, r, sizes, n_jobs);
        for (int j = 0; j < n_jobs; j++) {
            r[j]->n_in += sizes[j];
            n_left -= r[j]->n_in == r[j]->n;
            move_stream(&run, r[j]);
        }
    }
    for (int b = 0; b < n; b++)
        free(recordings[b].stream);
}

/* Every segment's frames, as published. */
static int all_frames(const struct tess_model_info *info, int n)
{
    int n_frames = 0;
    const int segment = info->segment ? info->segment : n, stride = info->segment_stride;
    for (int from = 0; from < n; from += info->segment ? stride : n) {
        const int left = n - from < segment ? n - from : segment;
        n_frames += left / info->hop + (left % info->hop && !info->drops_partial);
    }
    return n_frames;
}

/* Room for what n samples or frames become; free recording.out. */
static struct recording recording(const struct run *run, const void *in, int n)
{
    const struct tess_model_info *info = &run->codec->info;
    struct recording r = {.in = in, .n = n};
    if (run->direction == TESS_ENCODE) {
        r.room = all_frames(info, n);
        r.out = zeros((size_t)(r.room * run->columns), sizeof(uint16_t));
    } else {
        r.room = (int)tess_model_samples(run->codec->model, n);
        r.out = zeros((size_t)(r.room * info->channels), sizeof(float));
    }
    return r;
}

static size_t out_bytes(const struct run *run, const struct recording *r)
{
    return (size_t)r->n_out * (run->direction == TESS_ENCODE
                                   ? (size_t)run->columns * sizeof(uint16_t)
                                   : (size_t)run->codec->info.channels * sizeof(float));
}

/* One recording in one push: it gives as much as there is room for. */
static struct recording whole(struct run run, const void *in, int n)
{
    struct recording r = recording(&run, in, n);
    run.most = 0;
    code(run, &r, 1);
    assert_int_equal(r.n_out, r.room);
    return r;
}

/* ---- codes and audio --------------------------------------------------------------------------- */

/* Where the distance to the second nearest entry was no larger than rounding, another code is right;
 * then what is left for the rows behind it is another too. */
static void compare_codes(const uint16_t *got, const uint16_t *want, const float *gap, float near)
{
    const struct tess_quantizer *q = &codec.model->quantizer;
    unsigned char another[TESS_MAX_CODEBOOKS];
    for (int i = 0; i < k; i++) {
        another[i] = got[i] != want[i];
        int excused = gap[i] < near;
        for (int j = 0; j < q->rows[i].n_subtract; j++)
            excused |= another[q->rows[i].subtract[j]];
        if (another[i] && !excused)
            fail_msg("column %d: %d instead of %d, gap %g", i, got[i], want[i], (double)gap[i]);
    }
}

static void test_codes(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        const struct tess_tensor *input = golden_find(&golden, cases[i], "input");
        char at[16];
        int n_frames, columns;
        if (!input) continue;
        snprintf(at, sizeof at, "%s.gap", cases[i]);
        float *pcm = golden_values(&golden, cases[i], "input");
        float *gap = golden_values(&golden, cases[i], "gap");
        float *near = golden_values(&golden, at, "limit");
        uint16_t *want = golden_codes(&golden, cases[i], &n_frames, &columns);
        struct run run = {.codec = &codec, .direction = TESS_ENCODE, .columns = k};
        struct recording r = whole(run, pcm, input->dims[0]);
        assert_int_equal(columns, k);
        assert_int_equal(r.n_out, n_frames);
        for (int t = 0; t < n_frames; t++)
            compare_codes((uint16_t *)r.out + t * k, want + t * k, gap + t * k, *near);
        if (r.n_scales) golden_check(&golden, cases[i], "scale", r.scales, r.n_scales, 1);
        free(r.out);
        free(pcm);
        free(gap);
        free(near);
        free(want);
    }
}

/* The first `columns` of codes [n_frames][k]; free them. */
static uint16_t *first_columns(const uint16_t *codes, int n_frames, int columns)
{
    uint16_t *kept = zeros((size_t)(n_frames * columns), sizeof *kept);
    for (int t = 0; t < n_frames; t++)
        memcpy(kept + t * columns, codes + t * k, (size_t)columns * sizeof *kept);
    return kept;
}

/* If the case has audio of that name. */
static int check_audio(const char *of_case, const char *audio, int columns, int option)
{
    char at[48];
    int n_frames, all;
    snprintf(at, sizeof at, "%s.%s", of_case, audio);
    if (!golden_find(&golden, at, "limit")) return 0;
    uint16_t *codes = golden_codes(&golden, of_case, &n_frames, &all);
    uint16_t *kept = first_columns(codes, n_frames, columns);
    float *scales = codec.info.segment ? golden_values(&golden, of_case, "scale") : NULL;
    struct run run = {.codec = &codec,
                      .direction = TESS_DECODE,
                      .columns = columns,
                      .option = option,
                      .scales = scales};
    struct recording r = whole(run, kept, n_frames);
    golden_check(&golden, of_case, audio, r.out, r.n_out, codec.info.channels);
    free(r.out);
    free(codes);
    free(kept);
    free(scales);
    return 1;
}

static void test_audio(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        char audio[32];
        if (!golden_find(&golden, cases[i], "input")) continue;
        assert_true(check_audio(cases[i], "audio", k, 0));
        for (int n = 1; n < k; n++) {
            snprintf(audio, sizeof audio, "audio_nq%d", n);
            check_audio(cases[i], audio, n, 0);
        }
        for (int option = 0; option <= codec.info.option_max; option++) {
            snprintf(audio, sizeof audio, "audio_bw%d", option);
            check_audio(cases[i], audio, k, option);
        }
    }
}

/* ---- the same bits, however -------------------------------------------------------------------- */

enum { MOST_SAMPLES = 5000, MOST_FRAMES = 40 };

static void is_same(const struct run *run, const struct recording *r, const struct recording *truth)
{
    assert_int_equal(r->n_out, truth->n_out);
    assert_memory_equal(r->out, truth->out, out_bytes(run, truth));
    assert_int_equal(r->n_scales, truth->n_scales);
    assert_memory_equal(r->scales, truth->scales, sizeof r->scales);
}

/* At random pushes, alone and in company: recordings of all, half and a third of the input. A network
 * that needs the whole clip gets it whole. */
static void check_splits(struct run run, const void *in, int n, int most, int is_whole_clip)
{
    struct recording truth[MAX_STREAMS], company[MAX_STREAMS];
    for (int b = 0; b < MAX_STREAMS; b++) {
        truth[b] = whole(run, in, n / (b + 1));
        company[b] = recording(&run, in, n / (b + 1));
    }
    if (!is_whole_clip) run.most = most;
    for (run.seed = 1; run.most && run.seed <= 3; run.seed++) {
        struct recording alone = recording(&run, in, n);
        code(run, &alone, 1);
        is_same(&run, &alone, &truth[0]);
        free(alone.out);
    }
    code(run, company, MAX_STREAMS);
    for (int b = 0; b < MAX_STREAMS; b++) {
        is_same(&run, &company[b], &truth[b]);
        free(company[b].out);
        free(truth[b].out);
    }
}

static void test_pushes_and_company(void **state)
{
    (void)state;
    struct run encode = {.codec = &codec, .direction = TESS_ENCODE, .columns = k};
    struct run decode = {
        .codec = &codec, .direction = TESS_DECODE, .columns = k, .option = codec.info.option_max};
    const int n = golden_find(&golden, "speech", "input")->dims[0];
    float *pcm = golden_values(&golden, "speech", "input");
    struct recording coded = whole(encode, pcm, n);
    if (codec.info.segment) decode.scales = coded.scales;
    struct recording sound = whole(decode, coded.out, coded.n_out);
    for (int i = 0; i < sound.n_out * codec.info.channels; i++)
        assert_true(isfinite(((float *)sound.out)[i]));
    check_splits(encode, pcm, n, MOST_SAMPLES, codec.info.encode == TESS_WHOLE_CLIP);
    check_splits(decode, coded.out, coded.n_out, MOST_FRAMES, codec.info.decode == TESS_WHOLE_CLIP);
    free(pcm);
    free(coded.out);
    free(sound.out);
}

/* An eighth of a second, in scalar code too. */
static void test_kernels(void **state)
{
    (void)state;
    const int n = codec.info.sample_rate / 8;
    float *pcm = golden_values(&golden, "speech", "input");
    struct run encode = {.codec = &codec, .direction = TESS_ENCODE, .columns = k};
    struct run decode = {.codec = &codec, .direction = TESS_DECODE, .columns = k};
    struct recording codes = whole(encode, pcm, n), sound = whole(decode, codes.out, codes.n_out);
    for (int i = 0; tess_kernel_name(i); i++) {
        struct codec other = codec_open_model(model_path, tess_kernel_name(i), 2, 1);
        encode.codec = decode.codec = &other;
        struct recording same_codes = whole(encode, pcm, n);
        struct recording same_sound = whole(decode, codes.out, codes.n_out);
        is_same(&encode, &same_codes, &codes);
        is_same(&decode, &same_sound, &sound);
        free(same_codes.out);
        free(same_sound.out);
        codec_close(&other);
    }
    free(pcm);
    free(codes.out);
    free(sound.out);
}

/* ---- what the families promise ----------------------------------------------------------------- */

/* How many samples later than its hop a code may come, in whole hops, and how many a decoder holds
 * back: the published layers' receptive fields; of segments, those of a second that must be full. A
 * causal network that mirrors its start holds back no more than that at first and nothing
 * afterwards. */
static const struct promise {
    const char *name;
    enum tess_capability encode, decode;
    int encode_delay, decode_delay, is_causal;
} promises[] = {
    {"academicodec_encodec_16k_320d", TESS_DELAYED,    TESS_DELAYED, 4 * 320,  1203,           0},
    {"academicodec_encodec_24k_240d", TESS_DELAYED,    TESS_DELAYED, 4 * 240,  923,            0},
    {"academicodec_encodec_24k_32d",  TESS_DELAYED,    TESS_DELAYED, 5 * 32,   158,            0},
    {"encodec_24khz",                 TESS_DELAYED,    TESS_DELAYED, 8 * 320,  2028,           1},
    {"encodec_48khz",                 TESS_DELAYED,    TESS_DELAYED, 47680,    48480,          0},
    {"hificodec_16k_320d",            TESS_WHOLE_CLIP, TESS_DELAYED, 71 * 320, 4212,           0},
    {"hificodec_24k_240d",            TESS_WHOLE_CLIP, TESS_DELAYED, 72 * 240, 3206,           0},
    {"hificodec_24k_320d",            TESS_WHOLE_CLIP, TESS_DELAYED, 71 * 320, 4212,           0},
    {"languagecodec_24k",             TESS_DELAYED,    TESS_DELAYED, 4 * 320,  39 * 320 + 480, 0},
    {"mimi_24khz",                    TESS_LIVE,       TESS_LIVE,    0,        0,              1},
    {"soundstream_24k_240d",          TESS_DELAYED,    TESS_DELAYED, 4 * 240,  923,            0},
};

/* After twelve frames a causal network has given all of them. */
static void gives_at_once(void)
{
    enum { FRAMES = 12 };
    const size_t n = (size_t)(FRAMES * codec.info.hop);
    struct tess_encoder *encoder = codec_encoder(&codec, k);
    struct tess_decoder *decoder = codec_decoder(&codec, k);
    uint16_t *codes = zeros((size_t)(FRAMES * k), sizeof *codes);
    float *pcm = zeros(n, sizeof *pcm);
    assert_int_equal(tess_encoder_push(codec.worker, encoder, pcm, n, codes, FRAMES), FRAMES);
    assert_int_equal(tess_decoder_push(codec.worker, decoder, codes, FRAMES, pcm, n), n);
    free(codes);
    free(pcm);
    tess_encoder_destroy(encoder, codec.model);
    tess_decoder_destroy(decoder, codec.model);
}

static void test_promises(void **state)
{
    (void)state;
    const struct tess_model_info *info = &codec.info;
    const struct promise *p = promises;
    while (strcmp(p->name, name))
        assert_true(++p < promises + sizeof promises / sizeof *promises);
    assert_int_equal(info->encode, p->encode);
    assert_int_equal(info->decode, p->decode);
    assert_int_equal(info->encode_delay, p->encode_delay);
    assert_int_equal(info->decode_delay, p->decode_delay);
    if (p->is_causal) gives_at_once();
}

/* A clip that must be whole is refused in pieces and, above the announced length, as a whole. */
static void test_whole_clips(void **state)
{
    (void)state;
    const struct tess_model_info *info = &codec.info;
    assert_int_equal(info->encode == TESS_WHOLE_CLIP, info->max_samples > 0);
    if (info->encode != TESS_WHOLE_CLIP) return;
    const size_t n = (size_t)info->max_samples + 1;
    struct tess_encoder *encoder = codec_encoder(&codec, k);
    float *pcm = zeros(n, sizeof *pcm);
    struct tess_encode_job job = {.encoder = encoder, .pcm = pcm, .n_samples = n, .end = 1};
    assert_int_equal(tess_encoder_push(codec.worker, encoder, pcm, 1000, NULL, 0),
                     TESS_E_UNSUPPORTED);
    assert_int_equal(tess_encode(codec.worker, &job, 1), TESS_E_ARGUMENT);
    free(pcm);
    tess_encoder_destroy(encoder, codec.model);
}

static int set_up(void **state)
{
    (void)state;
    golden_open(&golden, name);
    codec = codec_open_model(model_path, NULL, 1, MAX_STREAMS);
    k = golden_find(&golden, "speech", "codes")->dims[1];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    codec_close(&codec);
    tess_safetensors_close(&golden);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest of_any_seed[] = {
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_whole_clips),
        cmocka_unit_test(test_pushes_and_company),
        cmocka_unit_test(test_kernels),
    };
    const struct CMUnitTest of_seed_1[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_audio),
    };
    if (argc < 3) return 2;
    model_path = argv[1];
    name = argv[2];
    int n_failed = cmocka_run_group_tests(of_any_seed, set_up, tear_down);
    if (argc == 3) n_failed += cmocka_run_group_tests(of_seed_1, set_up, tear_down);
    return n_failed;
}
