/* What a stream gives depends on what went in and on nothing else: not on how it was split, on
 * company, on threads, on what comes later, or on where its bytes lie. And it gives exactly as
 * much as went in, in its place. All through the public header, bit for bit. */
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/random.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { N = 30011 /* samples of the clip, 1.25 s: not whole hops */, MAX_THREADS = 16 };

static struct codec codec;
static size_t hop, k, n_frames; /* of the clip */
static size_t n_minute;
static float *minute; /* [n_minute]; the clip is its first N samples */

/* The clip in one push. */
static uint16_t *codes; /* [n_frames][k] */
static float *audio;    /* [n_frames * hop] */

static int set_up(void **state)
{
    (void)state;
    codec = codec_open(NULL, 1, 1);
    hop = (size_t)codec.info.hop;
    k = (size_t)codec.info.codebooks;
    n_frames = codec_frames(&codec, N);
    minute = read_speech(&n_minute);
    codes = zeros(n_frames * k, sizeof *codes);
    audio = zeros(n_frames * hop, sizeof *audio);
    codec_encode(&codec, NULL, minute, N, (int)k, codes);
    codec_decode(&codec, NULL, codes, n_frames, (int)k, audio);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(minute);
    free(codes);
    free(audio);
    codec_close(&codec);
    return 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* 1 .. limit */
static size_t random_part(uint64_t *seed, size_t limit)
{
    return 1 + (size_t)random_below(seed, (int)limit);
}

/* Pushes samples from..to of the clip in random parts; *frame counts the frames. */
static void push_samples(
    struct tess_encoder *e, size_t from, size_t to, uint64_t *seed, uint16_t *out, size_t *frame)
{
    while (from < to) {
        size_t part = smaller(random_part(seed, 5000), to - from);
        int64_t expected = tess_encoder_frames(e, part);
        int64_t n = tess_encoder_push(codec.worker, e, minute + from, part, out + *frame * k,
                                      n_frames - *frame);
        assert_int_equal(n, expected);
        from += part;
        *frame += (size_t)n;
    }
}

static void end_samples(struct tess_encoder *e, uint16_t *out, size_t frame)
{
    assert_int_equal(tess_encoder_flush(codec.worker, e, out + frame * k, n_frames - frame),
                     n_frames - frame);
}

/* Pushes frames from..to of the clip in random parts; *sample counts the samples. */
static void push_frames(
    struct tess_decoder *d, size_t from, size_t to, uint64_t *seed, float *out, size_t *sample)
{
    while (from < to) {
        size_t part = smaller(random_part(seed, 16), to - from);
        int64_t expected = tess_decoder_samples(d, part);
        int64_t n = tess_decoder_push(codec.worker, d, codes + from * k, part, out + *sample,
                                      n_frames * hop - *sample);
        assert_int_equal(n, expected);
        from += part;
        *sample += (size_t)n;
    }
}

static void end_frames(struct tess_decoder *d, float *out, size_t sample)
{
    const size_t left = n_frames * hop - sample;
    assert_true(left <= (size_t)codec.info.decode_delay);
    assert_int_equal(tess_decoder_flush(codec.worker, d, out + sample, left), left);
}

static void codes_do_not_depend_on_the_split(void **state)
{
    (void)state;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t s = seed;
        size_t frame = 0;
        memset(out, 0xFF, n_frames * k * sizeof *out);
        tess_encoder_reset(e);
        push_samples(e, 0, N, &s, out, &frame);
        end_samples(e, out, frame);
        assert_memory_equal(out, codes, n_frames * k * sizeof *out);
    }
    tess_encoder_destroy(e, codec.model);
    free(out);
}

