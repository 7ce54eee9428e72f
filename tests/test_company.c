/* A stream's codes and audio do not depend on who else is in the call: streams that join and leave,
 * that keep other numbers of codebooks, that push more or less, or that fail. */
#include "tests/check.h"
#include "tests/codec.h"
#include "tests/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GUESTS = 64, ROUNDS = 40, MAX_PUSH = 2000 /* samples */, MAX_N = 24000 };

/* A stream that encodes a piece of speech and decodes its own codes, a part of it each round. */
struct guest {
    struct tess_encoder *encoder;
    struct tess_decoder *decoder;
    size_t codebooks;
    const float *pcm; /* [n] */
    size_t n, n_frames;
    size_t at;                   /* samples encoded */
    size_t frames, samples;      /* given so far */
    uint16_t *codes;             /* [n_frames][codebooks] */
    float *audio;                /* [n_frames * hop] */
    struct tess_encode_job *enc; /* in this round; NULL: it is not there */
};

struct room {
    struct codec codec;
    uint64_t seed;
    size_t n_minute;
    float *minute;
    struct guest guests[MAX_GUESTS];
    int n_guests, n_departed;
};

static void join(struct room *room, struct guest *g)
{
    const struct codec *codec = &room->codec;
    *g = (struct guest){.codebooks = (size_t)codec_any_rate(codec, &room->seed),
                        .n = 1 + (size_t)random_below(&room->seed, MAX_N)};
    g->pcm = room->minute + random_below(&room->seed, (int)(room->n_minute - g->n));
    g->n_frames = codec_frames(codec, g->n);
    g->encoder = codec_encoder(codec, (int)g->codebooks);
    g->decoder = codec_decoder(codec, (int)g->codebooks);
    g->codes = zeros(g->n_frames * g->codebooks, sizeof *g->codes);
    g->audio = zeros(g->n_frames * (size_t)codec->info.hop, sizeof *g->audio);
}

static void leave(struct room *room, struct guest *g)
{
    tess_encoder_destroy(g->encoder, room->codec.model);
    tess_decoder_destroy(g->decoder, room->codec.model);
    free(g->codes);
    free(g->audio);
}

/* What the guest got in company is what it gets by itself. */
static void compare(struct room *room, const struct guest *g)
{
    const size_t n_samples = g->n_frames * (size_t)room->codec.info.hop;
    uint16_t *codes = zeros(g->n_frames * g->codebooks, sizeof *codes);
    float *audio = zeros(n_samples, sizeof *audio);
    codec_encode(&room->codec, NULL, g->pcm, g->n, (int)g->codebooks, codes);
    codec_decode(&room->codec, NULL, codes, g->n_frames, (int)g->codebooks, audio);
    assert_int_equal(g->frames, g->n_frames);
    assert_int_equal(g->samples, n_samples);
    assert_memory_equal(g->codes, codes, g->n_frames * g->codebooks * sizeof *codes);
    assert_memory_equal(g->audio, audio, n_samples * sizeof *audio);
    free(codes);
    free(audio);
}

/* Jobs of the guests that are there this round, behind one that fails. Returns how many. */
static int gather(struct room *room, struct tess_encode_job *jobs)
{
    int n = 1;
    for (int i = 0; i < room->n_guests; i++) {
        struct guest *g = &room->guests[i];
        g->enc = NULL;
        if (!random_below(&room->seed, 4)) continue;
        size_t part = (size_t)random_below(&room->seed, MAX_PUSH);
        if (part > g->n - g->at) part = g->n - g->at;
        g->enc = &jobs[n++];
        *g->enc = (struct tess_encode_job){.encoder = g->encoder,
                                           .pcm = g->pcm + g->at,
                                           .n_samples = part,
                                           .end = g->at + part == g->n,
                                           .codes = g->codes + g->frames * g->codebooks,
                                           .capacity = g->n_frames - g->frames};
    }
    return n;
}

