/* The shipped model opened and run for tests, which end where anything of this fails. */
#include "tests/codec.h"

#include "tests/check.h"
#include "tests/random.h"

#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct codec codec_open(const char *kernel, int threads, int max_streams)
{
    const char *path = getenv("TESSERA_TEST_MODEL");
    return codec_open_model(path ? path : TEST_MODEL, kernel, threads, max_streams);
}

struct codec codec_open_model(const char *path, const char *kernel, int threads, int max_streams)
{
    struct codec codec = {.info.size = sizeof codec.info};
    const struct tess_model_options model = {.size = sizeof model, .kernel = kernel};
    const struct tess_worker_options worker = {
        .size = sizeof worker, .threads = threads, .max_streams = max_streams};
    struct tess_why why = {""};
    if (tess_model_open(&codec.model, path, &model, &why)) fail_msg("%s: %s", path, why.text);
    assert_int_equal(tess_model_get_info(codec.model, &codec.info), 0);
    assert_int_equal(tess_worker_create(&codec.worker, codec.model, &worker), 0);
    return codec;
}

void codec_close(struct codec *codec)
{
    tess_worker_destroy(codec->worker);
    tess_model_close(codec->model);
}

int codec_any_rate(const struct codec *codec, uint64_t *seed)
{
    int k;
    do
        k = 1 + random_below(seed, codec->info.codebooks);
    while (!(codec->info.codebooks_legal >> (k - 1) & 1));
    return k;
}

size_t codec_frames(const struct codec *codec, size_t n_samples)
{
    const size_t hop = (size_t)codec->info.hop;
    return n_samples / hop + (n_samples % hop != 0);
}

void codec_encode(const struct codec *codec,
                  struct tess_worker *worker,
                  const float *pcm,
                  size_t n_samples,
                  int codebooks,
                  uint16_t *codes)
{
    struct tess_encode_job job = {.encoder = codec_encoder(codec, codebooks),
                                  .pcm = pcm,
                                  .n_samples = n_samples,
                                  .end = 1,
                                  .codes = codes,
                                  .capacity = codec_frames(codec, n_samples)};
    assert_int_equal(tess_encode(worker ? worker : codec->worker, &job, 1), 0);
    assert_int_equal(job.n_frames, job.capacity);
    tess_encoder_destroy(job.encoder, codec->model);
}

void codec_decode(const struct codec *codec,
                  struct tess_worker *worker,
                  const uint16_t *codes,
                  size_t n_frames,
                  int codebooks,
                  float *pcm)
{
    struct tess_decode_job job = {.decoder = codec_decoder(codec, codebooks),
                                  .codes = codes,
                                  .n_frames = n_frames,
                                  .end = 1,
                                  .pcm = pcm,
                                  .capacity = n_frames * (size_t)codec->info.hop};
    assert_int_equal(tess_decode(worker ? worker : codec->worker, &job, 1), 0);
    assert_int_equal(job.n_samples, job.capacity);
    tess_decoder_destroy(job.decoder, codec->model);
}

struct tess_encoder *codec_encoder(const struct codec *codec, int codebooks)
{
    const struct tess_stream_options options = {.size = sizeof options, .codebooks = codebooks};
    struct tess_encoder *encoder;
    assert_int_equal(tess_encoder_create(&encoder, codec->model, &options), 0);
    return encoder;
}

struct tess_decoder *codec_decoder(const struct codec *codec, int codebooks)
{
    const struct tess_stream_options options = {.size = sizeof options, .codebooks = codebooks};
    struct tess_decoder *decoder;
    assert_int_equal(tess_decoder_create(&decoder, codec->model, &options), 0);
    return decoder;
}

float *read_speech(size_t *n)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open("tests/data/speech.flac", SFM_READ, &info);
    if (!file) fail_msg("tests/data/speech.flac: %s", sf_strerror(NULL));
    assert_int_equal(info.channels, 1);
    if (!*n) *n = (size_t)info.frames;
    float *pcm = zeros(*n, sizeof *pcm);
    assert_int_equal(sf_readf_float(file, pcm, (sf_count_t)*n), *n);
    sf_close(file);
    return pcm;
}

void *zeros(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

double cpu_seconds(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