static void audio_does_not_depend_on_the_split(void **state)
{
    (void)state;
    float *out = zeros(n_frames * hop, sizeof *out);
    struct tess_decoder *d = codec_decoder(&codec, (int)k);
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t s = seed;
        size_t sample = 0;
        memset(out, 0xFF, n_frames * hop * sizeof *out);
        tess_decoder_reset(d);
        push_frames(d, 0, n_frames, &s, out, &sample);
        end_frames(d, out, sample);
        assert_memory_equal(out, audio, n_frames * hop * sizeof *out);
    }
    tess_decoder_destroy(d, codec.model);
    free(out);
}

/* Half of the clip in one push, then in random parts: the blocks are equal byte for byte. */
static void state_does_not_depend_on_the_split(void **state)
{
    (void)state;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_encoder *e = codec_encoder(&codec, (int)k), *e2 = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k), *d2 = codec_decoder(&codec, (int)k);
    assert_true(tess_encoder_push(codec.worker, e, minute, N / 2, out, n_frames) > 0);
    assert_true(tess_decoder_push(codec.worker, d, codes, n_frames / 2, pcm, n_frames * hop) > 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t s = seed;
        size_t frame = 0, sample = 0;
        tess_encoder_reset(e2);
        push_samples(e2, 0, N / 2, &s, out, &frame);
        assert_memory_equal(e, e2, tess_encoder_size(codec.model));
        tess_decoder_reset(d2);
        push_frames(d2, 0, n_frames / 2, &s, pcm, &sample);
        assert_memory_equal(d, d2, tess_decoder_size(codec.model));
    }
    tess_encoder_destroy(e, codec.model);
    tess_encoder_destroy(e2, codec.model);
    tess_decoder_destroy(d, codec.model);
    tess_decoder_destroy(d2, codec.model);
    free(out);
    free(pcm);
}

static void a_reset_stream_is_a_new_one(void **state)
{
    (void)state;
    uint64_t seed = 1;
    size_t frame = 0, sample = 0;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_encoder *used = codec_encoder(&codec, (int)k),
                        *fresh = codec_encoder(&codec, (int)k);
    push_samples(used, 0, N, &seed, out, &frame);
    end_samples(used, out, frame);
    tess_encoder_reset(used);
    assert_memory_equal(used, fresh, tess_encoder_size(codec.model));
    struct tess_decoder *used_d = codec_decoder(&codec, (int)k),
                        *fresh_d = codec_decoder(&codec, (int)k);
    push_frames(used_d, 0, n_frames, &seed, pcm, &sample);
    end_frames(used_d, pcm, sample);
    tess_decoder_reset(used_d);
    assert_memory_equal(used_d, fresh_d, tess_decoder_size(codec.model));
    tess_encoder_destroy(used, codec.model);
    tess_encoder_destroy(fresh, codec.model);
    tess_decoder_destroy(used_d, codec.model);
    tess_decoder_destroy(fresh_d, codec.model);
    free(out);
    free(pcm);
}

/* At ten places the stream moves to another block and its old one is destroyed. */
static void a_copied_stream_goes_on(void **state)
{
    (void)state;
    enum { MOVES = 10 };
    uint64_t seed = 2;
    size_t frame = 0, sample = 0;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k);
    for (size_t i = 0; i < MOVES; i++) {
        push_samples(e, N * i / MOVES, N * (i + 1) / MOVES, &seed, out, &frame);
        struct tess_encoder *e2 = codec_encoder(&codec, (int)k);
        memcpy(e2, e, tess_encoder_size(codec.model));
        memset(e, 0xFF, tess_encoder_size(codec.model));
        tess_encoder_destroy(e, codec.model);
        e = e2;
        push_frames(d, n_frames * i / MOVES, n_frames * (i + 1) / MOVES, &seed, pcm, &sample);
        struct tess_decoder *d2 = codec_decoder(&codec, (int)k);
        memcpy(d2, d, tess_decoder_size(codec.model));
        memset(d, 0xFF, tess_decoder_size(codec.model));
        tess_decoder_destroy(d, codec.model);
        d = d2;
    }
    end_samples(e, out, frame);
    end_frames(d, pcm, sample);
    assert_memory_equal(out, codes, n_frames * k * sizeof *out);
    assert_memory_equal(pcm, audio, n_frames * hop * sizeof *pcm);
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
    free(out);
    free(pcm);
}