/* The codes of the same guests, again behind a job that fails. */
static void follow(struct room *room, struct tess_decode_job *jobs)
{
    int n = 1;
    for (int i = 0; i < room->n_guests; i++) {
        struct guest *g = &room->guests[i];
        if (!g->enc) continue;
        jobs[n++] = (struct tess_decode_job){
            .decoder = g->decoder,
            .codes = g->codes + g->frames * g->codebooks,
            .n_frames = (size_t)g->enc->n_frames,
            .end = g->enc->end,
            .pcm = g->audio + g->samples,
            .capacity = g->n_frames * (size_t)room->codec.info.hop - g->samples};
    }
}

/* Moves the guests on by what the round gave them; those at their end give way to others. */
static void settle(struct room *room, const struct tess_decode_job *jobs)
{
    int n = 1;
    for (int i = 0; i < room->n_guests; i++) {
        struct guest *g = &room->guests[i];
        if (!g->enc) continue;
        assert_int_equal(g->enc->error, 0);
        assert_int_equal(jobs[n].error, 0);
        g->at += g->enc->n_samples;
        g->frames += (size_t)g->enc->n_frames;
        g->samples += (size_t)jobs[n++].n_samples;
        if (!g->enc->end) continue;
        compare(room, g);
        leave(room, g);
        join(room, g);
        room->n_departed++;
    }
}

static void
rounds(struct room *room, struct tess_encoder *bad_encoder, struct tess_decoder *bad_decoder)
{
    struct tess_encode_job enc[MAX_GUESTS + 1];
    struct tess_decode_job dec[MAX_GUESTS + 1];
    const float nan = NAN;
    const uint16_t bad_codes[64] = {(uint16_t)room->codec.info.entries};
    for (int round = 0; round < ROUNDS; round++) {
        enc[0] = (struct tess_encode_job){.encoder = bad_encoder, .pcm = &nan, .n_samples = 1};
        dec[0] =
            (struct tess_decode_job){.decoder = bad_decoder, .codes = bad_codes, .n_frames = 1};
        int n = gather(room, enc);
        assert_int_equal(tess_encode(room->codec.worker, enc, n), TESS_E_NONFINITE);
        assert_int_equal(enc[0].error, TESS_E_NONFINITE);
        follow(room, dec);
        assert_int_equal(tess_decode(room->codec.worker, dec, n), TESS_E_CODE);
        assert_int_equal(dec[0].error, TESS_E_CODE);
        settle(room, dec);
    }
}

static void run(int n_guests, int threads)
{
    struct room room = {.codec = codec_open(NULL, threads, n_guests + 1),
                        .seed = (uint64_t)n_guests,
                        .n_guests = n_guests};
    room.minute = read_speech(&room.n_minute);
    struct tess_encoder *bad_encoder = codec_encoder(&room.codec, 0);
    struct tess_decoder *bad_decoder = codec_decoder(&room.codec, 0);
    for (int i = 0; i < n_guests; i++)
        join(&room, &room.guests[i]);
    rounds(&room, bad_encoder, bad_decoder);
    assert_true(room.n_departed > 0);
    for (int i = 0; i < n_guests; i++)
        leave(&room, &room.guests[i]);
    tess_encoder_destroy(bad_encoder, room.codec.model);
    tess_decoder_destroy(bad_decoder, room.codec.model);
    free(room.minute);
    codec_close(&room.codec);
}

static void alone_with_a_failing_job(void **state)
{
    (void)state;
    run(1, 1);
}

static void in_pairs(void **state)
{
    (void)state;
    run(2, 1);
}

static void seven_on_two_threads(void **state)
{
    (void)state;
    run(7, 2);
}

static void sixty_four_on_two_threads(void **state)
{
    (void)state;
    run(64, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_with_a_failing_job),
        cmocka_unit_test(in_pairs),
        cmocka_unit_test(seven_on_two_threads),
        cmocka_unit_test(sixty_four_on_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
