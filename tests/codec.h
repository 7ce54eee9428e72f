/* What the tests of the whole codec share: the shipped model behind the public header, a minute of
 * speech, and one call that takes a stream from its start to its end. Failures fail the test. */
#ifndef TESS_TESTS_CODEC_H
#define TESS_TESTS_CODEC_H

#include "src/tessera.h"

#define TEST_MODEL "weights/tessera-24k-speech.safetensors"

struct codec {
    struct tess_model *model;
    struct tess_worker *worker;
    struct tess_model_info info;
};

/* TEST_MODEL, or what the environment's TESSERA_TEST_MODEL names. kernel NULL: the fastest. */
struct codec codec_open(const char *kernel, int threads, int max_streams);
struct codec codec_open_model(const char *path, const char *kernel, int threads, int max_streams);
void codec_close(struct codec *codec);

/* One of the numbers of codebooks that the model allows. */
int codec_any_rate(const struct codec *codec, uint64_t *seed);

/* Frames of a recording: its samples over the hop, rounded up. */
size_t codec_frames(const struct codec *codec, size_t n_samples);

/* A stream by itself, in one push that is also the end: codes [codec_frames][codebooks], and
 * pcm [n_frames * hop]. A worker of one's own may be given; NULL: the codec's. */
void codec_encode(const struct codec *codec,
                  struct tess_worker *worker,
                  const float *pcm,
                  size_t n_samples,
                  int codebooks,
                  uint16_t *codes);
void codec_decode(const struct codec *codec,
                  struct tess_worker *worker,
                  const uint16_t *codes,
                  size_t n_frames,
                  int codebooks,
                  float *pcm);

/* Streams at their start; free them with tess_..._destroy. */
struct tess_encoder *codec_encoder(const struct codec *codec, int codebooks);
struct tess_decoder *codec_decoder(const struct codec *codec, int codebooks);

/* The first n samples of the minute, or all of it (*n = 0, then set); free them. */
float *read_speech(size_t *n);

/* Zeroed memory, at least a byte; free it. */
void *zeros(size_t count, size_t size);

/* Seconds of the processor that this thread has used: other programs do not count. */
double cpu_seconds(void);

#endif