/* Other samples from sample t on leave the codes of frames that end by t; other codes from frame
 * f on leave the audio but for the delay that the model states. */
static void what_comes_later_changes_nothing(void **state)
{
    (void)state;
    const size_t delay = (size_t)codec.info.decode_delay;
    uint64_t seed = 3;
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    for (int i = 0; i < 10; i++) {
        const size_t t = (size_t)random_below(&seed, N), f = t / hop;
        memcpy(pcm, minute, N * sizeof *pcm);
        for (size_t j = t; j < N; j++)
            pcm[j] = random_float(&seed);
        codec_encode(&codec, NULL, pcm, N, (int)k, out);
        assert_memory_equal(out, codes, f * k * sizeof *out);
        assert_memory_not_equal(out, codes, n_frames * k * sizeof *out);

        memcpy(out, codes, n_frames * k * sizeof *out);
        for (size_t j = f * k; j < n_frames * k; j++)
            out[j] = (uint16_t)random_below(&seed, codec.info.entries);
        codec_decode(&codec, NULL, out, n_frames, (int)k, pcm);
        assert_memory_equal(pcm, audio, (f * hop > delay ? f * hop - delay : 0) * sizeof *pcm);
        assert_memory_not_equal(pcm, audio, n_frames * hop * sizeof *pcm);
    }
    free(out);
    free(pcm);
}

/* n samples become ceil(n / hop) frames, and these frames * hop samples. */
static void lengths_are_exact(void **state)
{
    (void)state;
    const size_t edges[] = {0, 1, hop - 1, hop, hop + 1};
    const size_t n_edges = sizeof edges / sizeof *edges;
    uint64_t seed = 4;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    struct tess_encoder *e = codec_encoder(&codec, (int)k);
    struct tess_decoder *d = codec_decoder(&codec, (int)k);
    for (size_t i = 0; i < n_edges + 100; i++) {
        const size_t n = i < n_edges ? edges[i] : random_part(&seed, N);
        const size_t frames = n / hop + (n % hop != 0);
        tess_encoder_reset(e);
        int64_t pushed = tess_encoder_push(codec.worker, e, minute, n, out, n_frames);
        assert_int_equal(pushed, n / hop);
        int64_t rest = tess_encoder_flush(codec.worker, e, out + (size_t)pushed * k, 1);
        assert_int_equal(pushed + rest, frames);
        tess_decoder_reset(d);
        pushed = tess_decoder_push(codec.worker, d, out, frames, pcm, n_frames * hop);
        assert_true(pushed >= 0);
        rest = tess_decoder_flush(codec.worker, d, pcm + pushed, n_frames * hop - (size_t)pushed);
        assert_int_equal(pushed + rest, frames * hop);
    }
    tess_encoder_destroy(e, codec.model);
    tess_decoder_destroy(d, codec.model);
    free(out);
    free(pcm);
}

/* The level of pcm [N] at every eighth sample, over 10 ms: the logarithm of the energy of its
 * differences. A decoder may choose other phases, but the level must rise and fall where it did. */
enum { STEP = 8, WINDOW = 240, N_LEVELS = (N - WINDOW - 1) / STEP };

static void levels(const float *pcm, double level[N_LEVELS])
{
    double mean = 0.0;
    for (int i = 0; i < N_LEVELS; i++) {
        double energy = 1e-4; /* of noise that is not heard: pauses do not count */
        for (int j = 0; j < WINDOW; j++) {
            double d = (double)pcm[i * STEP + j + 1] - (double)pcm[i * STEP + j];
            energy += d * d;
        }
        level[i] = log(energy);
        mean += level[i] / N_LEVELS;
    }
    for (int i = 0; i < N_LEVELS; i++)
        level[i] -= mean;
}

