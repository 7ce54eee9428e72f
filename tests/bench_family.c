/* How fast a model file encodes and decodes on one thread, pushes of 80 ms and then whole; a line of
 * JSON to stdout. Usage: bench_family MODEL SECONDS */
#include "tests/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 2 };

struct bench {
    struct codec codec;
    float *pcm, *out;
    uint16_t *codes;
    size_t n, n_frames, room; /* samples and frames of a clip; frames that there is room for */
};

/* Both walk through the clip in pushes of `step` frames, the last of which ends it. */
static int encode(struct bench *b, size_t step)
{
    const size_t hop = (size_t)b->codec.info.hop, channels = (size_t)b->codec.info.channels;
    const size_t k = (size_t)b->codec.info.codebooks_default;
    struct tess_encode_job job = {.encoder = codec_encoder(&b->codec, 0)};
    int err = 0;
    b->n_frames = 0;
    for (size_t at = 0; at < b->n && !err; at += step * hop) {
        job.pcm = b->pcm + at * channels;
        job.n_samples = b->n - at < step * hop ? b->n - at : step * hop;
        job.end = at + job.n_samples == b->n;
        job.codes = b->codes + b->n_frames * k;
        job.capacity = b->room - b->n_frames;
        err = tess_encode(b->codec.worker, &job, 1);
        b->n_frames += (size_t)job.n_frames;
    }
    tess_encoder_destroy(job.encoder, b->codec.model);
    return err;
}

static int decode(struct bench *b, size_t step)
{
    const size_t hop = (size_t)b->codec.info.hop, channels = (size_t)b->codec.info.channels;
    const size_t k = (size_t)b->codec.info.codebooks_default;
    struct tess_decode_job job = {.decoder = codec_decoder(&b->codec, 0)};
    size_t done = 0;
    int err = 0;
    for (size_t at = 0; at < b->n_frames && !err; at += step) {
        job.codes = b->codes + at * k;
        job.n_frames = b->n_frames - at < step ? b->n_frames - at : step;
        job.end = at + job.n_frames == b->n_frames;
        job.pcm = b->out + done * channels;
        job.capacity = b->room * hop - done;
        err = tess_decode(b->codec.worker, &job, 1);
        done += (size_t)job.n_samples;
    }
    tess_decoder_destroy(job.decoder, b->codec.model);
    return err;
}

/* Times real time, the best of some rounds; null where the model does not work that way. */
static void
measure(struct bench *b, const char *name, int (*run)(struct bench *, size_t), size_t step)
{
    double best = HUGE_VAL;
    for (int i = 0; i < ROUNDS; i++) {
        const double before = cpu_seconds();
        const int err = run(b, step);
        if (err) {
            printf(", \"%s\": null", name);
            return;
        }
        best = fmin(best, cpu_seconds() - before);
    }
    printf(", \"%s\": %.6g", name, (double)b->n / b->codec.info.sample_rate / best);
}

int main(int argc, char **argv)
{
    const double seconds = argc == 3 ? atof(argv[2]) : 0.0;
    if (!(seconds > 0.0 && seconds <= 60.0)) {
        fprintf(stderr, "usage: bench_family MODEL SECONDS, at most 60\n");
        return 2;
    }
    struct bench b = {.codec = codec_open_model(argv[1], NULL, 1, 1)};
    const struct tess_model_info *info = &b.codec.info;
    const size_t push = (size_t)fmax(1.0, floor(0.08 * info->sample_rate / info->hop));
    size_t n_speech = 0;
    float *speech = read_speech(&n_speech);
    b.n = (size_t)(seconds * info->sample_rate) / (size_t)info->hop * (size_t)info->hop;
    b.room = (size_t)tess_encoder_bound(b.codec.model, b.n);
    b.pcm = zeros(b.n, sizeof *b.pcm * (size_t)info->channels);
    b.codes = zeros(b.room * (size_t)info->codebooks, sizeof *b.codes);
    b.out = zeros(b.room * (size_t)info->hop, sizeof *b.out * (size_t)info->channels);
    for (size_t i = 0; i < b.n * (size_t)info->channels; i++)
        b.pcm[i] = speech[i % n_speech];
    free(speech);
    printf("{\"sample_rate\": %d, \"encode_flops\": %g, \"decode_flops\": %g", info->sample_rate,
           info->encode_flops, info->decode_flops);
    measure(&b, "encode_stream", encode, push);
    if (!b.n_frames) encode(&b, b.room);
    measure(&b, "decode_stream", decode, push);
    measure(&b, "encode", encode, b.room);
    measure(&b, "decode", decode, b.room);
    printf("}\n");
    free(b.pcm);
    free(b.codes);
    free(b.out);
    codec_close(&b.codec);
    return 0;
}