/* The decoded clip's level is most like the clip's where neither is shifted, to an eighth of a hop:
 * nearer than that the level does not tell. */
static void audio_stands_where_it_stood(void **state)
{
    (void)state;
    const int reach = 2 * (int)hop / STEP;
    static double in[N_LEVELS], out[N_LEVELS];
    levels(minute, in);
    levels(audio, out);
    int best_lag = -reach;
    double best = 0.0;
    for (int lag = -reach; lag <= reach; lag++) {
        double sum = 0.0;
        for (int i = reach; i < N_LEVELS - reach; i++)
            sum += in[i] * out[i + lag];
        if (sum > best) {
            best = sum;
            best_lag = lag;
        }
    }
    assert_in_range(abs(best_lag) * STEP, 0, hop / 8);
}

static void threads_of_a_worker_change_nothing(void **state)
{
    (void)state;
    uint16_t *out = zeros(n_frames * k, sizeof *out);
    float *pcm = zeros(n_frames * hop, sizeof *pcm);
    for (int threads = 1; threads <= MAX_THREADS; threads *= threads < 4 ? 2 : 4) {
        const struct tess_worker_options options = {.size = sizeof options, .threads = threads};
        struct tess_worker *worker;
        assert_int_equal(tess_worker_create(&worker, codec.model, &options), 0);
        codec_encode(&codec, worker, minute, N, (int)k, out);
        assert_memory_equal(out, codes, n_frames * k * sizeof *out);
        codec_decode(&codec, worker, codes, n_frames, (int)k, pcm);
        assert_memory_equal(pcm, audio, n_frames * hop * sizeof *pcm);
        tess_worker_destroy(worker);
    }
    free(out);
    free(pcm);
}

/* A thread with a worker of its own; every other worker has a helper. */
struct caller {
    pthread_t thread;
    int threads;
    uint16_t *codes;
    float *audio;
};

static void *run_clip(void *arg)
{
    struct caller *c = arg;
    const struct tess_worker_options options = {.size = sizeof options, .threads = c->threads};
    struct tess_worker *worker;
    assert_int_equal(tess_worker_create(&worker, codec.model, &options), 0);
    codec_encode(&codec, worker, minute, N, (int)k, c->codes);
    codec_decode(&codec, worker, c->codes, n_frames, (int)k, c->audio);
    tess_worker_destroy(worker);
    return NULL;
}

static void workers_that_share_a_model_change_nothing(void **state)
{
    (void)state;
    struct caller callers[MAX_THREADS];
    for (int n = 1; n <= MAX_THREADS; n *= n < 4 ? 2 : 4) {
        for (int i = 0; i < n; i++) {
            callers[i] = (struct caller){.threads = 1 + i % 2,
                                         .codes = zeros(n_frames * k, sizeof *codes),
                                         .audio = zeros(n_frames * hop, sizeof *audio)};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, run_clip, &callers[i]), 0);
        }
        for (int i = 0; i < n; i++) {
            assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
            assert_memory_equal(callers[i].codes, codes, n_frames * k * sizeof *codes);
            assert_memory_equal(callers[i].audio, audio, n_frames * hop * sizeof *audio);
            free(callers[i].codes);
            free(callers[i].audio);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_do_not_depend_on_the_split),
        cmocka_unit_test(audio_does_not_depend_on_the_split),
        cmocka_unit_test(state_does_not_depend_on_the_split),
        cmocka_unit_test(a_reset_stream_is_a_new_one),
        cmocka_unit_test(a_copied_stream_goes_on),
        cmocka_unit_test(what_comes_later_changes_nothing),
        cmocka_unit_test(lengths_are_exact),
        cmocka_unit_test(audio_stands_where_it_stood),
        cmocka_unit_test(threads_of_a_worker_change_nothing),
        cmocka_unit_test(workers_that_share_a_model_change_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
